"""
Compare two snapshots, each a file or rows of a table: SQLite finds the utterances that they do not share.

Its database is a temporary one: it grows on the disk, not in memory, and vanishes with the process. Exports list a bot's
utterances in much the same order each time, so most are struck out before they reach it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import islice, repeat, zip_longest
from operator import add
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from airflow_provider_koreai.compare.comparison import Comparison, changes
from airflow_provider_koreai.exceptions import KoreAIFileError
from airflow_provider_koreai.storage.paths import PathArgument, local_path
from airflow_provider_koreai.storage.scratch import scratch_database
from airflow_provider_koreai.text import is_storable, storable
from airflow_provider_koreai.utterances.reading import open_export, read_utterances

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from airflow_provider_koreai.compare.comparison import Change

    # Task name, sentence, type and language, None or "" where there is none; more cells are ignored.
    Cells = Sequence[Any]

_TABLE = "CREATE TABLE utterances (hash INTEGER, utterance TEXT, surplus INTEGER)"
_INSERT = "INSERT INTO utterances VALUES (?, ?, ?)"
_ROOM = "A comparison needs about as much room there as both snapshots take uncompressed"
# The inner query sorts numbers, not sentences, and leaves little for the outer one, which is exact.
_CHANGES = """
    SELECT utterance, sum(surplus) FROM utterances
    WHERE hash IN (SELECT hash FROM utterances GROUP BY hash HAVING sum(surplus) <> 0)
    GROUP BY utterance HAVING sum(surplus) <> 0 ORDER BY utterance
"""
# Rows that are Python objects at a time; more would give the garbage collector work.
_BATCH = 256
# Utterances that wait for their equal in the other snapshot: enough for a new task of that size.
_WAITING = 32768
_FEW = 2048


class Source(Protocol):
    """A snapshot to compare."""

    @property
    def description(self) -> str:
        """What it is, for people."""

    def rows(self) -> Iterator[Cells]:
        """Read its utterances."""


@dataclass(frozen=True)
class FileSource:
    """
    An exported file, or a Parquet file made of one.

    :param name: the argument that the path comes from, for messages.
    """

    path: str
    storage_conn_id: str | None = None
    name: str = "path"

    def __post_init__(self) -> None:
        local_path(PathArgument.of_file(self.path, self.name).text, self.name)  # refuses what is not a path

    @property
    def description(self) -> str:
        """The path."""
        return str(self.path)

    def exists(self) -> bool:
        """Return whether there is such a file."""
        try:
            with open_export(self.path, None, self.storage_conn_id):
                return True
        except FileNotFoundError:
            return False

    def rows(self) -> Iterator[Cells]:
        """Read it, see :meth:`Source.rows`."""
        try:
            yield from read_utterances(self.path, None, self.storage_conn_id)
        except KoreAIFileError as error:
            raise KoreAIFileError(f"{self.name}={self.path!r:.200}: {error}") from error


def compare(
    before: Source | None, after: Source, observe: Callable[[Change], None] | None = None, top: int = 20
) -> Comparison:
    """
    Find out what changed; without ``before``, everything was added.

    :param observe: called with each change, sorted by sentence and language, once both snapshots have been read.
    :param top: see :class:`~airflow_provider_koreai.compare.comparison.Comparison`.
    :raises KoreAIError: a snapshot cannot be read, or there is no room for the temporary files.
    """
    comparison = Comparison(before.description if before else "", after.description, top)
    labels = _Labels()
    with scratch_database(_TABLE, _ROOM) as database:
        counts: Counter[str] = Counter()
        gone = _batches(before, labels, Counter()) if before is not None else iter(())
        database.executemany(_INSERT, _unmatched(gone, _batches(after, labels, counts)))
        names = list(labels.numbers)
        for mark, count in counts.items():
            label = names[int(mark[1:])]
            comparison.count(label.task_name, label.language, count)
        parted = ((utterance.split("\0"), surplus) for utterance, surplus in database.execute(_CHANGES))
        found = ((sentence, names[int(number)], surplus) for (sentence, number), surplus in parted)
        for change in changes(found):
            comparison.observe(change)
            if observe is not None:
                observe(change)
    return comparison


class _Label(NamedTuple):
    task_name: str
    type: str
    language: str


class _Labels(dict["tuple[str | None, ...]", str]):
    """
    Numbers the combinations of task name, type and language: they are few, however many utterances there are.

    Each has a mark, which is appended to a sentence; a sentence that was made storable has no NUL of its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.numbers: dict[_Label, int] = {}

    def __missing__(self, cells: tuple[str | None, ...]) -> str:
        label = _Label(*(storable(cell or "") for cell in cells))
        mark = self[cells] = f"\0{self.numbers.setdefault(label, len(self.numbers))}"
        return mark


def _batches(source: Source, labels: _Labels, counts: Counter[str]) -> Iterator[Iterable[str]]:
    """Return each utterance as one string, which takes less time to count, sort and collect than a tuple."""
    rows = source.rows()
    while batch := list(islice(rows, _BATCH)):
        tasks, sentences, types, languages = islice(zip(*batch, strict=True), 4)
        # As a table or a Parquet file holds them, which cannot hold everything that JSON can.
        if not is_storable("".join(sentences)):
            sentences = tuple(map(storable, sentences))
        marks = list(map(labels.__getitem__, zip(tasks, types, languages, strict=True)))
        counts.update(marks)
        yield map(add, sentences, marks)


def _unmatched(
    before: Iterator[Iterable[str]], after: Iterator[Iterable[str]]
) -> Iterator[tuple[int, str, int]]:
    """Leave out pairs of equals that come near each other; once too many wait for theirs, nothing more is left out."""
    gone: Counter[str] = Counter()
    come: Counter[str] = Counter()
    enough = _FEW
    for removed, added in zip_longest(before, after, fillvalue=()):
        gone.update(removed)
        come.update(added)
        if len(gone) + len(come) > enough:
            _strike_out(gone, come)
            waiting = len(gone) + len(come)
            if waiting > _WAITING:
                break
            enough = 2 * waiting + _FEW
    _strike_out(gone, come)
    for counter, rest, sign in ((gone, before, -1), (come, after, 1)):
        yield from zip(map(hash, counter), counter, (sign * n for n in counter.values()), strict=True)
        counter.clear()
        for batch in rest:
            utterances = list(batch)
            yield from zip(map(hash, utterances), utterances, repeat(sign))


def _strike_out(gone: Counter[str], come: Counter[str]) -> None:
    for utterance in gone.keys() & come.keys():
        surplus = come.pop(utterance) - gone.pop(utterance)
        if surplus > 0:
            come[utterance] = surplus
        elif surplus < 0:
            gone[utterance] = -surplus
