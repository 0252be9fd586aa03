"""
What changed between two snapshots of a bot's utterances, decided without I/O.

Two utterances are equal if task name, sentence, type and language are; entities and further columns do not count. A
snapshot is a multiset: an utterance that occurs twice before and once after was removed once. A sentence that left one
task while the same sentence, in the same language, came to another was moved.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ADDED, REMOVED, MOVED = "added", "removed", "moved"
KINDS = (ADDED, REMOVED, MOVED)
DETAIL_COLUMNS = ("change", "task_name", "previous_task_name", "sentence", "type", "language")
DETAIL_REQUIRED = ("change", "sentence")


class Row(NamedTuple):
    """What identifies an utterance; ``""`` where a value is absent."""

    task_name: str
    sentence: str
    type: str
    language: str


class Change(NamedTuple):
    """One difference; the row is the utterance as it is now, or as it was if it was removed."""

    kind: str
    row: Row
    previous_task_name: str = ""

    def columns(self) -> tuple[str | None, ...]:
        """Return the values of :data:`DETAIL_COLUMNS`, None for an absent one."""
        row = self.row
        return (
            self.kind,
            row.task_name or None,
            self.previous_task_name or None,
            row.sentence,
            row.type or None,
            row.language or None,
        )


def changes(found: Iterable[tuple[str, tuple[str, str, str], int]]) -> Iterator[Change]:
    """
    Decide what happened to the utterances that two snapshots do not share.

    :param found: sorted by sentence: it, its task, type and language, and how many more the later snapshot has.
    """
    for sentence, group in groupby(found, key=itemgetter(0)):
        sides: defaultdict[str, tuple[list[Row], list[Row]]] = defaultdict(lambda: ([], []))
        for _, (task, kind, language), surplus in group:
            sides[language][surplus > 0].extend([Row(task, sentence, kind, language)] * abs(surplus))
        for language in sorted(sides):
            yield from pair(*sides[language])


def pair(removed: Iterable[Row], added: Iterable[Row]) -> Iterator[Change]:
    """Decide what happened to one sentence in one language, from the rows that only one of the snapshots has."""
    gone, come = sorted(removed), sorted(added)
    if gone and come:
        # A move to a task of the same type is preferred.
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
    The utterances of a task, of a language, or all of them, in numbers.

    :param after: in the later snapshot.
    :param moved_in: came from another task.
    :param moved_out: went to another task; for a language, or all, the same as ``moved_in``.
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
        """The number of changes."""
        return self.added + self.removed + self.moved_in + self.moved_out

    def add(self, other: Figures) -> None:
        """Add other figures to these."""
        self.after += other.after
        self.added += other.added
        self.removed += other.removed
        self.moved_in += other.moved_in
        self.moved_out += other.moved_out

    def as_dict(self) -> dict[str, int]:
        """Return JSON-safe values."""
        return {"before": self.before, **asdict(self)}


class Comparison:
    """
    The result of a comparison. It grows with the number of tasks and languages, not of utterances.

    :param before: a description of the earlier snapshot; ``""`` if there is none.
    :param after: a description of the later one.
    :param top: the number of tasks, of languages and of changes of each kind to name.
    """

    def __init__(self, before: str, after: str, top: int = 20) -> None:
        self.before = before
        self.after = after
        self.top = top
        self.total = Figures()
        self.tasks: defaultdict[str, Figures] = defaultdict(Figures)
        self.languages: defaultdict[str, Figures] = defaultdict(Figures)
        self.sample: dict[str, list[Change]] = {kind: [] for kind in KINDS}

    def count(self, task_name: str, language: str, number: int) -> None:
        """Count utterances of the later snapshot."""
        for figures in (self.tasks[task_name], self.languages[language], self.total):
            figures.after += number

    def observe(self, change: Change) -> None:
        """Count a difference."""
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
        if len(self.sample[kind]) < self.top:
            self.sample[kind].append(change)

    def everything_was_added(self) -> None:
        """Note that there is no earlier snapshot, after all utterances were counted."""
        for figures in (*self.tasks.values(), *self.languages.values(), self.total):
            figures.added = figures.after

    @property
    def removed_fraction(self) -> float:
        """The fraction of the earlier snapshot that was removed; 0 if that is empty."""
        return self.total.removed / self.total.before if self.total.before else 0.0

    def summary(self) -> dict[str, Any]:
        """Return JSON-safe values of bounded size: the ``top`` tasks and languages by name, the others summed up."""
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
            "tasks": ranked("task_name", self.tasks, self.top),
            "languages": ranked("language", self.languages, self.top),
        }


def ranked(label: str, figures: Mapping[str, Figures], top: int) -> list[dict[str, Any]]:
    """List the most changed first, then the larger; an entry with ``others``, their number, sums up the rest."""
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
    """What a task allows; None means no such limit."""

    max_removed_fraction: float | None = None
    max_removed: int | None = None
    min_rows: int | None = None

    def exceeded(self, comparison: Comparison) -> list[str]:
        """Describe each limit that is exceeded, with the numbers."""
        total, fraction = comparison.total, comparison.removed_fraction
        texts = []
        if self.max_removed_fraction is not None and fraction > self.max_removed_fraction:
            texts.append(
                f"{total.removed:,} of {total.before:,} utterances were removed, a fraction of {fraction:.6g}: more "
                f"than max_removed_fraction={self.max_removed_fraction:g}"
            )
        if self.max_removed is not None and total.removed > self.max_removed:
            texts.append(
                f"{total.removed:,} utterances were removed, more than max_removed={self.max_removed}"
            )
        if self.min_rows is not None and total.after < self.min_rows:
            texts.append(f"{total.after:,} utterances, fewer than min_rows={self.min_rows}")
        return texts
