"""Many at once, with real pace and real rate limits: nobody gets another's file without being told."""

from __future__ import annotations

import asyncio
import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout

from airflow_provider_koreai.exceptions import KoreAIError, KoreAIExportSupersededError
from airflow_provider_koreai.hooks.koreai import KoreAIHook
from airflow_provider_koreai.operators.koreai import (
    KoreAIDownloadUtterancesOperator,
    KoreAIExportUtterancesOperator,
)
from airflow_provider_koreai.sensors.koreai import KoreAIExportStatusSensor
from airflow_provider_koreai.triggers.koreai import KoreAIExportStatusTrigger
from tests.support.running import first_event, new_context, prepare_thread, run_task

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_koreai.jobs.export import Export

BOT = "st-demo-travel"
RUNS, BOTS = 10, 50
# As docs/concurrency.md recommends for many bots.
SLOTS, FLEET = 8, 200
FORMS = ("poke", "deferrable", "one task", "one task, deferrable")


def content_of(number: int) -> bytes:
    return f"taskName,sentence,type,language\nRun,utterance of {number},DialogIntent,en\n".encode()


class OwnContentHook(KoreAIHook):
    """
    Lets each export that it starts have a content of its own.

    :param emulator: where.
    :param number: what the content says.
    :param lock: keeps two from starting with each other's content.
    """

    def __init__(self, emulator: Any, number: int, lock: threading.Lock) -> None:
        super().__init__()
        self._emulator, self._number, self._lock = emulator, number, lock
        self.started: Export | None = None

    def start_export(self, bot_id: str, **arguments: Any) -> Export:
        with self._lock:
            content = base64.b64encode(content_of(self._number)).decode()
            self._emulator.control.configure_bot(bot_id, content_b64=content)
            self.started = super().start_export(bot_id, **arguments)
        return self.started


@dataclass
class Run:
    """
    What one DAG run came to.

    :param number: which one.
    :param own_time: requested time of the export that it started.
    :param result: of its download task.
    :param content: of its file.
    :param error: what ended it instead.
    """

    number: int
    own_time: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    content: bytes = b""
    error: KoreAIError | None = None


def run_dag(run: Run, form: str, hook: OwnContentHook, folder: Path, started: threading.Barrier) -> Run:
    """Export, wait, fetch; in the one-task forms the first two are one."""
    one_task = "one task" in form
    context = new_context()
    export = KoreAIExportUtterancesOperator(
        task_id="export",
        bot_id=BOT,
        wait_for_completion=one_task,
        deferrable="deferrable" in form,
        timeout=20,
    )
    export.__dict__["hook"] = hook
    path = folder / f"{run.number}.csv"
    try:
        identity = {"request_id": run_task(export, context)}
        identity |= {key: context["ti"].xcoms[key] for key in ("requested_time", "file_type")}
        if not one_task:
            started.wait(30)
            wait = KoreAIExportStatusSensor(
                task_id="wait",
                bot_id=BOT,
                deferrable=form == "deferrable",
                poke_interval=1,
                timeout=20,
                **identity,
            )
            run_task(wait)
        fetch = KoreAIDownloadUtterancesOperator(task_id="fetch", bot_id=BOT, path=str(path), **identity)
        run.result = run_task(fetch)
        run.content = path.read_bytes()
    except KoreAIError as error:
        run.error = error
    assert hook.started is not None
    run.own_time = hook.started.requested_time or ""
    return run


def ten_runs_at_once(emulator: Any, form: str, folder: Path) -> list[Run]:
    lock, started = threading.Lock(), threading.Barrier(RUNS)
    with ThreadPoolExecutor(RUNS, initializer=prepare_thread) as pool:
        runs = pool.map(
            lambda number: run_dag(
                Run(number), form, OwnContentHook(emulator, number, lock), folder, started
            ),
            range(RUNS),
        )
        return sorted(runs, key=lambda run: run.own_time)


def refused(emulator: Any) -> list[dict[str, Any]]:
    return [request for request in emulator.control.requests() if request["status"] == 429]


@pytest.fixture(autouse=True)
def takes_a_moment(emulator, koreai_conn):
    emulator.control.configure_bot(BOT, seconds=0.5, too_soon_seconds=0)


@pytest.mark.parametrize("form", FORMS)
def test_of_ten_runs_that_export_one_bot_each_gets_its_own_file_or_is_told_that_it_was_superseded(
    emulator, tmp_path, form
):
    runs = ten_runs_at_once(emulator, form, tmp_path)
    assert len({run.own_time for run in runs}) == RUNS
    for run in runs:
        if run.error is None:
            assert run.content == content_of(run.number)
            assert run.result["requested_time"] == run.own_time
        else:
            assert isinstance(run.error, KoreAIExportSupersededError)
            assert run.own_time in str(run.error)
            assert not (tmp_path / f"{run.number}.csv").exists()
    assert runs[-1].error is None, runs[-1].error
    assert refused(emulator) == []


def test_ten_waits_beyond_the_rate_limit_end_with_the_export_or_with_the_limit_as_the_reason(emulator):
    emulator.control.configure_bot(BOT, seconds=0.2, status_per_minute=RUNS // 2)
    started = KoreAIHook().start_export(BOT)

    def wait(number: int) -> Any:
        sensor = KoreAIExportStatusSensor(
            task_id="wait", bot_id=BOT, deferrable=True, timeout=2, **started.identity.as_dict()
        )
        try:
            return run_task(sensor)
        except AirflowSensorTimeout as error:
            return error

    with ThreadPoolExecutor(RUNS, initializer=prepare_thread) as pool:
        ends = list(pool.map(wait, range(RUNS)))
    late = [end for end in ends if isinstance(end, AirflowSensorTimeout)]
    assert late
    assert all("answered 429" in str(end) for end in late)
    assert all(end == started.identity.as_dict() for end in ends if end not in late)


def test_fifty_bots_at_once_each_get_their_own_file_and_no_limit_is_met(emulator, tmp_path):
    bots = {f"st-fleet-{number}": number for number in range(BOTS)}
    for bot, number in bots.items():
        content = base64.b64encode(content_of(number)).decode()
        emulator.control.configure_bot(bot, content_b64=content, seconds=2, too_soon_seconds=0.3)

    def start(bot: str) -> dict[str, str]:
        return KoreAIHook().start_export(bot).identity.as_dict()

    async def wait_for_all(identities: dict[str, dict[str, str]]) -> list[Any]:
        triggers = [KoreAIExportStatusTrigger(bot_id=bot, **identity) for bot, identity in identities.items()]
        return await asyncio.gather(*map(first_event, triggers))

    def fetch(item: tuple[str, dict[str, str]]) -> tuple[dict[str, Any], bytes]:
        bot, identity = item
        path = tmp_path / f"{bot}.csv"
        task = KoreAIDownloadUtterancesOperator(task_id="fetch", bot_id=bot, path=str(path), **identity)
        return run_task(task), path.read_bytes()

    with ThreadPoolExecutor(RUNS, initializer=prepare_thread) as pool:
        identities = dict(zip(bots, pool.map(start, bots), strict=True))
        events = asyncio.run(asyncio.wait_for(wait_for_all(identities), 60))
        files = dict(zip(bots, pool.map(fetch, identities.items()), strict=True))
    assert [event.payload for event in events] == [
        {"status": "success", **identity} for identity in identities.values()
    ]
    for bot, (result, content) in files.items():
        assert content == content_of(bots[bot])
        assert result["requested_time"] == identities[bot]["requested_time"]
    assert refused(emulator) == []


def export_wait_fetch(bot: str, folder: Path) -> tuple[dict[str, Any], bytes]:
    """The three tasks of one bot."""
    context = new_context()
    export = KoreAIExportUtterancesOperator(task_id="export", bot_id=bot)
    identity = {"request_id": run_task(export, context)}
    identity |= {key: context["ti"].xcoms[key] for key in ("requested_time", "file_type")}
    run_task(KoreAIExportStatusSensor(task_id="wait", bot_id=bot, deferrable=True, timeout=60, **identity))
    path = folder / f"{bot}.csv"
    fetch = KoreAIDownloadUtterancesOperator(task_id="fetch", bot_id=bot, path=str(path), **identity)
    result = run_task(fetch)
    assert result["requested_time"] == identity["requested_time"]
    return result, path.read_bytes()


def export_fleet(emulator: Any, folder: Path) -> None:
    """Export the bots, as many at a time as the pool has slots; each task succeeds at its first try."""
    bots = {f"st-fleet-{number}": number for number in range(FLEET)}
    for bot, number in bots.items():
        emulator.control.configure_bot(bot, content_b64=base64.b64encode(content_of(number)).decode())
    with ThreadPoolExecutor(SLOTS, initializer=prepare_thread) as pool:
        files = list(pool.map(lambda bot: export_wait_fetch(bot, folder), bots))
    assert [content for _, content in files] == [content_of(number) for number in bots.values()]
    starts = [request for request in emulator.control.requests(call="start") if request["status"] == 200]
    assert len(starts) == FLEET


def test_two_hundred_bots_in_a_pool_meet_no_limit(emulator, tmp_path):
    export_fleet(emulator, tmp_path)
    assert refused(emulator) == []


def test_two_hundred_bots_in_a_pool_keep_to_a_limit_that_their_account_shares(emulator, tmp_path):
    # A limit of 60 a minute would take a quarter of an hour; without the pool, tasks fail at this one, too.
    emulator.control.configure_account(shared_limit=60, shared_seconds=1)
    export_fleet(emulator, tmp_path)
    assert refused(emulator)
