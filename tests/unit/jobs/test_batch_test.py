"""Batch tests: what is sent, and what the answers mean."""

from __future__ import annotations

import json

import pytest

from airflow_provider_koreai.api.calls import ApiAnswer
from airflow_provider_koreai.exceptions import (
    KoreAIBatchTestError,
    KoreAIConfigurationError,
    KoreAIRequestError,
)
from airflow_provider_koreai.jobs.batch_test import (
    BatchTest,
    read_start,
    read_status,
    start_request,
    status_request,
)
from airflow_provider_koreai.jobs.status import JobStatus

BASE = "https://bots.kore.ai"
BOT = "st-1"
SUITE = f"{BASE}/api/public/stream/{BOT}/testsuite/Developer%20defined%20utterances"
START = start_request(BASE, BOT)
STATUS = status_request(BASE, BOT, "tr-5")
COMPLETED = {
    "status": "completed",
    "utterance_count": 300,
    "percentage": 100,
    "fileUrl": "https://bots.kore.ai/f.csv?s=secret",
    "result": {
        "f1_score": "0.87",
        "precision": "0.9",
        "recall": "1",
        "results": {"TP": 290, "TN": 0, "FP": 0, "FN": 10, "success": 290, "failure": "10"},
    },
}


def answer(document: object) -> ApiAnswer:
    return ApiAnswer(200, {}, json.dumps(document).encode())


def test_a_start_names_suite_version_and_language():
    assert (START.method, START.url) == ("POST", f"{SUITE}/run")
    assert json.loads(START.body) == {"version": "inDevelopment"}
    assert START.headers == {"bot-language": "en"}


def test_a_status_call_names_the_run():
    assert (STATUS.method, STATUS.url) == ("GET", f"{SUITE}/tr-5/status")


def test_a_suites_name_may_hold_what_a_url_may_not():
    assert "/testsuite/a%2Fb%3F%C3%A9/run" in start_request(BASE, BOT, test_suite="a/b?\u00e9").url


@pytest.mark.parametrize("suite", ["", " ", ".", "..", None])
def test_what_is_not_a_suites_name_is_refused(suite):
    with pytest.raises(KoreAIConfigurationError, match="test_suite="):
        start_request(BASE, BOT, test_suite=suite)


@pytest.mark.parametrize("version", ["indevelopment", "inDevelopment", " INDEVELOPMENT "])
def test_a_version_is_sent_as_the_api_writes_it(version):
    assert json.loads(start_request(BASE, BOT, version=version).body) == {"version": "inDevelopment"}


def test_another_version_is_refused_with_those_that_are_accepted():
    with pytest.raises(KoreAIConfigurationError, match=r"version='draft'.*inDevelopment, published"):
        start_request(BASE, BOT, version="draft")


def test_a_request_id_that_would_change_the_url_is_refused():
    with pytest.raises(KoreAIConfigurationError, match="request_id="):
        status_request(BASE, BOT, "../x")


def test_the_answer_to_a_start_has_the_id_of_the_run():
    started = read_start(START, answer({"status": "accepted", "requestId": "tr-5"}), "c")
    assert (started.request_id, started.status, started.is_done()) == ("tr-5", JobStatus.IN_PROGRESS, False)
    with pytest.raises(KoreAIRequestError, match="requestId"):
        read_start(START, answer({"status": "accepted"}), "c")


def test_the_numbers_of_a_completed_run_are_numbers():
    test = read_status(STATUS, answer(COMPLETED), "c")
    assert test == BatchTest(BOT, "tr-5", JobStatus.SUCCESS, 0.87, 0.9, 1.0, 300, 290, 10, 100.0, "completed")
    assert test.is_done() is True


def test_the_link_to_the_result_is_not_kept():
    assert "secret" not in repr(vars(read_status(STATUS, answer(COMPLETED), "c")))


@pytest.mark.parametrize("result", [None, [], {"f1_score": "NaN", "results": 3}, {"f1_score": ""}])
def test_a_run_without_numbers_has_none(result):
    test = read_status(STATUS, answer({"status": "running", "result": result}), "c")
    assert (test.f1, test.precision, test.recall, test.passed, test.failed) == (None,) * 5
    assert test.is_done() is False


def test_a_failed_run_is_an_error():
    test = read_status(STATUS, answer({"status": "failed"}), "c")
    with pytest.raises(KoreAIBatchTestError, match="tr-5 of bot st-1"):
        test.is_done()


def test_a_status_without_a_word_is_not_the_apis():
    with pytest.raises(KoreAIRequestError, match="status"):
        read_status(STATUS, answer({"result": {}}), "c")
