"""Load an exported file into a table: in one transaction, so that a snapshot is there whole or not at all."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import chain
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException
from sqlalchemy import delete, func, insert, select

from airflow_provider_koreai.arguments import parse_time
from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIFileError
from airflow_provider_koreai.storage.paths import PathArgument
from airflow_provider_koreai.utterances.reading import read_utterances
from airflow_provider_koreai.warehouse.rows import Batches, CopyText, rows_of
from airflow_provider_koreai.warehouse.table import (
    AFTER,
    BEFORE,
    COLUMNS,
    as_utc,
)
from airflow_provider_koreai.warehouse.target import Target, nothing_loaded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Table
    from sqlalchemy.engine import Connection

    from airflow_provider_koreai.warehouse.database import Database
    from airflow_provider_koreai.warehouse.rows import Columns

log = logging.getLogger(__name__)
# How much younger than what it stands for an export may be: a run that was late, or was retried the next morning.
_HISTORY = timedelta(days=1)


@dataclass(frozen=True)
class Snapshot:
    """
    Which bot's utterances, at what time (UTC), from which export.

    :param of_run: the end of the run's interval if the time is the run's and not the user's.
    """

    bot_id: str
    time: datetime
    request_id: str | None = None
    requested_time: str | None = None
    of_run: datetime | None = None

    @property
    def exported(self) -> datetime:
        """When the bot was exported; if that is not known, now."""
        return parse_time(self.requested_time) or datetime.now(timezone.utc)


@dataclass(frozen=True)
class LoadResult:
    """
    What was loaded.

    :param rows: the utterances in the file.
    :param inserted: the rows written: all of the file's, repeated ones included.
    :param replaced: the rows deleted.
    :param languages: the number of utterances in each language; ``""`` for those without one.
    :param types: the number of utterances of each type; ``""`` for those without one.
    """

    path: str
    table: str
    bot_id: str
    snapshot: str
    rows: int
    inserted: int
    replaced: int
    languages: dict[str, int]
    types: dict[str, int]


@dataclass(frozen=True)
class Loader:
    """Loads files into a table, from :func:`~airflow_provider_koreai.warehouse.table.utterances_table`."""

    database: Database
    table: Table
    keep: str
    rewrite_history: bool
    create_table: bool
    min_rows: int | None
    on_unstorable: str

    def load(
        self, snapshot: Snapshot, path: str, file_type: str | None, storage_conn_id: str | None
    ) -> LoadResult:
        """
        Load a file.

        :raises KoreAIFileError: the file is missing, broken, or has too few rows.
        :raises KoreAIConfigurationError: the table does not fit, the database refuses the work or has no transactions,
            or history would be rewritten.
        :raises KoreAIDatabaseError: the database could not be reached, or it aborted the work.
        :raises AirflowSkipException: ``keep="latest"``, and the table has a newer snapshot of the bot.
        :raises OSError: the file cannot be read.
        """
        path = PathArgument.of_file(path).text
        if not self.rewrite_history and snapshot.of_run:
            _refuse_a_made_up_past(snapshot, snapshot.of_run)
        with nothing_loaded(path):
            utterances = read_utterances(path, file_type, storage_conn_id)
            return self._load(snapshot, path, Batches(utterances, self.on_unstorable))

    def _load(self, snapshot: Snapshot, path: str, batches: Batches) -> LoadResult:
        passing = iter(batches)
        # A file that is not an export is noticed before a table is created for it.
        first = next(passing, None)
        target = Target(self.database, self.table, self.create_table)
        target.prepare()
        with self.database.transaction() as connection:
            target.lock(connection, snapshot.bot_id)
            if not self.rewrite_history:
                self._refuse_a_younger_export(connection, snapshot)
            replaced = self._delete(connection, snapshot)
            inserted = self._insert(connection, snapshot, chain([first] if first else [], passing))
            if self.min_rows is not None and batches.rows < self.min_rows:
                raise KoreAIFileError(
                    f"{batches.rows:,} utterances are fewer than min_rows={self.min_rows:,}."
                )
        log.info(
            "Loaded %s utterances of bot %s into %s as the snapshot of %s; this replaced %s rows",
            f"{inserted:,}",
            snapshot.bot_id,
            self.table.info["name"],
            snapshot.time.isoformat(),
            f"{replaced:,}",
        )
        return LoadResult(
            path,
            self.table.info["name"],
            snapshot.bot_id,
            snapshot.time.isoformat(),
            batches.rows,
            inserted,
            replaced,
            batches.languages,
            batches.types,
        )

    def _refuse_a_younger_export(self, connection: Connection, snapshot: Snapshot) -> None:
        columns = self.table.c
        of_snapshot = (columns.bot_id == snapshot.bot_id, columns.snapshot == snapshot.time)
        exported = func.max(func.coalesce(columns.requested_time, columns.loaded_at))
        stored = connection.execute(select(exported).where(*of_snapshot)).scalar()
        if stored is None:
            return
        before, now = as_utc(stored), snapshot.exported
        if now - before > _HISTORY:
            raise KoreAIConfigurationError(
                f"table={self.table.info['name']!r} has the snapshot of {snapshot.time.isoformat()} of bot {snapshot.bot_id} "
                f"from an export of {before.isoformat()}, and this export is of {now.isoformat()}, more than a day younger: "
                "an export always reflects the bot's current state, not that of the day that is cleared. Nothing was loaded. Pass "
                "rewrite_history=True to replace the snapshot anyway."
            )

    def _delete(self, connection: Connection, snapshot: Snapshot) -> int:
        columns = self.table.c
        ours = columns.bot_id == snapshot.bot_id
        if self.keep == "latest":
            newest = connection.execute(select(func.max(columns.snapshot)).where(ours)).scalar()
            if newest is not None and as_utc(newest) > snapshot.time:
                raise AirflowSkipException(
                    f"table={self.table.info['name']!r} has the snapshot of {as_utc(newest).isoformat()} of bot "
                    f"{snapshot.bot_id}, which is newer than that of {snapshot.time.isoformat()}. With keep='latest' the "
                    "newer one stays; nothing was loaded."
                )
        else:
            ours &= columns.snapshot == snapshot.time
        return max(connection.execute(delete(self.table).where(ours)).rowcount, 0)

    def _insert(self, connection: Connection, snapshot: Snapshot, batches: Iterable[Columns]) -> int:
        constants = {
            "bot_id": snapshot.bot_id,
            "snapshot": snapshot.time,
            "export_request_id": snapshot.request_id,
            "requested_time": parse_time(snapshot.requested_time),
            "loaded_at": datetime.now(timezone.utc),
        }
        if connection.dialect.name == "postgresql":
            return _copy(connection, self.table, constants, batches)
        return _insert_many(connection, self.table, constants, batches)


def _refuse_a_made_up_past(snapshot: Snapshot, ended: datetime) -> None:
    """Refuse today's utterances as the snapshot of a run of long ago, in a backfill or a cleared run."""
    now = snapshot.exported
    if now - ended > _HISTORY:
        raise KoreAIConfigurationError(
            f"snapshot was not set, so it would be the run's time, {snapshot.time.isoformat()}. But the run's interval ended at "
            f"{ended.isoformat()}, and the export is of {now.isoformat()}, more than a day later: an export always "
            "reflects the bot's current state, so a backfill cannot bring back an earlier one. Nothing was loaded. Pass "
            "rewrite_history=True to store it as that day's anyway, or pass the snapshot that you mean."
        )


def _insert_many(
    connection: Connection, table: Table, constants: dict[str, Any], batches: Iterable[Columns]
) -> int:
    """Insert with the driver's executemany; SQLAlchemy's handling of each value would take longer than all the rest."""
    dialect = connection.dialect
    for name, value in constants.items():
        process = table.c[name].type.dialect_impl(dialect).bind_processor(dialect)
        if process is not None:
            constants[name] = process(value)
    before = tuple(constants[name] for name in BEFORE)
    after = tuple(constants[name] for name in AFTER)
    compiled = insert(table).compile(dialect=dialect, column_keys=COLUMNS)
    inserted = 0
    for batch in batches:
        rows: list[Any] = rows_of(batch, before, after)
        if not compiled.positional:
            rows = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
        connection.exec_driver_sql(str(compiled), rows)
        inserted += len(rows)
    return inserted


def _copy(connection: Connection, table: Table, constants: dict[str, Any], batches: Iterable[Columns]) -> int:
    """Insert with COPY, through psycopg 3 or psycopg2."""
    texts = {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in constants.items()
    }
    writer = CopyText([texts[name] for name in BEFORE], [texts[name] for name in AFTER])
    pieces = map(writer.write, batches)
    preparer = connection.dialect.identifier_preparer
    names = ", ".join(map(preparer.quote, COLUMNS))
    statement = f"COPY {preparer.format_table(table)} ({names}) FROM STDIN"
    driver: Any = connection.connection
    with driver.cursor() as cursor:
        if hasattr(cursor, "copy_expert"):
            reader = _Pieces(pieces)
            try:
                cursor.copy_expert(statement, reader, 1 << 16)
            except Exception:
                if reader.error is not None:
                    raise reader.error from None  # the driver's error says no more
                raise
        else:
            with cursor.copy(statement) as copy:
                for piece in pieces:
                    copy.write(piece)
        return int(cursor.rowcount)


class _Pieces:
    """The pieces as a file for psycopg2, which would replace an error of ``read`` by one of its own."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.error: Exception | None = None
        self._pieces = pieces
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most ``size``."""
        if not self._rest:
            try:
                self._rest = memoryview(next(self._pieces, b""))
            except Exception as error:
                self.error = error
                raise
        taken, self._rest = self._rest[:size], self._rest[size:]
        return bytes(taken)
