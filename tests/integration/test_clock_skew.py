"""A worker whose clock is off, against a platform that holds tokens to the hour: only the tests' clock is shifted."""

from __future__ import annotations

import asyncio
import re
import time

import pytest

from airflow_provider_koreai.emulator.process import EmulatorProcess
from airflow_provider_koreai.exceptions import KoreAIAuthError, from_payload
from airflow_provider_koreai.hooks.koreai import KoreAIHook
from airflow_provider_koreai.operators.koreai import KoreAIDownloadUtterancesOperator
from airflow_provider_koreai.triggers.koreai import KoreAIExportStatusTrigger
from tests.support.running import first_event, run_task

BOT = "st-demo-travel"
MINUTES, HOUR = 60, 3600


@pytest.fixture(scope="module")
def emulator_process():
    """An emulator, with the right time, for an app that enforces JTI."""
    with EmulatorProcess(seconds=0, too_soon_seconds=0, args=["--enforce-jti"]) as process:
        yield process


@pytest.fixture
def shift_clock(monkeypatch):
    """Put this process's clock forward by seconds."""
    right = time.time

    def shift(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: right() + seconds)

    return shift


@pytest.fixture
def connect(monkeypatch, emulator):
    def connect(**extra) -> KoreAIHook:
        monkeypatch.setenv("AIRFLOW_CONN_KOREAI_DEFAULT", emulator.connection_json(**extra))
        return KoreAIHook(max_tries=3, max_retry_wait=0.01)

    return connect


def ask(hook: KoreAIHook) -> None:
    hook.get_export(BOT)


def ask_async(hook: KoreAIHook) -> None:
    asyncio.run(hook.aget_export(BOT))


both_clients = pytest.mark.parametrize("call", [ask, ask_async], ids=["sync", "async"])


@pytest.mark.parametrize("off", [-29 * MINUTES, -5 * MINUTES, 5 * MINUTES, 29 * MINUTES])
def test_with_the_default_token_a_clock_may_be_off_by_minutes_in_every_step(
    connect, shift_clock, emulator, tmp_path, off
):
    shift_clock(off)
    export = connect().start_export(BOT)
    trigger = KoreAIExportStatusTrigger(bot_id=BOT, **export.identity.as_dict(), deadline=time.time() + 20)
    assert asyncio.run(first_event(trigger)).payload["status"] == "success"
    task = KoreAIDownloadUtterancesOperator(
        task_id="fetch", bot_id=BOT, path=f"{tmp_path}/", **export.identity.as_dict()
    )
    assert run_task(task)["rows"] == 364
    assert not [request for request in emulator.control.requests(BOT) if request["status"] == 401]


@both_clients
@pytest.mark.parametrize(
    ("off", "token_ttl", "said", "vendor"),
    [
        (HOUR, 1800, "3600 s ahead of", "<= 1 hour"),
        (-HOUR, 1800, "3600 s behind", "Invalid SDK credentials"),
        (5 * MINUTES, 3600, "300 s ahead of", "<= 1 hour"),
        (-5 * MINUTES, 240, "300 s behind", "Invalid SDK credentials"),
    ],
)
def test_where_it_cannot_work_the_error_says_by_how_much_the_clock_is_off(
    connect, shift_clock, emulator, call, off, token_ttl, said, vendor
):
    shift_clock(off)
    with pytest.raises(KoreAIAuthError, match=re.escape(vendor)) as caught:
        call(connect(token_ttl=token_ttl))
    measured = re.search(r"this machine's clock is (\d+) s (ahead of|behind) the server's", str(caught.value))
    assert measured, caught.value
    assert measured[2] in said
    assert abs(int(measured[1]) - abs(off)) <= 5
    # A 401 is asked once more.
    assert len(emulator.control.requests(BOT)) == 2


def test_the_triggers_event_says_it_too(connect, shift_clock):
    connect()
    shift_clock(HOUR)
    trigger = KoreAIExportStatusTrigger(bot_id=BOT, deadline=time.time() + 20)
    error = from_payload(asyncio.run(first_event(trigger)).payload)
    assert isinstance(error, KoreAIAuthError)
    assert "ahead of the server's" in str(error)


@both_clients
def test_a_clock_that_agrees_is_not_blamed(connect, emulator, call):
    emulator.control.configure_bot(BOT, linked=False)
    with pytest.raises(KoreAIAuthError, match="but not this machine's clock"):
        call(connect())


@both_clients
@pytest.mark.parametrize("off", [-5 * MINUTES, 5 * MINUTES])
def test_a_retry_after_date_is_understood_by_the_servers_clock(connect, shift_clock, emulator, call, off):
    emulator.control.configure_bot(BOT, retry_after="date", status_per_minute=0)
    shift_clock(off)
    hook = connect()
    hook.max_tries = 1
    with pytest.raises(Exception, match="429") as caught:
        call(hook)
    assert 55 <= caught.value.retry_after <= 62


def test_each_of_a_skewed_workers_retries_has_a_token_of_its_own(connect, shift_clock, emulator):
    shift_clock(5 * MINUTES)
    hook = connect()
    hook.start_export(BOT)
    emulator.control.add_fault(BOT, "status", "http", status=503, times=2)
    ask(hook)
    # The first one confirmed the start.
    requests = emulator.control.requests(BOT, call="status")[1:]
    assert len({request["jti"] for request in requests}) == len(requests) == 3
