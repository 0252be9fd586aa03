"""The scheduler catches up on the hours that have passed: the table has each row once, also when all is run again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.deployment import Run

from .test_examples import warehouse_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.deployment import Deployment
    from tests.support.scenarios import KoreAI
    from tests.support.warehouses import Warehouse

DAG_ID = "example_koreai_unhandled"
BOT = "st-demo-travel"
# Three hours, and six before the first for what was late; each has four rows.
HOURS, ROWS = 3, 9 * 4


@pytest.fixture
def warehouse(deployment: Deployment, koreai: KoreAI, tmp_path: Path) -> Iterator[Warehouse]:
    found, connection = warehouse_of(deployment, tmp_path)
    deployment.add_connection("warehouse_default", json.loads(connection))
    koreai.control.configure_bot(BOT)
    pause(deployment, is_paused=False)
    yield found
    pause(deployment, is_paused=True)


def pause(deployment: Deployment, *, is_paused: bool) -> None:
    deployment.api.call("PATCH", f"dags/{DAG_ID}", json={"is_paused": is_paused})


def wait_for_runs(deployment: Deployment) -> list[str]:
    """Wait until all hours were run, which happens one after the other, and return the IDs of the runs."""

    def runs() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = deployment.api.get(f"dags/{DAG_ID}/dagRuns")["dag_runs"]
        assert all(run["state"] != "failed" for run in found)
        return found if [run["state"] for run in found].count("success") >= HOURS else []

    found = deployment.wait_until(f"{HOURS} runs of {DAG_ID}", runs, 480)
    return [run["dag_run_id"] for run in found if run["state"] == "success"]


def rows(warehouse: Warehouse) -> tuple[int, int]:
    """The number of rows, and of different times of them."""
    ((total, times),) = warehouse.run(
        f"SELECT count(*), count(DISTINCT event_time) FROM koreai_analytics WHERE bot_id = '{BOT}'"
    )
    return total, times


def test_all_hours_are_caught_up_on_and_no_row_is_there_twice(
    deployment: Deployment, warehouse: Warehouse
) -> None:
    run_ids = wait_for_runs(deployment)
    expected = 4 * (len(run_ids) - HOURS) + ROWS  # another hour may have begun
    assert rows(warehouse) == (expected, expected)
    for run_id in reversed(run_ids):
        clear = {"dry_run": False, "only_failed": False, "dag_run_id": run_id}
        deployment.api.call("POST", f"dags/{DAG_ID}/clearTaskInstances", json=clear)
        assert Run(deployment, DAG_ID, run_id).wait(240) == "success"
    assert rows(warehouse) == (expected, expected)
