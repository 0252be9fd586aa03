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

# How many bots are locked one by one: each takes a place in PostgreSQL's lock table, of which a transaction has 64 by
# default, and all of them together a few thousand.
_MOST_LOCKS = 64


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
    Delete what is not to be kept of these bots, of all if None; return what was deleted of each that lost something.

    :raises KoreAIConfigurationError: there is no such table, or the database has no transactions.
    :raises KoreAIDatabaseError: the database could not be reached, or it aborted the work.
    """
    deleted: dict[str, Deleted] = {}
    columns, target = table.c, Target(database, table, create_table=False)
    with database.transaction(reading=True) as connection:
        history = SnapshotHistory(connection, table)
        history.check()
        refuse_engine_without_transactions(connection, table)
        bots = history.bots() if bot_ids is None else set(bot_ids)
        losing = [bot_id for bot_id in bots if retention.expired(history.times(bot_id))]
    if not losing:
        return deleted
    with database.transaction() as connection:
        history = SnapshotHistory(connection, table)
        one_by_one = len(losing) <= _MOST_LOCKS
        if not one_by_one:
            target.lock_all(connection)
        # In order, so that two of these tasks do not wait for each other.
        for bot_id in sorted(losing):
            if one_by_one:
                target.lock(connection, bot_id)
            rows = 0
            # Once more: a load may have written meanwhile.
            times = retention.expired(history.times(bot_id))
            for time in times:
                which = delete(table).where(columns.bot_id == bot_id, columns.snapshot == time)
                rows += max(connection.execute(which).rowcount, 0)
            if times:
                deleted[bot_id] = Deleted(len(times), rows)
    return deleted
