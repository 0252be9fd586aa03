"""Every example DAG on real components: to success, and with the files and counts that its scenario wants."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from deployment import Run

from ..examples import EXAMPLES, FILES  # noqa: TID252

if TYPE_CHECKING:
    from pathlib import Path

    from deployment import Deployment
    from scenarios import KoreAI


def test_each_example_has_a_scenario() -> None:
    assert sorted(EXAMPLES) == FILES


@pytest.mark.parametrize("name", FILES)
def test_example_runs_to_success(deployment: Deployment, koreai: KoreAI, tmp_path: Path, name: str) -> None:
    example = EXAMPLES[name]
    for conn_id, connection in example.connections.items():
        deployment.add_connection(conn_id, connection(tmp_path))
    run = deployment.trigger(example.dag, **example.params(tmp_path))
    assert run.wait(240) == "success"
    example.check(returned_in(run), tmp_path)
    if example.follower and example.check_follower:
        follower = the_run_that_an_asset_started(deployment, example.follower)
        assert follower.wait(240) == "success"
        example.check_follower(returned_in(follower), tmp_path)


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
