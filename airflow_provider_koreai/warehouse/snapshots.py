"""The snapshots of a bot in the table that the load task fills: which ones there are, and their rows."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, inspect, select

from airflow_provider_koreai.warehouse.database import Database
from airflow_provider_koreai.warehouse.table import as_utc, check_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import Table

# Rows that a server sends at a time.
_FETCH = 8192


@dataclass(frozen=True)
class BotSnapshots:
    """A bot's snapshots in a table."""

    conn_id: str
    table: Table
    bot_id: str

    def has(self, snapshot: datetime) -> bool:
        """Return whether the table has rows of a snapshot."""
        columns = self.table.c
        found = self._ask(
            select(func.count()).where(columns.bot_id == self.bot_id, columns.snapshot == snapshot)
        )
        return bool(found)

    def latest_before(self, snapshot: datetime) -> datetime | None:
        """Return the time of the latest earlier snapshot, None where there is none."""
        columns = self.table.c
        ours = (columns.bot_id == self.bot_id, columns.snapshot < snapshot)
        found = self._ask(select(func.max(columns.snapshot)).where(*ours))
        return None if found is None else as_utc(found)

    def source(self, snapshot: datetime) -> TableSource:
        """Return a snapshot as something to compare."""
        return TableSource(self, snapshot)

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """Open a connection in a transaction that only reads."""
        with (
            Database(self.conn_id) as database,
            database.transaction(reading=True) as connection,
        ):
            yield connection

    def _ask(self, statement: Any) -> Any:
        """Return one value; None also where the table does not exist."""
        with self.reading() as connection:
            check_name(self.table, connection.dialect)
            if not inspect(connection).has_table(self.table.name, schema=self.table.schema):
                return None
            return connection.execute(statement).scalar()


@dataclass(frozen=True)
class TableSource:
    """
    A snapshot in the table, to compare; it is read over a connection of its own.
    """

    snapshots: BotSnapshots
    time: datetime

    @property
    def description(self) -> str:
        """The table and the time."""
        return f"{self.snapshots.table.info['name']}, snapshot of {self.time.isoformat()}"

    def rows(self) -> Iterator[Sequence[str | None]]:
        """Read task name, sentence, type and language of each row, with a cursor on the server where there is one."""
        columns = self.snapshots.table.c
        statement = select(columns.task_name, columns.sentence, columns.type, columns.language).where(
            columns.bot_id == self.snapshots.bot_id, columns.snapshot == self.time
        )
        with self.snapshots.reading() as connection:
            found = connection.execution_options(stream_results=True, max_row_buffer=_FETCH).execute(
                statement
            )
            yield from found
