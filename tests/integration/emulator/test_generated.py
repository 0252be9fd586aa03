"""Exports of any size."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_koreai.emulator.content import BytesContent, Content, FileContent, GeneratedContent

BOT = "st-demo-travel"
MB = 1_000_000


def whole(content: Content) -> bytes:
    return b"".join(content.read(0, content.size))


def parse(data: bytes, file_type: str) -> list[object]:
    text = data.decode("utf-8-sig")
    return json.loads(text) if file_type == "json" else list(csv.reader(io.StringIO(text, newline="")))[1:]


@pytest.mark.parametrize("bom", [False, True])
@pytest.mark.parametrize("file_type", ["csv", "json"])
@pytest.mark.parametrize("rows", [0, 1, 2, 9_999, 10_000, 10_001, 20_000, 25_000])
def test_generated_rows_are_as_many_as_asked_and_all_different(rows, file_type, bom):
    content = GeneratedContent("travel", file_type, rows=rows, bom=bom)
    data = whole(content)
    found = parse(data, file_type)
    assert len(data) == content.size
    assert len(found) == rows == len(set(map(str, found)))


@pytest.mark.parametrize("file_type", ["csv", "json"])
@pytest.mark.parametrize("size", [1024, 1025, 1_111_111, 2_000_000, 3_333_333])
def test_generated_size_is_met_exactly_by_a_valid_file(size, file_type):
    content = GeneratedContent("bank", file_type, size=size)
    data = whole(content)
    assert len(data) == size == content.size
    assert len(parse(data, file_type)) == content.rows


def test_rows_are_numbered_in_order():
    data = whole(GeneratedContent("retail", "csv", rows=20_001)).decode()
    assert [int(n) for n in re.findall(r" #(\d{12})", data)] == list(range(20_001))


def content_of(kind: str, tmp_path: Path) -> Content:
    if kind == "bytes":
        return BytesContent(bytes(range(251)) * 5000)
    if kind == "file":
        (tmp_path / "f").write_bytes(bytes(range(251)) * 5000)
        return FileContent(str(tmp_path / "f"))
    if kind == "changed file":
        return content_of("file", tmp_path).changed()
    return GeneratedContent("travel", kind.partition(" ")[0], rows=23_456, bom="bom" in kind)


@pytest.fixture(scope="module", params=["csv", "csv bom", "json", "bytes", "file", "changed file"])
def pair(request, tmp_path_factory):
    content = content_of(request.param, tmp_path_factory.mktemp("content"))
    return content, whole(content)


@settings(max_examples=40, deadline=None)
@given(ends=st.tuples(st.floats(0, 1), st.floats(0, 1)), near=st.integers(-40, 40), whence=st.integers(0, 4))
def test_any_range_equals_the_slice(pair, ends, near, whence):
    content, data = pair
    size = content.size
    if whence:  # around the ends of the parts that a generated file is made of
        block = getattr(content, "_block_size", 1000)
        start = min(max(0, (0, block, 2 * block, size - 100)[whence - 1] + near), size)
        stop = min(start + abs(near) + 1, size)
    else:
        start, stop = sorted(int(end * size) for end in ends)
    pieces = list(content.read(start, stop))
    assert b"".join(pieces) == data[start:stop]
    assert all(len(piece) <= 1 << 20 for piece in pieces)


@pytest.mark.parametrize("kind", ["csv", "json", "bytes", "file", "changed file"])
def test_changed_content_differs_in_bytes_and_etag_but_not_in_size(kind, tmp_path):
    content = content_of(kind, tmp_path)
    changed = content.changed()
    assert changed.size == content.size
    assert changed.etag != content.etag
    assert whole(changed) != whole(content)


def test_same_settings_make_the_same_etag():
    one, two = (GeneratedContent("travel", "csv", rows=1000) for _ in range(2))
    assert one.etag == two.etag


@pytest.mark.parametrize("file_type", ["csv", "json"])
def test_ranges_over_http_equal_the_slices(client, file_type):
    client.control.configure_bot(BOT, rows=30_000)
    link = client.link(file_type=file_type)
    data = client.get(link).content
    size = len(data)
    for start, stop in itertools.pairwise([0, 1, 40, 889_000, 1_000_000, size - 50, size - 1, size]):
        assert client.get(link, range=f"bytes={start}-{stop - 1}").content == data[start:stop]


def memory(pid: int) -> int:
    """Peak of the resident memory, bytes."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match
    return int(match.group(1)) * 1024


def test_five_gigabytes_need_neither_time_nor_memory(client):
    size = 5_000 * MB
    client.control.configure_bot(BOT, size=size)
    began = time.monotonic()
    link = client.link()
    assert client.get(link, "HEAD").headers["content-length"] == str(size)
    first = client.get(link, range=f"bytes=0-{MB - 1}").content
    last = client.get(link, range=f"bytes=-{MB}").content
    assert time.monotonic() - began < 5
    assert first.startswith(b"taskName,sentence,type,language\nBook Flight,")
    assert (len(first), len(last), last[-1:]) == (MB, MB, b"\n")

    parts = urlsplit(link)
    buffer, got = bytearray(1 << 20), 0
    with socket.create_connection((parts.hostname, parts.port), 20) as sock:
        sock.sendall(f"GET {parts.path}?{parts.query} HTTP/1.1\r\nhost: {parts.netloc}\r\n\r\n".encode())
        while got < 300 * MB:
            got += sock.recv_into(buffer)
    assert memory(client.emulator.pid) < 150 * MB


def test_other_calls_are_answered_while_a_large_file_is_read_fast(client):
    client.control.configure_bot(BOT, size=5_000 * MB)
    parts = urlsplit(client.link())
    with socket.create_connection((parts.hostname, parts.port), 20) as sock:
        sock.sendall(f"GET {parts.path}?{parts.query} HTTP/1.1\r\nhost: {parts.netloc}\r\n\r\n".encode())
        for _ in range(20):
            for _ in range(20):
                sock.recv(1 << 20)
            assert client.status().status_code == 200
