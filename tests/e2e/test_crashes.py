"""A triggerer or a worker dies by kill -9 in mid-wait: nothing is started twice, and nothing is lost."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.support.scenarios import NEVER, Launched, Scenario, about

if TYPE_CHECKING:
    from tests.support.deployment import Deployment
    from tests.support.scenarios import KoreAI


# -- the triggerer ----------------------------------------------------------------------------------------------------


@dataclass
class Crash:
    """Two waits that were under way when their triggerer died, and are again."""

    resumed: Launched
    ends_at_deadline: Launched
    row_before: dict[str, Any]
    row_after: dict[str, Any]
    restarted: float


@pytest.fixture(scope="module")
def crash(deployment: Deployment, koreai: KoreAI) -> Crash:
    resumed, late = (
        Launched.launch(Scenario(dag, {"seconds": NEVER}, starts=True), deployment, koreai)
        for dag in ("e2e_wait_deferrable", "e2e_wait_deferrable_late_timeout")
    )
    for run in (resumed, late):
        run.wait_until_polled()
    # So long that a deadline counted from the restart is another one, however slow the machine is.
    late.wait_until_polled(since=time.time() + 10)
    before = resumed.trigger_row()
    deployment.kill_component("triggerer")
    restarted = time.time()
    deployment.start_component("triggerer")
    resumed.wait_until_polled(since=restarted)
    return Crash(resumed, late, before, resumed.trigger_row(), restarted)


def test_wait_keeps_its_deadline_when_the_triggerer_is_killed_and_started_again(crash: Crash) -> None:
    assert crash.row_after["triggerer_id"] != crash.row_before["triggerer_id"]
    assert crash.row_after["id"] == crash.row_before["id"]
    assert crash.row_after["kwargs"] == crash.row_before["kwargs"]


def test_wait_resumes_without_a_new_export_when_the_triggerer_is_killed_and_started_again(
    crash: Crash,
) -> None:
    crash.resumed.finish_export()
    task = crash.resumed.wait_for_task("wait")
    assert task["state"] == "success"
    assert task["try_number"] == 1
    assert crash.resumed.xcoms("wait")["return_value"]["request_id"] == crash.resumed.started["_id"]
    assert len(crash.resumed.koreai.calls(crash.resumed.bot, "start")) == 1


# -- the worker -------------------------------------------------------------------------------------------------------


def kill(*processes: psutil.Process) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            os.kill(process.pid, signal.SIGKILL)


@about(
    # As when the kernel is out of memory: the supervisor lives, and sees it.
    Scenario("e2e_one_task", {"seconds": NEVER, "reuse_record": False}, name="task"),
    # As when the machine dies: the scheduler misses the heartbeats.
    Scenario("e2e_one_task", {"seconds": NEVER, "reuse_record": False}, name="worker"),
)
def test_retry_waits_for_the_export_of_a_try_that_was_killed(
    run: Launched, request: pytest.FixtureRequest
) -> None:
    run.wait_until_polled()
    first = run.koreai.status(run.bot)
    process = psutil.Process(run.wait_for_task("export", "running")["pid"])
    worker = process.parent()
    assert worker is not None
    assert "LocalExecutor" in " ".join(worker.cmdline())
    kill(*([worker, process] if "[worker]" in request.node.name else [process]))

    def retry_runs() -> bool:
        task = run.task("export")
        return bool(task["try_number"] == 2 and task["state"] == "running")

    run.deployment.wait_until("the retry runs", retry_runs, 120)
    retried = time.time()
    run.wait_until_polled(since=retried)
    run.finish_export()

    assert run.wait_for_task("export")["state"] == "success"
    assert len(run.koreai.calls(run.bot, "start")) == 1
    assert run.told("export") == {
        "return_value": first["_id"],
        "requested_time": first["requestedTime"],
        "file_type": "csv",
    }


@about(Scenario("e2e_import", {"import_seconds": NEVER}))
def test_retry_waits_for_the_import_of_a_try_that_was_killed(run: Launched) -> None:
    run.wait_until_polled(call="import_status")
    kill(psutil.Process(run.wait_for_task("import", "running")["pid"]))
    run.deployment.wait_until("there is a second try", lambda: run.task("import")["try_number"] == 2, 120)
    run.wait_until_polled(since=time.time(), call="import_status")
    run.configure(import_seconds=0)
    assert run.wait_for_task("import")["state"] == "success"
    assert len(run.koreai.calls(run.bot, "import")) == 1
    assert run.xcoms("import")["copied"] == 2


# Last: by now its time is nearly over.
def test_timeout_counts_from_the_first_start_of_the_wait_when_the_triggerer_was_killed(crash: Crash) -> None:
    late = crash.ends_at_deadline
    late.wait_for_task("wait", "failed", timeout=150)
    assert "did not finish within 60 seconds" in late.log("wait")
    assert late.koreai.calls(late.bot, "status", since=crash.restarted)
    assert not late.koreai.calls(late.bot, "status", since=crash.restarted + 60)
