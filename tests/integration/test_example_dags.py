"""Example DAGs, run as a user runs them: ``airflow dags test``, a real metadata database, the emulator over HTTP."""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections import defaultdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow import __version__ as airflow_version
from airflow.providers.common.compat.version_compat import (
    AIRFLOW_V_3_0_PLUS,
    AIRFLOW_V_3_1_PLUS,
    AIRFLOW_V_3_3_PLUS,
)

from tests.support.examples import EXAMPLES, FILES, FOLDER, TABLE, TRAVEL
from tests.support.installation import xcom
from tests.support.scenarios import KoreAI
from tests.support.warehouses import sqlite_warehouse

if TYPE_CHECKING:
    from collections.abc import Callable

# A load refuses to store today's export as the snapshot of a day long ago.
TODAY = f"{datetime.now(timezone.utc):%Y-%m-%d}"
RUN_UNDATED = Path(__file__).parent / "run_undated.py"
# Where the tests on a whole deployment do not run them. Airflow 3 runs them without a logical date.
DATED = airflow_version.startswith("2.")
ELSEWHERE = pytest.mark.skipif(AIRFLOW_V_3_3_PLUS, reason="tests/e2e/test_examples.py runs them")


@pytest.fixture(scope="module")
def airflow(airflow_installation):
    """An Airflow that has read the example DAGs, as a DAG processor does: it knows their assets."""
    answer = airflow_installation.run("dags", "reserialize")
    assert answer.returncode == 0, answer.stdout
    return airflow_installation


@pytest.fixture
def run_dag(airflow, koreai_conn) -> Callable[..., dict[str, list[Any]]]:
    """Runs a DAG to success; gives what its tasks returned."""

    def run(
        dag_id: str, conf: dict[str, Any], *, dated: bool = True, **environment: str
    ) -> dict[str, list[Any]]:
        if dated:
            answer = airflow.run("dags", "test", dag_id, TODAY, "--conf", json.dumps(conf), **environment)
        else:
            answer = airflow.run_python(RUN_UNDATED, dag_id, json.dumps(conf), **environment)
        assert answer.returncode == 0, answer.stdout
        ((run_id,),) = airflow.query(
            "select run_id from dag_run where dag_id = ? order by id desc limit 1", dag_id
        )
        states = airflow.query(
            "select distinct state from task_instance where dag_id = ? and run_id = ?", dag_id, run_id
        )
        assert states == [("success",)], answer.stdout
        returned: dict[str, list[Any]] = defaultdict(list)
        statement = (
            "select task_id, value from xcom where dag_id = ? and run_id = ? and key = 'return_value' "
            "order by task_id, map_index"
        )
        for task_id, value in airflow.query(statement, dag_id, run_id):
            returned[task_id].append(xcom(value))
        return returned

    return run


def test_each_example_has_a_scenario():
    assert sorted(EXAMPLES) == FILES


@ELSEWHERE
@pytest.mark.parametrize("name", FILES)
def test_example_runs_to_success(run_dag, emulator, tmp_path, name):
    example = EXAMPLES[name]
    if example.watches:
        KoreAI(emulator).start_export(TRAVEL)
    warehouse, connection = sqlite_warehouse(tmp_path / "warehouse.db")
    environment = {f"AIRFLOW_CONN_{example.warehouse.upper()}": connection} if example.warehouse else {}
    if example.after:
        before = EXAMPLES[example.after]
        run_dag(before.dag, {**before.params(tmp_path), "bot_ids": [TRAVEL]}, dated=DATED, **environment)
    if example.prepare:
        example.prepare(warehouse)
    returned = run_dag(example.dag, example.params(tmp_path), dated=DATED, **environment)
    example.check(returned, tmp_path)
    if example.check_table:
        example.check_table(returned, warehouse.counts(TABLE))
    if example.follower and example.check_follower:
        example.check_follower(run_dag(example.follower, {}, **environment), tmp_path)


def test_without_bot_ids_all_bots_of_the_account_are_exported(run_dag, emulator, tmp_path):
    returned = run_dag("example_koreai_many_bots", {"bot_ids": [], "folder": str(tmp_path)})
    (bots,) = returned["bots"]
    assert len(bots) == 5
    assert sorted(request["bot"] for request in emulator.control.requests(call="download")) == sorted(bots)
    assert {path.name for path in tmp_path.iterdir()} == set(bots)


def test_a_bot_that_is_not_good_enough_is_told_of_with_the_numbers_and_not_loaded(
    airflow, koreai_conn, tmp_path
):
    warehouse, connection = sqlite_warehouse(tmp_path / "warehouse.db")
    # The bank's bot has four thin tasks, the other no task at all.
    conf = {"bot_ids": ["st-demo-bank", "st-demo-empty"], "folder": str(tmp_path), "max_thin_tasks": 3}
    dag_id = "example_koreai_quality"
    answer = airflow.run(
        "dags", "test", dag_id, TODAY, "--conf", json.dumps(conf), AIRFLOW_CONN_WAREHOUSE_DEFAULT=connection
    )
    # The `dags test` of Airflow 3.0 gives a callback no exception, which its tasks have; there, the task's own error counts.
    mark = " exceeds its limits" if AIRFLOW_V_3_0_PLUS and not AIRFLOW_V_3_1_PLUS else "Not loaded: "
    # Airflow 2 writes each line twice.
    told, *_ = [line for line in answer.stdout.splitlines() if mark in line]
    assert "4 tasks with too few sentences, more than max_thin_tasks=3" in told
    assert "st-demo-bank" in told
    statement = (
        "select task_id, map_index, state from task_instance where dag_id = ? and run_id = "
        "(select run_id from dag_run where dag_id = ? order by id desc limit 1)"
    )
    states = {(task, index): state for task, index, state in airflow.query(statement, dag_id, dag_id)}
    assert states["one_bot.check", 0] == "failed"
    assert states["one_bot.load", 0] == states["all_bots_are_loaded", -1] == "upstream_failed"
    assert states["one_bot.load", 1] == states["report", -1] == "success"
    assert warehouse.counts(TABLE) == {}
    assert (tmp_path / "report.html").exists()


@pytest.mark.parametrize("dag_id", ["example_koreai_many_bots", "example_koreai_to_warehouse"])
def test_the_ui_shows_the_bot_of_each_mapped_task(airflow, run_dag, emulator, tmp_path, dag_id):
    bots = ["st-demo-bank", "st-demo-retail"]
    _, connection = sqlite_warehouse(tmp_path / "warehouse.db")
    conf = {"bot_ids": bots, "folder": str(tmp_path)}
    run_dag(dag_id, conf, AIRFLOW_CONN_WAREHOUSE_DEFAULT=connection)
    shown = airflow.query(
        "select task_id, group_concat(rendered_map_index) from (select * from task_instance order by map_index) "
        "where dag_id = ? and map_index >= 0 and run_id = (select run_id from dag_run where dag_id = ? "
        "order by id desc limit 1) group by task_id",
        dag_id,
        dag_id,
    )
    assert len(shown) >= 4
    assert {names for _, names in shown} == {",".join(bots)}


@pytest.mark.parametrize("name", FILES)
def test_neither_example_nor_provider_causes_a_warning_when_it_is_read(name):
    spec = importlib.util.spec_from_file_location(f"probed_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    # Airflow 2.11 warns of its own settings, too.
    ours = tuple(map(str, (FOLDER, FOLDER.parent / "airflow_provider_koreai")))
    assert [str(warning.message) for warning in caught if warning.filename.startswith(ours)] == []
