"""A DAG that runs when somebody has exported a bot: once for each export, over restarts of the triggerer too."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.deployment import Run

if TYPE_CHECKING:
    from tests.support.deployment import Deployment
    from tests.support.scenarios import KoreAI

DAG_ID, BOT = "e2e_on_export", "st-e2e-on-export"


@dataclass
class Watched:
    """The bot, and the DAG that watches it."""

    deployment: Deployment
    koreai: KoreAI

    def wait_until_asked(self, *, since: float, times: int = 1) -> None:
        """Wait until the watch has asked for the latest export, and got the API's answer."""

        def answered() -> bool:
            calls = self.koreai.calls(BOT, "status", since=since)
            return sum(call["status"] in (200, 404) for call in calls) >= times

        self.deployment.wait_until(f"the watch asks about {BOT}", answered)

    def runs(self) -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = self.deployment.api.get(f"dags/{DAG_ID}/dagRuns?order_by=run_after")[
            "dag_runs"
        ]
        return runs

    def wait_for_run(self, number: int) -> Run:
        runs = self.deployment.wait_until(
            f"run {number} of {DAG_ID}", lambda: len(self.runs()) >= number and self.runs()
        )
        assert len(runs) == number
        run = Run(self.deployment, DAG_ID, runs[-1]["dag_run_id"])
        assert run.wait() == "success"
        return run

    def stop_triggerer(self) -> None:
        self.deployment.kill_component("triggerer")

    def start_triggerer(self) -> None:
        """Start it, and wait until the watch goes on."""
        now = time.time()
        self.deployment.start_component("triggerer")
        self.wait_until_asked(since=now, times=3)


@pytest.fixture(scope="module")
def watched(deployment: Deployment, koreai: KoreAI) -> Watched:
    # Up to here the watch was told that it may not see the bot.
    koreai.control.configure_bot(BOT, seconds=1, too_soon_seconds=0, status_per_minute=1000)
    watched = Watched(deployment, koreai)
    watched.wait_until_asked(since=time.time())
    return watched


def test_an_export_by_somebody_else_starts_one_run_that_fetches_it(watched: Watched) -> None:
    started = watched.koreai.start_export(BOT)
    run = watched.wait_for_run(1)
    assert watched.runs()[0]["run_type"] == "asset_triggered"
    fetched = run.told("fetch")
    assert fetched["request_id"] == started["_id"]
    assert fetched["requested_time"] == started["requestedTime"]
    assert Path(fetched["path"]).stat().st_size == fetched["bytes"]


def test_a_restart_of_the_triggerer_does_not_start_a_run_again(watched: Watched) -> None:
    watched.stop_triggerer()
    watched.start_triggerer()
    assert len(watched.runs()) == 1


def test_an_export_while_the_triggerer_is_down_starts_a_run_when_it_is_back(watched: Watched) -> None:
    watched.stop_triggerer()
    started = watched.koreai.start_export(BOT)
    watched.start_triggerer()
    run = watched.wait_for_run(2)
    assert run.told("fetch")["requested_time"] == started["requestedTime"]
