"""The table that is loaded into: created if it does not exist, checked if it does, and locked for a bot."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect
from sqlalchemy.exc import NoSuchTableError

from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIFileError
from airflow_provider_koreai.warehouse.table import (
    MYSQL,
    check_columns,
    check_name,
    create_statements,
    lock_key,
)
from airflow_provider_koreai.warehouse.transactions import refuse_engine_without_transactions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Table
    from sqlalchemy.engine import Connection

    from airflow_provider_koreai.warehouse.database import Database

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """A table of a database, from one of the functions of :mod:`airflow_provider_koreai.warehouse.table`."""

    database: Database
    table: Table
    create_table: bool

    def prepare(self) -> None:
        """Create the table if it does not exist, and check it if it does."""
        with self.database.transaction() as connection:
            # MySQL locks a table that is looked at, too, against the one who creates its index: look under the lock only.
            if connection.dialect.name not in MYSQL and not self._statements(connection):
                return
        with self.database.transaction() as connection:
            schema = self.table.schema or inspect(connection).default_schema_name
            self.database.lock(connection, lock_key(schema, self.table.name))
            # Once more: another task may have created it meanwhile.
            for statement in self._statements(connection):
                log.info("conn_id=%s: %s", self.database.conn_id, statement)
                connection.exec_driver_sql(statement)

    def lock(self, connection: Connection, bot_id: str) -> None:
        """Make other loads of the bot into the table wait until the transaction ends."""
        identity = self._identity(connection)
        # InnoDB locks gaps between rows, so there loads of different bots at once would end in deadlocks.
        whole = connection.dialect.name in MYSQL
        self.database.lock(connection, lock_key(identity) if whole else lock_key(identity, bot_id))

    def lock_all(self, connection: Connection) -> None:
        """Make the loads of all bots into the table wait before they write, until the transaction ends."""
        if connection.dialect.name == "postgresql":
            name = connection.dialect.identifier_preparer.format_table(self.table)
            connection.exec_driver_sql(f"LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE")
        else:
            self.lock(connection, "")

    def _identity(self, connection: Connection) -> Any:
        """Return what the table is known by, whether or not its name was given with its schema."""
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
            check_columns(table, found, dialect)
            refuse_engine_without_transactions(connection, table)
            return []
        statements = create_statements(table, dialect)
        if not self.create_table:
            raise KoreAIConfigurationError(
                f"table={table.info['name']!r} does not exist, and create_table=False. Create it: {'; '.join(statements)}"
            )
        return statements


@contextmanager
def nothing_loaded(path: str) -> Iterator[None]:
    """Name the file in the block's errors about it, and say that nothing was loaded."""
    try:
        yield
    except FileNotFoundError as error:
        raise KoreAIFileError(f"path={path!r:.200}: there is no such file. Nothing was loaded.") from error
    except KoreAIFileError as error:
        raise KoreAIFileError(f"path={path!r:.200}: {error} Nothing was loaded.") from error
