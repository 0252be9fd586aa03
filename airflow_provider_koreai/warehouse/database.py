"""A database of a connection: found through its hook, spoken to through SQLAlchemy, its errors told as ours."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, BaseHook

from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIDatabaseError, KoreAIError
from airflow_provider_koreai.redaction import scrub

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection, Engine

# The drivers whose connections come from the hook itself, with all that the connection's extra says. Of others the
# hook makes SQLAlchemy's engine.
_DIALECTS = {"sqlite3": "sqlite", "psycopg": "postgresql+psycopg", "psycopg2": "postgresql+psycopg2"}
# What a driver (PEP 249) calls an error that the same statement would meet again.
_FINAL = {"ProgrammingError", "NotSupportedError", "DataError", "IntegrityError"}
_SHOWN = 300


class Database:
    """
    A database, with one connection to it that is opened when it is first needed.

    :param conn_id: ID of the connection.
    :param lock_timeout: seconds to wait for what others have locked.
    :raises KoreAIConfigurationError: there is no such connection, it is none of a database, or a package is missing.
    """

    def __init__(self, conn_id: str, *, lock_timeout: float) -> None:
        self.conn_id = conn_id
        self._lock_timeout = lock_timeout
        self._hook, self._secret = _hook_of(conn_id)
        self._engine: Engine | None = None
        self._raw: Any = None

    def __enter__(self) -> Database:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        if self._engine is not None:
            self._engine.dispose()
        if self._raw is not None:
            with contextlib.suppress(Exception):
                self._raw.close()

    @contextlib.contextmanager
    def transaction(self, *, reading: bool = False) -> Iterator[Connection]:
        """
        Do some work whole or not at all.

        :param reading: nothing will be written, so that SQLite need not keep others from it. Default False.
        :raises KoreAIDatabaseError: the database could not be reached, or ended the work.
        :raises KoreAIConfigurationError: the database refuses what was asked for.
        """
        try:
            if self._engine is None:
                self._engine = self._connected()
            connection = self._engine.connect()
            try:
                self._begin(connection, reading=reading)
                yield connection
                connection.commit()
            except BaseException:
                with contextlib.suppress(Exception):
                    connection.rollback()
                raise
            finally:
                with contextlib.suppress(Exception):
                    connection.close()
        except (KoreAIError, OSError):
            raise
        except Exception as error:
            failure = self._failure(error)
            if failure is None:
                raise
        else:
            return
        raise failure

    def lock(self, connection: Connection, key: int) -> None:
        """
        Wait for a lock, and keep it to the transaction's end. SQLite has its one lock since the transaction began;
        databases other than PostgreSQL have no such lock.

        :param connection: the transaction's.
        :param key: the lock.
        """
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (key,))

    def _connected(self) -> Engine:
        from sqlalchemy import create_engine
        from sqlalchemy.pool import StaticPool

        self._raw = raw = self._hook.get_conn()
        driver = type(raw).__module__.partition(".")[0]
        if driver not in _DIALECTS:
            raw.close()
            self._raw = None
            return self._engine_of_hook()
        # A connection's extra may choose cursors whose rows are no tuples, and it or the database an encoding.
        if driver == "psycopg":
            from psycopg.rows import tuple_row

            raw.row_factory = tuple_row
            raw.execute("SET client_encoding TO 'UTF8'")
            raw.commit()
        elif driver == "psycopg2":
            raw.cursor_factory = None
            raw.set_client_encoding("UTF8")
        dialect = _DIALECTS[driver]
        return create_engine(f"{dialect}://", creator=lambda: raw, poolclass=StaticPool, future=True)

    def _engine_of_hook(self) -> Engine:
        from sqlalchemy.exc import NoSuchModuleError

        try:
            engine: Engine = self._hook.get_sqlalchemy_engine()
        except NoSuchModuleError as error:
            problem = str(error)
        else:
            return engine
        raise KoreAIConfigurationError(
            f"conn_id={self.conn_id!r}: {problem}. Install the package that brings SQLAlchemy's dialect for it."
        )

    def _begin(self, connection: Connection, *, reading: bool) -> None:
        milliseconds = int(self._lock_timeout * 1000)
        if connection.dialect.name == "sqlite":
            # Python's module would begin no transaction before a CREATE TABLE.
            self._raw.isolation_level = None
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {milliseconds}")
            connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
        elif connection.dialect.name == "postgresql":
            if not reading:
                # With a stricter level, which a connection can choose, what waits for a lock would not see what
                # the lock was held for.
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            connection.exec_driver_sql("SELECT set_config('lock_timeout', %s, true)", (str(milliseconds),))

    def _failure(self, error: Exception) -> KoreAIError | None:
        """Tell a driver's error as ours; None: it is none of a driver's."""
        from sqlalchemy.exc import DBAPIError

        original = error.orig if isinstance(error, DBAPIError) else error
        kinds = {cls.__name__ for cls in type(original).__mro__}
        if "Error" not in kinds:
            return None
        # The first line only: the others of PostgreSQL's may show data.
        said = scrub((str(original).strip() or type(original).__name__).splitlines()[0])[:_SHOWN]
        if self._secret:
            said = said.replace(self._secret, "***")
        text = f"The database of conn_id={self.conn_id!r} says: {said} ({type(original).__name__})."
        if kinds & _FINAL:
            return KoreAIConfigurationError(text)
        if "lock" in said:
            text += f" It waited up to lock_timeout={self._lock_timeout:g} s for others that write to it."
        return KoreAIDatabaseError(f"{text} Nothing is half-done: what was there before is there still.")


def _hook_of(conn_id: str) -> tuple[Any, str]:
    """Give the hook of a database's connection, and its password, which no text may show."""
    try:
        from airflow.providers.common.sql.hooks.sql import DbApiHook
    except ImportError:
        raise KoreAIConfigurationError(
            "Databases need a package that is not installed: pip install 'airflow-provider-koreai[sql]'"
        ) from None
    problem = f"is no database's connection; use one whose hook is a {DbApiHook.__name__}"
    try:
        connection: Any = BaseHook.get_connection(conn_id)
        hook = connection.get_hook()
    except ImportError as error:
        problem = f"cannot be used: {error}. Install the provider of its connection type"
    except AirflowException as error:
        problem = f"cannot be used: {error}"
    else:
        if isinstance(hook, DbApiHook):
            return hook, connection.password or ""
    raise KoreAIConfigurationError(f"conn_id={conn_id!r} {problem}.")
