"""What a wait costs: seconds of a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.scenarios import Launched, Scenario

if TYPE_CHECKING:
    from tests.support.deployment import Deployment
    from tests.support.scenarios import KoreAI

SECONDS = 25


def test_long_wait_takes_a_worker_for_five_seconds_at_most(deployment: Deployment, koreai: KoreAI) -> None:
    scenario = Scenario("e2e_wait_deferrable", {"seconds": SECONDS}, starts=True)
    # Three, one after the other as far as a worker is concerned, and the best counts: whatever else this machine
    # does only adds.
    runs = []
    for _ in range(3):
        runs.append(Launched.launch(scenario, deployment, koreai))
        runs[-1].wait_for_task("wait", "deferred")
    for run in runs:
        assert run.wait_for_task("wait")["state"] == "success"
    stints = [
        deployment.wait_until("the worker's account", lambda run=run: _both(run.stints("wait")))
        for run in runs
    ]
    assert min(sum(both) for both in stints) <= 5, stints


def _both(stints: list[float]) -> list[float] | None:
    return stints if len(stints) == 2 else None
