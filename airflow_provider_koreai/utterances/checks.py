"""
Is a file the CSV or JSON that it claims to be, and how many rows does it have? Decided while it streams, without I/O.

Rows are counted as the csv module reads them: a newline inside quotes does not end a row, and an empty line is not
one. Bytes methods do the work on blocks of whole lines; a block with a quote in an unusual place is read field by field.
"""

from __future__ import annotations

import csv
import io
import re
from operator import itemgetter
from typing import Protocol

from airflow_provider_koreai.utterances.json_array import JsonArrayError, JsonArrayParser

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
REQUIRED_COLUMNS = ("taskName", "sentence")
# Bytes without a newline; utterances are a few hundred characters.
MAX_LINE = 8 << 20
_MAX_HEADER = 64 << 10
# What a block is turned into stays in the processor's cache.
_BLOCK = 64 << 10
# A row, once all but these is deleted, still shows where it ends and that it is not empty.
_STRUCTURE = b'",\r\n'
_TEXT = bytes(set(range(256)) - set(_STRUCTURE))
_SEPARATORS = frozenset(b",\r\n")
_last = itemgetter(-1)
# As the csv module reads it: a quote opens a field only at its start, a doubled quote is part of the field, and so is
# whatever stands between the closing quote and the next separator.
_OPENING = re.compile(rb'"(?<=[,\r\n]")')
_QUOTED = re.compile(rb'"[^"]*(?:""[^"]*)*(?P<closed>"[^,\r\n]*)?')
_ROW_END = re.compile(rb"(?<![\r\n])(?:\r\n|\r|\n)")


class ContentError(Exception):
    """The content is not what it claims to be. The text may show a few column names, but no data."""


class Check(Protocol):
    """Checks a file of one type; its pieces may be cut anywhere."""

    rows: int

    def feed(self, data: bytes) -> None:
        """Check the next piece, and raise ContentError once the content cannot be right."""

    def finish(self) -> None:
        """Check the end, and raise ContentError if something is missing."""


def check_for(file_type: str) -> Check:
    """Return a new check for ``csv`` or ``json``."""
    return CsvCheck() if file_type == "csv" else JsonCheck()


class CsvCheck:
    """Checks a CSV file: its header names the columns that utterances need, and it does not end inside a row."""

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
        """Check the next piece, see :meth:`Check.feed`."""
        if not self._began:
            data = self._begin(data)
        start = 0
        if self._rest:
            start = data.find(b"\n") + 1
            if start:
                line = b"".join(self._rest) + data[:start]
                self._rest, self._rest_size = [], 0
                self._lines(line)
        while end := _end_of_lines(data, start):
            self._lines(data[start:end])
            start = end
        if start < len(data):
            self._keep(data[start:])

    def _keep(self, part: bytes) -> None:
        self._rest.append(part)
        self._rest_size += len(part)
        if self._rest_size > (MAX_LINE if self.header else _MAX_HEADER):
            raise ContentError(
                "a line is longer than 8 MiB"
                if self.header
                else _not_csv(b"".join(self._rest), "its first line is longer than 64 KiB")
            )

    def finish(self) -> None:
        """Check the end, see :meth:`Check.finish`."""
        line = b"".join(self._rest)
        if line:
            if self.header is not None and not self._quoted:
                self._check_last(line)
            self._lines(line + b"\n")
        if self._head or self.header is None:
            raise ContentError(
                _not_csv(self._head, "its header does not end") if self._head else "it is empty"
            )
        if self._quoted:
            raise ContentError("it ends inside a quoted field")

    def _begin(self, data: bytes) -> bytes:
        """Hold the first bytes back until they show whether they are a byte-order mark."""
        data = b"".join([*self._rest, data])
        self._rest = []
        if len(data) < len(BYTE_ORDER_MARK) and BYTE_ORDER_MARK.startswith(data):
            self._rest = [data]
            return b""
        self._began = True
        return data.removeprefix(BYTE_ORDER_MARK)

    def _lines(self, lines: bytes) -> None:
        """Check whole lines."""
        start = 0
        while self.header is None and start < len(lines):
            newline = lines.find(b"\n", start) + 1
            self._head += lines[start:newline]
            # A header may have a newline inside quotes, too.
            self._head_is_open ^= lines.count(b'"', start, newline) % 2 == 1
            start = newline
            if not self._head_is_open:
                self._read_header()
            elif len(self._head) > _MAX_HEADER:
                raise ContentError(_not_csv(self._head, "its header is longer than 64 KiB"))
        if start < len(lines):
            self._count(lines[start:])

    def _count(self, lines: bytes) -> None:
        pieces = lines.split(b'"')
        outside = pieces[1 if self._quoted else 0 :: 2]
        # A quote opens a field only at its start; after a quoted part without anything in between, it is doubled.
        if len(pieces) > 1 and not _SEPARATORS.issuperset(map(_last, filter(None, outside))):
            return self._scan(lines)
        ends_quoted = self._quoted ^ (len(pieces) % 2 == 0)
        # One quote stands for each quoted part, so that what surrounds it stays apart.
        text = b'"'.join([b"", *outside] if self._quoted else outside) + (b'"' if ends_quoted else b"")
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n")
        structure = text.translate(None, _TEXT)
        if b"\n\n" in structure or b"\r" in structure or structure.startswith(b"\n"):
            return self._scan(lines)
        self.rows += structure.count(b"\n")
        self._quoted = ends_quoted

    def _scan(self, data: bytes) -> None:
        """Count field by field: exact for any content, but slower."""
        # As if these lines came after an opening quote, or after another row.
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
    """Checks a JSON file: one complete array of objects, the first of them with a sentence."""

    def __init__(self) -> None:
        self.rows = 0
        self._parser = JsonArrayParser()

    def feed(self, data: bytes) -> None:
        """Check the next piece, see :meth:`Check.feed`."""
        for start in range(0, len(data), _BLOCK):
            try:
                elements = self._parser.feed(data[start : start + _BLOCK])
            except JsonArrayError as error:
                raise ContentError(str(error)) from error
            if elements and not self.rows and "sentence" not in elements[0]:
                raise ContentError("its first element has no 'sentence'")
            self.rows += len(elements)

    def finish(self) -> None:
        """Check the end, see :meth:`Check.finish`."""
        try:
            self._parser.close()
        except JsonArrayError as error:
            raise ContentError(str(error)) from error


def _end_of_lines(data: bytes, start: int) -> int:
    """Return where the whole lines of a block from ``start`` on end; 0 if there is none."""
    return data.rfind(b"\n", start, start + _BLOCK) + 1 or data.find(b"\n", start + _BLOCK) + 1


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
