"""Databases to load utterances into: SQLite in a file, and a PostgreSQL server that the tests start."""

from __future__ import annotations

import contextlib
import itertools
import json
import sqlite3
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.deployment import PostgreSQL

_numbers = itertools.count(1)


class Row(NamedTuple):
    """A row of the table."""

    bot_id: str
    snapshot: str
    task_name: str | None
    sentence: str
    type: str | None
    language: str | None
    entities: str
    row_hash: str
    export_request_id: str | None
    requested_time: str | None
    loaded_at: str


class Warehouse:
    """
    A database, as a test sees it: by statements of its own.

    :param conn_id: ID of the Airflow connection.
    :param connect: opens a connection of the driver's.
    """

    def __init__(self, conn_id: str, connect: Callable[[], Any]) -> None:
        self.conn_id = conn_id
        self.connect = connect
        # One server is for all tests: each has a table of its own.
        self.table = f"utterances_{next(_numbers)}"

    def run(self, statement: str, *parameters: object) -> list[Any]:
        """Run a statement, and commit."""
        with contextlib.closing(self.connect()) as connection:
            cursor = connection.cursor()
            cursor.execute(statement, parameters)
            found = cursor.fetchall() if cursor.description else []
            connection.commit()
            return found

    def rows(self, order: str = "snapshot, sentence") -> list[Row]:
        """All rows of the table, times as ISO 8601."""
        found = self.run(f"SELECT {', '.join(Row._fields)} FROM {self.table} ORDER BY {order}")
        times = {"snapshot", "requested_time", "loaded_at"}
        return [
            Row(*(_iso(cell) if name in times else cell for name, cell in zip(Row._fields, row, strict=True)))
            for row in found
        ]

    def sentences(self, bot_id: str | None = None) -> list[tuple[str, str]]:
        """The day and the sentence of each row, in order."""
        return [
            (row.snapshot[:10], row.sentence) for row in self.rows() if bot_id is None or row.bot_id == bot_id
        ]

    def counts(self, table: str) -> dict[str, int]:
        """The number of rows of each bot in a table."""
        return dict(self.run(f"SELECT bot_id, count(*) FROM {table} GROUP BY 1"))

    def tables(self) -> set[str]:
        """The names of all tables."""
        catalog = "sqlite_master" if self.conn_id == "sqlite_test" else "pg_tables"
        column = "name" if self.conn_id == "sqlite_test" else "tablename"
        return {name for (name,) in self.run(f"SELECT {column} FROM {catalog}")}


def sqlite_warehouse(file: Path) -> tuple[Warehouse, str]:
    """A database in a file, and the Airflow connection to it."""
    connection = json.dumps({"conn_type": "sqlite", "host": str(file)})
    return Warehouse("sqlite_test", lambda: sqlite3.connect(file)), connection


def postgresql_warehouse(server: PostgreSQL, database: str = "airflow") -> tuple[Warehouse, str]:
    """A table on the server, and the Airflow connection to it."""
    url = urlsplit(server.url("psycopg2"))
    connection: dict[str, Any] = {"conn_type": "postgres", "login": url.username, "password": url.password}
    connection |= {"host": url.hostname, "port": url.port, "schema": database}
    # What is committed has to outlive a killed server, which otherwise is set to be fast.
    connection["extra"] = {"options": "-c synchronous_commit=on"}
    return Warehouse("postgres_test", lambda: server.connect(database)), json.dumps(connection)


def _iso(value: Any) -> str | None:
    """SQLite's text, in UTC, and PostgreSQL's time, in any zone, as one."""
    if value is None:
        return None
    time = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).astimezone(timezone.utc).isoformat()
