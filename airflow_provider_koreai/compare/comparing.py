"""
Compare two snapshots, each a file or rows of a table: SQLite finds the utterances that they do not share.

Its database is a temporary one: it grows on the disk, not in memory, and vanishes with the process.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from airflow_provider_koreai.compare.comparison import Comparison, changes
from airflow_provider_koreai.exceptions import KoreAIError, KoreAIFileError
from airflow_provider_koreai.storage.paths import PathArgument, local_path
from airflow_provider_koreai.text import is_storable, storable
from airflow_provider_koreai.utterances.reading import open_export, read_utterances

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow_provider_koreai.compare.comparison import Change

    # Task name, sentence, type and language, None or "" where there is none; more cells are ignored.
    Cells = Sequence[Any]

_SETTINGS = (
    "PRAGMA page_size = 32768",
    "PRAGMA cache_size = -16384",  # KiB; sorting takes as much again
    "PRAGMA temp_store = FILE",
    "PRAGMA journal_mode = OFF",  # nothing is ever rolled back
    "CREATE TABLE utterances (hash INTEGER, sentence TEXT, label INTEGER, sign INTEGER)",
    "BEGIN",
)
_INSERT = "INSERT INTO utterances VALUES (?, ?, ?, {sign})"
# The inner query sorts numbers, not sentences, and leaves little for the outer one, which is exact.
_CHANGES = """
    SELECT sentence, label, sum(sign) FROM utterances
    WHERE hash IN (SELECT hash FROM utterances GROUP BY hash HAVING sum(sign) <> 0)
    GROUP BY sentence, label HAVING sum(sign) <> 0 ORDER BY sentence
"""
# Rows that are Python objects at a time; more would give the garbage collector work.
_BATCH = 256


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

    :param observe: called with each change, sorted by sentence and language.
    :param top: see :class:`~airflow_provider_koreai.compare.comparison.Comparison`.
    :raises KoreAIError: a snapshot cannot be read, or there is no room for the temporary files.
    """
    comparison = Comparison(before.description if before else "", after.description, top)
    labels = _Labels()
    with _errors_of_sqlite(), closing(sqlite3.connect("", isolation_level=None)) as database:
        for statement in _SETTINGS:
            database.execute(statement)
        if before is not None:
            database.executemany(_INSERT.format(sign=-1), _rows(before, labels, Counter()))
        counts: Counter[int] = Counter()
        database.executemany(_INSERT.format(sign=1), _rows(after, labels, counts))
        names = list(labels.numbers)
        for number, count in counts.items():
            comparison.count(names[number].task_name, names[number].language, count)
        found = (
            (sentence, names[number], surplus) for sentence, number, surplus in database.execute(_CHANGES)
        )
        for change in changes(found):
            comparison.observe(change)
            if observe is not None:
                observe(change)
    return comparison


class _Label(NamedTuple):
    task_name: str
    type: str
    language: str


class _Labels(dict["tuple[str | None, ...]", int]):
    """Numbers the combinations of task name, type and language: they are few, however many utterances there are."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: dict[_Label, int] = {}

    def __missing__(self, cells: tuple[str | None, ...]) -> int:
        label = _Label(*(storable(cell or "") for cell in cells))
        number = self[cells] = self.numbers.setdefault(label, len(self.numbers))
        return number


def _rows(source: Source, labels: _Labels, counts: Counter[int]) -> Iterator[tuple[int, str, int]]:
    rows = source.rows()
    while batch := list(islice(rows, _BATCH)):
        tasks, sentences, types, languages = islice(zip(*batch, strict=True), 4)
        # As a table or a Parquet file holds them, which cannot hold everything that JSON can.
        if not is_storable("".join(sentences)):
            sentences = tuple(map(storable, sentences))
        numbers = list(map(labels.__getitem__, zip(tasks, types, languages, strict=True)))
        counts.update(numbers)
        yield from zip(map(hash, zip(sentences, numbers, strict=True)), sentences, numbers, strict=True)


@contextmanager
def _errors_of_sqlite() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        folder = os.environ.get("TMPDIR") or "/var/tmp"  # noqa: S108 - SQLite's choice
        raise KoreAIError(
            f"The temporary database in {folder!r} failed: {error}. A comparison needs about as much room there as "
            "both snapshots take uncompressed; set TMPDIR to use another folder."
        ) from error
