"""Uploads and imports, and what exports show of them."""

from __future__ import annotations

import base64
import json
import re

import pytest
import requests

BOT = "st-demo-travel"
ADMIN = "cs-emulator-admin"
HEADER = "taskName,sentence,type,language\n"
INVALID = {"errors": [{"msg": "Validation errors/ Invalid arguments", "code": 412}]}
WRONG_SCOPE = {"errors": [{"msg": "Permission denied. Scope is incorrect!", "code": 4002}]}
ENTRIES = [
    {"taskName": "Book", "sentence": "book it", "type": "DialogIntent", "entities": [], "language": "en"},
    {"taskName": "Book", "sentence": "buch es", "type": "DialogIntent", "entities": [], "language": "de"},
    {"taskName": "Pay", "sentence": "pay it", "type": "DialogIntent", "entities": [], "language": "en"},
]


def entry(task, sentence, language="en", **more):
    fields = {"taskName": task, "sentence": sentence, "type": "DialogIntent", "language": language}
    return {**fields, "entities": [], **more}


def upload(client, data, file_type="json", **options):
    fields = {"fileContext": "bulkImport", "fileExtension": file_type, **options.pop("fields", {})}
    fields = {key: value for key, value in fields.items() if value is not None}
    url = client.emulator.base_url + "/api/public/uploadfile"
    return client.call("POST", url, files={"file": ("utterances", data)}, data=fields, **options)


def start(client, file_id, **body):
    url = f"{client.emulator.base_url}/api/public/bot/{BOT}/mlimport"
    return client.call("POST", url, json={"fileName": "utterances.json", "fileId": file_id, **body})


def status(client, import_id):
    url = f"{client.emulator.base_url}/api/public/bot/{BOT}/mlimport/status/{import_id}"
    return client.call("GET", url)


def imported(client, entries):
    """Upload and import utterances; return the import's last status."""
    file_id = upload(client, json.dumps(entries)).json()["fileId"]
    return status(client, start(client, file_id).json()["_id"]).json()


def exported(client, state="configured"):
    client.start(BOT, state, "json")
    return client.get(client.status().json()["downloadUrl"]).json()


def sentences(client):
    return [(each["taskName"], each["sentence"], each["language"]) for each in exported(client)]


@pytest.fixture
def bot(client):
    """A client whose bot has ENTRIES."""
    content = base64.b64encode(json.dumps(ENTRIES).encode()).decode()
    client.control.configure_bot(BOT, content_b64=content)
    return client


def test_upload_is_answered_with_an_id(client):
    answer = upload(client, b"[]").json()
    assert set(answer) == {"fileId", "hash", "fileName"}
    assert re.fullmatch("[0-9a-f]{24}", answer["fileId"])
    assert re.fullmatch("[0-9a-f]{40}", answer["hash"])


def test_junk_is_uploaded_all_the_same(client):
    assert upload(client, b"\x00junk", "csv").status_code == 200


@pytest.mark.parametrize(
    "fields",
    [{"fileContext": None}, {"fileContext": "x"}, {"fileExtension": None}, {"fileExtension": "CSV"}],
    ids=str,
)
def test_upload_with_a_missing_or_wrong_field_is_invalid(client, fields):
    response = upload(client, b"[]", fields=fields)
    assert (response.status_code, response.json()) == (412, INVALID)


@pytest.mark.parametrize(
    "headers", [{}, {"content-type": "multipart/form-data; boundary=x"}], ids=["plain", "broken"]
)
def test_upload_that_is_not_a_form_is_invalid(client, headers):
    url = client.emulator.base_url + "/api/public/uploadfile"
    assert client.call("POST", url, data=b"[]", headers=headers).status_code == 412


def test_upload_needs_a_token(client):
    assert upload(client, b"[]", token="").status_code == 401


def test_upload_can_be_left_to_the_admin_app(bot):
    bot.control.configure_account(upload_by="admin")
    response = upload(bot, b"[]")
    assert (response.status_code, response.json()) == (401, WRONG_SCOPE)
    file_id = upload(bot, json.dumps(ENTRIES), token=bot.token(appId=ADMIN)).json()["fileId"]
    assert start(bot, file_id).status_code == 200


def test_log_says_which_app_called_and_never_the_file_id(bot):
    file_id = upload(bot, b"[]", token=bot.token(appId=ADMIN)).json()["fileId"]
    start(bot, file_id)
    assert [each["client"] for each in bot.control.requests()] == [ADMIN, bot.emulator.client_id]
    assert file_id not in json.dumps(bot.control.requests()) + bot.emulator.log()


def test_import_is_answered_as_pending(bot):
    bot.control.configure_bot(BOT, import_seconds=3600)
    answer = start(bot, upload(bot, b"[]").json()["fileId"]).json()
    assert set(answer) == {"_id", "status", "streamId", "requestType", "statusLogs", "createdOn", "__v"}
    assert (answer["status"], answer["streamId"], answer["requestType"]) == ("pending", BOT, "MLimport")
    assert status(bot, answer["_id"]).json() == answer


@pytest.mark.parametrize("body", [{"fileId": None}, {"fileName": ""}, {"fileName": 5}], ids=str)
def test_import_with_a_missing_key_is_invalid(bot, body):
    response = start(bot, upload(bot, b"[]").json()["fileId"], **body)
    assert (response.status_code, response.json()) == (412, INVALID)


def test_import_of_an_unknown_file_is_refused(bot):
    response = start(bot, "0" * 24)
    assert (response.status_code, response.json()["errors"][0]["msg"]) == (400, "Invalid file id")


@pytest.mark.parametrize("data", [b"", b"task,sentence\nBook,x\n", b"[]"], ids=["empty", "other", "json"])
def test_csv_with_a_wrong_header_is_refused_by_the_start(bot, data):
    response = start(bot, upload(bot, data, "csv").json()["fileId"])
    assert (response.status_code, response.json()["errors"][0]["msg"]) == (400, "CSV format is incorrect")


@pytest.mark.parametrize("data", [b"junk", b"{}", b"[1]", b"\xff"], ids=str)
def test_import_of_junk_fails_and_changes_nothing(bot, data):
    answer = status(bot, start(bot, upload(bot, data).json()["fileId"]).json()["_id"]).json()
    assert answer["status"] == "failure"
    assert answer["statusLogs"]
    assert exported(bot) == ENTRIES


def test_unknown_import_is_refused(bot):
    response = status(bot, "bir-unknown")
    assert (response.status_code, response.json()["errors"][0]["msg"]) == (400, "Invalid request ID")


def test_first_status_call_of_an_import_is_too_soon_by_default(start_emulator):
    client = start_emulator(too_soon_seconds=None)
    import_id = start(client, upload(client, b"[]").json()["fileId"]).json()["_id"]
    assert [status(client, import_id).status_code for _ in range(3)] == [500, 200, 200]


def test_import_replaces_a_task_in_a_language_and_leaves_the_rest(bot):
    answer = imported(bot, [entry("Book", "get it"), entry("Book", "take it")])
    assert (answer["status"], answer["message"]) == (
        "success",
        "File imported completed. 2 utterances copied successfully",
    )
    assert sentences(bot) == [
        ("Book", "buch es", "de"),
        ("Pay", "pay it", "en"),
        ("Book", "get it", "en"),
        ("Book", "take it", "en"),
    ]


def test_import_can_wipe_everything_else(bot):
    bot.control.configure_bot(BOT, import_semantics="wipe")
    imported(bot, [entry("Book", "get it")])
    assert sentences(bot) == [("Book", "get it", "en")]
    imported(bot, [entry("Pay", "the task is still there")])
    assert sentences(bot) == [("Pay", "the task is still there", "en")]


def test_import_can_append(bot):
    bot.control.configure_bot(BOT, import_semantics="append")
    imported(bot, [entry("Book", "get it")])
    assert exported(bot) == [*ENTRIES, entry("Book", "get it")]


def test_unknown_tasks_are_skipped_and_not_counted(bot):
    answer = imported(bot, [entry("Book", "get it"), entry("Sell", "sell it")])
    assert answer["message"].startswith("File imported completed. 1 utterances")
    assert "sell it" not in str(exported(bot))


def test_rows_can_get_lost(bot):
    bot.control.configure_bot(BOT, import_lost_rows=1)
    answer = imported(bot, [entry("Book", "one"), entry("Book", "two")])
    assert " 1 utterances" in answer["message"]
    assert ("Book", "two", "en") not in sentences(bot)


def test_lost_rows_can_be_counted_as_copied(bot):
    bot.control.configure_bot(BOT, import_lost_rows=1, import_counts="sent")
    assert " 2 utterances" in imported(bot, [entry("Book", "one"), entry("Book", "two")])["message"]


def test_json_keeps_entities_and_unknown_keys(bot):
    annotated = entry("Book", "get 2", note={"a": 1}) | {"entities": [{"startIndex": 4, "endIndex": 5}]}
    imported(bot, [annotated])
    assert annotated in exported(bot)


def test_csv_loses_entities(bot):
    imported(bot, [entry("Pay", "pay 2") | {"entities": [{"startIndex": 4, "endIndex": 5}]}])
    data = (HEADER + 'Pay,"pay 2, ""now""",DialogIntent,en\n').encode("utf-8-sig")
    start(bot, upload(bot, data, "csv").json()["fileId"])
    assert exported(bot)[-1] == entry("Pay", 'pay 2, "now"')


def test_exported_csv_can_be_imported_unchanged(client):
    before = client.get(client.link()).content
    answer = start(client, upload(client, before, "csv").json()["fileId"])
    assert " 364 utterances" in status(client, answer.json()["_id"]).json()["message"]
    assert sorted(client.get(client.link()).text.splitlines()) == sorted(before.decode().splitlines())


def test_published_bot_stays_as_it_is(bot):
    imported(bot, [entry("Book", "get it")])
    assert exported(bot, "published") == ENTRIES


def test_export_during_an_import_shows_the_old_utterances(bot):
    bot.control.configure_bot(BOT, import_seconds=3600)
    assert imported(bot, [entry("Book", "get it")])["status"] == "pending"
    assert exported(bot) == ENTRIES
    bot.control.configure_bot(BOT, import_seconds=0)
    assert exported(bot) != ENTRIES


def test_import_can_fail_with_logs(bot):
    bot.control.configure_bot(BOT, import_fail_with=["row 2 is bad"])
    answer = imported(bot, [entry("Book", "get it")])
    assert (answer["status"], answer["statusLogs"]) == ("failure", ["row 2 is bad"])
    assert exported(bot) == ENTRIES


def test_final_status_of_an_import_can_be_any_word(bot):
    bot.control.configure_bot(BOT, import_final_status="failed", import_fail_with=["x"])
    assert imported(bot, [])["status"] == "failed"


def test_each_import_has_its_own_record(bot):
    first, second = (imported(bot, [entry("Book", text)]) for text in ("one", "two"))
    assert status(bot, first["_id"]).json() == first
    assert second["_id"] != first["_id"]


def test_lost_answer_of_a_start_leaves_the_import_done(bot):
    bot.control.add_fault(BOT, "import", "drop")
    file_id = upload(bot, json.dumps([entry("Book", "get it")])).json()["fileId"]
    with pytest.raises(requests.ConnectionError):
        start(bot, file_id)
    assert ("Book", "get it", "en") in sentences(bot)


def test_refused_start_leaves_the_bot_as_it_is(bot):
    bot.control.add_fault(BOT, "import", "http", status=503)
    file_id = upload(bot, json.dumps([entry("Book", "get it")])).json()["fileId"]
    assert start(bot, file_id).status_code == 503
    assert exported(bot) == ENTRIES


def test_faults_of_uploads_are_ordered_for_the_account(bot):
    bot.control.add_fault(None, "upload", "http", status=502)
    assert [upload(bot, b"[]").status_code for _ in range(2)] == [502, 200]


def test_missing_import_scope_is_refused(bot):
    bot.control.configure_bot(BOT, missing_scopes=["import"])
    response = start(bot, "x")
    assert (response.status_code, response.json()) == (401, WRONG_SCOPE)


def test_unknown_bot_is_another_error_for_the_admin_app(client):
    url = f"{client.emulator.base_url}/api/public/bot/st-nobody/mlimport"
    response = client.call("POST", url, token=client.token(appId=ADMIN), json={})
    assert (response.status_code, response.json()) == (
        400,
        {"errors": [{"msg": "Invalid StreamId", "code": 400}]},
    )


def test_new_content_and_a_reset_end_what_was_imported(bot):
    imported(bot, [entry("Book", "get it")])
    bot.control.configure_bot(BOT, data="empty")
    assert exported(bot) == []
    bot.control.reset()
    assert len(exported(bot)) == 364


@pytest.mark.parametrize("path", ["uploadfile", f"bot/{BOT}/mlimport"])
def test_wrong_method_is_refused_before_the_token(client, path):
    response = client.call("GET", f"{client.emulator.base_url}/api/public/{path}", token="")
    assert response.status_code == 405
