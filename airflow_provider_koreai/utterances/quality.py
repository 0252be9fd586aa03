"""What a conversation designer wants to know about utterances before a bot is trained with them, decided without I/O."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_koreai.utterances.alike import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from airflow_provider_koreai.utterances.alike import NearPairs

CONFLICT, NEAR_CONFLICT, DUPLICATE = "conflict", "near_conflict", "duplicate"
THIN_TASK, MISSING_LANGUAGE, UNUSABLE = "thin_task", "missing_language", "unusable"
# The key of each kind's number in the result.
NUMBERS = {
    CONFLICT: "conflicts",
    NEAR_CONFLICT: "near_conflicts",
    DUPLICATE: "duplicates",
    THIN_TASK: "thin_tasks",
    MISSING_LANGUAGE: "missing_languages",
    UNUSABLE: "unusable",
}
DETAIL_COLUMNS = (
    "finding",
    "task_name",
    "sentence",
    "other_task_name",
    "other_sentence",
    "language",
    "similarity",
    "note",
)
DETAIL_REQUIRED = ("finding",)
# Findings of each kind that a report shows.
SAMPLE_SIZE = 30
# Characters of the sentences that are compared with each other in memory, and what a sentence takes besides.
_MOST_CHARACTERS, _OF_A_SENTENCE = 32_000_000, 100


class Finding(NamedTuple):
    """
    One thing to look at.

    :param task_name: the task or, joined by semicolons, the tasks that the sentence trains.
    :param language: the language or, for a thin task and missing languages, each of them.
    :param weight: the larger, the worse, among findings of one kind.
    """

    kind: str
    task_name: str
    language: str
    sentence: str = ""
    other_task_name: str = ""
    other_sentence: str = ""
    similarity: float | None = None
    note: str = ""
    weight: float = 0

    def columns(self) -> tuple[str | None, ...]:
        """Return the values of :data:`DETAIL_COLUMNS`, None for an absent one."""
        return (
            self.kind,
            self.task_name or None,
            self.sentence or None,
            self.other_task_name or None,
            self.other_sentence or None,
            self.language or None,
            None if self.similarity is None else f"{self.similarity:.4f}",
            self.note or None,
        )


class Row(NamedTuple):
    """An utterance that trains a task, with the form in which its sentence is compared."""

    language: str
    folded: str
    task_name: str
    sentence: str


class Quality:
    """
    The result of a check. It grows with the number of tasks and languages, not of utterances.

    :param path: where the utterances come from.
    :param observe: called with each finding.
    """

    def __init__(self, path: str, observe: Callable[[Finding], None] | None = None) -> None:
        self.path = path
        self.rows = 0
        #: Rows without a task.
        self.without_task = 0
        #: Sentences, each counted once, of each task in each language that it has.
        self.tasks: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.found: Counter[str] = Counter()
        self.found_in: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.sample: defaultdict[str, list[Finding]] = defaultdict(list)
        #: Whether near conflicts were looked for, among how many sentences, and how many were not compared with all others.
        self.is_compared = False
        self.compared = self.left_out = 0
        self._observe = observe

    @property
    def languages(self) -> list[str]:
        """The languages that are named."""
        return sorted({language for each in self.tasks.values() for language in each if language})

    def add(self, finding: Finding) -> None:
        """Count a finding."""
        self.found[finding.kind] += 1
        # A task that is thin, or lacks something, in several languages is one finding, but concerns each.
        for language in finding.language.split(", "):
            self.found_in[language][finding.kind] += 1
        sample = self.sample[finding.kind]
        sample.append(finding)
        if len(sample) > 2 * SAMPLE_SIZE:
            self._cut(sample)
        if self._observe is not None:
            self._observe(finding)

    def worst(self, kind: str) -> list[Finding]:
        """Return the findings of a kind to show, the worst first."""
        self._cut(self.sample[kind])
        return self.sample[kind]

    def summary(self) -> dict[str, int | None]:
        """Return the numbers."""
        numbers: dict[str, int | None] = {
            "rows": self.rows,
            "tasks": len(self.tasks),
            "languages": len(self.languages),
            **{name: self.found[kind] for kind, name in NUMBERS.items()},
        }
        if not self.is_compared:
            numbers["near_conflicts"] = None
        return numbers

    @staticmethod
    def _cut(sample: list[Finding]) -> None:
        sample.sort(key=lambda finding: -finding.weight)
        del sample[SAMPLE_SIZE:]


def judge_sentences(rows: Iterable[Row], quality: Quality, near_pairs: NearPairs | None) -> None:
    """Find conflicts and duplicates in rows that are sorted by language and folded sentence, and then near conflicts."""
    numbers: dict[str, int] = {}
    quality.is_compared = near_pairs is not None
    room = _MOST_CHARACTERS
    for language, of_language in groupby(rows, key=itemgetter(0)):
        texts: list[Text] = []
        sentences: list[str] = []
        for folded, of_sentence in groupby(of_language, key=itemgetter(1)):
            firsts = _judge_one(of_sentence, quality)
            if near_pairs is None:
                continue
            sentence = next(iter(firsts.values()))
            room -= len(folded) + len(sentence) + _OF_A_SENTENCE
            if room < 0:
                quality.left_out += 1
                continue
            texts.append(Text(folded, frozenset(numbers.setdefault(task, len(numbers)) for task in firsts)))
            sentences.append(sentence)
        if near_pairs is not None:
            quality.compared += len(texts)
            for finding in _near_conflicts(near_pairs, language, texts, sentences, list(numbers)):
                quality.add(finding)
    if near_pairs is not None:
        quality.compared += quality.left_out
        quality.left_out += near_pairs.left_out


def _judge_one(rows: Iterable[Row], quality: Quality) -> dict[str, str]:
    """Judge the rows of one folded sentence; return the tasks that it trains, each with the sentence as written there."""
    firsts: dict[str, str] = {}
    for row in rows:
        if row.task_name in firsts:
            task = row.task_name
            quality.add(Finding(DUPLICATE, task, row.language, row.sentence, task, firsts[task]))
        else:
            firsts[row.task_name] = row.sentence
            quality.tasks[row.task_name][row.language] += 1
            language = row.language
    if len(firsts) > 1:
        (task, sentence), (_, other), *_ = sorted(firsts.items())
        others = "; ".join(sorted(firsts)[1:])
        quality.add(Finding(CONFLICT, task, language, sentence, others, other, weight=len(firsts)))
    return firsts


def _near_conflicts(
    near_pairs: NearPairs,
    language: str,
    texts: Sequence[Text],
    sentences: Sequence[str],
    names: Sequence[str],
) -> Iterator[Finding]:
    def tasks(place: int) -> str:
        return "; ".join(sorted(names[number] for number in texts[place].tasks))

    for first, second, similarity in near_pairs.find(texts):
        yield Finding(
            NEAR_CONFLICT,
            tasks(first),
            language,
            sentences[first],
            tasks(second),
            sentences[second],
            similarity,
            weight=similarity,
        )


def judge_tasks(quality: Quality, min_per_task: int) -> None:
    """Find tasks that have too few sentences in a language, or lack a language that other tasks have."""
    named = set(quality.languages)
    for task, counts in sorted(quality.tasks.items()):
        thin = sorted(language for language, count in counts.items() if count < min_per_task)
        if thin:
            note = ", ".join(f"{counts[each]:,} in {each or 'no language'}" for each in thin)
            text = f"{note}; at least {min_per_task:,} are wanted"
            fewest = min(counts[each] for each in thin)
            quality.add(Finding(THIN_TASK, task, ", ".join(thin), note=text, weight=-fewest))
        if missing := sorted(named - counts.keys()):
            quality.add(Finding(MISSING_LANGUAGE, task, ", ".join(missing), weight=len(missing)))


@dataclass(frozen=True)
class Limits:
    """What a task allows; None means no such limit."""

    max_conflicts: int | None = None
    max_near_conflicts: int | None = None
    max_duplicates: int | None = None
    max_thin_tasks: int | None = None
    max_unusable: int | None = None

    def exceeded(self, numbers: Mapping[str, Any]) -> list[str]:
        """Describe each limit that is exceeded, with the numbers."""
        texts = []
        for name, what in _LIMITED.items():
            limit, number = getattr(self, f"max_{name}"), numbers[name]
            if limit is not None and number > limit:
                texts.append(f"{number:,} {what}, more than max_{name}={limit}")
        return texts


_LIMITED = {
    "conflicts": "sentences in several tasks",
    "near_conflicts": "pairs of nearly the same sentence in different tasks",
    "duplicates": "duplicates",
    "thin_tasks": "tasks with too few sentences",
    "unusable": "unusable sentences",
}
