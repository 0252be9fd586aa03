"""The media server's side of HTTP: validators, ranges and compression of one file."""

from __future__ import annotations

import re
from email.utils import formatdate
from typing import TYPE_CHECKING

from airflow_provider_koreai.emulator.replies import Reply, error_reply, gzipped

if TYPE_CHECKING:
    from airflow_provider_koreai.emulator.content import Content
    from airflow_provider_koreai.emulator.settings import BotSettings
    from airflow_provider_koreai.emulator.state import StoredFile

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json; charset=utf-8"}


class UnsatisfiableRangeError(Exception):
    """The range starts after the end of the file."""


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """Return the first byte and the one after the last; None if the header is to be ignored."""
    match = _RANGE.fullmatch(header.strip())
    if match is None or match.group(0) == "bytes=-":
        return None
    first, last = match.groups()
    if first and last and int(first) > int(last):
        return None
    if first:
        start, stop = int(first), int(last) + 1 if last else size
    else:
        start, stop = max(0, size - int(last)), size
    if start >= size or start >= stop:
        raise UnsatisfiableRangeError
    return start, min(stop, size)


def file_reply(
    file: StoredFile,
    settings: BotSettings,
    method: str,
    range_header: str | None,
    if_range: str | None,
    accept_encoding: str,
) -> Reply:
    """Return the answer to a good download link."""
    content: Content = file.content
    headers = {
        "content-type": _TYPES[file.file_type],
        "content-disposition": f'attachment; filename="{file.name}"',
        "last-modified": formatdate(file.modified, usegmt=True),
    }
    if settings.etag != "none":
        headers["etag"] = content.etag if settings.etag == "strong" else "W/" + content.etag
    if settings.ranges:
        headers["accept-ranges"] = "bytes"
    whole = Reply(200, headers, lambda: content.read(0, content.size), content.size)
    if settings.gzip and re.search(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", accept_encoding):
        return gzipped(whole)
    if not settings.ranges or range_header is None or method != "GET":
        return whole
    if if_range is not None and not _still_valid(if_range, headers):
        return whole
    try:
        span = parse_range(range_header, content.size)
    except UnsatisfiableRangeError:
        return error_reply(416, "Range Not Satisfiable", headers={"content-range": f"bytes */{content.size}"})
    if span is None:
        return whole
    start, stop = span
    headers["content-range"] = f"bytes {start}-{stop - 1}/{content.size}"
    return Reply(206, headers, lambda: content.read(start, stop), stop - start)


def _still_valid(if_range: str, headers: dict[str, str]) -> bool:
    """Return whether If-Range matches: a weak ETag never does, and a date must be equal."""
    if if_range.startswith('"'):
        return if_range == headers.get("etag")
    return if_range == headers["last-modified"]
