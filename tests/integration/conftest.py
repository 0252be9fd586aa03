"""What the integration tests share: an emulator in a process of its own, and Airflow with a real database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_koreai import deferral
from airflow_provider_koreai.emulator.process import EmulatorProcess
from airflow_provider_koreai.jobs import confirming
from tests.support.deployment import PostgreSQL, Processes, postgresql_programs
from tests.support.installation import AirflowInstallation
from tests.support.warehouses import (
    MariaDB,
    mariadb_hook,
    mariadb_warehouse,
    postgresql_warehouse,
    sqlite_warehouse,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.warehouses import Warehouse


@pytest.fixture(autouse=True)
def defer_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deferrable task asks once in its worker and then defers, and comes back as soon as there is something to tell."""
    monkeypatch.setattr(deferral, "worker_stays", lambda: 0.0)
    monkeypatch.setattr(deferral, "MARGIN", 0.0)


@pytest.fixture(scope="session")
def emulator_process() -> Iterator[EmulatorProcess]:
    """The one emulator of the session. Exports are done at once unless a test says otherwise."""
    with EmulatorProcess(seconds=0, too_soon_seconds=0) as process:
        yield process


@pytest.fixture
def emulator(emulator_process: EmulatorProcess) -> EmulatorProcess:
    """The emulator as it was after its start."""
    emulator_process.control.reset()
    return emulator_process


@pytest.fixture(autouse=True)
def confirms_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a start be confirmed without noticeable pauses."""
    monkeypatch.setattr(confirming, "FIRST_PAUSES", (0.0, 0.01, 0.02))
    monkeypatch.setattr(confirming, "PAUSE", 0.02)
    monkeypatch.setattr(confirming, "STALE_SECONDS", 0.2)


@pytest.fixture
def koreai_conn(emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch) -> str:
    """A connection ``koreai_default`` to the emulator; gives its ID."""
    monkeypatch.setenv("AIRFLOW_CONN_KOREAI_DEFAULT", emulator.connection_json())
    return "koreai_default"


@pytest.fixture(scope="session")
def airflow_installation(tmp_path_factory: pytest.TempPathFactory) -> AirflowInstallation:
    """An Airflow for the whole session, apart from the one that the tests themselves import."""
    installation = AirflowInstallation(tmp_path_factory.mktemp("airflow") / "home")
    answer = installation.run("db", "migrate")
    assert answer.returncode == 0, answer.stdout
    return installation


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQL]:
    """A PostgreSQL server for the whole session."""
    programs = postgresql_programs()
    if programs is None:
        pytest.skip("PostgreSQL's initdb (apt: postgresql), psycopg2 or asyncpg is not installed")
    processes = Processes()
    try:
        server = PostgreSQL(programs, processes)
        server.start()
        yield server
    finally:
        processes.stop()


@pytest.fixture
def sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """A connection ``sqlite_test`` to a new database."""
    warehouse, connection = sqlite_warehouse(tmp_path / "warehouse.db")
    monkeypatch.setenv("AIRFLOW_CONN_SQLITE_TEST", connection)
    return warehouse


@pytest.fixture
def postgresql(postgresql_server: PostgreSQL, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """A connection ``postgres_test`` to a server, and the name of a table that is not there."""
    warehouse, connection = postgresql_warehouse(postgresql_server)
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_TEST", connection)
    return warehouse


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDB]:
    """A MariaDB server for the whole session."""
    if not MariaDB.is_installed():
        pytest.skip("MariaDB (apt: mariadb-server) or PyMySQL is not installed")
    processes = Processes()
    try:
        server = MariaDB(processes)
        server.start()
        yield server
    finally:
        processes.stop()


@pytest.fixture
def mariadb(mariadb_server: MariaDB, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """A connection ``mariadb_test`` to a server, and the name of a table that is not there."""
    warehouse, connection = mariadb_warehouse(mariadb_server)
    monkeypatch.setenv("AIRFLOW_CONN_MARIADB_TEST", connection)
    kind = type(BaseHook.get_connection(warehouse.conn_id))
    get_hook = kind.get_hook

    def with_pymysql(self: Any, **more: Any) -> Any:
        return mariadb_hook(self.conn_id) if self.conn_type == "mysql" else get_hook(self, **more)

    monkeypatch.setattr(kind, "get_hook", with_pymysql)
    return warehouse
