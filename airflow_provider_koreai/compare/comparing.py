"""
Compare two snapshots, each a file or rows of a table, in memory that does not grow with them.

Both are spread over partitions on the disk by their lines' hashes, so that equal utterances meet; what is left of the
partitions, the changes, is spread once more by language and sentence, so that an utterance meets itself under another
task.
"""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Protocol

from airflow_provider_koreai.compare.comparison import (
    ADDED,
    REMOVED,
    Change,
    Comparison,
    Row,
    count_names,
    decode,
    encode,
    pair,
)
from airflow_provider_koreai.compare.partitions import COUNT, Partitions
from airflow_provider_koreai.exceptions import KoreAIFileError
from airflow_provider_koreai.text import is_storable, storable
from airflow_provider_koreai.utterances.csv_lines import IrregularError, Names, csv_lines
from airflow_provider_koreai.utterances.reading import open_export, read_utterances

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

# Rows that are Python objects at a time.
_BATCH = 8192
_SIGNS = {b"+": ADDED, b"-": REMOVED}

_OLD, _NEW = 0, 1
# Lines of a snapshot that wait for the other one to have them, too.
_WINDOW = 40_000

Batch = tuple["list[bytes]", Names]
_NOTHING: tuple[list[bytes], None] = ([], None)


class Source(Protocol):
    """A snapshot to compare."""

    @property
    def description(self) -> str:
        """What it is, in words."""

    def batches(self, *, names_too: bool) -> Iterator[Batch]:
        """
        Read it in the fastest way.

        :param names_too: whether to count.
        :return: encoded lines, and how many they are by task and by language.
        :raises IrregularError: it has to be read in the other way.
        """

    def checked_batches(self) -> Iterator[Batch]:
        """
        Read it in the way that reads whatever can be read, and names the line of what cannot.

        :return: the same.
        """


@dataclass(frozen=True)
class FileSource:
    """
    An exported file, or a Parquet file made of one.

    :param path: a local path, or a URL that ObjectStoragePath understands.
    :param storage_conn_id: the connection for an object store.
    """

    path: str
    storage_conn_id: str | None = None

    @property
    def description(self) -> str:
        """The path."""
        return str(self.path)

    def exists(self) -> bool:
        """Say whether there is such a file."""
        try:
            with open_export(self.path, None, self.storage_conn_id):
                return True
        except FileNotFoundError:
            return False

    def batches(self, *, names_too: bool) -> Iterator[Batch]:
        """Read it, see :meth:`Source.batches`."""
        with self._named(), open_export(self.path, None, self.storage_conn_id) as (kind, stream):
            if kind != "csv":
                raise IrregularError
            yield from csv_lines(stream, names_too=names_too)

    def checked_batches(self) -> Iterator[Batch]:
        """Read it, see :meth:`Source.checked_batches`."""
        with self._named():
            utterances = read_utterances(self.path, None, self.storage_conn_id)
            yield from batches_of((name or "" for name in each[:4]) for each in utterances)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
            return
        except KoreAIFileError as error:
            problem = str(error)
        raise KoreAIFileError(f"path={self.path!r:.200}: {problem}")


def batches_of(rows: Iterable[Iterable[str]]) -> Iterator[Batch]:
    """
    Encode rows.

    :param rows: task name, sentence, type and language of each; ``""`` where there is none.
    :return: what :class:`Source` gives.
    """
    made = (Row(*each) for each in rows)
    while batch := list(islice(made, _BATCH)):
        # As the table has it, or the Parquet file, whose texts cannot hold everything that JSON's can.
        if not is_storable("".join(chain.from_iterable(batch))):
            batch = [Row(*map(storable, row)) for row in batch]
        yield [encode(row) for row in batch], count_names(batch)


def compare(
    before: Source | None, after: Source, observe: Callable[[Change], None] | None = None
) -> Comparison:
    """
    Find out what changed.

    :param before: the earlier snapshot; None compares with nothing.
    :param after: the later one.
    :param observe: gets each change, in an order that depends only on what changed. Default None.
    :raises KoreAIError: a snapshot cannot be read, or there is no room for the temporary files.
    """
    with Partitions() as changes:
        with Partitions() as old, Partitions() as new:
            comparison = _spread(before, after, old, new)
            for part in range(COUNT):
                _collect(old.counts(part), new.counts(part), changes)
        for part in range(COUNT):
            for change in _changes(changes.counts(part)):
                comparison.observe(change)
                if observe is not None:
                    observe(change)
    return comparison


def _spread(before: Source | None, after: Source, old: Partitions, new: Partitions) -> Comparison:
    """Read both snapshots, and leave in the partitions what may be a change."""
    checked: list[Source] = []
    while True:
        comparison = Comparison(before.description if before else "", after.description)
        with ExitStack() as stack:
            sides = {_NEW: stack.enter_context(closing(_batches(after, checked, names_too=True)))}
            if before is not None:
                sides[_OLD] = stack.enter_context(closing(_batches(before, checked, names_too=False)))
            try:
                _read_side_by_side(sides, _Meeting(old, new), comparison)
                return comparison
            except _ReadAgainError as error:
                checked.append(error.source)
        old.clear()
        new.clear()


def _read_side_by_side(
    sides: dict[int, Generator[Batch, None, None]], meeting: _Meeting, comparison: Comparison
) -> None:
    read = [0, 0]
    while sides:
        side = min(sides, key=read.__getitem__)
        lines, names = next(sides[side], _NOTHING)
        if names is None:
            del sides[side]
            continue
        read[side] += len(lines)
        meeting.add(side, lines)
        if side == _NEW:
            comparison.count(*names)
    meeting.end()


class _ReadAgainError(Exception):
    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source


def _batches(source: Source, checked: Sequence[Source], *, names_too: bool) -> Generator[Batch, None, None]:
    if any(source is each for each in checked):
        yield from source.checked_batches()
        return
    try:
        yield from source.batches(names_too=names_too)
    except IrregularError:
        raise _ReadAgainError(source) from None


class _Meeting:
    """
    Drops what both snapshots have at about the same place; partitions get the rest.

    Exports of a bot tend to have an order, so that nearly all is dropped here, in less time and without a disk. A
    set holds each line once; what is there more often goes to the partitions.
    """

    def __init__(self, old: Partitions, new: Partitions) -> None:
        self._partitions = (old, new)
        self._waiting: tuple[set[bytes], set[bytes]] = (set(), set())
        self._met = 0
        self._is_in_vain = False

    def add(self, side: int, lines: list[bytes]) -> None:
        """Take lines of one snapshot in."""
        partitions, mine, theirs = self._partitions[side], self._waiting[side], self._waiting[1 - side]
        if self._is_in_vain:
            partitions.add(lines)
            return
        fresh = set(lines)
        if len(fresh) < len(lines):
            partitions.add(list((Counter(lines) - Counter(fresh)).elements()))
        common = fresh & theirs
        self._met += len(common)
        theirs -= common
        fresh -= common
        partitions.add(fresh & mine)
        mine |= fresh
        if len(mine) > _WINDOW:
            self._is_in_vain = self._met < _WINDOW
            self.end()

    def end(self) -> None:
        """Give what is waiting to the partitions."""
        self._met = 0
        for partitions, waiting in zip(self._partitions, self._waiting, strict=True):
            partitions.add(waiting)
            waiting.clear()


def _collect(was: Counter[bytes], now: Counter[bytes], changes: Partitions) -> None:
    """Keep what is more often on one side, with a sign before it."""
    if was == now:
        return
    for sign, these, those in ((b"-", was, now), (b"+", now, was)):
        for line, number in these.items():
            surplus = number - those[line]
            if surplus > 0:
                row = decode(line)
                part = zlib.crc32(f"{row.language}\0{row.sentence}".encode("utf-8", "surrogatepass"))
                changes.add_to(part, sign + line, surplus)


def _changes(lines: Counter[bytes]) -> Iterator[Change]:
    sentences: defaultdict[tuple[str, str], dict[str, list[Row]]] = defaultdict(
        lambda: {ADDED: [], REMOVED: []}
    )
    for line, number in lines.items():
        row = decode(line[1:])
        sentences[row.language, row.sentence][_SIGNS[line[:1]]].extend([row] * number)
    for key in sorted(sentences):
        yield from pair(sentences[key][REMOVED], sentences[key][ADDED])
