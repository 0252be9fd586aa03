"""Every example DAG on real components: to success, and with the files and counts that its scenario wants."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.deployment import Run
from tests.support.examples import EXAMPLES, FILES, TABLE, TRAVEL
from tests.support.warehouses import postgresql_warehouse, sqlite_warehouse

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.deployment import Deployment
    from tests.support.scenarios import KoreAI
    from tests.support.warehouses import Warehouse

_numbers = itertools.count(1)


def test_each_example_has_a_scenario() -> None:
    assert sorted(EXAMPLES) == FILES


@pytest.mark.parametrize("name", FILES)
def test_example_runs_to_success(deployment: Deployment, koreai: KoreAI, tmp_path: Path, name: str) -> None:
    example = EXAMPLES[name]
    if example.watches:
        pytest.skip("test_on_export.py has the same with a shorter poll_interval")
    if example.catches_up:
        pytest.skip("test_catching_up.py runs it")
    warehouse, connection = warehouse_of(deployment, tmp_path)
    if example.warehouse:
        deployment.add_connection(example.warehouse, json.loads(connection))
    if example.after:
        before = EXAMPLES[example.after]
        first = deployment.trigger(before.dag, **{**before.params(tmp_path), "bot_ids": [TRAVEL]})
        assert first.wait(240) == "success"
    if example.prepare:
        example.prepare(warehouse)
    run = deployment.trigger(example.dag, **example.params(tmp_path))
    assert run.wait(240) == "success"
    returned = returned_in(run)
    example.check(returned, tmp_path)
    if example.check_table:
        example.check_table(returned, warehouse.counts(TABLE))
    if example.follower and example.check_follower:
        follower = the_run_that_an_asset_started(deployment, example.follower)
        assert follower.wait(240) == "success"
        example.check_follower(returned_in(follower), tmp_path)


def warehouse_of(deployment: Deployment, folder: Path) -> tuple[Warehouse, str]:
    """A new database on the deployment's PostgreSQL server, beside Airflow's own; SQLite where there is no such server."""
    if deployment.postgresql is not None:
        name = f"warehouse_{next(_numbers)}"
        deployment.postgresql.create_database(name)
        return postgresql_warehouse(deployment.postgresql, name)
    return sqlite_warehouse(folder / "warehouse.db")


def returned_in(run: Run) -> dict[str, list[Any]]:
    """What the tasks of a run returned, by task, in the order of their mapping."""
    returned: dict[str, list[Any]] = defaultdict(list)
    for task in sorted(run.tasks(), key=lambda task: (task["task_id"], task["map_index"])):
        assert task["state"] == "success", task
        xcoms = run.xcoms(task["task_id"], task["map_index"])
        returned[task["task_id"]].append(xcoms.get("return_value"))
    return returned


def the_run_that_an_asset_started(deployment: Deployment, dag_id: str) -> Run:
    """Wait for a run that nobody has triggered."""
    runs = deployment.wait_until(
        f"an asset starts {dag_id}", lambda: deployment.api.get(f"dags/{dag_id}/dagRuns")["dag_runs"]
    )
    assert [run["run_type"] for run in runs] == ["asset_triggered"]
    return Run(deployment, dag_id, runs[0]["dag_run_id"])
