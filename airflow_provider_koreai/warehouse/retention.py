"""Delete old snapshots from the table that the load task fills: in one transaction, and never a bot's latest one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import delete

from airflow_provider_koreai.warehouse.history import SnapshotHistory
from airflow_provider_koreai.warehouse.target import Target
from airflow_provider_koreai.warehouse.transactions import refuse_engine_without_transactions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import Table

    from airflow_provider_koreai.warehouse.database import Database


@dataclass(frozen=True)
class Retention:
    """Which snapshots of a bot to keep: those since a time, and at most a number of them; None means no such limit."""

    since: datetime | None
    most: int | None

    def expired(self, times: Sequence[datetime]) -> list[datetime]:
        """Return the times of the snapshots to delete, of all that a bot has, the earliest first."""
        beyond = len(times) - self.most if self.most is not None else 0
        return [
            time
            for number, time in enumerate(times[:-1])
            if number < beyond or (self.since is not None and time < self.since)
        ]


class Deleted(NamedTuple):
    """What was deleted of a bot."""

    snapshots: int
    rows: int


def delete_snapshots(
    database: Database, table: Table, retention: Retention, bot_ids: Iterable[str] | None
) -> dict[str, Deleted]:
    """
    Delete what is not to be kept of these bots, by default of all; return what was deleted of each that lost something.

    :raises KoreAIConfigurationError: there is no such table, or the database has no transactions.
    :raises KoreAIDatabaseError: the database could not be reached, or it aborted the work.
    """
    deleted = {}
    columns, target = table.c, Target(database, table, create_table=False)
    with database.transaction() as connection:
        history = SnapshotHistory(connection, table)
        history.check()
        refuse_engine_without_transactions(connection, table)
        # In order, so that two of these tasks do not wait for each other.
        for bot_id in sorted(set(bot_ids or history.bots())):
            target.lock(connection, bot_id)
            rows = 0
            times = retention.expired(history.times(bot_id))
            for time in times:
                which = delete(table).where(columns.bot_id == bot_id, columns.snapshot == time)
                rows += max(connection.execute(which).rowcount, 0)
            if times:
                deleted[bot_id] = Deleted(len(times), rows)
    return deleted
