"""The sensor, the trigger and the one-task form, over real HTTP: the same outcomes in every way of waiting."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import threading
import time
from datetime import timedelta

import pytest
import requests
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferred,
)
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_koreai import deferral
from airflow_provider_koreai.arguments import parse_time
from airflow_provider_koreai.exceptions import (
    KoreAIAuthError,
    KoreAIConfigurationError,
    KoreAIError,
    KoreAIExportFailedError,
    KoreAIExportSupersededError,
    KoreAIExportTimeoutError,
    KoreAIRefusedError,
)
from airflow_provider_koreai.hooks.koreai import KoreAIHook
from airflow_provider_koreai.jobs import polling
from airflow_provider_koreai.links.koreai import KoreAIBotLink, builder_url
from airflow_provider_koreai.operators.koreai import KoreAIExportUtterancesOperator
from airflow_provider_koreai.sensors.koreai import KoreAIExportStatusSensor
from airflow_provider_koreai.triggers.koreai import KoreAIExportStatusTrigger
from tests.support.logs import everything_logged
from tests.support.running import FakeTaskStateStore, first_event, new_context, run_task

BOT = "st-demo-travel"
SENSOR_MODES = ("poke", "deferrable", "deferrable, in its worker")
ONE_TASK_MODES = ("one task", "one task, deferrable", "one task, deferrable, in its worker")


@pytest.fixture(autouse=True)
def quick(monkeypatch, emulator, koreai_conn):
    """Pauses of a few milliseconds, and an emulator that allows as many calls."""
    monkeypatch.setattr(polling, "SHORTEST", 0.02)
    emulator.control.configure_bot(
        BOT, seconds=0.2, too_soon_seconds=0.02, status_per_minute=10**6, status_per_hour=10**6
    )


@pytest.fixture(autouse=True)
def where_to_wait(monkeypatch, request):
    """A wait in its worker is one that Airflow would keep the worker for."""
    if "in its worker" in request.node.name:
        monkeypatch.setattr(deferral, "worker_stays", lambda: 1000.0)


def sensor(mode: str, **more) -> KoreAIExportStatusSensor:
    arguments = {"timeout": 20, "poke_interval": 0.02, **more}
    return KoreAIExportStatusSensor(
        task_id="wait", bot_id=BOT, deferrable=mode.startswith("deferrable"), **arguments
    )


def wait_for(mode: str, started, **more):
    return run_task(sensor(mode, **started.identity.as_dict(), **more))


def one_task(mode: str, **more) -> KoreAIExportUtterancesOperator:
    arguments = {"bot_id": BOT, "timeout": 20, **more}
    return KoreAIExportUtterancesOperator(
        task_id="export", wait_for_completion=True, deferrable="deferrable" in mode, **arguments
    )


sensor_modes = pytest.mark.parametrize("mode", SENSOR_MODES)
one_task_modes = pytest.mark.parametrize("mode", ONE_TASK_MODES)


@sensor_modes
def test_the_sensor_returns_the_export_that_it_waited_for(mode):
    started = KoreAIHook().start_export(BOT)
    assert wait_for(mode, started) == started.identity.as_dict()


@sensor_modes
def test_without_a_request_id_the_sensor_waits_for_the_latest_export(mode):
    started = KoreAIHook().start_export(BOT, file_type="json")
    assert run_task(sensor(mode, request_id="", requested_time="")) == started.identity.as_dict()


@sensor_modes
def test_an_older_platform_without_requested_time_is_waited_for(mode, emulator):
    emulator.control.configure_bot(BOT, legacy=True)
    started = KoreAIHook().start_export(BOT)
    assert started.requested_time is None
    assert wait_for(mode, started) == {
        "request_id": started.request_id,
        "requested_time": "",
        "file_type": "csv",
    }


@sensor_modes
def test_a_status_whose_time_is_a_little_off_is_ours(mode, emulator):
    emulator.control.configure_bot(BOT, requested_time_offset_ms=700)
    started = KoreAIHook().start_export(BOT)
    assert wait_for(mode, started) == started.identity.as_dict()


@sensor_modes
def test_an_export_older_than_newer_than_is_waited_out(mode, emulator):
    started = KoreAIHook().start_export(BOT)
    later = parse_time(started.requested_time) + timedelta(milliseconds=1)
    with pytest.raises(AirflowSensorTimeout, match="latest of those requested since"):
        run_task(sensor(mode, newer_than=later, timeout=0.5))


@sensor_modes
def test_an_export_as_new_as_newer_than_says_ends_the_wait(mode, emulator):
    started = KoreAIHook().start_export(BOT)
    assert run_task(sensor(mode, newer_than=started.requested_time)) == started.identity.as_dict()


@sensor_modes
def test_with_newer_than_a_bots_first_export_is_waited_for(mode, emulator):
    bot = "st-new"
    emulator.control.configure_bot(bot, seconds=0)
    task = sensor(mode, newer_than="2020-01-01")
    task.bot_id = bot
    start = threading.Timer(0.1, KoreAIHook().start_export, [bot])
    start.start()
    result = run_task(task)
    start.join()
    assert result["request_id"] == KoreAIHook().get_export(bot).request_id


@sensor_modes
def test_a_newer_than_that_is_not_a_time_is_refused(mode):
    with pytest.raises(KoreAIConfigurationError, match="newer_than='tomorrow'"):
        run_task(sensor(mode, newer_than="tomorrow"))


@pytest.mark.parametrize("argument", ["file_type", "on_superseded"])
def test_a_literal_that_is_not_accepted_is_refused_when_the_dag_is_parsed(argument):
    with pytest.raises(KoreAIConfigurationError, match=f"{argument}='xlsx'"):
        sensor("poke", **{argument: "xlsx"})


@sensor_modes
def test_statuses_in_lower_case_are_understood(mode, emulator):
    emulator.control.configure_bot(BOT, lower_case=True)
    assert wait_for(mode, KoreAIHook().start_export(BOT))["file_type"] == "csv"


@sensor_modes
def test_a_failed_export_fails_the_sensor_for_good_with_its_logs(mode, emulator):
    emulator.control.configure_bot(BOT, fail_with=["Intent model is broken"])
    started = KoreAIHook().start_export(BOT)
    with pytest.raises(KoreAIExportFailedError, match="Intent model is broken") as caught:
        wait_for(mode, started)
    assert isinstance(caught.value, AirflowFailException)
    assert caught.value.status_logs == ("Intent model is broken",)


@one_task_modes
def test_a_failed_export_of_the_one_task_form_may_be_retried(mode, emulator):
    emulator.control.configure_bot(BOT, fail_with=["Intent model is broken"])
    with pytest.raises(KoreAIExportFailedError, match="Intent model is broken") as caught:
        run_task(one_task(mode))
    assert not isinstance(caught.value, AirflowFailException)


@sensor_modes
def test_a_superseded_export_fails_the_sensor_for_good_with_both_times(mode):
    ours, newer = KoreAIHook().start_export(BOT), None
    newer = KoreAIHook().start_export(BOT, file_type="json")
    with pytest.raises(KoreAIExportSupersededError) as caught:
        wait_for(mode, ours)
    assert isinstance(caught.value, AirflowFailException)
    assert ours.requested_time in str(caught.value)
    assert newer.requested_time in str(caught.value)


@sensor_modes
def test_a_newer_export_is_followed_when_that_is_asked_for(mode, emulator):
    # Beyond the tolerance, within which two starts cannot be told apart.
    emulator.control.configure_bot(BOT, requested_time_offset_ms=5000)
    ours = KoreAIHook().start_export(BOT)
    result = wait_for(mode, ours, on_superseded="follow")
    assert result["request_id"] == ours.request_id
    assert result["requested_time"] > ours.requested_time


@sensor_modes
def test_a_newer_export_of_another_file_type_cannot_be_followed(mode):
    ours = KoreAIHook().start_export(BOT)
    KoreAIHook().start_export(BOT, file_type="json")
    with pytest.raises(KoreAIExportSupersededError, match="cannot be followed"):
        wait_for(mode, ours, on_superseded="follow")


@sensor_modes
@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("http", {"status": 500}),
        ("http", {"status": 503}),
        ("http", {"status": 429, "headers": {"Retry-After": "0"}}),
        ("html", {}),
        ("truncated_json", {}),
        ("drop", {"at": "before_headers"}),
        ("reset", {"at": 10}),
    ],
)
def test_trouble_with_the_status_call_does_not_end_the_wait(mode, emulator, kind, params):
    started = KoreAIHook().start_export(BOT)
    emulator.control.add_fault(BOT, "status", kind, times=3, **params)
    assert wait_for(mode, started) == started.identity.as_dict()


@sensor_modes
def test_a_401_in_mid_wait_is_asked_once_more_and_ends_it(mode, emulator):
    started = KoreAIHook().start_export(BOT)
    emulator.control.configure_bot(BOT, linked=False)
    before = len(emulator.control.requests(BOT, call="status"))
    with pytest.raises(KoreAIAuthError, match="koreai_default"):
        wait_for(mode, started)
    assert len(emulator.control.requests(BOT, call="status")) == before + 2


@sensor_modes
@pytest.mark.parametrize(
    "fault",
    [
        {"status": 404, "body": "default backend - 404"},
        {"status": 403, "body": "<html>Forbidden</html>"},
        {"status": 401, "msg": "error verifying the jwt: possibly a replay", "code": 401},
    ],
    ids=["404 in text", "403 in HTML", "replay"],
)
def test_a_refusal_that_is_not_the_apis_last_word_does_not_end_a_wait(mode, emulator, fault):
    started = KoreAIHook().start_export(BOT)
    emulator.control.add_fault(BOT, "status", "http", **fault)
    assert wait_for(mode, started)["request_id"] == started.request_id


@sensor_modes
def test_another_4xx_in_mid_wait_ends_it_at_once(mode, emulator):
    started = KoreAIHook().start_export(BOT)
    emulator.control.add_fault(BOT, "status", "http", status=410, msg="Gone")
    with pytest.raises(KoreAIRefusedError, match="Gone"):
        wait_for(mode, started)


@sensor_modes
def test_an_export_that_takes_too_long_is_a_sensor_timeout_that_names_it(mode, emulator):
    emulator.control.configure_bot(BOT, seconds=3600)
    started = KoreAIHook().start_export(BOT)
    with pytest.raises(
        AirflowSensorTimeout, match=rf"{BOT} .*{started.request_id}.* did not finish within 0\.3 s"
    ):
        wait_for(mode, started, timeout=0.3)


@sensor_modes
def test_trouble_until_the_timeout_is_a_sensor_timeout_that_tells_of_it(mode, emulator):
    started = KoreAIHook().start_export(BOT)
    emulator.control.add_fault(BOT, "status", "http", status=503, times=-1)
    with pytest.raises(AirflowSensorTimeout, match=r"The last status call failed: .* answered 503"):
        wait_for(mode, started, timeout=0.3)


@sensor_modes
@pytest.mark.parametrize("how", ["soft_fail", "never_fail"])
@pytest.mark.parametrize("why", ["failed", "refused", "configuration"])
def test_soft_fail_and_never_fail_skip(mode, emulator, how, why):
    started = KoreAIHook().start_export(BOT)
    more = {how: True}
    if why == "failed":
        emulator.control.configure_bot(BOT, fail_with=["Broken"])
    elif why == "refused":
        emulator.control.configure_bot(BOT, linked=False)
    else:
        more |= {"newer_than": "tomorrow"}
    with pytest.raises(AirflowSkipException):
        wait_for(mode, started, **more)


@sensor_modes
@pytest.mark.parametrize("how", ["soft_fail", "never_fail"])
def test_soft_fail_and_never_fail_skip_past_the_timeout(mode, emulator, how):
    emulator.control.configure_bot(BOT, seconds=3600)
    started = KoreAIHook().start_export(BOT)
    with pytest.raises(AirflowSkipException):
        wait_for(mode, started, timeout=0.3, **{how: True})


@sensor_modes
def test_a_wrong_on_superseded_names_the_accepted_values(mode):
    started = KoreAIHook().start_export(BOT)
    task = sensor(mode, **started.identity.as_dict())
    task.on_superseded = "ignore"  # as a template may be rendered
    with pytest.raises(KoreAIConfigurationError, match=r"on_superseded='ignore'.*fail, follow"):
        run_task(task)


def test_execution_timeout_ends_a_deferred_wait_as_a_task_timeout(emulator):
    emulator.control.configure_bot(BOT, seconds=3600)
    started = KoreAIHook().start_export(BOT)
    with pytest.raises(AirflowTaskTimeout):
        wait_for("deferrable", started, execution_timeout=timedelta(seconds=0.3))


@one_task_modes
def test_the_one_task_form_returns_the_request_id_and_pushes_the_rest(mode, emulator):
    context = new_context()
    request_id = run_task(one_task(mode), context)
    export = KoreAIHook().get_export(BOT)
    assert request_id == export.request_id
    link = {KoreAIBotLink.xcom_key: builder_url(emulator.base_url, BOT)}
    assert context["ti"].xcoms == {"requested_time": export.requested_time, "file_type": "csv", **link}


@one_task_modes
def test_the_one_task_form_is_superseded_by_a_newer_export_but_may_be_retried(mode, emulator):
    emulator.control.configure_bot(BOT, requested_time_offset_ms=5000)
    with pytest.raises(KoreAIExportSupersededError) as caught:
        run_task(one_task(mode))
    assert not isinstance(caught.value, AirflowFailException)


@one_task_modes
def test_the_one_task_form_has_a_timeout_of_its_own(mode, emulator):
    emulator.control.configure_bot(BOT, seconds=3600)
    with pytest.raises(KoreAIExportTimeoutError, match=r"within 0\.3 seconds"):
        run_task(one_task(mode, timeout=0.3))


def test_execution_timeout_ends_the_deferred_one_task_form_as_a_task_timeout(emulator):
    emulator.control.configure_bot(BOT, seconds=3600)
    with pytest.raises(AirflowTaskTimeout):
        run_task(one_task("one task, deferrable", execution_timeout=timedelta(seconds=0.3)))


@pytest.mark.parametrize("timeout", [0, -1, "soon", True])
def test_a_timeout_that_is_none_is_refused_before_anything_is_started(emulator, timeout):
    with pytest.raises(KoreAIConfigurationError, match="timeout"):
        run_task(one_task("one task", timeout=timeout))
    assert emulator.control.requests(BOT) == []


def test_an_export_that_is_not_waited_for_pushes_strings_only(emulator):
    emulator.control.configure_bot(BOT, legacy=True)
    context = new_context()
    request_id = run_task(KoreAIExportUtterancesOperator(task_id="export", bot_id=BOT), context)
    assert isinstance(request_id, str)
    pushed = context["ti"].xcoms
    assert (pushed["requested_time"], pushed["file_type"]) == ("", "csv")
    assert all(isinstance(value, str) for value in pushed.values())


def test_a_deferred_wait_keeps_its_deadline_and_holds_no_secret(emulator):
    started = KoreAIHook().start_export(BOT)
    with pytest.raises(TaskDeferred) as deferred:
        sensor("deferrable", **started.identity.as_dict(), timeout=100).execute(new_context())
    row = deferred.value.trigger.serialize()
    again = KoreAIExportStatusTrigger(**json.loads(json.dumps(row[1])))
    assert again.serialize() == row
    assert abs(again.deadline - (time.time() + 100)) < 30
    assert emulator.client_secret not in json.dumps(row)


def test_a_trigger_past_its_deadline_asks_once_more_before_it_gives_up():
    started = KoreAIHook().start_export(BOT)
    run_task(sensor("poke"))
    late = KoreAIExportStatusTrigger(
        bot_id=BOT, **started.identity.as_dict(), deadline=time.time() - 60, timeout=1
    )
    assert asyncio.run(first_event(late)).payload["status"] == "success"


def test_a_trigger_fires_no_sooner_than_its_task_may_come_back():
    started = KoreAIHook().start_export(BOT)
    run_task(sensor("poke"))
    not_before = time.time() + 0.5
    row = KoreAIExportStatusTrigger(
        bot_id=BOT, **started.identity.as_dict(), not_before=not_before
    ).serialize()[1]
    assert asyncio.run(first_event(KoreAIExportStatusTrigger(**row))).payload["status"] == "success"
    assert time.time() >= not_before


def test_a_429_is_waited_out_in_reschedule_mode(emulator):
    started = KoreAIHook().start_export(BOT)
    emulator.control.add_fault(BOT, "status", "http", status=429, headers={"Retry-After": "300"})
    rescheduled = KoreAIExportStatusSensor(
        task_id="wait", bot_id=BOT, mode="reschedule", **started.identity.as_dict()
    )
    assert rescheduled.poke(new_context()) is False
    assert rescheduled._get_next_poke_interval(time.monotonic(), lambda: 1.0, 1) > 290


def test_a_hundred_waits_never_block_the_event_loop(monkeypatch, emulator):
    started = KoreAIHook().start_export(BOT)
    emulator.control.configure_bot(BOT, seconds=1)
    busy: list[tuple[float, str]] = []
    blocked: list[str] = []
    run_callback = asyncio.events.Handle._run

    def measured(handle) -> None:
        # The loop thread's own CPU time: what others do on this machine does not count.
        before = time.thread_time()
        run_callback(handle)
        busy.append((time.thread_time() - before, repr(handle._callback)))

    def guarded(name, call):
        def guard(*args, **kwargs):
            if asyncio._get_running_loop() is not None:
                blocked.append(name)
            return call(*args, **kwargs)

        return guard

    async def main() -> list:
        triggers = [
            KoreAIExportStatusTrigger(bot_id=BOT, **started.identity.as_dict(), deadline=time.time() + 60)
            for _ in range(100)
        ]
        return await asyncio.gather(*(first_event(trigger) for trigger in triggers))

    # The libraries' first import is not the loop's: a triggerer has them loaded.
    asyncio.run(KoreAIHook().aget_export(BOT))
    # Nor is a collection of the garbage that the tests before left.
    gc.collect()
    gc.freeze()
    monkeypatch.setattr(asyncio.events.Handle, "_run", measured)
    monkeypatch.setattr(time, "sleep", guarded("time.sleep", time.sleep))
    monkeypatch.setattr(socket, "create_connection", guarded("create_connection", socket.create_connection))
    monkeypatch.setattr(requests.Session, "send", guarded("requests", requests.Session.send))
    try:
        events = asyncio.run(main())
    finally:
        gc.unfreeze()
    assert [event.payload["status"] for event in events] == ["success"] * 100
    assert blocked == []
    assert max(busy)[0] < 0.1, max(busy)


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="Airflow keeps an earlier try's state from 3.3 on")
def test_a_worker_that_dies_while_it_waits_does_not_start_a_second_export(emulator):
    context = new_context(task_state_store=FakeTaskStateStore())
    die_waiting(one_task("one task"), context)
    second = new_context(task_state_store=context["task_state_store"])
    request_id = run_task(one_task("one task"), second)
    assert len(emulator.control.requests(BOT, call="start")) == 1
    assert request_id == KoreAIHook().get_export(BOT).request_id
    assert set(second["ti"].xcoms) >= {"requested_time", "file_type"}


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="Airflow keeps an earlier try's state from 3.3 on")
def test_a_worker_that_dies_while_it_confirms_the_start_does_not_start_a_second_export(emulator):
    context = new_context(task_state_store=FakeTaskStateStore())
    task = one_task("one task")

    def die(*_, **__):
        raise KeyboardInterrupt

    task.hook.get_export = die
    with pytest.raises(KeyboardInterrupt):
        run_task(task, context)
    run_task(one_task("one task"), new_context(task_state_store=context["task_state_store"]))
    assert len(emulator.control.requests(BOT, call="start")) == 1


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="Airflow keeps an earlier try's state from 3.3 on")
def test_an_earlier_trys_export_that_failed_is_started_anew(emulator):
    emulator.control.configure_bot(BOT, fail_with=["Broken"])
    context = new_context(task_state_store=FakeTaskStateStore())
    with pytest.raises(KoreAIExportFailedError):
        run_task(one_task("one task"), context)
    with pytest.raises(KoreAIExportFailedError):
        run_task(one_task("one task"), new_context(task_state_store=context["task_state_store"]))
    assert len(emulator.control.requests(BOT, call="start")) == 2


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="Airflow keeps an earlier try's state from 3.3 on")
def test_a_failed_export_is_not_taken_up_again_even_where_kore_ai_calls_it_done_later(emulator):
    emulator.control.configure_bot(BOT, fail_with=["Broken"])
    context = new_context(task_state_store=FakeTaskStateStore())
    with pytest.raises(KoreAIExportFailedError):
        run_task(one_task("one task"), context)
    emulator.control.configure_bot(BOT, fail_with=None)
    run_task(one_task("one task"), new_context(task_state_store=context["task_state_store"]))
    assert len(emulator.control.requests(BOT, call="start")) == 2


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="Airflow keeps an earlier try's state from 3.3 on")
def test_a_task_that_is_cleared_after_its_end_exports_anew(emulator):
    context = new_context(task_state_store=FakeTaskStateStore())
    run_task(one_task("one task"), context)
    run_task(one_task("one task"), new_context(task_state_store=context["task_state_store"]))
    assert len(emulator.control.requests(BOT, call="start")) == 2


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="Airflow keeps an earlier try's state from 3.3 on")
@pytest.mark.parametrize(
    "change",
    [
        {"bot_id": "st-demo-bank"},
        {"state": "published"},
        {"file_type": "json"},
        {"koreai_conn_id": "koreai_other"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_after_a_worker_died_a_corrected_argument_starts_an_export_of_its_own(emulator, monkeypatch, change):
    monkeypatch.setenv("AIRFLOW_CONN_KOREAI_OTHER", emulator.connection_json())
    context = new_context(task_state_store=FakeTaskStateStore())
    die_waiting(one_task("one task"), context)
    corrected = one_task("one task", **change)
    run_task(corrected, new_context(task_state_store=context["task_state_store"]))
    starts = emulator.control.requests(call="start")
    assert [start["bot"] for start in starts] == [BOT, corrected.bot_id]
    assert starts[1]["params"] == {"state": corrected.state, "type": corrected.file_type}


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="Airflow keeps an earlier try's state from 3.3 on")
def test_a_retry_after_the_timeout_starts_an_export_of_its_own(emulator):
    emulator.control.configure_bot(BOT, seconds=3600)
    context = new_context(task_state_store=FakeTaskStateStore())
    with pytest.raises(KoreAIExportTimeoutError):
        run_task(one_task("one task", timeout=0.3), context)
    emulator.control.configure_bot(BOT, seconds=0.1)
    run_task(one_task("one task"), new_context(task_state_store=context["task_state_store"]))
    assert len(emulator.control.requests(BOT, call="start")) == 2


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="Airflow keeps an earlier try's state from 3.3 on")
def test_a_run_after_the_timeout_of_a_worker_that_died_starts_an_export_of_its_own(emulator):
    context = new_context(task_state_store=FakeTaskStateStore())
    die_waiting(one_task("one task", timeout=0.3), context)
    wait_until(time.time() + 0.3)
    run_task(one_task("one task"), new_context(task_state_store=context["task_state_store"]))
    assert len(emulator.control.requests(BOT, call="start")) == 2


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="Airflow keeps an earlier try's state from 3.3 on")
def test_a_task_that_airflow_stopped_ends_soon_and_starts_an_export_of_its_own_when_it_is_cleared(emulator):
    emulator.control.configure_bot(BOT, seconds=3600)
    context = new_context(task_state_store=FakeTaskStateStore())
    task = one_task("one task")
    threading.Timer(0.1, task.on_kill).start()
    began = time.monotonic()
    with pytest.raises(KoreAIError, match="The task was stopped"):
        run_task(task, context)
    assert time.monotonic() - began < 5
    assert context["task_state_store"].values == {}


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="Airflow keeps an earlier try's state from 3.3 on")
@pytest.mark.parametrize("note", ["ds-1", {"request_id": "ds-1", "requested_time": "", "file_type": "csv"}])
def test_a_note_of_another_version_starts_an_export_of_its_own(emulator, note):
    store = FakeTaskStateStore()
    store.set(KoreAIExportUtterancesOperator.external_id_key, note)
    assert run_task(one_task("one task"), new_context(task_state_store=store)) != "ds-1"
    assert len(emulator.control.requests(BOT, call="start")) == 1


def test_the_one_task_form_takes_its_timeout_as_a_timedelta_as_sensors_do(emulator):
    emulator.control.configure_bot(BOT, seconds=3600)
    with pytest.raises(KoreAIExportTimeoutError, match=r"within 0\.3 seconds"):
        run_task(one_task("one task", timeout=timedelta(seconds=0.3)))


def test_a_timeout_in_default_args_does_not_matter_to_an_export_that_is_not_waited_for():
    assert run_task(KoreAIExportUtterancesOperator(task_id="export", bot_id=BOT, timeout=None))


@pytest.mark.parametrize("argument", ["state", "file_type"])
def test_a_literal_of_the_export_that_is_not_accepted_is_refused_when_the_dag_is_parsed(argument):
    with pytest.raises(KoreAIConfigurationError, match=f"{argument}='xlsx'"):
        one_task("one task", **{argument: "xlsx"})


@pytest.mark.parametrize("value", ["{{ params.kind }}", "{% if a %}csv{% endif %}", "", None, object()])
def test_what_is_only_known_when_the_task_runs_is_not_refused_when_the_dag_is_parsed(value):
    assert one_task("one task", state=value, file_type=value).file_type is value


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="Airflow keeps an earlier try's state from 3.3 on")
def test_a_note_of_the_export_that_cannot_be_deleted_does_not_fail_the_task(emulator):
    store = FakeTaskStateStore()
    store.delete = _fail
    with everything_logged() as lines:
        assert run_task(one_task("one task"), new_context(task_state_store=store))
    assert any("could not be deleted (OSError)" in line for line in lines)


def _fail(*_):
    raise OSError


def die_waiting(task, context) -> None:
    """Let a task start its export, and end as if its worker was killed: nothing is cleaned up."""

    def die(*_):
        raise KeyboardInterrupt

    task._sleep = die
    with pytest.raises(KeyboardInterrupt):
        run_task(task, context)


def wait_until(moment: float) -> None:
    while time.time() < moment:
        time.sleep(0.01)
