"""Runs of a test suite."""

from __future__ import annotations

from urllib.parse import quote

import pytest
import requests

BOT = "st-demo-bank"
SUITE = "Developer defined utterances"


def url(client, suite=SUITE):
    return f"{client.emulator.base_url}/api/public/stream/{BOT}/testsuite/{quote(suite)}"


def run(client, suite=SUITE, version="inDevelopment", **headers):
    return client.call("POST", url(client, suite) + "/run", json={"version": version}, headers=headers)


def status(client, request_id, suite=SUITE):
    return client.call("GET", f"{url(client, suite)}/{request_id}/status")


def finished(client, **headers):
    return status(client, run(client, **headers).json()["requestId"]).json()


def test_run_is_accepted(client):
    answer = run(client).json()
    assert answer["status"] == "accepted"
    assert answer["requestId"].startswith("tr-")


def test_running_test_has_no_scores_yet(client):
    client.control.configure_bot(BOT, test_seconds=3600)
    answer = finished(client)
    assert (answer["status"], answer["result"]["status"], answer["percentage"]) == ("running", "running", 0)
    assert "f1_score" not in answer["result"]
    assert "fileUrl" not in answer


def test_completed_test_has_scores_as_strings_and_counts(client):
    client.control.configure_bot(BOT, test_f1=0.5, test_precision=0.75, test_recall=0.25)
    answer = finished(client)
    result, number = answer["result"], answer["utterance_count"]
    assert (result["f1_score"], result["precision"], result["recall"]) == ("0.5", "0.75", "0.25")
    assert (answer["status"], answer["percentage"], answer["utterance_ran"]) == ("completed", 100, number)
    assert result["results"]["success"] + result["results"]["failure"] == number > 0
    assert set(result["results"]) == {"TP", "TN", "FP", "FN", "success", "failure"}


def test_result_can_be_downloaded_by_its_link(client):
    assert client.get(finished(client)["fileUrl"]).text.startswith("testSuite,utterances\n")


def test_each_language_has_its_utterances(client):
    english, german = (finished(client, **{"bot-language": language}) for language in ("en", "de"))
    assert english["utterance_count"] != german["utterance_count"]
    assert german["result"]["botLanguage"] == "de"


def test_test_can_fail(client):
    client.control.configure_bot(BOT, test_fail=True)
    answer = finished(client)
    assert answer["status"] == "failed"
    assert "f1_score" not in answer["result"]


def test_unknown_suite_is_refused(client):
    response = run(client, "Mine")
    assert (response.status_code, response.json()["errors"][0]["msg"]) == (400, "Test Suite not found")
    client.control.configure_bot(BOT, test_suites=["Mine"])
    assert run(client, "Mine").status_code == 200


@pytest.mark.parametrize("version", ["published", "inDevelopment"])
def test_both_versions_can_be_tested(client, version):
    assert run(client, version=version).status_code == 200


def test_other_version_is_invalid(client):
    assert run(client, version="configured").status_code == 412


def test_unknown_request_is_refused(client):
    assert status(client, "tr-unknown").status_code == 400


def test_bot_without_utterances_can_be_tested(client):
    client.control.configure_bot(BOT, data="empty")
    answer = finished(client)
    assert (answer["status"], answer["utterance_count"], answer["percentage"]) == ("completed", 0, 100)


def test_missing_scope_is_refused(client):
    client.control.configure_bot(BOT, missing_scopes=["test"])
    assert run(client).status_code == 401


def test_lost_answer_leaves_the_test_run(client):
    client.control.add_fault(BOT, "test", "drop")
    with pytest.raises(requests.ConnectionError):
        run(client)
    assert client.control.requests(call="test")[0]["fault"] == "drop"


def test_status_can_fail_for_a_while(client):
    request_id = run(client).json()["requestId"]
    client.control.add_fault(BOT, "test_status", "http", status=503)
    assert [status(client, request_id).status_code for _ in range(2)] == [503, 200]
