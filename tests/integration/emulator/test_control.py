"""The control endpoints."""

from __future__ import annotations

import socket

import pytest

from airflow_provider_koreai.emulator.process import EmulatorError

BOT = "st-demo-travel"


def test_unknown_setting_is_refused_and_the_accepted_ones_are_named(client):
    with pytest.raises(EmulatorError, match=r'unknown setting "secnods"; accepted: .*bom, .*seconds'):
        client.control.configure_bot(BOT, secnods=3)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"seconds": "3"}, "a number of seconds"),
        ({"seconds": -1}, "a number of seconds"),
        ({"seconds": True}, "a number of seconds"),
        ({"rows": 1.5}, "a whole number"),
        ({"size": 10}, "at least 1024"),
        ({"progress": "fast"}, '"linear", "none", "steps", "sqrt"'),
        ({"content_b64": "%"}, "base64"),
        ({"file": "/does/not/exist"}, "path of a file"),
        ({"legacy": "yes"}, "true or false"),
        ({"data": "unknown"}, '"travel", "bank"'),
        ({"rows": 5, "size": 5000}, "exclude each other"),
    ],
)
def test_wrong_value_is_refused_with_what_would_be_right(client, setting, message):
    with pytest.raises(EmulatorError, match="HTTP 400") as caught:
        client.control.configure_bot(BOT, **setting)
    assert message in str(caught.value)


def test_refused_settings_change_nothing(client):
    with pytest.raises(EmulatorError):
        client.control.configure_bot(BOT, legacy=True, seconds="x")
    assert client.control.configure_bot(BOT)["settings"]["legacy"] is False


def test_settings_add_up(client):
    client.control.configure_bot(BOT, legacy=True)
    settings = client.control.configure_bot(BOT, seconds=7)["settings"]
    assert (settings["legacy"], settings["seconds"]) == (True, 7)


def test_null_brings_a_default_back(client):
    client.control.configure_bot(BOT, seconds=7)
    assert client.control.configure_bot(BOT, seconds=None)["settings"]["seconds"] is None


def test_last_source_of_content_wins(client):
    client.control.configure_bot(BOT, size=5000)
    settings = client.control.configure_bot(BOT, rows=3)["settings"]
    assert (settings["rows"], settings["size"]) == (3, None)
    assert client.control.configure_bot(BOT, data="bank")["settings"]["rows"] is None


def test_configuring_an_unknown_bot_creates_it(client):
    assert client.start("st-new").status_code == 401
    assert client.control.configure_bot("st-new", rows=3)["settings"]["data"] == "travel"
    assert client.get(client.link("st-new")).text.count("#") == 3


def test_bot_id_may_be_any_text(client):
    client.control.configure_bot('st "ü" 漢')
    response = client.get(client.link('st "ü" 漢'))
    assert response.headers["content-disposition"] == 'attachment; filename="st______-configured.csv"'


def test_reset_removes_created_bots_and_settings(client):
    client.control.configure_bot("st-new")
    client.control.configure_bot(BOT, seconds=3600)
    client.control.reset()
    assert client.start("st-new").status_code == 401
    client.start()
    assert client.status().json()["status"] == "SUCCESS"


def test_reset_forgets_exports_and_requests(client):
    client.start()
    client.control.reset()
    assert client.control.requests() == []
    assert client.status().status_code == 404


def test_requests_are_logged_with_what_matters(client):
    client.start(state="published", file_type="json")
    client.get(client.link(), range="bytes=0-9")
    start, _, status, download = client.control.requests(BOT)
    assert (start["call"], start["status"], start["auth"]) == ("start", 200, True)
    assert start["params"] == {"state": "published", "type": "json"}
    assert len(start["jti"]) == 32
    assert start["claims"] == sorted(client.claims())
    assert 590 < start["expires_in"] <= 600
    assert status["call"] == "status"
    assert (download["call"], download["status"], download["auth"]) == ("download", 206, False)
    assert (download["range"], download["sent"], download["bot"]) == ("bytes=0-9", 10, BOT)


def test_requests_can_be_filtered(client):
    client.start()
    client.start("st-demo-bank")
    client.status("st-demo-bank")
    assert len(client.control.requests()) == 3
    assert len(client.control.requests("st-demo-bank")) == 2
    assert len(client.control.requests("st-demo-bank", "status")) == 1


def test_refused_requests_are_logged_too(client):
    client.start(token="x")
    client.call("GET", client.emulator.base_url + "/nowhere")
    assert [(entry["call"], entry["status"]) for entry in client.control.requests()] == [
        ("start", 401),
        ("other", 404),
    ]


def test_neither_log_shows_a_secret(client):
    token = client.token()
    client.start(token=token)
    link = client.status().json()["downloadUrl"]
    client.get(link, auth=token)
    client.call("GET", client.emulator.base_url + "/api/public/bots")
    seen = client.emulator.log() + str(client.control.requests())
    assert "/api/getMediaStream/market/f-" in seen
    for secret in (token, token.rpartition(".")[2], link.partition("&s=")[2].partition("&")[0], "&s="):
        assert secret not in seen
    assert client.emulator.client_secret not in seen


@pytest.mark.parametrize("host", ["localhost:5", "127.0.0.1", "127.9.9.9:80", "[::1]:80"])
def test_host_that_names_this_machine_is_served(client, host):
    assert client.call("GET", client.emulator.base_url + "/_emulator/health", headers={"host": host}).ok


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "10.0.0.1:8077", "127.0.0.1.evil"]
)
def test_other_host_is_refused(client, host):
    response = client.call("GET", client.emulator.base_url + "/_emulator/health", headers={"host": host})
    assert response.status_code == 403


def test_control_from_another_address_is_refused(start_emulator):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing, only picks the address of this machine
        except OSError:
            pytest.skip("this machine has no other address than loopback")
        address = probe.getsockname()[0]
    client = start_emulator(host="0.0.0.0")
    url = f"http://{address}:{client.emulator.port}"
    refused = client.call("GET", url + "/_emulator/requests", headers={"host": "localhost"})
    assert refused.status_code == 403
    served = client.call("POST", f"{url}/api/public/bot/{BOT}/mlexport?state=configured&type=csv")
    assert served.status_code == 200


def test_control_by_another_method_is_not_allowed(client):
    assert client.call("DELETE", client.emulator.base_url + "/_emulator/reset").status_code == 405


def test_body_that_is_not_json_is_refused(client):
    url = f"{client.emulator.base_url}/_emulator/bots/{BOT}"
    assert client.call("PUT", url, data=b"{").status_code == 400
    assert client.call("PUT", url, data=b"[]").status_code == 400
