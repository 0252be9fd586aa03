"""The operator that trains a bot, over real HTTP: the same outcomes in every way of waiting."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_koreai import deferral
from airflow_provider_koreai.exceptions import (
    KoreAIConfigurationError,
    KoreAITimeoutError,
    KoreAITrainingFailedError,
)
from airflow_provider_koreai.hooks.koreai import KoreAIHook
from airflow_provider_koreai.jobs import polling, training
from airflow_provider_koreai.operators.train import KoreAITrainOperator
from tests.support.running import FakeTaskStateStore, new_context, run_task

BOT = "st-demo-travel"
needs_state = pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="Airflow keeps a task's state since 3.3")
modes = pytest.mark.parametrize("mode", ["worker", "deferrable", "deferrable, in its worker"])


@pytest.fixture(autouse=True)
def quick(monkeypatch, emulator, koreai_conn, request):
    """Pauses of a few milliseconds, and an emulator that allows as many calls."""
    monkeypatch.setattr(polling, "SHORTEST", 0.02)
    if "in its worker" in request.node.name:
        monkeypatch.setattr(deferral, "worker_stays", lambda: 1000.0)
    emulator.control.configure_bot(BOT, train_seconds=0.2, status_per_minute=10**6, status_per_hour=10**6)


def operator(mode="worker", **more):
    arguments = {"timeout": 20, **more}
    return KoreAITrainOperator(task_id="train", bot_id=BOT, deferrable="deferrable" in mode, **arguments)


def starts(emulator):
    return len(emulator.control.requests(BOT, call="train"))


@modes
def test_it_returns_the_training(mode, emulator):
    before = KoreAIHook().get_training(BOT, "de")
    context = new_context()
    assert run_task(operator(mode, language="de"), context) == {
        "training_id": context["ti"].xcoms["training_id"],
        "language": "de",
        "status": "Finished",
        "train_version": before.train_version + 1,
    }


def test_without_waiting_it_returns_at_once(emulator):
    emulator.control.configure_bot(BOT, train_seconds=3600)
    result = run_task(operator(wait_for_completion=False))
    assert (result["status"], result["train_version"]) == ("Queued", "")


@modes
def test_the_training_before_is_not_taken_for_this_one(mode, emulator, monkeypatch):
    emulator.control.configure_bot(BOT, train_stale_seconds=3600)
    with pytest.raises(KoreAITimeoutError, match=r"training of bot .* in language en did not finish"):
        run_task(operator(mode, timeout=0.3))


@modes
def test_an_answer_that_stands_is_taken(mode, emulator, monkeypatch):
    monkeypatch.setattr(training, "STANDING_SECONDS", 0.3)
    emulator.control.configure_bot(BOT, train_seconds=0, train_versions="absent")
    assert run_task(operator(mode))["train_version"] == ""


@modes
def test_an_older_platform_shows_it_by_running(mode, emulator):
    emulator.control.configure_bot(BOT, train_versions="absent")
    assert run_task(operator(mode))["status"] == "Finished"


@modes
def test_a_bot_that_was_never_trained_is_trained(mode, emulator):
    body = '{"errors":[{"msg":"No training found","code":404}]}'
    emulator.control.add_fault(BOT, "train_status", "http", status=404, body=body)
    assert run_task(operator(mode))["status"] == "Finished"


@modes
def test_a_failed_training_may_be_retried(mode, emulator):
    emulator.control.configure_bot(BOT, train_fail=True)
    with pytest.raises(
        KoreAITrainingFailedError, match=f"training of bot {BOT} in language en failed"
    ) as caught:
        run_task(operator(mode))
    assert not isinstance(caught.value, AirflowFailException)


@modes
def test_trouble_with_the_status_call_does_not_end_the_wait(mode, emulator):
    emulator.control.add_fault(BOT, "train_status", "http", times=2, after=1, status=503)
    assert run_task(operator(mode))["status"] == "Finished"


@pytest.mark.parametrize("language", ["", "english language", "de\r\nx"])
def test_a_wrong_language_is_refused_unsent(emulator, language):
    with pytest.raises(KoreAIConfigurationError, match="language="):
        run_task(operator(language=language))
    assert emulator.control.requests() == []


@pytest.fixture
def store(emulator):
    """The note of a task whose worker died while it waited."""
    emulator.control.configure_bot(BOT, train_seconds=3600)
    store = FakeTaskStateStore()

    class DiedError(BaseException):
        pass

    def die(*_):
        raise DiedError

    task = operator()
    task._sleep = die
    with pytest.raises(DiedError):
        task.execute(new_context(task_state_store=store))
    assert store.values
    return store


@needs_state
def test_a_retry_after_a_crash_goes_on_with_the_training(store, emulator):
    emulator.control.configure_bot(BOT, train_seconds=0)
    assert run_task(operator(), new_context(task_state_store=store))["status"] == "Finished"
    assert starts(emulator) == 1
    assert store.values == {}


@needs_state
def test_a_task_that_is_cleared_after_a_crash_trains_again(store, emulator):
    emulator.control.configure_bot(BOT, train_seconds=0)
    context = new_context(task_state_store=store)
    context["ti"].max_tries += 1
    assert run_task(operator(), context)["status"] == "Finished"
    assert starts(emulator) == 2


@needs_state
def test_a_retry_after_the_timeout_of_the_training_trains_again(store, emulator):
    emulator.control.configure_bot(BOT, train_seconds=0)
    store.values["koreai_training"]["until"] = 0.0
    assert run_task(operator(), new_context(task_state_store=store))["status"] == "Finished"
    assert starts(emulator) == 2


@needs_state
def test_a_deferred_training_leaves_no_note(emulator):
    emulator.control.configure_bot(BOT, train_seconds=3600)
    store = FakeTaskStateStore()
    with pytest.raises(TaskDeferred):
        operator("deferrable").execute(new_context(task_state_store=store))
    assert store.history == []
