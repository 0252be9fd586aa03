"""Load an exported file into a database's table: a snapshot of a bot is there whole or not at all."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import chain
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException
from sqlalchemy import delete, func, insert, inspect, select
from sqlalchemy.exc import NoSuchTableError

from airflow_provider_koreai.arguments import parse_time
from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIFileError
from airflow_provider_koreai.storage.paths import PathArgument
from airflow_provider_koreai.utterances.reading import read_utterances
from airflow_provider_koreai.warehouse.rows import Batches, CopyText, rows_of
from airflow_provider_koreai.warehouse.table import (
    BEFORE,
    BEHIND,
    COLUMNS,
    add_statements,
    as_utc,
    check_name,
    create_statements,
    lock_key,
    missing_columns,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Table
    from sqlalchemy.engine import Connection

    from airflow_provider_koreai.utterances.model import Utterance
    from airflow_provider_koreai.warehouse.database import Database

log = logging.getLogger(__name__)
MODES = ("snapshot", "latest")


@dataclass(frozen=True)
class Snapshot:
    """
    Whose utterances, of when, from which export.

    :param bot_id: the bot.
    :param time: the snapshot's time, in UTC.
    :param request_id: the export's request ID, None where it is not known.
    :param requested_time: the export's requested time, None where it is not known.
    """

    bot_id: str
    time: datetime
    request_id: str | None = None
    requested_time: str | None = None


@dataclass(frozen=True)
class LoadResult:
    """
    What was loaded.

    :param path: the file.
    :param table: the table.
    :param bot_id: the bot.
    :param snapshot: the snapshot's time, in UTC.
    :param rows: utterances in the file.
    :param inserted: rows that were written; all of the file's, those that it has twice, too.
    :param replaced: rows that were there before and are no more.
    :param languages: the number of utterances of each language; ``""``: the file names none.
    :param types: the number of utterances of each type; ``""``: the file names none.
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
    """
    Loads files into a table.

    :param database: the database.
    :param table: the table, from :func:`~airflow_provider_koreai.warehouse.table.utterances_table`.
    :param mode: ``snapshot``: beside the bot's other snapshots; ``latest``: in the place of its earlier ones.
    :param create_table: make the table where there is none.
    :param add_columns: add the columns that it lacks.
    :param batch_size: utterances that are held and written at once.
    :param min_rows: utterances that a file must have at least, None: any number.
    :param on_unstorable: ``fail`` or ``replace``, for texts that databases do not take.
    """

    database: Database
    table: Table
    mode: str
    create_table: bool
    add_columns: bool
    batch_size: int
    min_rows: int | None
    on_unstorable: str

    def load(
        self, snapshot: Snapshot, path: str, file_type: str | None, storage_conn_id: str | None
    ) -> LoadResult:
        """
        Load a file.

        :param snapshot: what it holds.
        :param path: a local path, or a URL that ObjectStoragePath understands.
        :param file_type: ``csv`` or ``json``; None: as the path's suffix says, else as the content looks.
        :param storage_conn_id: the connection for an object store.
        :raises KoreAIFileError: the file is missing, broken, or has too few rows.
        :raises KoreAIConfigurationError: the table does not fit, or the database refuses the work.
        :raises KoreAIDatabaseError: the database could not be reached, or ended the work.
        :raises AirflowSkipException: ``mode="latest"``, and the table has a newer snapshot of the bot.
        :raises OSError: the file cannot be read.
        """
        path = PathArgument.of_file(path).text
        try:
            utterances = read_utterances(path, file_type, storage_conn_id)
            batches = Batches(utterances, self.batch_size, self.on_unstorable)
            return self._load(snapshot, path, batches)
        except KoreAIFileError as error:
            problem = str(error)
        except FileNotFoundError:
            problem = "There is no such file."
        raise KoreAIFileError(f"path={path!r:.200}: {problem} Nothing was loaded.")

    def _load(self, snapshot: Snapshot, path: str, batches: Batches) -> LoadResult:
        passing = iter(batches)
        # A file that is no export is noticed before there is a table for it.
        first = next(passing, [])
        self._prepare()
        with self.database.transaction() as connection:
            self.database.lock(connection, lock_key(self._identity(connection), snapshot.bot_id))
            replaced = self._delete(connection, snapshot)
            inserted = self._insert(connection, snapshot, chain([first] if first else [], passing))
            if self.min_rows is not None and batches.rows < self.min_rows:
                raise KoreAIFileError(f"It has {batches.rows:,} utterances; min_rows={self.min_rows:,}.")
        log.info(
            "Loaded %s utterances of bot %s into %s as the snapshot of %s; %s rows were replaced",
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

    def _prepare(self) -> None:
        """Make the table, or its columns, where that is allowed and needed."""
        with self.database.transaction() as connection:
            if not self._statements(connection):
                return
        with self.database.transaction() as connection:
            schema = self.table.schema or inspect(connection).default_schema_name
            self.database.lock(connection, lock_key(schema, self.table.name))
            # Once more: another task may have done it meanwhile.
            for statement in self._statements(connection):
                log.info("conn_id=%s: %s", self.database.conn_id, statement)
                connection.exec_driver_sql(statement)

    def _identity(self, connection: Connection) -> Any:
        """What the table is known by, whether or not its name was given with its schema's."""
        if connection.dialect.name != "postgresql":
            return self.table.info["name"]
        name = connection.dialect.identifier_preparer.format_table(self.table)
        return connection.exec_driver_sql("SELECT %s::regclass::oid::bigint", (name,)).scalar_one()

    def _statements(self, connection: Connection) -> list[str]:
        table, dialect = self.table, connection.dialect
        check_name(table, dialect)
        try:
            found = inspect(connection).get_columns(table.name, schema=table.schema)
        except NoSuchTableError:
            found = []
        if found:
            return add_statements(
                table, missing_columns(table, found, dialect, may_add=self.add_columns), dialect
            )
        statements = create_statements(table, dialect)
        if not self.create_table:
            raise KoreAIConfigurationError(
                f"table={table.info['name']!r} does not exist, and create_table=False. Create it: {'; '.join(statements)}"
            )
        return statements

    def _delete(self, connection: Connection, snapshot: Snapshot) -> int:
        columns = self.table.c
        ours = columns.bot_id == snapshot.bot_id
        if self.mode == "latest":
            newest = connection.execute(select(func.max(columns.snapshot)).where(ours)).scalar()
            if newest is not None and as_utc(newest) > snapshot.time:
                raise AirflowSkipException(
                    f"table={self.table.info['name']!r} has the snapshot of {as_utc(newest).isoformat()} of bot "
                    f"{snapshot.bot_id}, which is newer than that of {snapshot.time.isoformat()}. With mode='latest' "
                    "it stays; nothing was loaded."
                )
        else:
            ours &= columns.snapshot == snapshot.time
        return max(connection.execute(delete(self.table).where(ours)).rowcount, 0)

    def _insert(self, connection: Connection, snapshot: Snapshot, batches: Iterable[list[Utterance]]) -> int:
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


def _insert_many(
    connection: Connection, table: Table, constants: dict[str, Any], batches: Iterable[list[Utterance]]
) -> int:
    """Insert with the driver's executemany: SQLAlchemy's own handling of each value takes longer than the rest."""
    dialect = connection.dialect
    for name, value in constants.items():
        process = table.c[name].type.dialect_impl(dialect).bind_processor(dialect)
        if process is not None:
            constants[name] = process(value)
    before = tuple(constants[name] for name in BEFORE)
    behind = tuple(constants[name] for name in BEHIND)
    compiled = insert(table).compile(dialect=dialect, column_keys=COLUMNS)
    inserted = 0
    for batch in batches:
        rows: list[Any] = rows_of(batch, before, behind)
        if not compiled.positional:
            rows = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
        connection.exec_driver_sql(str(compiled), rows)
        inserted += len(rows)
    return inserted


def _copy(
    connection: Connection, table: Table, constants: dict[str, Any], batches: Iterable[list[Utterance]]
) -> int:
    """Insert with COPY, as psycopg 3 or psycopg2 offers it."""
    texts = {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in constants.items()
    }
    writer = CopyText([texts[name] for name in BEFORE], [texts[name] for name in BEHIND])
    pieces = map(writer.write, batches)
    preparer = connection.dialect.identifier_preparer
    names = ", ".join(map(preparer.quote, COLUMNS))
    statement = f"COPY {preparer.format_table(table)} ({names}) FROM STDIN"
    driver: Any = connection.connection
    with driver.cursor() as cursor:
        if hasattr(cursor, "copy_expert"):
            reader = _Pieces(pieces)
            try:
                cursor.copy_expert(statement, reader)
            except Exception:
                if reader.error is not None:
                    raise reader.error from None
                raise
        else:
            with cursor.copy(statement) as copy:
                for piece in pieces:
                    copy.write(piece)
        return int(cursor.rowcount)


class _Pieces:
    """
    A file for psycopg2, which would turn an error of its ``read`` into one of its own.

    :param pieces: its content.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.error: Exception | None = None
        self._pieces = pieces
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes:
        """
        Give what comes next.

        :param size: bytes at most.
        """
        if not self._rest:
            try:
                self._rest = memoryview(next(self._pieces, b""))
            except Exception as error:
                self.error = error
                raise
        taken, self._rest = self._rest[:size], self._rest[size:]
        return bytes(taken)
