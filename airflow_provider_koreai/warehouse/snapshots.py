"""Snapshots of a bot in the table that KoreAILoadUtterancesOperator loads: which there are, and their rows."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, inspect, select

from airflow_provider_koreai.compare.comparing import batches_of
from airflow_provider_koreai.warehouse.database import Database
from airflow_provider_koreai.warehouse.table import as_utc, check_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy import Table

    from airflow_provider_koreai.compare.comparing import Batch

# Rows that a server sends at a time.
_FETCH = 8192


@dataclass(frozen=True)
class BotSnapshots:
    """
    A bot's snapshots.

    :param conn_id: ID of the database's connection.
    :param table: the table, from :func:`~airflow_provider_koreai.warehouse.table.utterances_table`.
    :param bot_id: the bot.
    """

    conn_id: str
    table: Table
    bot_id: str

    def has(self, snapshot: datetime) -> bool:
        """
        Say whether there are rows of a snapshot.

        :param snapshot: its time.
        :raises KoreAIDatabaseError: the database could not be reached.
        """
        columns = self.table.c
        found = self._ask(
            select(func.count()).where(columns.bot_id == self.bot_id, columns.snapshot == snapshot)
        )
        return bool(found)

    def latest_before(self, snapshot: datetime) -> datetime | None:
        """
        Give the time of the latest snapshot that is earlier.

        :param snapshot: earlier than this.
        :return: None: there is none.
        :raises KoreAIDatabaseError: the database could not be reached.
        """
        columns = self.table.c
        ours = (columns.bot_id == self.bot_id, columns.snapshot < snapshot)
        found = self._ask(select(func.max(columns.snapshot)).where(*ours))
        return None if found is None else as_utc(found)

    def source(self, snapshot: datetime) -> TableSource:
        """
        Give a snapshot as something to compare.

        :param snapshot: its time.
        """
        return TableSource(self, snapshot)

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """Connect, in a transaction that only reads."""
        with (
            Database(self.conn_id) as database,
            database.transaction(reading=True) as connection,
        ):
            yield connection

    def _ask(self, statement: Any) -> Any:
        """Give one value, None too where there is no such table."""
        with self.reading() as connection:
            check_name(self.table, connection.dialect)
            if not inspect(connection).has_table(self.table.name, schema=self.table.schema):
                return None
            return connection.execute(statement).scalar()


@dataclass(frozen=True)
class TableSource:
    """
    A snapshot in the table, see :class:`~airflow_provider_koreai.compare.comparing.Source`; it has a connection of its own.

    :param snapshots: the bot's.
    :param time: the snapshot's time.
    """

    snapshots: BotSnapshots
    time: datetime

    @property
    def description(self) -> str:
        """Table and time."""
        return f"{self.snapshots.table.info['name']}, snapshot of {self.time.isoformat()}"

    def batches(self, *, names_too: bool) -> Iterator[Batch]:
        """Read it; there is only one way, which counts always."""
        return self.checked_batches()

    def checked_batches(self) -> Iterator[Batch]:
        """Read it, a few rows at a time, with a cursor on the server where the database has one."""
        columns = self.snapshots.table.c
        statement = select(columns.task_name, columns.sentence, columns.type, columns.language).where(
            columns.bot_id == self.snapshots.bot_id, columns.snapshot == self.time
        )
        with self.snapshots.reading() as connection:
            found = connection.execution_options(stream_results=True, max_row_buffer=_FETCH).execute(
                statement
            )
            yield from batches_of((cell or "" for cell in row) for row in found)
