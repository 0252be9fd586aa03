"""Whether a bot has what was imported: the comparison of the file that was sent with an export made afterwards."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_koreai.compare.comparing import compare
from airflow_provider_koreai.compare.comparison import ADDED, MOVED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_koreai.compare.comparing import Source
    from airflow_provider_koreai.compare.comparison import Change
    from airflow_provider_koreai.utterances.importable import ImportFile
    from airflow_provider_koreai.utterances.model import Utterance

# A task and a language.
Place = tuple[str, str]


@dataclass
class Verification:
    """
    What an import has left in the bot.

    :param rows: utterances that were sent.
    :param missing: utterances that were sent and are not there, by task and language.
    :param unexpected: utterances that were not sent, but are there in a task and language that were, by task and
        language.
    :param untouched: utterances of tasks and languages of which nothing was sent.
    """

    rows: int = 0
    missing: Counter[Place] = field(default_factory=Counter)
    unexpected: Counter[Place] = field(default_factory=Counter)
    untouched: int = 0

    def as_dict(self) -> dict[str, int]:
        """Return JSON-safe numbers."""
        return {
            "rows": self.rows,
            "missing": self.missing.total(),
            "unexpected": self.unexpected.total(),
            "untouched": self.untouched,
        }


class _Sent:
    """An imported file as a snapshot to compare."""

    def __init__(self, file: ImportFile) -> None:
        self.description = file.path
        self.count = 0
        self.places: set[Place] = set()
        self._file = file

    def rows(self) -> Iterator[Utterance]:
        for utterance in self._file.utterances():
            self.count += 1
            self.places.add((utterance.task_name or "", utterance.language or ""))
            yield utterance


def verify(sent: ImportFile, found: Source) -> Verification:
    """Compare row by row what was sent with what the bot has now."""
    source = _Sent(sent)
    result = Verification()

    def judge(change: Change) -> None:
        kind, row, previous_task = change
        if kind != ADDED:
            result.missing[previous_task if kind == MOVED else row.task_name, row.language] += 1
        if kind in (ADDED, MOVED):
            place = (row.task_name, row.language)
            # Complete by now: changes come after both sides have been read.
            if place in source.places:
                result.unexpected[place] += 1
            else:
                result.untouched += 1

    compare(source, found, judge)
    result.rows = source.count
    return result
