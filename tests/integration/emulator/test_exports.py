"""Start and status."""

from __future__ import annotations

import re
import time
from datetime import datetime

import pytest

BOT = "st-demo-travel"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
FIELDS = {
    "status": str,
    "percentageComplete": int,
    "streamId": str,
    "jobType": str,
    "action": str,
    "countOfDockStatuses": int,
    "createdBy": str,
    "fileType": str,
    "statusLogs": list,
    "_id": str,
    "lMod": str,
    "createdOn": str,
    "requestedTime": str,
    "__v": int,
}


@pytest.fixture
def running(client):
    """The start of an export that goes on until it is told to end."""
    client.control.configure_bot(BOT, seconds=3600)
    return client.start().json()


def test_start_answers_the_documented_document(client):
    response = client.start()
    document = response.json()
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("application/json")
    assert {key: type(value) for key, value in document.items()} == FIELDS
    assert document["status"] == "IN_PROGRESS"
    assert (document["percentageComplete"], document["countOfDockStatuses"], document["__v"]) == (0, 1, 0)
    assert (document["jobType"], document["action"]) == ("ML_UTTERANCE", "EXPORT")
    assert document["streamId"] == BOT
    assert document["createdBy"].startswith("u-")
    assert document["_id"].startswith("ds-")
    assert document["statusLogs"] == []


def test_times_have_the_vendors_form_and_tell_the_truth(client):
    before = time.time()
    document = client.start().json()
    assert all(TIME.fullmatch(document[key]) for key in ("lMod", "createdOn", "requestedTime"))
    assert document["lMod"].endswith(".000Z")
    requested = datetime.fromisoformat(document["requestedTime"].replace("Z", "+00:00")).timestamp()
    assert before - 0.001 <= requested <= time.time()


@pytest.mark.parametrize("file_type", ["csv", "json"])
@pytest.mark.parametrize("state", ["configured", "published"])
def test_states_and_types_are_accepted(client, state, file_type):
    response = client.start(state=state, file_type=file_type)
    assert (response.status_code, response.json()["fileType"]) == (200, file_type.upper())


def test_stray_parameter_of_the_docs_is_harmless(client):
    url = client.export_url() + "?state=configured&=&type=csv"
    assert client.call("POST", url, headers={"content-type": "application/json"}).status_code == 200


@pytest.mark.parametrize(
    "query", ["state=configured&type=xml", "state=draft&type=csv", "state=configured", ""]
)
def test_wrong_state_or_type_is_a_bad_request(client, query):
    response = client.call("POST", f"{client.export_url()}?{query}")
    assert response.status_code == 400
    assert "must be one of" in response.json()["errors"][0]["msg"]


def test_export_in_progress_has_no_link(client, running):
    document = client.status().json()
    assert document["status"] == "IN_PROGRESS"
    assert 0 <= document["percentageComplete"] < 100
    assert "downloadUrl" not in document
    assert (document["_id"], document["requestedTime"]) == (running["_id"], running["requestedTime"])


def test_finished_export_has_a_link(client, running):
    client.control.configure_bot(BOT, seconds=0)
    document = client.status().json()
    assert (document["status"], document["percentageComplete"]) == ("SUCCESS", 100)
    link = re.escape(f"{client.emulator.base_url}/api/getMediaStream/market/f-")
    assert re.fullmatch(link + r"[0-9a-f-]+\.csv\?n=\d+&s=[0-9a-f]+&e=\d{13}", document["downloadUrl"])
    assert set(document) == {*FIELDS, "downloadUrl"}


def test_status_too_soon_after_the_start_is_a_server_error_and_the_next_works(client, running):
    client.control.configure_bot(BOT, too_soon_seconds=3600)
    assert client.status().status_code == 500
    client.control.configure_bot(BOT, too_soon_seconds=0)
    assert client.status().status_code == 200


def test_only_the_first_status_call_is_too_soon_by_default(start_emulator):
    client = start_emulator(too_soon_seconds=None)
    client.start()
    assert [client.status().status_code for _ in range(20)] == [500] + 19 * [200]
    client.start()
    assert [client.status().status_code for _ in range(2)] == [500, 200]


def test_export_takes_the_time_of_the_emulator_unless_the_bot_has_its_own(start_emulator):
    client = start_emulator(seconds=3600, too_soon_seconds=3600)
    client.start()
    assert client.status().status_code == 500
    client.control.configure_bot(BOT, too_soon_seconds=0)
    assert client.status().json()["status"] == "IN_PROGRESS"
    client.control.configure_bot(BOT, seconds=0)
    assert client.status().json()["status"] == "SUCCESS"


def test_status_without_any_export_is_not_found(client):
    response = client.status()
    assert (response.status_code, response.json()["errors"][0]["code"]) == (404, 404)


def test_record_is_reused_with_a_new_requested_time(client):
    first, second = client.start().json(), client.start().json()
    assert (first["_id"], first["createdOn"]) == (second["_id"], second["createdOn"])
    assert first["requestedTime"] < second["requestedTime"]


def test_bots_have_records_of_their_own(client):
    assert client.start().json()["_id"] != client.start("st-demo-bank").json()["_id"]


def test_new_record_each_time_if_set(client):
    client.control.configure_bot(BOT, reuse_record=False)
    first, second = client.start().json(), client.start().json()
    assert first["_id"] != second["_id"]
    assert first["createdOn"] < second["createdOn"]


def test_later_start_supersedes_a_running_export(client, running):
    second = client.start(file_type="json").json()
    document = client.status().json()
    assert document["requestedTime"] == second["requestedTime"] > running["requestedTime"]
    assert document["fileType"] == "JSON"


def test_legacy_platform_leaves_two_fields_out(client):
    client.control.configure_bot(BOT, legacy=True)
    missing = {"requestedTime", "countOfDockStatuses"}
    assert set(FIELDS) - set(client.start().json()) == missing
    assert set(FIELDS) - set(client.status().json()) == missing


def test_failed_export_carries_its_logs_and_no_link(client):
    logs = ["language de: nothing trained", {"code": 7}]
    client.control.configure_bot(BOT, fail_with=logs)
    client.start()
    document = client.status().json()
    assert (document["status"], document["statusLogs"]) == ("FAILED", logs)
    assert document["percentageComplete"] < 100
    assert "downloadUrl" not in document


@pytest.mark.parametrize(("failing", "status"), [(None, "success"), ([], "failed")])
def test_lower_case_platform(client, failing, status):
    client.control.configure_bot(BOT, lower_case=True, fail_with=failing)
    assert client.start().json()["status"] == "in_progress"
    document = client.status().json()
    assert document["status"] == status
    assert "downloadUrl" not in document
    assert ("downloadURL" in document) == (failing is None)


def test_final_status_can_be_any_word(client):
    client.control.configure_bot(BOT, final_status="PARTIAL")
    client.start()
    assert client.status().json()["status"] == "PARTIAL"


def test_link_can_be_empty_for_a_moment(client):
    client.control.configure_bot(BOT, empty_link_seconds=3600)
    client.start()
    document = client.status().json()
    assert (document["status"], document["downloadUrl"]) == ("SUCCESS", "")
    client.control.configure_bot(BOT, empty_link_seconds=0)
    assert client.status().json()["downloadUrl"]


@pytest.mark.parametrize(("offset", "order"), [(-1500, -1), (1500, 1)])
def test_requested_time_of_the_status_can_differ(client, offset, order):
    client.control.configure_bot(BOT, requested_time_offset_ms=offset)
    started, reported = client.start().json()["requestedTime"], client.status().json()["requestedTime"]
    assert (reported > started) - (reported < started) == order


def test_the_status_can_have_another_id(client):
    client.control.configure_bot(BOT, other_status_id=True)
    started = client.start().json()["_id"]
    assert client.status().json()["_id"] == client.status().json()["_id"] != started


def test_the_status_can_be_without_a_time(client):
    client.control.configure_bot(BOT, status_without_time=True)
    assert "requestedTime" in client.start().json()
    assert "requestedTime" not in client.status().json()


def test_the_status_can_report_the_earlier_export_for_a_while(client):
    client.control.configure_bot(BOT, earlier_seconds=3600)
    first = client.start().json()
    assert client.status().json()["requestedTime"] == first["requestedTime"]
    second = client.start().json()
    assert client.status().json()["requestedTime"] == first["requestedTime"]
    client.control.configure_bot(BOT, earlier_seconds=0)
    assert client.status().json()["requestedTime"] == second["requestedTime"]


def test_somebody_else_can_start_an_export_right_after(client):
    client.control.configure_bot(BOT, overtaken_ms=1000)
    started, reported = (
        datetime.fromisoformat(document.json()["requestedTime"].replace("Z", "+00:00"))
        for document in (client.start(), client.status())
    )
    assert 1 <= (reported - started).total_seconds() < 2


def test_each_status_answer_has_a_fresh_link(client):
    client.start()
    assert client.status().json()["downloadUrl"] != client.status().json()["downloadUrl"]


def test_links_can_point_elsewhere(client):
    client.control.configure_bot(BOT, media_url="https://media.example:444/")
    assert client.link().startswith("https://media.example:444/api/getMediaStream/market/f-")


def test_links_can_point_elsewhere_for_all_bots(start_emulator):
    client = start_emulator("--media-url", "http://localhost:1")
    assert client.link("st-demo-bank").startswith("http://localhost:1/api/getMediaStream/market/f-")


def test_links_follow_the_host_that_was_asked(client):
    client.start()
    document = client.status(headers={"host": "kore.local:99"}).json()
    assert document["downloadUrl"].startswith("http://kore.local:99/")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD"])
def test_start_by_another_method_is_not_allowed(client, method):
    response = client.call(method, client.export_url() + "?state=configured&type=csv")
    assert response.status_code == 405
    if method != "HEAD":
        assert response.json() == {"errors": [{"msg": "Method Not Allowed", "code": 405}]}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD"])
def test_status_by_another_method_is_not_allowed(client, method):
    response = client.call(method, client.export_url() + "/status")
    assert response.status_code == 405
    if method != "HEAD":
        assert response.json() == {"errors": [{"msg": "Method Not Allowed", "code": 405}]}


@pytest.mark.parametrize(
    "path", ["/", "/api/public/bot/x/mldelete", "/api/public/bot/x/mlexport/", "/_emulator/x"]
)
def test_unknown_path_is_not_found(client, path):
    response = client.call("GET", client.emulator.base_url + path)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (404, 404)


def test_bots_are_listed_page_by_page_with_their_secrets(client):
    url = client.emulator.base_url + "/api/public/bots"
    first = client.call("GET", url + "?offset=0&limit=3").json()
    rest = client.call("GET", url + "?offset=3&limit=50").json()
    assert (first["availableMore"], rest["availableMore"]) == (True, False)
    assert first["total"] == rest["total"] == len(first["bots"] + rest["bots"])
    assert all({"_id", "name", "status", "defaultLanguage"} <= set(bot) for bot in first["bots"])
    assert all(app["clientSecret"] for bot in first["bots"] for app in bot["jwtApps"])


@pytest.mark.parametrize("query", ["offset=x", "offset=-1", "limit=0", "limit=51"])
def test_nonsense_page_is_a_bad_request(client, query):
    assert client.call("GET", f"{client.emulator.base_url}/api/public/bots?{query}").status_code == 400


def test_bots_need_a_token(client):
    assert client.call("GET", client.emulator.base_url + "/api/public/bots", token="").status_code == 401


def test_universal_bot_names_its_linked_apps(client):
    url = client.emulator.base_url + "/api/1.1/public/bot/st-demo-universal/universalbot/link?language=en"
    document = client.call("GET", url).json()
    assert set(document) == {"configuredLinkedApps", "publishedLinkedApps"}
    travel = {"_id": BOT, "name": "Demo Travel", "defaultLanguage": "en", "status": 1}
    assert travel in document["configuredLinkedApps"]
    assert document["publishedLinkedApps"] == document["configuredLinkedApps"]


def test_published_version_of_a_universal_bot_can_link_other_apps(client):
    client.control.configure_bot("st-demo-universal", published_linked_apps=[BOT])
    url = client.emulator.base_url + "/api/1.1/public/bot/st-demo-universal/universalbot/link?language=en"
    document = client.call("GET", url).json()
    assert [app["_id"] for app in document["publishedLinkedApps"]] == [BOT]
    assert len(document["configuredLinkedApps"]) == 3
