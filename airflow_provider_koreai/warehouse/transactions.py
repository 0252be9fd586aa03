"""Whether a database takes back what a transaction has written: found out before the first write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.exceptions import KoreAIConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import Table
    from sqlalchemy.engine import Connection

# By the names of SQLAlchemy's dialects.
_WITH = {
    "postgresql",
    "sqlite",
    "mysql",
    "mariadb",
    "mssql",
    "snowflake",
    "redshift",
    "cockroachdb",
}
_WITHOUT = {
    "athena",
    "awsathena",
    "bigquery",
    "clickhouse",
    "clickhousedb",
    "databricks",
    "drill",
    "druid",
    "hive",
    "impala",
    "pinot",
    "presto",
    "spark",
    "trino",
}
_PROBE = "koreai_rollback_probe"
_REMEDY = (
    "A load that stops midway would leave half a snapshot, so nothing was loaded. Databases known to work: PostgreSQL, "
    "SQLite, MySQL and MariaDB (InnoDB). Elsewhere, load the file into a staging table with the database's own tools, and "
    "replace the snapshot from there."
)


def refuse_without_transactions(connection: Connection, conn_id: str) -> None:
    """
    Raise an error unless a rollback takes back what was written.

    :raises KoreAIConfigurationError: the database has no transactions, or the connection is in autocommit.
    """
    name = connection.dialect.name
    if name not in _WITHOUT and _is_in_autocommit(connection):
        problem = (
            f"conn_id={conn_id!r} is in autocommit mode ({name}), so a rollback undoes nothing. Switch autocommit off in the "
            "connection"
        )
    elif name in _WITHOUT or (name not in _WITH and not _takes_back(connection)):
        problem = f"The database of conn_id={conn_id!r} ({name}) does not undo writes on rollback"
    else:
        return
    raise KoreAIConfigurationError(f"{problem}. {_REMEDY}")


def refuse_engine_without_transactions(connection: Connection, table: Table) -> None:
    """
    Raise an error if the table is MySQL's or MariaDB's and of an engine without transactions, such as MyISAM.

    :raises KoreAIConfigurationError: it is.
    """
    if connection.dialect.name not in ("mysql", "mariadb"):
        return
    found = connection.exec_driver_sql(
        "SELECT t.ENGINE, e.TRANSACTIONS FROM information_schema.TABLES t "
        "JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE "
        "WHERE t.TABLE_NAME = %s AND t.TABLE_SCHEMA = COALESCE(%s, DATABASE())",
        (table.name, table.schema),
    ).first()
    if found is not None and found[1] != "YES":
        raise KoreAIConfigurationError(
            f"table={table.info['name']!r} has the engine {found[0]}, which has no transactions. Change it: "
            f"ALTER TABLE {connection.dialect.identifier_preparer.format_table(table)} ENGINE=InnoDB"
        )


def _is_in_autocommit(connection: Connection) -> bool:
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        return True
    driver: Any = connection.connection.driver_connection
    # MySQL's drivers have a method, pymssql a name of its own, most others an attribute.
    if hasattr(driver, "get_autocommit"):
        return bool(driver.get_autocommit())
    return any(getattr(driver, name, None) in (True, 1) for name in ("autocommit", "autocommit_state"))


def _takes_back(connection: Connection) -> bool:
    """Write to a temporary table, roll back, and look; a database that has no such table counts as one without."""
    from sqlalchemy.exc import DBAPIError

    try:
        with connection.begin():
            connection.exec_driver_sql(f"CREATE TEMPORARY TABLE {_PROBE} (n INTEGER)")
        writing = connection.begin()
        connection.exec_driver_sql(f"INSERT INTO {_PROBE} VALUES (1)")  # noqa: S608 - no input
        writing.rollback()
        with connection.begin():
            left = connection.exec_driver_sql(f"SELECT count(*) FROM {_PROBE}").scalar()  # noqa: S608
            connection.exec_driver_sql(f"DROP TABLE {_PROBE}")
    except DBAPIError:
        return False
    return left == 0
