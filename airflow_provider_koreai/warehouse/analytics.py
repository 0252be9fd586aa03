"""Load a file of analytics into a table: the rows of a bot, type and interval are replaced in one transaction."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, func, insert, or_

from airflow_provider_koreai.api.analytics import Untimed
from airflow_provider_koreai.exceptions import KoreAIFileError
from airflow_provider_koreai.storage.paths import PathArgument
from airflow_provider_koreai.text import storable
from airflow_provider_koreai.utterances.analytics_file import COLUMNS, columns_of, read_analytics
from airflow_provider_koreai.warehouse.target import nothing_loaded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from airflow_provider_koreai.api.analytics import Query
    from airflow_provider_koreai.warehouse.target import Target

log = logging.getLogger(__name__)
_BATCH_SIZE = 500


@dataclass(frozen=True)
class LoadedAnalytics:
    """
    What was loaded.

    :param rows: the rows of the file, all of which were written.
    :param replaced: the rows deleted.
    """

    path: str
    table: str
    bot_id: str
    analytics_type: str
    start: str
    end: str
    rows: int
    replaced: int


@dataclass(frozen=True)
class AnalyticsLoader:
    """
    Loads files into a table, from :func:`~airflow_provider_koreai.warehouse.table.analytics_table`.
    """

    target: Target
    min_rows: int | None

    def load(self, query: Query, path: str, storage_conn_id: str | None) -> LoadedAnalytics:
        """
        Replace the rows of a query by those of the file.

        :raises KoreAIFileError: the file is missing, broken, has too few rows, or rows that the query does not ask for.
        :raises KoreAIConfigurationError: the table does not fit, or the database refuses the work or has no transactions.
        :raises KoreAIDatabaseError: the database could not be reached, or it aborted the work.
        :raises OSError: the file cannot be read.
        """
        path = PathArgument.of_file(path).text
        with nothing_loaded(path):
            return self._load(query, path, read_analytics(path, storage_conn_id))

    def _load(self, query: Query, path: str, found: Iterator[dict[str, Any]]) -> LoadedAnalytics:
        untimed = Untimed()
        rows = _rows(query, found, untimed)
        # A file that does not belong here is noticed before a table is created for it.
        batch = list(islice(rows, _BATCH_SIZE))
        self.target.prepare()
        written = 0
        with self.target.database.transaction() as connection:
            self.target.lock(connection, query.bot_id)
            replaced = self._delete(connection, query)
            while batch:
                connection.execute(insert(self.target.table), batch)
                written += len(batch)
                batch = list(islice(rows, _BATCH_SIZE))
            if self.min_rows is not None and written < self.min_rows:
                raise KoreAIFileError(f"{written:,} rows are fewer than min_rows={self.min_rows:,}.")
            if written and untimed.number == written:
                raise KoreAIFileError(
                    f"No row has a time that can be read: the column timestamp has, for example, {untimed.example!r:.80}. "
                    "Without times, the next load of an interval that overlaps would have every row twice."
                )
        table, start, end = self.target.table.info["name"], query.start.isoformat(), query.end.isoformat()
        log.info(
            "Loaded %s rows of type %s of bot %s, from %s to %s, into %s; this replaced %s rows",
            f"{written:,}",
            query.analytics_type,
            query.bot_id,
            start,
            end,
            table,
            f"{replaced:,}",
        )
        if untimed.number:
            log.warning(
                "%s. They are replaced only when the interval that they came with is loaded again, so intervals that overlap "
                "have them twice. Download without overlap, or remove the repetitions where event_time is null.",
                untimed.summary(),
            )
        return LoadedAnalytics(path, table, query.bot_id, query.analytics_type, start, end, written, replaced)

    def _delete(self, connection: Connection, query: Query) -> int:
        columns = self.target.table.c

        def within(column: Any) -> Any:
            return and_(column >= query.start, column < query.end)

        # A row without a time belongs to the interval that it came with.
        in_interval = or_(
            within(columns.event_time), and_(columns.event_time.is_(None), within(columns.interval_start))
        )
        ours = [columns.bot_id == query.bot_id, columns.analytics_type == query.analytics_type, in_interval]
        if query.channel:
            ours.append(func.lower(columns.channel) == query.channel.lower())
        return max(connection.execute(delete(self.target.table).where(*ours)).rowcount, 0)


def _rows(query: Query, found: Iterator[dict[str, Any]], untimed: Untimed) -> Iterator[dict[str, Any]]:
    """Return the values of the table's columns for each row of a file."""
    constants = {
        "bot_id": query.bot_id,
        "analytics_type": query.analytics_type,
        "interval_start": query.start,
        "interval_end": query.end,
        "loaded_at": datetime.now(timezone.utc),
    }
    for number, row in enumerate(found, start=1):
        moment = untimed.time_of(row)
        _refuse_a_stranger(query, number, row, moment)
        if moment is None and "timestamp" in row:
            row = {**row, "unreadable_timestamp": row["timestamp"]}  # goes to the details
        # Users write anything, NUL characters too, which no database takes.
        texts = {name: text and storable(text) for name, text in zip(COLUMNS, columns_of(row), strict=True)}
        del texts["timestamp"]
        yield {**constants, "event_time": moment, **texts}


def _refuse_a_stranger(query: Query, number: int, row: dict[str, Any], moment: datetime | None) -> None:
    """Refuse a row that the next load of the same interval would not replace, and so would have twice."""
    if moment is not None and not query.start <= moment < query.end:
        raise KoreAIFileError(
            f"Row {number:,} is from {moment.isoformat()}, outside the interval start={query.start.isoformat()} to "
            f"end={query.end.isoformat()}. Pass the start and end that the download task returned."
        )
    channel = row.get("channel")
    if query.channel and str(channel).lower() != query.channel.lower():
        raise KoreAIFileError(
            f"Row {number:,} belongs to channel {channel!r:.80}, not to channel={query.channel!r}. Pass the channel that was "
            "downloaded, or none if all were."
        )
