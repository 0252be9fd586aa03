"""The media server."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import json
from urllib.parse import parse_qs, urlsplit

import pytest

BOT = "st-demo-travel"
CONTENT = bytes(range(256)) * 4


@pytest.fixture
def link(client):
    """A link to CONTENT."""
    client.control.configure_bot(BOT, content_b64=base64.b64encode(CONTENT).decode())
    return client.link()


def test_csv_has_the_documented_header_and_rows(client):
    response = client.get(client.link())
    rows = list(csv.reader(io.StringIO(response.content.decode(), newline="")))
    assert response.headers["content-type"].startswith("text/csv")
    assert rows[0] == ["taskName", "sentence", "type", "language"]
    assert len(rows) > 300
    assert {len(row) for row in rows} == {4}


def test_json_is_an_array_of_the_documented_objects(client):
    response = client.get(client.link(file_type="json"))
    entries = response.json()
    assert response.headers["content-type"].startswith("application/json")
    assert len(entries) >= 300
    keys = {"taskName", "sentence", "type", "entities", "language"}
    assert {frozenset(entry) for entry in entries} == {frozenset(keys), frozenset(keys - {"taskName"})}
    assert all(entry["entities"] == [] for entry in entries)


def test_csv_and_json_say_the_same(client):
    rows = list(csv.DictReader(io.StringIO(client.get(client.link()).content.decode(), newline="")))
    entries = client.get(client.link(file_type="json")).json()
    assert [{"taskName": "", **entry, "entities": None} for entry in entries] == [
        {**row, "entities": None} for row in rows
    ]


def test_main_bot_has_what_makes_files_difficult(client):
    entries = client.get(client.link(file_type="json")).json()
    text = "".join(entry["sentence"] for entry in entries)
    assert {"en", "de", "ja", "ar", "he"} <= {entry["language"] for entry in entries}
    assert {"DialogIntent", "FAQ", "SmallTalk", "Trait"} == {entry["type"] for entry in entries}
    assert all(mark in text for mark in ',"\n✈')


@pytest.mark.parametrize("bot", ["st-demo-bank", "st-demo-retail"])
def test_other_bots_have_data_of_their_own(client, bot):
    entries = client.get(client.link(bot, "json")).json()
    assert len(entries) > 30
    assert len({entry["language"] for entry in entries}) > 2


def test_empty_bot_has_a_header_only(client):
    assert client.get(client.link("st-demo-empty")).content == b"taskName,sentence,type,language\n"


def test_empty_bot_has_an_empty_array(client):
    assert client.get(client.link("st-demo-empty", "json")).content == b"[]"


def test_no_auth_header_is_needed_and_its_presence_is_recorded(client, link):
    assert client.get(link).status_code == 200
    assert client.get(link, auth=client.token()).status_code == 200
    assert [entry["auth"] for entry in client.control.requests(call="download")] == [False, True]


@pytest.mark.parametrize("part", ["s", "n", "e"])
def test_link_with_another_query_is_forbidden(client, link, part):
    value = parse_qs(urlsplit(link).query)[part][0]
    response = client.get(link.replace(f"{part}={value}", f"{part}={value[:-1]}{int(value[-1], 16) ^ 1}"))
    assert response.status_code == 403
    assert response.json()["errors"][0]["code"] == 403


@pytest.mark.parametrize(
    "query", ["", "?n=1", "?n=1&s=x&e=y", "?s=é&e=1&n=1", "?e=²&s=&n=", "?e=" + "9" * 5000]
)
def test_link_without_a_good_query_is_forbidden(client, link, query):
    assert client.get(link.partition("?")[0] + query).status_code == 403


def test_signature_is_for_one_file(client, link):
    other = client.link("st-demo-bank")
    mixed = other.partition("?")[0] + "?" + link.partition("?")[2]
    assert client.get(mixed).status_code == 403


def test_expired_link_is_forbidden(client):
    client.control.configure_bot(BOT, link_ttl=0)
    assert client.get(client.link()).status_code == 403


def test_link_ends_with_a_reset(client, link):
    client.control.reset()
    assert client.get(link).status_code == 403


def test_post_is_not_allowed(client, link):
    assert client.get(link, "POST").status_code == 405


def test_headers_describe_the_file(client, link):
    headers = client.get(link).headers
    assert headers["content-length"] == str(len(CONTENT))
    assert headers["content-disposition"] == f'attachment; filename="{BOT}-configured.csv"'
    assert headers["accept-ranges"] == "bytes"
    assert headers["etag"].startswith('"')
    assert headers["last-modified"].endswith(" GMT")


def test_head_has_the_same_headers_and_no_body(client, link):
    got, head = client.get(link), client.get(link, "HEAD")
    assert head.content == b""
    assert {**head.headers, "date": ""} == {**got.headers, "date": ""}


def test_file_of_an_export_is_fixed_when_it_starts(client, link):
    client.control.configure_bot(BOT, data="bank")
    assert client.get(client.status().json()["downloadUrl"]).content == CONTENT


def test_old_links_still_work_after_a_new_export(client, link):
    client.control.configure_bot(BOT, data="bank")
    client.start()
    assert client.get(link).content == CONTENT


@pytest.mark.parametrize(
    ("asked", "part", "content_range"),
    [
        ("bytes=0-0", CONTENT[:1], "bytes 0-0/1024"),
        ("bytes=10-19", CONTENT[10:20], "bytes 10-19/1024"),
        ("bytes=1000-", CONTENT[1000:], "bytes 1000-1023/1024"),
        ("bytes=1000-9999", CONTENT[1000:], "bytes 1000-1023/1024"),
        ("bytes=-24", CONTENT[-24:], "bytes 1000-1023/1024"),
        ("bytes=-9999", CONTENT, "bytes 0-1023/1024"),
    ],
)
def test_range_is_honoured(client, link, asked, part, content_range):
    response = client.get(link, range=asked)
    assert (response.status_code, response.content) == (206, part)
    assert response.headers["content-range"] == content_range
    assert response.headers["content-length"] == str(len(part))


@pytest.mark.parametrize("asked", ["bytes=1024-", "bytes=5000-6000", "bytes=-0"])
def test_range_after_the_end_cannot_be_satisfied(client, link, asked):
    response = client.get(link, range=asked)
    assert response.status_code == 416
    assert response.headers["content-range"] == "bytes */1024"


@pytest.mark.parametrize(
    "asked", ["bytes=-", "bytes=9-1", "bytes=0-1,5-6", "lines=1-2", "x", "bytes=" + "1" * 30 + "-"]
)
def test_range_that_is_not_understood_is_ignored(client, link, asked):
    response = client.get(link, range=asked)
    assert (response.status_code, response.content) == (200, CONTENT)


def test_if_range_with_the_etag_gets_the_part(client, link):
    etag = client.get(link, "HEAD").headers["etag"]
    assert client.get(link, range="bytes=5-", if_range=etag).status_code == 206


def test_if_range_with_the_date_gets_the_part(client, link):
    date = client.get(link, "HEAD").headers["last-modified"]
    assert client.get(link, range="bytes=5-", if_range=date).status_code == 206


@pytest.mark.parametrize("validator", ['"other"', "Mon, 01 Jan 2001 00:00:00 GMT"])
def test_if_range_that_no_longer_holds_gets_the_whole(client, link, validator):
    response = client.get(link, range="bytes=5-", if_range=validator)
    assert (response.status_code, response.content) == (200, CONTENT)


def test_weak_etag_never_satisfies_if_range(client):
    client.control.configure_bot(BOT, etag="weak")
    link = client.link()
    etag = client.get(link, "HEAD").headers["etag"]
    assert etag.startswith('W/"')
    assert client.get(link, range="bytes=5-", if_range=etag).status_code == 200


def test_etag_can_be_left_out(client):
    client.control.configure_bot(BOT, etag="none")
    assert "etag" not in client.get(client.link()).headers


def test_server_can_be_without_ranges(client, link):
    client.control.configure_bot(BOT, ranges=False)
    response = client.get(link, range="bytes=5-")
    assert (response.status_code, response.content) == (200, CONTENT)
    assert "accept-ranges" not in response.headers


@pytest.mark.parametrize("type_", ["csv", "json"])
def test_file_can_start_with_a_byte_order_mark(client, type_):
    plain = client.get(client.link(file_type=type_)).content
    client.control.configure_bot(BOT, bom=True)
    assert client.get(client.link(file_type=type_)).content == b"\xef\xbb\xbf" + plain


def test_gzip_is_sent_to_those_who_accept_it(client, link):
    client.control.configure_bot(BOT, gzip=True)
    answer = client.raw(link, accept_encoding="gzip", connection="close")
    assert b"content-encoding: gzip" in answer.head.lower()
    assert client.get(link, accept_encoding="gzip").content == CONTENT
    assert client.get(link, accept_encoding="deflate, gzip;q=0.5").headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("accepted", ["identity", "br", "gzip;q=0", "gzip;q=0.0, br"])
def test_gzip_is_not_sent_to_others(client, link, accepted):
    client.control.configure_bot(BOT, gzip=True)
    assert "content-encoding" not in client.get(link, accept_encoding=accepted).headers


def test_any_file_of_the_disk_can_be_served(client, tmp_path):
    file = tmp_path / "export.csv"
    file.write_bytes(CONTENT * 1000)
    client.control.configure_bot(BOT, file=str(file))
    link = client.link()
    assert hashlib.sha256(client.get(link).content).digest() == hashlib.sha256(CONTENT * 1000).digest()
    assert client.get(link, range="bytes=1000000-1000003").content == (CONTENT * 1000)[1000000:1000004]


def test_replacing_the_file_does_not_touch_an_export_that_has_started(client, tmp_path):
    file, other = tmp_path / "export.csv", tmp_path / "other"
    file.write_bytes(b"old")
    client.control.configure_bot(BOT, file=str(file))
    link = client.link()
    other.write_bytes(b"new and longer")
    other.replace(file)
    assert client.get(link).content == b"old"
    assert client.get(client.link()).content == b"new and longer"


def test_gzip_of_the_data_set_unpacks_to_it(client):
    plain = client.get(client.link()).content
    client.control.configure_bot(BOT, gzip=True)
    response = client.call("GET", client.link(), token="", headers={"accept-encoding": "gzip"}, stream=True)
    packed = b"".join(response.raw.stream(decode_content=False))
    assert gzip.decompress(packed) == plain


def test_json_strings_are_not_escaped_needlessly(client):
    assert "東京" in client.get(client.link(file_type="json")).content.decode()
    json.loads(client.get(client.link(file_type="json")).content)
