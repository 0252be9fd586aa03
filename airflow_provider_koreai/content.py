"""
Is it the CSV or the JSON that it claims to be, and how many rows has it? Decided while it streams, without I/O.

Rows are counted as the csv module would: a newline inside quotes ends no row, an empty line is none. The work
is done by bytes methods on large blocks; what they cannot decide exactly goes through a slower, exact scan.
"""

from __future__ import annotations

import csv
import io
import re
from typing import Protocol

from airflow_provider_koreai.json_array import JsonArrayError, JsonArrayParser

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
REQUIRED_COLUMNS = ("taskName", "sentence")
# Bytes without a newline; utterances are a few hundred characters.
MAX_LINE = 8 << 20
_MAX_HEADER = 64 << 10
_BLANK_LINE = re.compile(rb"(?<=\n)\r?\n")
# A field and what ends it, as the csv module reads it: quotes count at a field's start only.
_FIELD = re.compile(
    rb'(?:(?P<quoted>"[^"]*(?:""[^"]*)*(?P<closed>"[^,\r\n]*)?)|(?P<bare>[^,\r\n]*))(?P<end>,|\r\n|\r|\n|\Z)'
)


class ContentError(Exception):
    """The content is not what it claims to be. The text says how; it may show a few column names, no data."""


class Check(Protocol):
    """What both file types' checks offer."""

    rows: int

    def feed(self, data: bytes) -> None:
        """
        Look at the next piece.

        :param data: the piece; pieces may be cut anywhere.
        :raises ContentError: the content cannot be right any more.
        """

    def finish(self) -> None:
        """
        Look at the end.

        :raises ContentError: something is missing.
        """


def check_for(file_type: str) -> Check:
    """
    Give a fresh check.

    :param file_type: ``csv`` or ``json``.
    """
    return CsvCheck() if file_type == "csv" else JsonCheck()


class CsvCheck:
    """Checks a CSV file: its header names the columns that utterances need; it does not end inside a row."""

    def __init__(self) -> None:
        self.rows = 0
        self.header: tuple[str, ...] | None = None
        self._head = b""
        self._head_is_open = False
        self._began = False
        self._quoted = False  # whether the next line begins inside a quoted field
        self._rest: list[bytes] = []  # the beginning of a line whose end has not come yet
        self._rest_size = 0

    def feed(self, data: bytes) -> None:
        """
        Look at the next piece.

        :param data: the piece; pieces may be cut anywhere.
        :raises ContentError: the content cannot be right any more.
        """
        if not self._began:
            data = self._begin(data)
        end = data.rfind(b"\n") + 1
        start = 0
        if end and self._rest:
            start = data.find(b"\n") + 1
            line = b"".join(self._rest) + data[:start]
            self._rest, self._rest_size = [], 0
            self._lines(line, 0, len(line))
        if start < end:
            self._lines(data, start, end)
        if end < len(data):
            self._rest.append(data[end:])
            self._rest_size += len(data) - end
            if self._rest_size > (MAX_LINE if self.header else _MAX_HEADER):
                raise ContentError(
                    "a line is longer than 8 MiB"
                    if self.header
                    else _not_csv(b"".join(self._rest), "its first line is longer than 64 KiB")
                )

    def finish(self) -> None:
        """
        Look at the end.

        :raises ContentError: the file is empty, or ends inside a row.
        """
        line = b"".join(self._rest)
        if line:
            if self.header is not None and not self._quoted:
                self._check_last(line)
            self._lines(line + b"\n", 0, len(line) + 1)
        if self._head or self.header is None:
            raise ContentError(
                _not_csv(self._head, "its header does not end") if self._head else "it is empty"
            )
        if self._quoted:
            raise ContentError("it ends inside a quoted field")

    def _begin(self, data: bytes) -> bytes:
        """Hold the first bytes back until a byte-order mark can be told."""
        data = b"".join([*self._rest, data])
        self._rest = []
        if len(data) < len(BYTE_ORDER_MARK) and BYTE_ORDER_MARK.startswith(data):
            self._rest = [data]
            return b""
        self._began = True
        return data.removeprefix(BYTE_ORDER_MARK)

    def _lines(self, data: bytes, start: int, end: int) -> None:
        """Look at whole lines: ``data[start:end]`` ends with a newline."""
        while self.header is None and start < end:
            newline = data.find(b"\n", start, end) + 1
            self._head += data[start:newline]
            # A header may have a newline inside quotes, too.
            self._head_is_open ^= data.count(b'"', start, newline) % 2 == 1
            start = newline
            if not self._head_is_open:
                self._read_header()
            elif len(self._head) > _MAX_HEADER:
                raise ContentError(_not_csv(self._head, "its header is longer than 64 KiB"))
        if start >= end:
            return
        if data.find(b'"', start, end) >= 0:
            self._lines_with_quotes(data[start:end])
        elif not self._quoted:
            if data.find(b"\r", start, end) >= 0 and data.count(b"\r", start, end) != data.count(
                b"\r\n", start, end
            ):
                self._scan(data[start:end])
            else:
                self.rows += data.count(b"\n", start, end) - _blank_lines(data, start, end)

    def _lines_with_quotes(self, data: bytes) -> None:
        # A doubled quote changes nothing about where rows end, wherever it stands.
        pieces = (data.replace(b'""', b"") if b'""' in data else data).split(b'"')
        ends_quoted = self._quoted ^ (len(pieces) % 2 == 0)
        # What is outside quotes, each quoted part shrunk to one mark.
        outside = b'"'.join(pieces[1 if self._quoted else 0 :: 2])
        if self._quoted:
            outside = b'"' + outside if len(pieces) > 1 else b""
        if ends_quoted and len(pieces) > 1:
            outside += b'"'
        if self._is_regular(outside, ends_quoted=ends_quoted):
            self.rows += outside.count(b"\n")
            self._quoted = ends_quoted
        else:
            self._scan(data)

    def _is_regular(self, outside: bytes, *, ends_quoted: bool) -> bool:
        """Whether every quote opens at a field's start and closes at a field's end, and no line may be empty."""
        marks = outside.count(b'"')
        opened = outside.count(b',"') + outside.count(b'\n"') + outside.startswith(b'"')
        closed = outside.count(b'",') + outside.count(b'"\n') + outside.count(b'"\r')
        if opened != marks or closed + (ends_quoted and outside.endswith(b'"')) != marks:
            return False
        if outside.startswith((b"\n", b"\r")) or b"\n\n" in outside:
            return False
        return b"\r" not in outside or (
            outside.count(b"\r") == outside.count(b"\r\n") and b"\n\r\n" not in outside
        )

    def _scan(self, data: bytes) -> None:
        """Look at whole lines field by field: exact, and some ten times slower."""
        if self._quoted:
            data = b'"' + data
        at, size, fields = 0, len(data), 0
        self._quoted = False
        while at < size:
            match = _FIELD.match(data, at)
            if match is None:  # pragma: no cover - the pattern matches anything
                raise ContentError("it cannot be read as CSV")
            at = match.end()
            if match["quoted"] is not None and match["closed"] is None:
                self._quoted = True
                return
            fields += 1
            if match["end"] != b",":
                self.rows += fields > 1 or match.start("end") > match.start()
                fields = 0

    def _read_header(self) -> None:
        head, self._head = self._head, b""
        try:
            lines = list(csv.reader(io.StringIO(head.decode("utf-8"), newline="")))
        except (UnicodeDecodeError, csv.Error):
            lines = []
        if not lines or not set(REQUIRED_COLUMNS) <= {name.strip() for name in lines[0]}:
            raise ContentError(_not_csv(head, _columns_text(lines[0] if lines else [])))
        self.header = tuple(name.strip() for name in lines[0])
        self.rows += sum(1 for line in lines[1:] if line)

    def _check_last(self, line: bytes) -> None:
        """A last line without a newline may be one that was cut."""
        try:
            row = next(csv.reader([line.decode("latin-1").replace("\0", " ")]), [])
        except csv.Error:
            return
        if self.header is not None and len(row) < len(self.header):
            raise ContentError(
                f"its last row has {len(row)} of {len(self.header)} columns and no line end: it was cut off"
            )


class JsonCheck:
    """Checks a JSON file: one array of objects, complete, the first of them with a sentence."""

    def __init__(self) -> None:
        self.rows = 0
        self._parser = JsonArrayParser()

    def feed(self, data: bytes) -> None:
        """
        Look at the next piece.

        :param data: the piece; pieces may be cut anywhere.
        :raises ContentError: the content cannot be right any more.
        """
        try:
            elements = self._parser.feed(data)
            problem = ""
        except JsonArrayError as error:
            elements, problem = [], str(error)
        if problem:
            raise ContentError(problem)
        if elements and not self.rows and "sentence" not in elements[0]:
            raise ContentError("its first element has no 'sentence'")
        self.rows += len(elements)

    def finish(self) -> None:
        """
        Look at the end.

        :raises ContentError: the array is not complete.
        """
        try:
            self._parser.close()
            problem = ""
        except JsonArrayError as error:
            problem = str(error)
        if problem:
            raise ContentError(problem)


def _blank_lines(data: bytes, start: int, end: int) -> int:
    """Count empty lines in whole lines that have no quote and begin at a row's start."""
    first = data.startswith((b"\n", b"\r\n"), start, end)
    # rfind: for two characters it is the faster one of the two directions.
    if data.rfind(b"\n\n", start, end) < 0 and data.find(b"\r", start, end) < 0:
        return int(first)
    return first + sum(1 for _ in _BLANK_LINE.finditer(data, start + 1, end))


def _columns_text(columns: list[str]) -> str:
    shown = ", ".join(repr(name[:40]) for name in columns[:8])
    return f"its first line has no columns {' and '.join(REQUIRED_COLUMNS)}" + (
        f", but {shown}" if shown else ""
    )


def _not_csv(beginning: bytes, problem: str) -> str:
    text = beginning.lstrip()
    if text.startswith(b"<"):
        return "it is HTML or XML, not CSV"
    if text.startswith((b"{", b"[")):
        return "it is JSON, not CSV"
    if b"\0" in text or text.startswith((b"\x1f\x8b", b"PK\x03\x04")):
        return "it is binary data, not CSV"
    return problem
