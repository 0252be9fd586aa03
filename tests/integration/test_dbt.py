"""The dbt project of example_dbt/, run by dbt in an environment of its own, on a table that the load task made."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_koreai.operators.compare_utterances import KoreAICompareUtterancesOperator
from airflow_provider_koreai.operators.load_utterances import KoreAILoadUtterancesOperator
from tests.support.running import run_task
from tests.support.warehouses import postgresql_warehouse

from .test_example_dags import TODAY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.deployment import PostgreSQL
    from tests.support.warehouses import Warehouse

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ROOT / "example_dbt"
# Beside Airflow, dbt would have to agree with it on a hundred packages.
VENV = ROOT / ".venvs" / "dbt"
REQUIREMENTS = ("dbt-core>=1.10.6,<1.12", "dbt-postgres>=1.9,<2")
MONDAY, TUESDAY = "2026-11-23", "2026-11-24"
HEADER = ("taskName", "sentence", "type", "language")
BEFORE = [
    ("A", "stays", "x", "en"),
    ("A", "moves", "x", "en"),
    ("A", "goes once", "x", "en"),
    ("A", "goes once", "x", "en"),
    ("", "without a task", "", ""),
    ("A", "in two tasks", "x", "en"),
    ("B", "in two tasks", "x", "en"),
]
AFTER = [
    ("A", "stays", "x", "en"),
    ("A", "stays", "x", "de"),
    ("B", "moves", "x", "en"),
    ("A", "goes once", "x", "en"),
    ("C", "without a task", "", ""),
    ("D", "in two tasks", "x", "en"),
    ("E", "in two tasks", "x", "en"),
]


@pytest.fixture(scope="session")
def dbt() -> Path:
    """The program, installed once."""
    program = VENV / "bin" / "dbt"
    if not program.exists():
        uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
        if uv is None:
            pytest.skip("uv, which installs dbt, is not installed")
        python = str(VENV / "bin" / "python")
        for arguments in (
            ["venv", "--quiet", "--clear", "--python", sys.executable, str(VENV)],
            ["pip", "install", "--quiet", "--python", python, *REQUIREMENTS],
        ):
            done = subprocess.run([uv, *arguments], capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"dbt cannot be installed: {done.stderr.strip()[-300:]}")
    return program


@pytest.fixture(scope="module")
def warehouse(postgresql_server: PostgreSQL) -> Iterator[Warehouse]:
    """A table with two snapshots of one bot and one of another."""
    found, connection = postgresql_warehouse(postgresql_server)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_POSTGRES_TEST", connection)
        yield found


@pytest.fixture(scope="module")
def run_dbt(
    dbt: Path, warehouse: Warehouse, postgresql_server: PostgreSQL, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command of dbt on the table."""
    url = urlsplit(postgresql_server.url("psycopg2"))
    folder = tmp_path_factory.mktemp("dbt")
    environment = {
        **os.environ,
        "WAREHOUSE_HOST": url.hostname or "",
        "WAREHOUSE_PORT": str(url.port),
        "WAREHOUSE_USER": url.username or "",
        "WAREHOUSE_PASSWORD": url.password or "",
        "WAREHOUSE_DATABASE": "airflow",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }

    def run(command: str) -> subprocess.CompletedProcess[str]:
        where = {"project-dir": PROJECT, "profiles-dir": PROJECT, "target-path": folder, "log-path": folder}
        options = [f"--{name}={value}" for name, value in where.items()]
        variables = json.dumps({"koreai_table": warehouse.table})
        return subprocess.run(
            [dbt, "--no-use-colors", command, *options, "--vars", variables],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=180,
            check=False,
        )

    return run


@pytest.fixture(scope="module")
def built(
    run_dbt: Callable[..., subprocess.CompletedProcess[str]],
    warehouse: Warehouse,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """What ``dbt build`` printed: the views are there, and their tests have passed."""
    folder = tmp_path_factory.mktemp("exports")
    for bot_id, day, rows in (
        ("st-1", MONDAY, BEFORE),
        ("st-1", TUESDAY, AFTER),
        ("st-2", MONDAY, BEFORE[:1]),
    ):
        path = folder / "utterances.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([HEADER, *rows])
        where = {"table": warehouse.table, "conn_id": warehouse.conn_id, "bot_id": bot_id}
        run_task(KoreAILoadUtterancesOperator(task_id="load", path=str(path), snapshot=day, **where))
    done = run_dbt("build")
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_all_models_and_tests_pass_without_a_warning(built):
    assert "Completed successfully" in built
    assert "WARN=0 ERROR=0 SKIP=0" in built
    assert "deprecat" not in built.lower()


def test_the_latest_view_has_each_bots_latest_snapshot(built, warehouse):
    found = warehouse.run(
        "SELECT bot_id, coalesce(task_name, ''), sentence, coalesce(type, ''), coalesce(language, ''), occurrences "
        "FROM analytics.koreai_latest_utterances"
    )
    expected = [("st-1", *row, 1) for row in AFTER] + [("st-2", *BEFORE[0], 1)]
    assert sorted(found) == sorted(expected)


def test_the_view_of_changes_has_what_the_comparison_finds(built, warehouse, tmp_path):
    detail = tmp_path / "detail.csv"
    where = {"table": warehouse.table, "conn_id": warehouse.conn_id, "bot_id": "st-1"}
    run_task(
        KoreAICompareUtterancesOperator(
            task_id="compare", after_snapshot=TUESDAY, detail_path=str(detail), **where
        )
    )
    with detail.open(encoding="utf-8", newline="") as file:
        compared = [tuple(row.values()) for row in csv.DictReader(file)]
    found = warehouse.run(
        "SELECT change, coalesce(task_name, ''), coalesce(previous_task_name, ''), sentence, coalesce(type, ''), "
        "coalesce(language, '') FROM analytics.koreai_changed_utterances"
    )
    assert sorted(found) == sorted(compared)
    assert {row[0] for row in found} == {"added", "removed", "moved"}


def test_a_snapshot_that_was_added_to_past_the_load_task_fails_a_test(built, warehouse, run_dbt):
    warehouse.run(
        f"INSERT INTO {warehouse.table} (bot_id, snapshot, sentence, loaded_at) "
        "VALUES ('st-2', '2026-11-23T00:00:00Z', 'smuggled in', now())"
    )
    try:
        done = run_dbt("test")
    finally:
        warehouse.run(f"DELETE FROM {warehouse.table} WHERE sentence = 'smuggled in'")
    assert done.returncode == 1
    assert "Failure in test each_snapshot_is_of_one_export" in done.stdout


def test_the_example_loads_and_then_builds(dbt, warehouse, airflow_installation, koreai_conn, tmp_path):
    environment = {
        "AIRFLOW_CONN_WAREHOUSE_DEFAULT": os.environ["AIRFLOW_CONN_POSTGRES_TEST"],
        "KOREAI_DBT": str(dbt),
        "KOREAI_DBT_PROJECT": str(PROJECT),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }

    def run(dag_id: str, conf: dict[str, Any]) -> None:
        done = airflow_installation.run(
            "dags", "test", dag_id, TODAY, "--conf", json.dumps(conf), **environment
        )
        assert done.returncode == 0, done.stdout
        states = "select distinct state from task_instance where dag_id = ?"
        assert airflow_installation.query(states, dag_id) == [("success",)], done.stdout

    assert airflow_installation.run("dags", "reserialize").returncode == 0
    run("example_koreai_dbt_load", {"folder": str(tmp_path)})
    events = "asset_event" if AIRFLOW_V_3_0_PLUS else "dataset_event"
    loads = f"select count(*) from {events} where source_dag_id = 'example_koreai_dbt_load' and source_task_id = 'load'"
    assert airflow_installation.query(loads) == [(1,)]
    run("example_koreai_dbt_build", {})
    ((number,),) = warehouse.run("SELECT sum(occurrences) FROM analytics.koreai_latest_utterances")
    assert number == warehouse.counts("koreai_utterances")["st-demo-travel"]
