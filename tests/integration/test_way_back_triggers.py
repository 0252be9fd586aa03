"""The triggers of imports, trainings and batch tests, over real HTTP: deadlines, restarts, and what their rows hold."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from airflow.providers.common.compat.module_loading import import_string
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout, TaskDeferred
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_koreai import deferral
from airflow_provider_koreai.api.calls import HOURLY_LIMIT_PAUSE
from airflow_provider_koreai.exceptions import KoreAIImportTimeoutError, KoreAITimeoutError
from airflow_provider_koreai.jobs import polling
from airflow_provider_koreai.operators.batch_test import KoreAIBatchTestOperator
from airflow_provider_koreai.operators.import_utterances import KoreAIImportUtterancesOperator
from airflow_provider_koreai.operators.train import KoreAITrainOperator
from tests.support.running import FakeTaskStateStore, first_event, new_context

BOT = "st-demo-travel"
LIMIT = 20
HOUR = 3600


@dataclass(frozen=True)
class Job:
    """
    One kind of job.

    :param start: the emulator's name of its start.
    :param status: the emulator's name of its status call.
    :param operator: starts it and waits.
    :param done: what its operator's result contains when it is done.
    :param timeout_error: what its wait ends with when its timeout has passed.
    """

    start: str
    status: str
    operator: type
    done: dict[str, Any]
    timeout_error: type[Exception] = KoreAITimeoutError


JOBS = {
    "import": Job(
        "import",
        "import_status",
        KoreAIImportUtterancesOperator,
        {"rows": 1, "copied": 1},
        KoreAIImportTimeoutError,
    ),
    "training": Job("train", "train_status", KoreAITrainOperator, {"status": "Finished", "train_version": 2}),
    "batch test": Job("test", "test_status", KoreAIBatchTestOperator, {"f1": 0.9}),
}
each_job = pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)


@pytest.fixture(autouse=True)
def quick(monkeypatch, emulator, koreai_conn):
    """Pauses of a few milliseconds, an emulator that allows as many calls, and jobs that do not end by themselves."""
    monkeypatch.setattr(polling, "SHORTEST", 0.02)
    emulator.control.configure_bot(BOT, seconds=HOUR, status_per_minute=10**6, status_per_hour=10**6)


@pytest.fixture
def path(tmp_path) -> str:
    """A file of one utterance."""
    row = {"taskName": "Book Flight", "sentence": "fly me to Oslo", "type": "DialogIntent", "language": "en"}
    (tmp_path / "new.json").write_text(json.dumps([row]))
    return str(tmp_path / "new.json")


def operator(job: Job, path: str, **more: Any) -> Any:
    file = {"path": path} if job.start == "import" else {}
    return job.operator(task_id="job", bot_id=BOT, **file, **more)


class Deferred:
    """A task that has left its worker: what Airflow stored of it, and nothing else."""

    def __init__(self, job: Job, path: str, **more: Any) -> None:
        self._new_task = partial(operator, job, path, deferrable=True, **more)
        self.context = new_context()
        if AIRFLOW_V_3_3_PLUS:
            self.context["task_state_store"] = FakeTaskStateStore()
        with pytest.raises(TaskDeferred) as caught:
            self._new_task().execute(self.context)
        self.row = json.loads(json.dumps(caught.value.trigger.serialize()))
        self.method = caught.value.method_name
        self.kwargs = json.loads(json.dumps(caught.value.kwargs))
        # Airflow's own, in seconds.
        self.timeout = caught.value.timeout.total_seconds()

    def trigger(self) -> Any:
        """Make the trigger from its row, as each triggerer does."""
        path, kwargs = self.row
        return import_string(path)(**kwargs)

    def resume(self, event: Any) -> Any:
        """Go on in another worker."""
        kwargs = {**self.kwargs, "event": json.loads(json.dumps(event.payload))}
        return self._new_task().resume_execution(self.method, kwargs, self.context)

    def finish(self) -> Any:
        """Wait for the event, and go on with it."""
        return self.resume(asyncio.run(asyncio.wait_for(first_event(self.trigger()), LIMIT)))


def calls(emulator, name: str) -> int:
    return len(emulator.control.requests(BOT, call=name))


async def until_it_asks(emulator, job: Job, more: int) -> None:
    """Wait for so many status calls."""
    before = await asyncio.to_thread(calls, emulator, job.status)
    deadline = time.monotonic() + LIMIT
    while await asyncio.to_thread(calls, emulator, job.status) < before + more:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def a_triggerer(deferred: Deferred):
    """Run a task's trigger until the triggerer is stopped."""
    running = asyncio.create_task(first_event(deferred.trigger()))
    try:
        yield running
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


@each_job
def test_after_a_restart_of_the_triggerer_the_wait_goes_on(job, emulator, path):
    deferred = Deferred(job, path)

    async def scenario():
        async with a_triggerer(deferred):
            await until_it_asks(emulator, job, 2)
        async with a_triggerer(deferred) as running:
            await until_it_asks(emulator, job, 2)
            await asyncio.to_thread(emulator.control.configure_bot, BOT, seconds=0)
            return await asyncio.wait_for(running, LIMIT)

    result = deferred.resume(asyncio.run(scenario()))
    assert job.done.items() <= result.items()
    assert calls(emulator, job.start) == 1


@each_job
def test_a_job_that_ended_while_no_triggerer_ran_is_done_even_past_the_deadline(job, emulator, path):
    deferred = Deferred(job, path, timeout=0.2)
    emulator.control.configure_bot(BOT, seconds=0)
    time.sleep(max(0.0, deferred.row[1]["deadline"] - time.time()))
    before = calls(emulator, job.status)
    assert job.done.items() <= deferred.finish().items()
    assert calls(emulator, job.status) == before + 1


@each_job
def test_past_the_deadline_the_job_is_asked_about_once_more(job, emulator, path):
    deferred = Deferred(job, path, timeout=0.2)
    time.sleep(max(0.0, deferred.row[1]["deadline"] - time.time()))
    before = calls(emulator, job.status)
    with pytest.raises(job.timeout_error, match=r"did not finish within 0\.2 seconds") as caught:
        deferred.finish()
    assert calls(emulator, job.status) == before + 1
    assert isinstance(caught.value, AirflowFailException) == (job.start == "import")


@each_job
def test_the_deadline_is_kept_over_a_restart(job, emulator, path):
    deferred = Deferred(job, path, timeout=1.0)

    async def scenario():
        async with a_triggerer(deferred):
            await until_it_asks(emulator, job, 1)
        return await asyncio.wait_for(first_event(deferred.trigger()), LIMIT)

    with pytest.raises(job.timeout_error, match="did not finish within 1 seconds"):
        deferred.resume(asyncio.run(scenario()))
    assert time.time() >= deferred.row[1]["deadline"]
    assert deferred.timeout > 1.0 + deferral.GRACE - 1


@each_job
def test_an_execution_timeout_ends_the_wait_as_in_a_worker(job, path):
    deferred = Deferred(job, path, execution_timeout=timedelta(seconds=0.2))
    # Before 3.3, the retry that Airflow would make knows nothing of this import.
    is_final = job.operator is KoreAIImportUtterancesOperator and not AIRFLOW_V_3_3_PLUS
    with pytest.raises(
        KoreAIImportTimeoutError if is_final else AirflowTaskTimeout, match="did not finish within"
    ):
        deferred.finish()


@each_job
def test_nothing_is_asked_before_the_task_may_come_back(job, emulator, path, monkeypatch):
    monkeypatch.setattr(deferral, "MARGIN", 0.6)
    deferred = Deferred(job, path)
    emulator.control.configure_bot(BOT, seconds=0)
    before = calls(emulator, job.status)
    deferred.finish()
    asked = emulator.control.requests(BOT, call=job.status)[before:]
    assert len(asked) == 1
    assert asked[0]["time"] >= deferred.row[1]["not_before"]


@each_job
def test_a_triggerer_that_starts_later_asks_at_once(job, emulator, path, monkeypatch):
    monkeypatch.setattr(deferral, "MARGIN", 0.1)
    deferred = Deferred(job, path)
    emulator.control.configure_bot(BOT, seconds=0)
    path_, kwargs = deferred.row
    deferred.row = [path_, {**kwargs, "not_before": time.time() - HOUR}]
    assert job.done.items() <= deferred.finish().items()


@each_job
def test_what_airflow_stores_of_a_deferral_holds_no_secret(job, emulator, path):
    emulator.control.configure_bot(BOT, seconds=1.0)
    deferred = Deferred(job, path)
    state = deferred.context.get("task_state_store")
    result = deferred.finish()
    xcoms = deferred.context["ti"].xcoms
    stored = json.dumps([deferred.row, deferred.kwargs, xcoms, state.history if state else None, result])
    assert "://" not in json.dumps(deferred.row)
    secrets = [emulator.client_secret, "eyJ", "getMediaStream"]
    assert not [each for each in secrets if each in stored]
    # An uploaded file's ID looks like that of a training, which is none.
    assert set(re.findall(r"\b[0-9a-f]{24}\b", stored)) <= {xcoms.get("training_id")}


class TestTheHourlyLimit:
    """Kore.ai's newer text names the limit and no time; it rolls off in minutes."""

    @pytest.fixture(autouse=True)
    def limited(self, emulator, quick):
        emulator.control.configure_bot(BOT, rate_limit_texts="new", retry_after="none", seconds=0.1)

    @each_job
    def test_it_keeps_a_deferred_task_from_asking_for_minutes(self, job, emulator, path):
        allowed = 1 if job.start == "train" else 0  # before the start
        emulator.control.configure_bot(BOT, status_per_hour=allowed)
        before = time.time()
        deferred = Deferred(job, path)
        assert deferred.row[1]["not_before"] >= before + HOURLY_LIMIT_PAUSE

    @each_job
    def test_it_makes_a_worker_pause_for_minutes(self, job, emulator, path):
        allowed = 1 if job.start == "train" else 0
        emulator.control.configure_bot(BOT, status_per_hour=allowed)
        pauses = []

        def sleep(_: str, pause: float) -> None:
            pauses.append(pause)
            emulator.control.configure_bot(BOT, status_per_hour=10**6)
            time.sleep(0.1)

        task = operator(job, path, deferrable=False)
        task._sleep = sleep
        assert job.done.items() <= task.execute(new_context()).items()
        assert pauses[0] >= HOURLY_LIMIT_PAUSE

    @each_job
    def test_it_makes_a_trigger_pause_for_minutes(self, job, emulator, path, monkeypatch):
        deferred = Deferred(job, path)
        emulator.control.configure_bot(BOT, status_per_hour=0)
        pauses: list[float] = []
        sleep = asyncio.sleep

        async def shortened(pause: float, *_: Any) -> None:
            pauses.append(pause)
            if pause > 60:
                await asyncio.to_thread(emulator.control.configure_bot, BOT, status_per_hour=10**6)
            await sleep(min(pause, 0.1))

        monkeypatch.setattr("airflow_provider_koreai.triggers.koreai.asyncio.sleep", shortened)
        assert job.done.items() <= deferred.finish().items()
        assert max(pauses) >= HOURLY_LIMIT_PAUSE
