"""Trainings, and a status call that names none."""

from __future__ import annotations

import re

import pytest
import requests

BOT = "st-demo-travel"


def train(client, **headers):
    return client.call("POST", f"{client.emulator.base_url}/api/public/bot/{BOT}/ml/train", headers=headers)


def status(client, language="en"):
    url = f"{client.emulator.base_url}/api/public/bot/{BOT}/ml/train/status"
    return client.call("GET", f"{url}?language={language}&state=configured").json()


def told(client, language="en"):
    answer = status(client, language)
    return answer["trainingStatus"], answer["trainDetails"]["trainVersion"]


def test_start_is_answered_with_a_list(client):
    (answer,) = train(client).json()
    assert answer["message"] == "Training Queued."
    assert re.fullmatch("[0-9a-f]{24}", answer["Training_ID"])


def test_start_can_be_answered_with_an_object(client):
    client.control.configure_bot(BOT, train_answer="object")
    assert train(client).json()["message"] == "Training Queued."


def test_training_runs_and_ends_with_a_new_version(client):
    client.control.configure_bot(BOT, train_seconds=3600)
    assert told(client) == ("Finished", 1)
    train(client)
    assert told(client) == ("Inprogress", 1)
    client.control.configure_bot(BOT, train_seconds=0)
    assert told(client) == ("Finished", 2)


def test_failed_training_keeps_the_version_and_the_true_flags(client):
    client.control.configure_bot(BOT, train_fail=True)
    train(client)
    assert told(client) == ("Failed", 1)
    assert status(client)["isMlInSyncWithSentences"] is True


def test_status_can_be_stale(client):
    client.control.configure_bot(BOT, train_stale_seconds=3600)
    train(client)
    assert told(client) == ("Finished", 1)
    client.control.configure_bot(BOT, train_stale_seconds=0)
    assert told(client) == ("Finished", 2)


def test_stale_status_tells_of_a_failed_training_before(client):
    client.control.configure_bot(BOT, train_fail=True)
    train(client)
    assert told(client) == ("Failed", 1)
    client.control.configure_bot(BOT, train_fail=False, train_stale_seconds=3600)
    train(client)
    assert told(client) == ("Failed", 1)


@pytest.mark.parametrize("versions", ["same", "absent"])
def test_versions_can_be_of_no_help(client, versions):
    client.control.configure_bot(BOT, train_versions=versions)
    before = status(client)
    train(client)
    assert status(client) == before
    assert ("trainDetails" in before) is (versions == "same")


def test_without_a_language_english_is_trained(client):
    train(client)
    train(client, **{"bot-language": "de"})
    train(client, **{"bot-language": "de"})
    assert [told(client, language)[1] for language in ("en", "de", "fr")] == [2, 3, 1]


def test_training_during_an_import_has_the_old_sentences(client):
    client.control.configure_bot(BOT, import_semantics="wipe", import_seconds=3600)
    url = f"{client.emulator.base_url}/api/public"
    fields = {"fileContext": "bulkImport", "fileExtension": "json"}
    answer = client.call("POST", f"{url}/uploadfile", files={"file": ("x", b"[]")}, data=fields).json()
    client.call("POST", f"{url}/bot/{BOT}/mlimport", json={"fileName": "x", "fileId": answer["fileId"]})
    train(client)
    assert client.control.configure_bot(BOT)["trained"]["en"] > 0
    client.control.configure_bot(BOT, import_seconds=0)
    train(client)
    assert client.control.configure_bot(BOT)["trained"]["en"] == 0


def test_missing_scope_is_refused(client):
    client.control.configure_bot(BOT, missing_scopes=["train"])
    assert train(client).json()["errors"][0]["msg"] == "Permission denied. Scope is incorrect!"


def test_lost_answer_leaves_the_training_done(client):
    client.control.add_fault(BOT, "train", "reset")
    with pytest.raises(requests.ConnectionError):
        train(client)
    assert told(client) == ("Finished", 2)
