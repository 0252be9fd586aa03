"""
More lines than fit into memory, in parts that do.

A line goes to a part by its hash, so that equal lines meet in the same one. What is not in memory is in one unnamed
temporary file, which vanishes with the process, however that ends.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.exceptions import KoreAIError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

# With 10 million utterances of 100 bytes: 4 MB each.
COUNT = 256
# Bytes in memory before they go to the disk.
_LIMIT = 12 << 20
# The lowest bits decide where a line stands in a dictionary; equal ones in all of a part's lines would slow it down.
_SHIFT = 40


class Partitions:
    """Takes lines in (bytes without a newline) and gives them out part by part. Close it, or use it with ``with``."""

    def __init__(self) -> None:
        self._buckets: list[list[bytes]] = [[] for _ in range(COUNT)]
        self._size = 0
        self._chunks: list[list[tuple[int, int]]] = [[] for _ in range(COUNT)]
        self._file: Any = None

    def __enter__(self) -> Partitions:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, lines: Collection[bytes]) -> None:
        """
        Add lines to the parts that their hashes name.

        :param lines: the lines.
        """
        buckets = self._buckets
        for line in lines:
            buckets[hash(line) >> _SHIFT & (COUNT - 1)].append(line)
        self._grow(sum(map(len, lines)))

    def add_to(self, part: int, line: bytes, number: int) -> None:
        """
        Add a line to one part.

        :param part: which; only its lowest bits count.
        :param line: the line.
        :param number: how often.
        """
        self._buckets[part & (COUNT - 1)].extend([line] * number)
        self._grow(len(line) * number)

    def counts(self, part: int) -> Counter[bytes]:
        """
        Say how often a part has each of its lines.

        :param part: which.
        :raises KoreAIError: the temporary file cannot be read.
        """
        found: Counter[bytes] = Counter()
        for lines in self._stored(part):
            found.update(lines)
        found.update(self._buckets[part])
        return found

    def clear(self) -> None:
        """Forget all lines."""
        self.close()
        self._file, self._size = None, 0
        for bucket, chunks in zip(self._buckets, self._chunks, strict=True):
            bucket.clear()
            chunks.clear()

    def close(self) -> None:
        """Give the temporary file back."""
        if self._file is not None:
            self._file.close()

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size >= _LIMIT:
            self._spill()

    def _spill(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by close()
            self._write(self._file)
            return
        except OSError as error:
            problem = error.strerror or type(error).__name__
        raise _failed("written", problem)

    def _write(self, file: Any) -> None:
        at = file.tell()
        pieces = []
        for bucket, chunks in zip(self._buckets, self._chunks, strict=True):
            if bucket:
                data = b"\n".join(bucket)
                bucket.clear()
                chunks.append((at, len(data)))
                pieces.append(data)
                at += len(data)
        everything = memoryview(b"".join(pieces))
        while everything:
            everything = everything[file.write(everything) :]
        self._size = 0

    def _stored(self, part: int) -> Iterator[Iterable[bytes]]:
        for at, size in self._chunks[part]:
            try:
                self._file.seek(at)
                data, problem = self._file.read(size), ""
            except OSError as error:
                data, problem = b"", error.strerror or type(error).__name__
            if problem or len(data) != size:
                raise _failed("read", problem or "it is shorter than what was written")
            yield data.split(b"\n")


def _failed(what: str, problem: str) -> KoreAIError:
    return KoreAIError(
        f"The temporary file in {tempfile.gettempdir()!r} could not be {what}: {problem}. Comparing needs as much "
        "room there as both snapshots take uncompressed; TMPDIR names another folder."
    )
