"""Databases to load utterances into: SQLite in a file, and PostgreSQL and MariaDB servers that the tests start."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import os
import secrets
import shutil
import signal
import sqlite3
import subprocess
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from tests.support.deployment import free_ports, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.deployment import PostgreSQL, Processes

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
            found = list(cursor.fetchall()) if cursor.description else []
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
        statement = {
            "sqlite_test": "SELECT name FROM sqlite_master",
            "postgres_test": "SELECT tablename FROM pg_tables",
            "mariadb_test": "SELECT table_name FROM information_schema.tables",
        }[self.conn_id]
        return {name for (name,) in self.run(statement)}


class MariaDB:
    """A private MariaDB server on loopback, with the character set that it comes with."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._folder = processes.new_folder("koreai-mariadb-")
        self._password = secrets.token_hex(16)
        self._port = 0

    @staticmethod
    def is_installed() -> bool:
        """Whether the server and its driver are there."""
        return bool(shutil.which("mariadb-install-db", path=_path()) and importlib.util.find_spec("pymysql"))

    def start(self) -> None:
        """Create the data folder and start the server."""
        data, bootstrap = self._folder / "data", self._folder / "bootstrap.sql"
        # The server does not like to run as root.
        user = ["--user=mysql"] if os.geteuid() == 0 else []
        if user:
            shutil.chown(self._folder, "mysql")
        install = shutil.which("mariadb-install-db", path=_path())
        assert install
        done = subprocess.run(
            [install, "--no-defaults", f"--datadir={data}", "--skip-test-db", *user],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"
        bootstrap.write_text(
            "CREATE DATABASE warehouse;\n"
            f"CREATE USER airflow@'%' IDENTIFIED BY '{self._password}';\n"
            "GRANT ALL ON *.* TO airflow@'%';\n"
        )
        bootstrap.chmod(0o644)
        (self._port,) = free_ports(1)
        server = shutil.which("mariadbd", path=_path())
        assert server
        options = {
            "datadir": data,
            "socket": self._folder / "socket",
            "pid-file": self._folder / "pid",
            "bind-address": "127.0.0.1",
            "port": self._port,
            "init-file": bootstrap,
            "innodb-flush-log-at-trx-commit": 0,
        }
        command = [server, "--no-defaults", *(f"--{key}={value}" for key, value in options.items()), *user]
        log = self._folder / "server.log"
        self._processes.start(command, log=log, end_with=signal.SIGTERM, cwd=self._folder)
        wait_until("MariaDB accepts connections", self._answers, 60, every=0.1)

    def connect(self) -> Any:
        """Open a connection of the driver's."""
        import pymysql

        # The tests quote names as SQL does, not with backticks.
        return pymysql.connect(
            host="127.0.0.1",
            port=self._port,
            user="airflow",
            password=self._password,
            database="warehouse",
            sql_mode="ANSI_QUOTES",
        )

    @property
    def connection(self) -> dict[str, Any]:
        """The Airflow connection."""
        there = {"conn_type": "mysql", "host": "127.0.0.1", "port": self._port, "schema": "warehouse"}
        return {**there, "login": "airflow", "password": self._password}

    def _answers(self) -> bool:
        import pymysql

        try:
            self.connect().close()
        except pymysql.OperationalError:
            return False
        return True


def mariadb_hook(conn_id: str, *, isolation_level: str | None = None) -> Any:
    """A hook as users write one for a driver that needs no compiler, unlike that of Airflow's own provider."""
    import pymysql
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from sqlalchemy import create_engine

    class PyMySQLHook(DbApiHook):
        conn_name_attr = "mysql_conn_id"
        default_conn_name = "mysql_default"

        def get_conn(self) -> Any:
            found = self.get_connection(self.mysql_conn_id)
            return pymysql.connect(
                host=found.host,
                port=found.port,
                user=found.login,
                password=found.password,
                database=found.schema,
            )

        def get_sqlalchemy_engine(self, engine_kwargs: Any = None) -> Any:
            # As Airflow's hooks make it: on SQLAlchemy 1.4 not of its future kind.
            more = {"isolation_level": isolation_level} if isolation_level else {}
            return create_engine("mysql+pymysql://", creator=self.get_conn, **more)

    return PyMySQLHook(mysql_conn_id=conn_id)


def _path() -> str:
    return os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))


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


def mariadb_warehouse(server: MariaDB) -> tuple[Warehouse, str]:
    """A table on the server, and the Airflow connection to it."""
    return Warehouse("mariadb_test", server.connect), json.dumps(server.connection)


def _iso(value: Any) -> str | None:
    """SQLite's text and MariaDB's time, in UTC, and PostgreSQL's time, in any zone, as one form."""
    if value is None:
        return None
    time = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).astimezone(timezone.utc).isoformat()
