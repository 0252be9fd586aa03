"""Short exports on an Airflow with its defaults: no deferred wait fails, though no task is retried."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from airflow import __version__ as airflow_version

from tests.support.deployment import Deployment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_koreai.emulator.process import EmulatorProcess
    from tests.support.deployment import Run
    from tests.support.scenarios import KoreAI

DAGS = {"short": Path(__file__).parent / "dags_short_waits"}
BOTS = 32
SHORTEST, LONGEST = 2.0, 8.0


@pytest.fixture(scope="module")
def runs(emulator: EmulatorProcess, koreai: KoreAI) -> Iterator[list[Run]]:
    """Both forms of waiting, with exports of 2 to 8 seconds, on a deployment of their own; all of it is over."""
    if tuple(map(int, airflow_version.split(".")[:2])) < (3, 3):
        pytest.skip("a deployment of these components is that of Airflow 3.3 and later")
    for number in range(BOTS):
        seconds = SHORTEST + (LONGEST - SHORTEST) * number / (BOTS - 1)
        for form in ("", "-one-task"):
            koreai.control.configure_bot(f"st-e2e-short-{number}{form}", seconds=seconds)
    with Deployment(DAGS, as_it_comes=True) as deployment:
        deployment.add_connection("koreai_default", emulator.connection())
        started = [deployment.trigger(dag_id) for dag_id in ("e2e_short_waits_one_task", "e2e_short_waits")]
        for run in started:
            run.wait(600)
        yield started


def waits(runs: list[Run]) -> list[str]:
    """How each wait ended."""
    return [task["state"] for run in runs for task in run.tasks() if task["task_id"].endswith("wait")]


def test_every_wait_succeeds_without_retries(runs: list[Run]) -> None:
    assert Counter(waits(runs)) == {"success": 2 * BOTS}


def test_many_of_them_were_deferred(runs: list[Run]) -> None:
    fired = sum(
        "Trigger fired event" in text
        for run, task_id in zip(runs, ("wait", "one_bot.wait"), strict=True)
        for text in run.log_files(task_id).values()
    )
    assert fired >= 10
