"""
An exported CSV file as lines that can be compared, or as columns, without taking each row apart.

Most rows have no quotes: their line in the file is already what :func:`~airflow_provider_koreai.compare.comparison.encode`
writes. They are checked, split and counted by the block; only rows with quotes go through the csv module.
"""

from __future__ import annotations

from collections import Counter
from itertools import zip_longest
from typing import TYPE_CHECKING, BinaryIO

from airflow_provider_koreai.compare.comparison import Row, count_names, encode
from airflow_provider_koreai.utterances.checks import BYTE_ORDER_MARK, MAX_LINE
from airflow_provider_koreai.utterances.reading import CsvError, csv_reader

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER = b"taskName,sentence,type,language"
# What fits the processor's cache.
_BLOCK = 128 << 10
_ROW = b",,,\n"
_NOT_STRUCTURE = bytes(set(range(256)) - set(b",\n"))

Names = tuple["Counter[str]", "Counter[str]"]


class IrregularError(Exception):
    """Not the usual columns, not UTF-8, or a row that is not clear: for the csv module to read, or to refuse."""


def csv_lines(stream: BinaryIO, *, names_too: bool) -> Iterator[tuple[list[bytes], Names]]:
    """
    Read a CSV file's rows as encoded lines, those with quotes a little out of the file's order.

    :param stream: the content.
    :param names_too: whether to count.
    :return: lines, and how many they are by task and by language.
    :raises IrregularError: read it in another way, from the start.
    """
    # A NUL character is compared as what a table has in its place.
    for plain_parts, quoted in _blocks(stream, but=b"\0"):
        lines, plain = _plain_lines(b"".join(plain_parts))
        rows = _quoted_rows(quoted)
        tasks, languages = count_names(rows if names_too else ())
        if names_too and lines:
            _count_plain(plain, tasks, languages)
        lines += map(encode, rows)
        yield lines, (tasks, languages)


def csv_columns(stream: BinaryIO) -> Iterator[list[list[bytes | str]]]:
    """
    Read a CSV file's columns: task names, sentences, types, languages.

    :param stream: the content.
    :return: some rows of all columns, in the file's order, as texts or as their UTF-8.
    :raises IrregularError: read the rest in another way.
    """
    for plain_parts, quoted in _blocks(stream):
        if any(b"\r" in part for part in plain_parts):
            plain_parts = [part.replace(b"\r\n", b"\n") for part in plain_parts]
        _, plain = _plain_lines(b"".join(plain_parts))
        if len(plain) != sum(map(len, plain_parts)):  # there were empty lines
            raise IrregularError
        cells: list[bytes | str] = []
        for part, row in zip_longest(plain_parts, _quoted_rows(quoted), fillvalue=()):
            if part:
                cells += part[:-1].replace(b"\n", b",").split(b",")
            cells += row
        if cells:
            yield [cells[index::4] for index in range(4)]


def _blocks(stream: BinaryIO, *, but: bytes | None = None) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Give what :func:`_cut` makes of a file, block by block, but of none that holds this byte."""
    header = stream.readline(1 << 10)
    if header.removeprefix(BYTE_ORDER_MARK).rstrip(b"\r\n") != _HEADER:
        raise IrregularError
    rest, is_open = b"", True
    while is_open:
        data = stream.read(_BLOCK)
        is_open = bool(data)
        if but is not None and but in data:
            raise IrregularError
        block = rest + data
        if not is_open and block and not block.endswith(b"\n"):
            block += b"\n"
        plain, quoted, rest = _cut(block)
        if len(rest) > MAX_LINE or (rest and not is_open):
            raise IrregularError
        yield plain, quoted


def _cut(block: bytes) -> tuple[list[bytes], list[bytes], bytes]:
    """Give a block's lines without quotes, the rows with quotes between them, and the beginning of a row to come."""
    plain: list[bytes] = []
    quoted: list[bytes] = []
    at = 0
    while (quote := block.find(b'"', at)) >= 0:
        start = max(block.rfind(b"\n", at, quote) + 1, at)
        plain.append(block[at:start])
        end, inside = start, False
        while end == start or inside:
            seen, end = end, block.find(b"\n", end) + 1
            if not end:
                return plain, quoted, block[start:]
            inside ^= block.count(b'"', seen, end) % 2 == 1
        quoted.append(block[start:end])
        at = end
    end = max(block.rfind(b"\n", at) + 1, at)
    plain.append(block[at:end])
    return plain, quoted, block[end:]


def _plain_lines(text: bytes) -> tuple[list[bytes], bytes]:
    if b"\r" in text:
        if text.count(b"\r") != text.count(b"\r\n"):
            raise IrregularError
        text = text.replace(b"\r\n", b"\n")
    lines = text.split(b"\n")
    lines.pop()
    if text.translate(None, _NOT_STRUCTURE) != _ROW * len(lines):
        lines = [line for line in lines if line]
        if any(line.count(b",") != 3 for line in lines):
            raise IrregularError
        text = b"".join(line + b"\n" for line in lines)
    try:
        text.decode()
    except UnicodeDecodeError:
        raise IrregularError from None
    return lines, text


def _count_plain(text: bytes, tasks: Counter[str], languages: Counter[str]) -> None:
    # Every third piece is a row's language and the next row's task: few different ones.
    pieces = text.split(b",")
    tasks[pieces[0].decode()] += 1
    for piece, number in Counter(pieces[3::3]).items():
        language, _, task = piece.decode().partition("\n")
        languages[language] += number
        tasks[task] += number
    tasks[""] -= 1  # what follows the last row
    if not tasks[""]:
        del tasks[""]


def _quoted_rows(texts: list[bytes]) -> list[Row]:
    try:
        rows = list(csv_reader(text.decode() for text in texts))
    except (UnicodeDecodeError, CsvError):
        rows = []
    if len(rows) != len(texts) or any(len(row) != 4 for row in rows):
        raise IrregularError
    return [Row(*row) for row in rows]
