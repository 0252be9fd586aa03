"""
The last snapshots of the bots in the table that the load task fills, in numbers that the database adds up.

What is read grows with a bot's tasks and languages, not with its utterances; only those that the last two snapshots do
not share are read as rows. The index on bot and snapshot leads to both, and from one bot or snapshot to the next, which
DISTINCT would read all rows for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import case, func, inspect, select
from sqlalchemy.exc import NoSuchTableError

from airflow_provider_koreai.exceptions import KoreAIConfigurationError
from airflow_provider_koreai.warehouse.table import MYSQL, as_utc, check_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy import Column, Table
    from sqlalchemy.engine import Connection

# Rows that a server sends at a time.
_FETCH = 8192


@dataclass(frozen=True)
class SnapshotHistory:
    """The snapshots in a table, over a connection in a transaction that only reads."""

    connection: Connection
    table: Table

    def check(self) -> None:
        """Refuse a table that does not exist, or is of something else."""
        check_name(self.table, self.connection.dialect)
        try:
            found = inspect(self.connection).get_columns(self.table.name, schema=self.table.schema)
        except NoSuchTableError:
            found = []
        missing = {"bot_id", "snapshot", "task_name", "sentence", "type", "language"} - {
            each["name"] for each in found
        }
        if missing:
            problem = f"has no column {', '.join(sorted(missing))}" if found else "does not exist"
            raise KoreAIConfigurationError(
                f"table={self.table.info['name']!r} {problem}. Name the table that the load task fills."
            )

    def bots(self) -> list[str]:
        """Return all bots."""
        column, found = self.table.c.bot_id, []
        bot_id = self.connection.execute(select(func.min(column))).scalar()
        while bot_id is not None:
            found.append(bot_id)
            bot_id = self.connection.execute(select(func.min(column)).where(column > bot_id)).scalar()
        return found

    def times(self, bot_id: str, number: int | None = None) -> list[datetime]:
        """Return the times of a bot's last snapshots, by default of all, the earliest first."""
        columns, found = self.table.c, []
        latest = select(func.max(columns.snapshot)).where(columns.bot_id == bot_id)
        time = self.connection.execute(latest).scalar()
        while time is not None:
            found.append(as_utc(time))
            earlier = latest.where(columns.snapshot < found[-1])
            time = self.connection.execute(earlier).scalar() if len(found) != number else None
        return found[::-1]

    def counts(self, bot_id: str, since: datetime) -> Iterator[tuple[datetime, str, str, int]]:
        """Count a bot's utterances by snapshot, task and language."""
        columns = self.table.c
        label = (columns.task_name, columns.language)
        statement = (
            select(columns.snapshot, *label, func.count())
            .where(columns.bot_id == bot_id, columns.snapshot >= since)
            .group_by(columns.snapshot, *self._exactly(*label))
        )
        for time, task_name, language, number in self.connection.execute(statement):
            yield as_utc(time), task_name or "", language or "", number

    def differences(
        self, bot_id: str, before: datetime, after: datetime
    ) -> Iterator[tuple[str, tuple[str, str, str], int]]:
        """Read what two snapshots do not share: sentence; task, type and language; the surplus of the later one."""
        columns = self.table.c
        label = (columns.task_name, columns.type, columns.language)
        surplus = func.sum(case((columns.snapshot == after, 1), else_=-1))
        statement = (
            select(columns.sentence, *label, surplus)
            .where(columns.bot_id == bot_id, columns.snapshot.in_([before, after]))
            .group_by(*self._exactly(columns.sentence, *label))
            .having(surplus != 0)
            .order_by(*self._exactly(columns.sentence))
        )
        found: Any = self.connection.execution_options(stream_results=True, max_row_buffer=_FETCH)
        for sentence, task_name, kind, language, number in found.execute(statement):
            yield sentence, (task_name or "", kind or "", language or ""), int(number)

    def _exactly(self, *texts: Column[Any]) -> tuple[Any, ...]:
        """Return what tells texts apart: in MySQL's collation, "a" equals "a " with a space at its end."""
        if self.connection.dialect.name not in MYSQL:
            return texts
        return (*texts, *map(func.char_length, texts))
