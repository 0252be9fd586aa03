"""
How a bot's utterances developed over its last snapshots, decided without I/O.

A task appeared or vanished, grew or shrank, between the first of these snapshots and the last.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.compare.comparison import Comparison

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

APPEARED, VANISHED, GREW, SHRANK = "appeared", "vanished", "grew", "shrank"
# The tasks of each kind, and the languages, that are named; the others are counted.
NAMED = 10


@dataclass(frozen=True)
class Trend:
    """The utterances of a task, a language or a bot in each snapshot, the earliest first."""

    name: str
    values: Sequence[int]

    @property
    def first(self) -> int:
        """Number in the first snapshot."""
        return self.values[0]

    @property
    def last(self) -> int:
        """Number in the last snapshot."""
        return self.values[-1]

    @property
    def change(self) -> int:
        """What the last snapshot has more than the first."""
        return self.last - self.first

    @property
    def kind(self) -> str | None:
        """What became of it; None if it is as large as it was."""
        if not self.last:
            return VANISHED
        if not self.first:
            return APPEARED
        return (GREW if self.change > 0 else SHRANK) if self.change else None


class History:
    """
    A bot's last snapshots. It grows with the number of tasks and languages, not of utterances.

    :param times: of the snapshots, the earliest first.
    """

    def __init__(self, bot_id: str, times: Sequence[datetime]) -> None:
        self.bot_id = bot_id
        self.times = times
        previous = times[-2].isoformat() if len(times) > 1 else ""
        self.comparison = Comparison(previous, times[-1].isoformat(), NAMED)
        self._numbers = {time: number for number, time in enumerate(times)}
        self._totals = [0] * len(times)
        self._tasks: defaultdict[str, list[int]] = defaultdict(lambda: [0] * len(times))
        self._languages: defaultdict[str, list[int]] = defaultdict(lambda: [0] * len(times))

    def count(self, time: datetime, task_name: str, language: str, number: int) -> None:
        """Count utterances of a snapshot."""
        if (at := self._numbers.get(time)) is None:
            return  # loaded meanwhile
        for values in (self._totals, self._tasks[task_name], self._languages[language]):
            values[at] += number
        if at == len(self.times) - 1:
            self.comparison.count(task_name, language, number)

    @property
    def total(self) -> Trend:
        """All utterances."""
        return Trend(self.bot_id, self._totals)

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the latest snapshot, as JSON-safe values."""
        changed = self.comparison.total
        return {
            "snapshot": self.comparison.after,
            "previous": self.comparison.before,
            "snapshots": len(self.times),
            "rows": self.total.last,
            "tasks": sum(1 for values in self._tasks.values() if values[-1]),
            "languages": sum(1 for values in self._languages.values() if values[-1]),
            "added": changed.added,
            "removed": changed.removed,
            "moved": changed.moved_in,
        }

    def page(self) -> dict[str, Any]:
        """Return what a report shows, of bounded size."""
        kinds = defaultdict(list)
        for trend in _largest_change_first(self._tasks):
            kinds[trend.kind].append(trend)
        summary = self.comparison.summary()
        languages = sorted(_trends(self._languages), key=lambda trend: (-trend.last, trend.name))
        return {
            "bot_id": self.bot_id,
            "times": self.times,
            "total": self.total,
            "numbers": self.numbers(),
            "tasks": [
                (kind, kinds[kind][:NAMED], len(kinds[kind]))
                for kind in (APPEARED, VANISHED, GREW, SHRANK)
                if kinds[kind]
            ],
            "languages": (languages[:NAMED], len(languages)),
            "summary": summary,
            "changed_tasks": [
                entry
                for entry in summary["tasks"]
                if entry["added"] or entry["removed"] or entry["moved_in"] or entry["moved_out"]
            ],
        }


def _trends(found: Mapping[str, Sequence[int]]) -> list[Trend]:
    return [Trend(name, values) for name, values in found.items()]


def _largest_change_first(found: Mapping[str, Sequence[int]]) -> list[Trend]:
    # Of those that came and went, the largest first.
    return sorted(_trends(found), key=lambda trend: (-abs(trend.change), -max(trend.values), trend.name))
