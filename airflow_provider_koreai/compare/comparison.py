"""
What changed between two snapshots of a bot's utterances, decided without I/O.

Utterances are the same when task name, sentence, type and language are; entities and further columns do not count. A
snapshot is a multiset: an utterance that is there twice before and once after was removed once. What is left of a
sentence (in its language) on both sides, under other tasks, was moved.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict, deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ADDED, REMOVED, MOVED = "added", "removed", "moved"
KINDS = (ADDED, REMOVED, MOVED)
DETAIL_COLUMNS = ("change", "task_name", "previous_task_name", "sentence", "type", "language")
# Changes of each kind that a report shows.
SAMPLE_SIZE = 10


class Row(NamedTuple):
    """
    What makes an utterance; ``""`` where there is none.

    :param task_name: the task that it trains.
    :param sentence: what a user may say.
    :param type: such as ``DialogIntent``.
    :param language: such as ``en``.
    """

    task_name: str
    sentence: str
    type: str
    language: str


class Change(NamedTuple):
    """
    One difference.

    :param kind: ``added``, ``removed`` or ``moved``.
    :param row: the utterance as it is now; a removed one as it was.
    :param previous_task_name: of a moved one, else ``""``.
    """

    kind: str
    row: Row
    previous_task_name: str = ""

    def columns(self) -> tuple[str | None, ...]:
        """Give the values of :data:`DETAIL_COLUMNS`, None where there is none."""
        row = self.row
        return (
            self.kind,
            row.task_name or None,
            self.previous_task_name or None,
            row.sentence,
            row.type or None,
            row.language or None,
        )


def encode(row: Row) -> bytes:
    """
    Write a row as one line, in the only way that there is for it: equal lines are equal rows.

    A line of an exported CSV file without quotes is its row's line already.

    :param row: the row.
    """
    text = ",".join(row)
    if '"' not in text and "\n" not in text and "\r" not in text:
        try:
            return (text if text.count(",") == 3 else '"' + '"'.join(row)).encode()
        except UnicodeEncodeError:  # a lone surrogate, which JSON can express
            pass
    return json.dumps(row).encode()


def decode(line: bytes) -> Row:
    """
    Read what :func:`encode` wrote.

    :param line: the line.
    """
    if b'"' not in line:
        return Row(*line.decode().split(","))
    return Row(*(line.decode().split('"')[1:] if line.startswith(b'"') else json.loads(line)))


def pair(removed: Iterable[Row], added: Iterable[Row]) -> Iterator[Change]:
    """
    Tell what happened to a sentence.

    :param removed: what only the earlier snapshot has of one sentence in one language.
    :param added: what only the later one has of it.
    """
    gone, come = sorted(removed), sorted(added)
    if gone and come:
        # Rather to a task of the same type.
        by_type: defaultdict[str, deque[Row]] = defaultdict(deque)
        for row in come:
            by_type[row.type].append(row)
        unpaired = []
        for row in gone:
            if now := by_type[row.type]:
                yield Change(MOVED, now.popleft(), row.task_name)
            else:
                unpaired.append(row)
        gone, others = [], deque(sorted(row for rows in by_type.values() for row in rows))
        for row in unpaired:
            # Of another type only: if both ends have the row's own task, all have.
            if others and others[0].task_name != row.task_name:
                yield Change(MOVED, others.popleft(), row.task_name)
            elif others and others[-1].task_name != row.task_name:
                yield Change(MOVED, others.pop(), row.task_name)
            else:
                gone.append(row)
        come = list(others)
    for row in gone:
        yield Change(REMOVED, row)
    for row in come:
        yield Change(ADDED, row)


@dataclass
class Figures:
    """
    Numbers of utterances of a task, of a language, or of all.

    :param after: in the later snapshot.
    :param added: only there.
    :param removed: only in the earlier one.
    :param moved_in: there under another task before.
    :param moved_out: under another task now. (Of a language or of all: the same as ``moved_in``.)
    """

    after: int = 0
    added: int = 0
    removed: int = 0
    moved_in: int = 0
    moved_out: int = 0

    @property
    def before(self) -> int:
        """Number in the earlier snapshot."""
        return self.after - self.added - self.moved_in + self.removed + self.moved_out

    @property
    def changes(self) -> int:
        """How much happened."""
        return self.added + self.removed + self.moved_in + self.moved_out

    def add(self, other: Figures) -> None:
        """
        Sum up.

        :param other: what to add.
        """
        self.after += other.after
        self.added += other.added
        self.removed += other.removed
        self.moved_in += other.moved_in
        self.moved_out += other.moved_out

    def as_dict(self) -> dict[str, int]:
        """Give JSON-safe values."""
        return {"before": self.before, **asdict(self)}


class Comparison:
    """
    What is known of a comparison. It grows with the number of tasks and languages, not of utterances.

    :param before: what the earlier snapshot is, in words; ``""`` where there is none.
    :param after: what the later one is.
    """

    def __init__(self, before: str, after: str) -> None:
        self.before = before
        self.after = after
        self.total = Figures()
        self.tasks: defaultdict[str, Figures] = defaultdict(Figures)
        self.languages: defaultdict[str, Figures] = defaultdict(Figures)
        self.sample: dict[str, list[Change]] = {kind: [] for kind in KINDS}

    def count(self, tasks: Mapping[str, int], languages: Mapping[str, int]) -> None:
        """
        Take the later snapshot's numbers in.

        :param tasks: utterances by task.
        :param languages: utterances by language.
        """
        for name, number in tasks.items():
            self.tasks[name].after += number
            self.total.after += number
        for name, number in languages.items():
            self.languages[name].after += number

    def observe(self, change: Change) -> None:
        """
        Take a difference in.

        :param change: the difference.
        """
        kind, row, previous = change
        task, others = self.tasks[row.task_name], (self.languages[row.language], self.total)
        if kind == MOVED:
            task.moved_in += 1
            self.tasks[previous].moved_out += 1
            for figures in others:
                figures.moved_in += 1
                figures.moved_out += 1
        elif kind == ADDED:
            for figures in (task, *others):
                figures.added += 1
        else:
            for figures in (task, *others):
                figures.removed += 1
        if len(self.sample[kind]) < SAMPLE_SIZE:
            self.sample[kind].append(change)

    @property
    def removed_fraction(self) -> float:
        """Which part of the earlier snapshot was removed; 0 where that has nothing."""
        return self.total.removed / self.total.before if self.total.before else 0.0

    def summary(self, top: int) -> dict[str, Any]:
        """
        Give JSON-safe values of bounded size.

        :param top: tasks, and languages, to name; the others are summed up.
        """
        total = self.total
        return {
            "before": self.before,
            "after": self.after,
            "rows_before": total.before,
            "rows_after": total.after,
            "added": total.added,
            "removed": total.removed,
            "moved": total.moved_in,
            "unchanged": total.after - total.added - total.moved_in,
            "removed_fraction": self.removed_fraction,
            "tasks": ranked("task_name", self.tasks, top),
            "languages": ranked("language", self.languages, top),
        }


def ranked(label: str, figures: Mapping[str, Figures], top: int) -> list[dict[str, Any]]:
    """
    List those with the most changes first, the larger first among equals, and sum up the rest.

    :param label: what the names are.
    :param figures: by name.
    :param top: how many to name.
    :return: one dictionary each, and a last one with ``"others"`` (how many they are) where some are summed up.
    """
    order = sorted(figures, key=lambda name: (-figures[name].changes, -figures[name].after, name))
    listed = [{label: name, **figures[name].as_dict()} for name in order[:top]]
    if rest := order[top:]:
        others = Figures()
        for name in rest:
            others.add(figures[name])
        listed.append({label: "", "others": len(rest), **others.as_dict()})
    return listed


@dataclass(frozen=True)
class Limits:
    """
    What a comparison has to keep to; None means no such limit.

    :param max_removed_fraction: the largest part of the earlier snapshot that may be removed, from 0 to 1.
    :param max_removed: how many may be removed.
    :param min_rows: how many the later snapshot has to have.
    """

    max_removed_fraction: float | None = None
    max_removed: int | None = None
    min_rows: int | None = None

    def exceeded(self, comparison: Comparison) -> list[str]:
        """
        Say what the comparison does not keep to.

        :param comparison: the comparison.
        :return: one text each, with the numbers.
        """
        total, fraction = comparison.total, comparison.removed_fraction
        texts = []
        if self.max_removed_fraction is not None and fraction > self.max_removed_fraction:
            texts.append(
                f"{total.removed:,} of {total.before:,} utterances were removed, a fraction of {fraction:.6g}; "
                f"max_removed_fraction={self.max_removed_fraction:g}"
            )
        if self.max_removed is not None and total.removed > self.max_removed:
            texts.append(f"{total.removed:,} utterances were removed; max_removed={self.max_removed}")
        if self.min_rows is not None and total.after < self.min_rows:
            texts.append(f"there are {total.after:,} utterances; min_rows={self.min_rows}")
        return texts


def count_names(rows: Iterable[Row]) -> tuple[Counter[str], Counter[str]]:
    """
    Count rows by task and by language.

    :param rows: the rows.
    """
    tasks: Counter[str] = Counter()
    languages: Counter[str] = Counter()
    for row in rows:
        tasks[row.task_name] += 1
        languages[row.language] += 1
    return tasks, languages
