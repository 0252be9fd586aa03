"""The database of an Airflow connection: reached through its hook, used through SQLAlchemy, with our errors."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, BaseHook

from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIDatabaseError, KoreAIError
from airflow_provider_koreai.redaction import scrub
from airflow_provider_koreai.warehouse.table import MYSQL
from airflow_provider_koreai.warehouse.transactions import refuse_without_transactions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection, Engine

# How long to wait, in seconds, for what other tasks have locked.
LOCK_TIMEOUT = 600.0
# With these drivers the hook's own connection is used, as only that has all settings of the connection's Extra. With
# others the hook makes SQLAlchemy's engine.
_DIALECTS = {"sqlite3": "sqlite", "psycopg": "postgresql+psycopg", "psycopg2": "postgresql+psycopg2"}
# The errors of a driver (PEP 249) that a retry would meet again.
_FINAL = {"ProgrammingError", "NotSupportedError", "DataError", "IntegrityError"}
_LONGEST_QUOTE = 300
# What PostgreSQL, MySQL and SQLite say after LOCK_TIMEOUT.
_WAITED_TOO_LONG = re.compile(r"\block (?:wait )?timeout\b|\b(?:database|table) is locked\b", re.IGNORECASE)


class Database:
    """
    A database. Its one connection is opened when it is first needed.

    :raises KoreAIConfigurationError: the connection is missing or not a database's, or a package is not installed.
    """

    def __init__(self, conn_id: str) -> None:
        self.conn_id = conn_id
        self._hook, self._secret = _hook_of(conn_id)
        self._engine: Engine | None = None
        self._raw: Any = None
        self._may_write = False
        self._locks: list[str] = []

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        if self._engine is not None:
            self._engine.dispose()
        if self._raw is not None:
            with contextlib.suppress(Exception):
                self._raw.close()

    @contextlib.contextmanager
    def transaction(self, *, reading: bool = False) -> Iterator[Connection]:
        """
        Commit the work of the block if it succeeds, and roll it back otherwise.

        :param reading: the block writes nothing, so the database needs no transactions, and SQLite locks nobody out.
        :raises KoreAIDatabaseError: the database could not be reached, or it aborted the work.
        :raises KoreAIConfigurationError: the database refused the work, or has no transactions.
        """
        try:
            if self._engine is None:
                self._engine = self._connected()
            connection = self._engine.connect()
            try:
                if not reading:
                    self._check_transactions(connection)
                # SQLAlchemy 1.4, which Airflow has up to 3.0, commits only through what begin() returns.
                transaction = connection.begin()
                try:
                    self._begin(connection, reading=reading)
                    yield connection
                    transaction.commit()
                except BaseException:
                    # Where the connection is lost, the first error says more than that of the rollback.
                    with contextlib.suppress(Exception):
                        transaction.rollback()
                    raise
            finally:
                with contextlib.suppress(Exception):
                    self._unlock(connection)
                    connection.close()
        except (KoreAIError, OSError):
            raise
        except Exception as error:
            failure = self._failure(error)
            if failure is None:
                raise
            # Without its cause: SQLAlchemy's and the driver's texts show the rows and, some of them, the password.
            raise failure from None

    def lock(self, connection: Connection, key: int) -> None:
        """
        Take a lock and keep it until the transaction ends: PostgreSQL, MySQL and MariaDB have such locks. SQLite's only
        lock has been held since the transaction began; other databases have their locks of rows.
        """
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (key,))
        elif connection.dialect.name in MYSQL:
            name = f"koreai {key}"
            if connection.exec_driver_sql("SELECT GET_LOCK(%s, %s)", (name, LOCK_TIMEOUT)).scalar() != 1:
                raise KoreAIDatabaseError(_unchanged(f"conn_id={self.conn_id!r}: {_waited()}"))
            self._locks.append(name)

    def _unlock(self, connection: Connection) -> None:
        while self._locks:
            connection.exec_driver_sql("SELECT RELEASE_LOCK(%s)", (self._locks.pop(),))

    def _connected(self) -> Engine:
        from sqlalchemy import create_engine
        from sqlalchemy.pool import StaticPool

        self._raw = raw = self._hook.get_conn()
        driver = type(raw).__module__.partition(".")[0]
        if driver not in _DIALECTS:
            raw.close()
            self._raw = None
            return self._engine_of_hook()
        # The connection's Extra may choose cursors whose rows are not tuples, an encoding, or autocommit.
        if driver == "psycopg":
            from psycopg.rows import tuple_row

            raw.row_factory = tuple_row
            raw.autocommit = False
            raw.execute("SET client_encoding TO 'UTF8'")
            raw.commit()
        elif driver == "psycopg2":
            raw.cursor_factory = None
            raw.autocommit = False
            raw.set_client_encoding("UTF8")
        dialect = _DIALECTS[driver]
        return create_engine(f"{dialect}://", creator=lambda: raw, poolclass=StaticPool, future=True)

    def _engine_of_hook(self) -> Engine:
        from sqlalchemy.exc import NoSuchModuleError

        try:
            engine: Engine = self._hook.get_sqlalchemy_engine()
        except NoSuchModuleError as error:
            raise KoreAIConfigurationError(
                f"conn_id={self.conn_id!r}: {error}. Install the package that has the SQLAlchemy dialect of this database."
            ) from error
        return engine

    def _check_transactions(self, connection: Connection) -> None:
        if not self._may_write and self._raw is None:
            refuse_without_transactions(connection, self.conn_id)
        self._may_write = True

    def _begin(self, connection: Connection, *, reading: bool) -> None:
        milliseconds = int(LOCK_TIMEOUT * 1000)
        dialect = connection.dialect.name
        if dialect == "sqlite":
            # Python's module would not begin a transaction before a CREATE TABLE.
            connection.connection.driver_connection.isolation_level = None  # type: ignore[union-attr]
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {milliseconds}")
            connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
        elif dialect == "postgresql":
            # All statements that read see the same rows. When writing at a stricter level, which a connection can
            # choose, a task that waited for a lock would not see what the other task has written.
            level = "REPEATABLE READ READ ONLY" if reading else "READ COMMITTED"
            connection.exec_driver_sql(f"SET TRANSACTION ISOLATION LEVEL {level}")
            connection.exec_driver_sql("SELECT set_config('lock_timeout', %s, true)", (str(milliseconds),))
        elif dialect in MYSQL:
            connection.exec_driver_sql(f"SET SESSION innodb_lock_wait_timeout = {max(1, int(LOCK_TIMEOUT))}")

    def _failure(self, error: Exception) -> KoreAIError | None:
        """Return our error for a driver's, or None if it is not a driver's."""
        from sqlalchemy.exc import DBAPIError

        original = error.orig if isinstance(error, DBAPIError) else error
        kinds = {cls.__name__ for cls in type(original).__mro__}
        if "Error" not in kinds:
            return None
        quote = str(original).strip() or type(original).__name__
        if self._secret:
            quote = quote.replace(self._secret, "***")
        # Only the first line: in PostgreSQL's errors the others may show data.
        quote = scrub(quote.splitlines()[0])[:_LONGEST_QUOTE]
        text = f"The database of conn_id={self.conn_id!r} reported: {quote} ({type(original).__name__})."
        if kinds & _FINAL:
            return KoreAIConfigurationError(text)
        if _WAITED_TOO_LONG.search(quote):
            text = f"{text} {_waited()}"
        return KoreAIDatabaseError(_unchanged(text))


def _waited() -> str:
    return f"Another task was writing to the table for longer than {LOCK_TIMEOUT:g} s."


def _unchanged(text: str) -> str:
    return f"{text} The transaction was rolled back; the table is unchanged."


def _hook_of(conn_id: str) -> tuple[Any, str]:
    """Return the hook of a database connection, and its password, which no text may show."""
    try:
        from airflow.providers.common.sql.hooks.sql import DbApiHook
    except ImportError as error:
        raise KoreAIConfigurationError(
            "Databases need a package that is not installed: pip install 'airflow-provider-koreai[sql]'"
        ) from error
    try:
        connection: Any = BaseHook.get_connection(conn_id)
    except AirflowException as error:
        raise KoreAIConfigurationError(f"conn_id={conn_id!r} cannot be used: {error}.") from error
    kind = connection.conn_type
    install = (
        f"Install the provider of the database, for example apache-airflow-providers-{_provider_of(kind)}, and set the "
        "connection's type to the one that it brings."
    )
    try:
        hook = connection.get_hook()
    except (AirflowException, ImportError, AttributeError) as error:
        # Airflow's own errors for a type without a provider; that of `generic` is an AttributeError.
        raise KoreAIConfigurationError(
            f"conn_id={conn_id!r} has the connection type {kind!r}, for which no provider is installed"
            f"{'' if isinstance(error, AttributeError) else f' ({error})'}. {install}"
        ) from error
    if not isinstance(hook, DbApiHook):
        raise KoreAIConfigurationError(
            f"conn_id={conn_id!r} is not a database connection: the hook of its type {kind!r} is not a DbApiHook. {install}"
        )
    return hook, connection.password or ""


def _provider_of(conn_type: str | None) -> str:
    """Return the end of a provider package's name, which for most databases follows from the connection's type."""
    if conn_type in (None, "", "generic", "koreai"):
        return "postgres"
    names = {"postgresql": "postgres", "mssql": "microsoft-mssql", "mariadb": "mysql"}
    return names.get(str(conn_type), str(conn_type).replace("_", "-"))
