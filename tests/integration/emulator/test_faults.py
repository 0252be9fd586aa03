"""Everything that can be made to go wrong."""

from __future__ import annotations

import base64
import contextlib
import gzip
import socket
import time
from urllib.parse import urlsplit

import pytest
import requests

from airflow_provider_koreai.emulator.process import EmulatorError

BOT = "st-demo-travel"
CONTENT = bytes(range(256)) * 4000


@pytest.fixture
def link(client):
    """A link to CONTENT."""
    client.control.configure_bot(BOT, content_b64=base64.b64encode(CONTENT).decode())
    return client.link()


@pytest.fixture
def status_url(client):
    client.start()
    return client.export_url() + "/status"


def order(client, call, kind, **params):
    return client.control.add_fault(BOT, call, kind, **params)


def test_fault_happens_once_by_default(client):
    order(client, "start", "http", status=503)
    assert [client.start().status_code for _ in range(2)] == [503, 200]


def test_fault_happens_as_often_as_said(client):
    order(client, "start", "http", status=500, times=2)
    assert [client.start().status_code for _ in range(3)] == [500, 500, 200]


def test_fault_can_happen_always_until_it_is_dropped(client):
    order(client, "start", "http", times=-1)
    assert {client.start().status_code for _ in range(5)} == {503}
    client.control.clear_faults(BOT)
    assert client.start().status_code == 200


def test_fault_can_let_calls_pass_first(client):
    order(client, "start", "http", after=2)
    assert [client.start().status_code for _ in range(4)] == [200, 200, 503, 200]


def test_faults_happen_in_the_order_in_which_they_were_added(client):
    order(client, "start", "http", status=500)
    order(client, "start", "http", status=502)
    assert [client.start().status_code for _ in range(3)] == [500, 502, 200]


def test_fault_concerns_one_call_and_one_bot(client):
    client.start()
    order(client, "start", "http")
    assert client.status().status_code == 200
    assert client.start("st-demo-bank").status_code == 200
    assert client.start().status_code == 503


def test_faults_are_dropped_by_a_reset(client):
    order(client, "start", "http", times=-1)
    client.control.reset()
    assert client.start().status_code == 200


def test_fault_is_named_in_the_log(client):
    order(client, "start", "http")
    client.start()
    assert client.control.requests()[-1]["fault"] == "http"


def test_http_fault_has_a_vendor_like_body(client):
    order(client, "start", "http", status=418, msg="short and stout", code=7, headers={"Retry-After": "9"})
    response = client.start()
    assert response.json() == {"errors": [{"msg": "short and stout", "code": 7}]}
    assert (response.status_code, response.headers["retry-after"]) == (418, "9")


def test_http_fault_can_have_any_body(client):
    order(
        client,
        "start",
        "http",
        status=502,
        body="<h1>Bad gateway</h1>",
        headers={"content-type": "text/html"},
    )
    response = client.start()
    assert (response.text, response.headers["content-type"]) == ("<h1>Bad gateway</h1>", "text/html")


@pytest.mark.parametrize("status", [204, 299, 304, 599])
def test_http_fault_can_have_any_status(client, status):
    order(client, "start", "http", status=status)
    assert client.start().status_code == status


def test_http_fault_starts_no_export(client):
    order(client, "start", "http")
    client.start()
    assert client.status().status_code == 404


def test_http_fault_can_start_an_export_nevertheless(client):
    order(client, "start", "http", carried_out=True)
    client.start()
    assert client.status().status_code == 200


def test_html_fault_is_a_login_page(client):
    order(client, "start", "html")
    response = client.start()
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "Sign in" in response.text


def test_empty_fault_has_no_body(client):
    order(client, "start", "empty")
    response = client.start()
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize("value", [None, [], "x", 7, {"status": 7}], ids=str)
def test_json_shape_fault_answers_the_value(client, value):
    order(client, "start", "json_shape", value=value)
    assert client.start().json() == value


def test_truncated_json_fault_cuts_the_body_but_not_the_message(client):
    order(client, "start", "truncated_json")
    response = client.start()
    assert response.headers["content-length"] == str(len(response.content))
    assert response.text.startswith('{"status"')
    with pytest.raises(requests.JSONDecodeError):
        response.json()


def test_huge_fault_has_a_body_of_the_size(client):
    order(client, "status", "huge", size=10_000_001)
    client.start()
    assert len(client.status().content) == 10_000_001


def test_drop_before_headers_sends_nothing(client, status_url):
    order(client, "status", "drop", at="before_headers")
    assert client.raw(status_url, token=True).data == b""


def test_dropped_start_has_started_the_export(client):
    order(client, "start", "drop")
    with pytest.raises(requests.ConnectionError):
        client.start()
    assert client.status().status_code == 200


def test_drop_in_headers_sends_a_part_of_them(client, status_url):
    order(client, "status", "drop", at="in_headers")
    data = client.raw(status_url, token=True).data
    assert data.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\n\r\n" not in data


@pytest.mark.parametrize("at", [0, 1, 500_000, len(CONTENT) - 1])
def test_drop_sends_exactly_so_many_bytes_of_the_body(client, link, at):
    order(client, "download", "drop", at=at)
    answer = client.raw(link)
    assert f"content-length: {len(CONTENT)}".encode() in answer.head
    assert (answer.body, answer.reset) == (CONTENT[:at], False)


def test_drop_can_be_counted_from_the_end(client, link):
    order(client, "download", "drop", at=-10)
    assert client.raw(link).body == CONTENT[:-10]


def test_drop_counts_within_the_part_that_was_asked_for(client, link):
    order(client, "download", "drop", at=100)
    answer = client.raw(link, range="bytes=1000-")
    assert answer.head.startswith(b"HTTP/1.1 206")
    assert answer.body == CONTENT[1000:1100]


def test_drop_of_a_compressed_body_is_possible(client, link):
    client.control.configure_bot(BOT, gzip=True)
    order(client, "download", "drop", at=-1)
    answer = client.raw(link, accept_encoding="gzip")
    assert b"content-encoding: gzip" in answer.head
    with pytest.raises(EOFError):
        gzip.decompress(answer.body)


def test_log_says_how_much_was_sent_before_the_drop(client, link):
    order(client, "download", "drop", at=1000)
    client.raw(link)
    entry = client.control.requests(call="download")[-1]
    assert (entry["status"], entry["sent"], entry["fault"]) == (200, 1000, "drop")


def test_log_says_that_nothing_was_answered(client, status_url):
    order(client, "status", "drop")
    client.raw(status_url, token=True)
    assert client.control.requests(call="status")[-1]["status"] is None


@pytest.mark.parametrize("at", ["before_headers", "in_headers", 0, 1000])
def test_reset_ends_with_a_tcp_reset(client, link, at):
    order(client, "download", "reset", at=at)
    answer = client.raw(link)
    assert answer.reset
    if isinstance(at, int):
        assert answer.body == CONTENT[:at]


@pytest.mark.parametrize("at", ["before_headers", "in_headers", 0, 1000, -1000])
def test_stall_is_silent_for_a_while_and_goes_on(client, link, at):
    order(client, "download", "stall", at=at, seconds=0.3)
    began = time.monotonic()
    assert client.get(link).content == CONTENT
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize(
    ("at", "body"), [("before_headers", b""), ("in_headers", b""), (1000, CONTENT[:1000])]
)
def test_stall_can_end_the_connection(client, link, at, body):
    order(client, "download", "stall", at=at, seconds=0.1, then="close")
    assert client.raw(link).body == body


def test_stall_sends_what_comes_before_it(client, link):
    order(client, "download", "stall", at=1000, seconds=60)
    parts = urlsplit(link)
    with socket.create_connection((parts.hostname, parts.port), 0.4) as sock:
        sock.sendall(f"GET {parts.path}?{parts.query} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        data = bytearray()
        with contextlib.suppress(TimeoutError, socket.timeout):
            while part := sock.recv(4096):
                data += part
    assert bytes(data).partition(b"\r\n\r\n")[2] == CONTENT[:1000]


def test_stall_ends_when_the_client_leaves(client, status_url):
    order(client, "status", "stall", at="before_headers", seconds=60)
    with pytest.raises(requests.Timeout):
        client.http.get(status_url, headers={"auth": client.token()}, timeout=0.2)
    deadline = time.monotonic() + 10
    while not client.control.requests(call="status")[-1]["done"]:
        assert time.monotonic() < deadline


def test_drip_is_slow(client):
    order(client, "start", "drip", bytes_per_second=1000)
    began = time.monotonic()
    response = client.start()
    assert response.json()["status"] == "IN_PROGRESS"
    assert time.monotonic() - began > 0.8 * len(response.content) / 1000


def test_drip_of_headers_is_slow_before_the_body(client):
    order(client, "start", "drip", bytes_per_second=1000, of="headers")
    began = time.monotonic()
    response = client.start()
    assert response.json()["status"] == "IN_PROGRESS"
    assert response.elapsed.total_seconds() > 0.08
    assert time.monotonic() - began < 5


def test_lie_length_promises_more_than_it_sends(client, link):
    order(client, "download", "lie_length", delta=5)
    answer = client.raw(link)
    assert f"content-length: {len(CONTENT) + 5}".encode() in answer.head
    assert answer.body == CONTENT


def test_lie_length_promises_less_than_it_sends(client, link):
    order(client, "download", "lie_length", delta=-5)
    answer = client.raw(link)
    assert f"content-length: {len(CONTENT) - 5}".encode() in answer.head
    assert answer.body == CONTENT


def test_changed_file_has_another_etag_from_then_on(client, link):
    before = client.get(link)
    order(client, "download", "changed")
    after, later = client.get(link), client.get(link)
    assert after.content == later.content != before.content
    assert after.headers["etag"] == later.headers["etag"] != before.headers["etag"]
    assert after.headers["last-modified"] != before.headers["last-modified"]


def test_changed_file_fails_if_range(client, link):
    etag = client.get(link, "HEAD").headers["etag"]
    order(client, "download", "changed")
    assert client.get(link, range="bytes=10-", if_range=etag).status_code == 200


def test_changed_file_can_be_given(client, link):
    order(client, "download", "changed", content_b64=base64.b64encode(b"new").decode())
    assert client.get(link).content == b"new"


def test_changed_data_set_is_still_valid(client):
    link = client.link()
    before = client.get(link).text
    order(client, "download", "changed")
    after = client.get(link).text
    assert after != before
    assert after.startswith("taskName,sentence,type,language\n")
    assert sorted(after) == sorted(before)


def test_redirect_points_where_it_was_told(client, link):
    order(client, "download", "redirect", location="http://elsewhere.example/x", status=307)
    response = client.get(link)
    assert (response.status_code, response.headers["location"]) == (307, "http://elsewhere.example/x")


def test_expired_fault_looks_like_an_expired_link(client, link):
    order(client, "download", "expired")
    faulty = client.get(link)
    client.control.configure_bot(BOT, link_ttl=0)
    expired = client.get(client.link())
    assert (
        (faulty.status_code, faulty.content)
        == (expired.status_code, expired.content)
        == (403, expired.content)
    )


@pytest.mark.parametrize("call", ["status", "download"])
def test_gzip_fault_compresses_for_those_who_did_not_ask(client, link, call):
    order(client, call, "gzip")
    response = client.status() if call == "status" else client.get(link, range="bytes=5-")
    assert (response.status_code, response.headers["content-encoding"]) == (200, "gzip")
    assert response.content == CONTENT if call == "download" else response.json()["status"] == "SUCCESS"


def test_wrong_content_range_is_off_by_one(client, link):
    order(client, "download", "wrong_content_range")
    response = client.get(link, range="bytes=1000-")
    assert response.headers["content-range"] == f"bytes 1001-{len(CONTENT)}/{len(CONTENT)}"
    assert response.content == CONTENT[1000:]


def test_wrong_content_range_can_be_anything(client, link):
    order(client, "download", "wrong_content_range", value="bytes 0-1/*")
    assert client.get(link, range="bytes=1000-").headers["content-range"] == "bytes 0-1/*"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"call": "delete", "kind": "http"}, '"start", "status", "download"'),
        ({"call": "start", "kind": "boom"}, '"truncated_json"'),
        ({"call": "start", "kind": "expired"}, "cannot happen to start"),
        ({"call": "start", "kind": "stall"}, 'needs "seconds"'),
        (
            {"call": "start", "kind": "http", "statsu": 5},
            'unknown http fault field "statsu"; accepted: after, body',
        ),
        ({"call": "start", "kind": "http", "status": 99}, "from 200 to 599"),
        ({"call": "start", "kind": "http", "headers": {"a": "b\r\nc: d"}}, "HTTP headers"),
        ({"call": "start", "kind": "drop", "at": "middle"}, "before_headers"),
        ({"call": "start", "kind": "http", "times": 0}, "-1 for always"),
    ],
)
def test_wrong_order_is_refused_with_what_would_be_right(client, fault, message):
    with pytest.raises(EmulatorError, match="HTTP 400") as caught:
        client.control.add_fault(BOT, **fault)
    assert message in str(caught.value)


def test_fault_for_an_unknown_bot_is_refused(client):
    with pytest.raises(EmulatorError, match="HTTP 404"):
        client.control.add_fault("st-nobody", "start", "http")


@pytest.mark.parametrize("asked", [None, "bytes=99999999-"])
def test_wrong_content_range_needs_a_partial_answer(client, link, asked):
    order(client, "download", "wrong_content_range")
    response = client.get(link, **({"range": asked} if asked else {}))
    assert response.headers.get("content-range") == (f"bytes */{len(CONTENT)}" if asked else None)


def test_fault_of_the_linked_apps_is_ordered_for_the_universal_bot(client):
    client.control.add_fault("st-demo-universal", "linked_apps", "http", status=503)
    url = client.emulator.base_url + "/api/1.1/public/bot/st-demo-universal/universalbot/link?language=en"
    assert [client.call("GET", url).status_code for _ in range(2)] == [503, 200]


def test_fault_of_the_list_of_bots_is_ordered_for_the_account(client):
    client.control.add_fault(None, "bots", "http", times=-1)
    url = client.emulator.base_url + "/api/public/bots"
    assert client.call("GET", url).status_code == 503
    assert (
        client.call("GET", client.emulator.base_url + "/_emulator/faults").json()["faults"][0]["call"]
        == "bots"
    )
    client.control.clear_faults(None)
    assert client.call("GET", url).status_code == 200


@pytest.mark.parametrize(("bot", "call"), [(None, "status"), (BOT, "bots")])
def test_fault_is_ordered_where_its_call_belongs(client, bot, call):
    with pytest.raises(EmulatorError, match="call"):
        client.control.add_fault(bot, call, "http")
