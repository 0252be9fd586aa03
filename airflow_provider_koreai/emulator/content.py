"""What a download link serves: files of any size, readable from any offset."""

from __future__ import annotations

import abc
import bisect
import functools
import hashlib
import os
import weakref
from itertools import accumulate
from typing import TYPE_CHECKING

from airflow_provider_koreai.emulator.data import (
    BYTE_ORDER_MARK,
    Utterance,
    csv_header,
    csv_row,
    data_sets,
    json_entry,
    render,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 512 * 1024
#: Generated files repeat a block of this many rows, in which only the number of the block differs.
_BLOCK_ROWS = 10_000
_BLOCK_DIGITS = 7
#: The smallest ``size`` that can be generated: room for the header, one row and the closing bracket.
MIN_SIZE = 1024
#: Stands for the number of the block; no utterance has this character.
_MARK = "\ue000"


class Content(abc.ABC):
    """The bytes of one export file."""

    size: int
    etag: str

    @abc.abstractmethod
    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes from ``start`` to before ``stop`` in pieces of about half a MiB."""

    @abc.abstractmethod
    def changed(self) -> Content:
        """Other content of the same kind and size, with another ETag."""


def _etag(*parts: object) -> str:
    digest = hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()
    return f'"{digest[:32]}"'


class BytesContent(Content):
    """Content that is small enough for memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)
        self.etag = _etag(hashlib.sha256(data).hexdigest())

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """See :meth:`Content.read`."""
        for at in range(start, stop, CHUNK):
            yield self._data[at : min(at + CHUNK, stop)]

    def changed(self) -> Content:
        """Return the halves swapped, or other bytes where that makes no difference."""
        middle = len(self._data) // 2
        swapped = self._data[middle:] + self._data[:middle]
        if swapped == self._data:
            swapped = bytes(byte ^ 1 for byte in self._data) or b"\n"
        return BytesContent(swapped)


class DataSetContent(BytesContent):
    """A built-in data set."""

    def __init__(self, name: str, file_type: str, *, bom: bool = False, turn: int = 0) -> None:
        self._key = (name, file_type, bom, turn)
        rows = data_sets()[name]
        super().__init__(render(rows[turn:] + rows[:turn], file_type, bom=bom))

    def changed(self) -> Content:
        """Return the same rows with the first one last."""
        name, file_type, bom, turn = self._key
        return DataSetContent(name, file_type, bom=bom, turn=turn + 1)


class FileContent(Content):
    """A file on disk, which may be replaced (by renaming another one) while it is served, but not written to."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)
        info = os.fstat(self._descriptor)
        self.size = info.st_size
        self.etag = _etag(path, info.st_size, info.st_mtime_ns, info.st_ino)

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """See :meth:`Content.read`."""
        while start < stop and (data := os.pread(self._descriptor, min(CHUNK, stop - start), start)):
            start += len(data)
            yield data

    def changed(self) -> Content:
        """Return the bytes turned by one."""
        return _TurnedContent(self)


class _TurnedContent(Content):
    def __init__(self, inner: Content) -> None:
        self._inner = inner
        self.size = inner.size
        self.etag = _etag("turned", inner.etag)

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        yield from self._inner.read(min(start + 1, self.size), min(stop + 1, self.size))
        if start < stop == self.size:
            yield from self._inner.read(0, 1)

    def changed(self) -> Content:
        return _TurnedContent(self)


@functools.lru_cache(maxsize=8)
def _block(name: str, file_type: str) -> tuple[tuple[bytes, ...], tuple[int, ...]]:
    """Return what stands around the block number in a block, and where its rows start; last, where it ends."""
    phrases = data_sets()[name] or data_sets()["travel"]
    pieces: list[str] = [""]
    lengths: list[int] = []
    for index in range(_BLOCK_ROWS):
        row = phrases[index % len(phrases)]
        numbered = Utterance(row.task, f"{row.sentence} #{_MARK}", row.type, row.language)
        text = csv_row(numbered) if file_type == "csv" else json_entry(numbered) + ",\n"
        before, _, after = text.partition(_MARK)
        pieces[-1] += before
        pieces.append(f"{index:04d}{after}")
        lengths.append(len(text.encode()) - len(_MARK.encode()) + _BLOCK_DIGITS + 1 + 4)
    return tuple(piece.encode() for piece in pieces), tuple(accumulate(lengths, initial=0))


class GeneratedContent(Content):
    """Rows without end, each with its number; nothing of it is kept in memory.

    Every block of 10,000 rows has the same length, because a row's number has a fixed width: so the block
    that holds a given offset is found by division.

    :param name: data set that the sentences are taken from.
    :param file_type: ``csv`` or ``json``.
    :param rows: number of rows.
    :param size: number of bytes instead, at least 1024; met exactly by filling up the last sentence.
    :param bom: start with a byte-order mark.
    :param version: first digit of the rows' numbers.
    """

    def __init__(
        self,
        name: str,
        file_type: str,
        *,
        rows: int | None = None,
        size: int | None = None,
        bom: bool = False,
        version: int = 0,
    ) -> None:
        self._key = (name, file_type, rows, size, bom, version)
        self._version = version
        self._pieces, self._offsets = _block(name, file_type)
        self._block_size = self._offsets[-1]
        opening = csv_header() if file_type == "csv" else "[\n"
        self._prefix = (BYTE_ORDER_MARK if bom else b"") + opening.encode()
        if size is not None:
            rows = self._rows_within(size - len(self._prefix))
        self.rows = rows or 0
        if self.rows:
            self._middle = self._rows_length(self.rows - 1)
            tail = self._row(self.rows - 1)
            if size is not None:
                number = self._number(self.rows - 1)
                filler = size - len(self._prefix) - self._middle - len(tail)
                tail = tail.replace(number, number + b"." * filler)
            self._tail = tail if file_type == "csv" else tail[:-2] + b"\n]"
        else:
            self._middle = 0
            self._tail = b"" if file_type == "csv" else b"]"
        self.size = len(self._prefix) + self._middle + len(self._tail)
        self.etag = _etag(*self._key)

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """See :meth:`Content.read`."""
        yield from _slice(self._prefix, start, stop)
        first, last = len(self._prefix), len(self._prefix) + self._middle
        at, end = max(start, first), min(stop, last)
        while at < end:
            block, skip = divmod(at - first, self._block_size)
            data = self._build(block)
            take = min(len(data) - skip, end - at)
            for piece in range(skip, skip + take, CHUNK):
                yield data[piece : min(piece + CHUNK, skip + take)]
            at += take
        yield from _slice(self._tail, start - last, stop - last)

    def changed(self) -> Content:
        """Return the same rows with other numbers."""
        name, file_type, rows, size, bom, version = self._key
        return GeneratedContent(name, file_type, rows=rows, size=size, bom=bom, version=(version + 1) % 10)

    def _rows_length(self, rows: int) -> int:
        return rows // _BLOCK_ROWS * self._block_size + self._offsets[rows % _BLOCK_ROWS]

    def _rows_within(self, length: int) -> int:
        blocks, rest = divmod(length, self._block_size)
        return blocks * _BLOCK_ROWS + bisect.bisect_right(self._offsets, rest) - 1

    def _build(self, block: int) -> bytes:
        return self._slot(block).join(self._pieces)

    def _slot(self, block: int) -> bytes:
        return f"{self._version}{block:0{_BLOCK_DIGITS}d}".encode()

    def _number(self, row: int) -> bytes:
        block, index = divmod(row, _BLOCK_ROWS)
        return self._slot(block) + f"{index:04d}".encode()

    def _row(self, row: int) -> bytes:
        block, index = divmod(row, _BLOCK_ROWS)
        return self._build(block)[self._offsets[index] : self._offsets[index + 1]]


def _slice(data: bytes, start: int, stop: int) -> Iterator[bytes]:
    part = data[max(start, 0) : max(stop, 0)]
    if part:
        yield part
