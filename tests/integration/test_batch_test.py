"""The operator that runs a batch test, over real HTTP: the same outcomes in every way of waiting."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_koreai import deferral
from airflow_provider_koreai.exceptions import (
    KoreAIBatchTestError,
    KoreAIConfigurationError,
    KoreAIRefusedError,
    KoreAITimeoutError,
)
from airflow_provider_koreai.jobs import polling
from airflow_provider_koreai.operators.batch_test import KoreAIBatchTestOperator
from tests.support.running import new_context, run_task

BOT = "st-demo-travel"
modes = pytest.mark.parametrize("mode", ["worker", "deferrable", "deferrable, in its worker"])


@pytest.fixture(autouse=True)
def quick(monkeypatch, emulator, koreai_conn, request):
    """Pauses of a few milliseconds, and an emulator that allows as many calls."""
    monkeypatch.setattr(polling, "SHORTEST", 0.02)
    if "in its worker" in request.node.name:
        monkeypatch.setattr(deferral, "worker_stays", lambda: 1000.0)
    emulator.control.configure_bot(
        BOT,
        test_seconds=0.2,
        test_f1=0.8,
        test_precision=0.9,
        test_recall=0.75,
        status_per_minute=10**6,
        status_per_hour=10**6,
    )


def operator(mode="worker", **more):
    arguments = {"timeout": 20, **more}
    return KoreAIBatchTestOperator(task_id="test", bot_id=BOT, deferrable="deferrable" in mode, **arguments)


@modes
def test_it_returns_numbers(mode):
    context = new_context()
    result = run_task(operator(mode, min_f1="0.8", min_precision=0.9, min_recall=""), context)
    assert result.pop("request_id") == context["ti"].xcoms["request_id"]
    assert result == {
        "f1": 0.8,
        "precision": 0.9,
        "recall": 0.75,
        "utterances": 84,
        "passed": 63,
        "failed": 21,
    }


@modes
def test_below_a_limit_it_fails_without_retries_and_the_numbers_are_in_the_xcoms(mode):
    context = new_context()
    with pytest.raises(
        KoreAIBatchTestError, match=r"min_f1=0\.81, but f1 is 0\.8; min_recall=1, .*passed 63"
    ) as caught:
        run_task(operator(mode, min_f1=0.81, min_recall=1), context)
    assert isinstance(caught.value, AirflowFailException)
    assert context["ti"].xcoms["f1"] == context["ti"].xcoms["return_value"]["f1"] == 0.8


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"status": "completed", "result": {"precision": "0.9"}}, "Kore.ai reports no f1"),
        ({"status": "completed", "result": {"f1_score": "85"}}, "f1 is 85, which is not from 0 to 1"),
    ],
)
def test_a_number_that_cannot_be_compared_is_below_its_limit(emulator, body, said):
    emulator.control.add_fault(BOT, "test_status", "json_shape", times=-1, value=body)
    with pytest.raises(KoreAIBatchTestError, match=said):
        run_task(operator(min_f1=0.8))


@modes
def test_a_failed_test_has_no_numbers(mode, emulator):
    emulator.control.configure_bot(BOT, test_fail=True)
    with pytest.raises(KoreAIBatchTestError, match="has no numbers"):
        run_task(operator(mode))


@modes
def test_a_test_past_its_timeout_may_be_retried(mode, emulator):
    emulator.control.configure_bot(BOT, test_seconds=3600)
    with pytest.raises(
        KoreAITimeoutError, match=r"batch test tr-.* did not finish within 0\.3 seconds"
    ) as caught:
        run_task(operator(mode, timeout=0.3))
    assert not isinstance(caught.value, AirflowFailException)


def test_an_unknown_suite_is_named():
    with pytest.raises(KoreAIRefusedError, match=r"Test Suite not found.*test_suite='Nightly'"):
        run_task(operator(test_suite="Nightly"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"min_f1": 85}, "min_f1=85"),
        ({"min_recall": "high"}, "min_recall='high'"),
        ({"version": "staging"}, "version='staging'"),
        ({"test_suite": ""}, "test_suite=''"),
        (
            {"min_f1": 0.8, "wait_for_completion": False},
            "min_f1 cannot be checked with wait_for_completion=False",
        ),
    ],
)
def test_a_wrong_argument_is_refused_unsent(emulator, arguments, said):
    with pytest.raises(KoreAIConfigurationError, match=said):
        run_task(operator(**arguments))
    assert emulator.control.requests() == []
