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

import stringzilla

from airflow_provider_koreai.utterances.json_array import JsonArrayError, JsonArrayParser

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
REQUIRED_COLUMNS = ("taskName", "sentence")
# Bytes without a newline; utterances are a few hundred characters.
MAX_LINE = 8 << 20
_MAX_HEADER = 64 << 10
_BLANK_LINE = re.compile(rb"(?<=\n)\r?\n")
# As the csv module reads it: a quote opens a field at its start only, doubled it is part of the field, and what
# stands between the closing one and the next separator belongs to the field, too.
_OPENING = re.compile(rb'"(?<=[,\r\n]")')
_QUOTED = re.compile(rb'"[^"]*(?:""[^"]*)*(?P<closed>"[^,\r\n]*)?')
_ROW_END = re.compile(rb"(?<![\r\n])(?:\r\n|\r|\n)")
# What is made of a piece while it is looked at stays in the processor's cache, and is few objects.
_PIECE = 64 << 10


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
        for start in range(0, len(data), _PIECE):
            self._feed(data[start : start + _PIECE])

    def _feed(self, data: bytes) -> None:
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
                data = data[start:end]
                self.rows += stringzilla.count(data, b"\n") - _blank_lines(data)

    def _lines_with_quotes(self, data: bytes) -> None:
        pieces = stringzilla.split(data, b'"')
        began_quoted, ends_quoted = self._quoted, self._quoted ^ (len(pieces) % 2 == 0)
        outside = pieces[1 if began_quoted else 0 :: 2]
        # Each quoted part becomes one mark, so that what is around it does not meet.
        text = b"".join((b'"' if began_quoted else b"", b'"'.join(outside), b'"' if ends_quoted else b""))
        if (
            not _is_regular(text)
            or text.startswith((b"\n", b"\r"))
            or stringzilla.find(text, b"\n\n") >= 0
            or (b"\r" in text and (text.count(b"\r") != text.count(b"\r\n") or b"\n\r\n" in text))
        ):
            self._scan(data)
        else:
            self.rows += stringzilla.count(text, b"\n")
            self._quoted = ends_quoted

    def _scan(self, data: bytes) -> None:
        """Look at whole lines quoted field by quoted field: exact whatever there is, and slower."""
        # As if behind an opening quote or behind a row.
        data = (b',"' if self._quoted else b"\n") + data
        at, self._quoted = 1, False
        while not self._quoted:
            opening = _OPENING.search(data, at)
            end = opening.start() if opening else len(data)
            self.rows += sum(1 for _ in _ROW_END.finditer(data, at, end))
            if opening is None:
                return
            field = _QUOTED.match(data, end)
            self._quoted = field is None or field["closed"] is None
            at = field.end() if field else end

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
        for start in range(0, len(data), _PIECE):
            try:
                elements = self._parser.feed(data[start : start + _PIECE])
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


def _is_regular(text: bytes) -> bool:
    """Say whether each mark of a quoted part stands alone in its field; two marks are a doubled quote."""
    marks = stringzilla.count(text, b'"')
    doubled = stringzilla.count(text, b'""', allowoverlap=True)
    return _add_up(text, marks - text.startswith(b'"') - doubled, (b',"', b'\n"')) and _add_up(
        text, marks - text.endswith(b'"') - doubled, (b'",', b'"\n', b'"\r')
    )


def _add_up(text: bytes, total: int, patterns: tuple[bytes, ...]) -> bool:
    for pattern in patterns:
        if total > 0:
            total -= stringzilla.count(text, pattern)
    return total == 0


def _blank_lines(data: bytes) -> int:
    """Count empty lines in whole lines that have no quote and begin at a row's start."""
    first = data.startswith((b"\n", b"\r\n"))
    if stringzilla.find(data, b"\n\n") < 0 and b"\r" not in data:
        return int(first)
    return first + sum(1 for _ in _BLANK_LINE.finditer(data, 1))


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
