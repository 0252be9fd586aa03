"""Utterances as rows of the warehouse's table: for statements with parameters, or as text for PostgreSQL's COPY. No I/O."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.exceptions import KoreAIFileError
from airflow_provider_koreai.text import is_storable, storable
from airflow_provider_koreai.utterances.row_hash import entities_text, hash_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_provider_koreai.utterances.model import Utterance

ON_UNSTORABLE = ("fail", "replace")
# More than any bot has; each count is a part of the XCom.
_MOST_COUNTED = 100
_OTHERS = "..."
# How many different texts to remember in their escaped form; task names, types and languages come again and again.
_REMEMBERED = 10_000
_SPECIAL = "\\\t\n\r"


class Batches:
    """
    The utterances of a file, many at a time, checked and counted.

    :param utterances: the utterances.
    :param size: utterances in a batch.
    :param on_unstorable: what to do about a text that holds what databases do not take, NUL or half a surrogate
        pair: ``fail``, or ``replace`` it with U+FFFD.
    """

    def __init__(self, utterances: Iterable[Utterance], size: int, on_unstorable: str) -> None:
        self.rows = 0
        self._utterances = iter(utterances)
        self._size = size
        self._replace = on_unstorable == "replace"
        self._languages: Counter[str | None] = Counter()
        self._types: Counter[str | None] = Counter()

    def __iter__(self) -> Iterator[list[Utterance]]:
        """Give the batches; what they hold is counted as it passes."""
        while batch := list(islice(self._utterances, self._size)):
            tasks, sentences, kinds, languages, _, _ = zip(*batch, strict=True)
            labels = {*tasks, *kinds, *languages}
            labels.discard(None)
            if not is_storable("".join([*sentences, *labels])):
                batch = [self._storable(each, self.rows + number) for number, each in enumerate(batch, 1)]
                _, _, kinds, languages, _, _ = zip(*batch, strict=True)
            self._languages.update(languages)
            self._types.update(kinds)
            self.rows += len(batch)
            yield batch

    @property
    def languages(self) -> dict[str, int]:
        """The number of utterances of each language; ``""``: the file names none."""
        return _counts(self._languages)

    @property
    def types(self) -> dict[str, int]:
        """The number of utterances of each type; ``""``: the file names none."""
        return _counts(self._types)

    def _storable(self, utterance: Utterance, row: int) -> Utterance:
        if all(is_storable(text or "") for text in utterance[:4]):
            return utterance
        if not self._replace:
            raise KoreAIFileError(
                f"Row {row:,} of the file (its header not counted) holds a NUL character or half a surrogate pair, "
                "which databases do not take. Pass on_unstorable='replace' to store U+FFFD instead."
            )
        task, sentence, kind, language = (text and storable(text) for text in utterance[:4])
        return utterance._replace(task_name=task, sentence=sentence or "", type=kind, language=language)


def _counts(counter: Counter[str | None]) -> dict[str, int]:
    counted = {name or "": count for name, count in counter.most_common(_MOST_COUNTED)}
    others = counter.total() - sum(counted.values())
    return {**counted, _OTHERS: others} if others else counted


def rows_of(
    batch: Iterable[Utterance], before: tuple[Any, ...], behind: tuple[Any, ...]
) -> list[tuple[Any, ...]]:
    """
    Make the rows of a batch.

    :param batch: the utterances.
    :param before: what stands in the columns before theirs.
    :param behind: what stands in the columns behind theirs.
    """
    rows = []
    for task, sentence, kind, language, entities, _ in batch:
        marked = entities_text(entities)
        mark = hash_of(task or "", sentence, kind or "", language or "", marked)
        rows.append((*before, task, sentence, kind, language, marked, mark, *behind))
    return rows


class CopyText:
    """
    Writes batches as PostgreSQL's COPY reads them (format ``text``).

    :param before: what stands in the columns before theirs, as texts.
    :param behind: what stands in the columns behind theirs, as texts.
    """

    def __init__(self, before: Sequence[str | None], behind: Sequence[str | None]) -> None:
        self._escaped = _Escaped()
        self._before = "".join(f"{self._escaped[text]}\t" for text in before)
        self._behind = "".join(f"\t{self._escaped[text]}" for text in behind) + "\n"

    def write(self, batch: Sequence[Utterance]) -> bytes:
        """
        Write a batch.

        :param batch: the utterances.
        """
        before, behind, escaped = self._before, self._behind, self._escaped
        sentences = [utterance[1] for utterance in batch]
        together = "".join(sentences)
        if any(special in together for special in _SPECIAL):
            sentences = [_escape(sentence) for sentence in sentences]
        lines = []
        for (task, sentence, kind, language, entities, _), shown in zip(batch, sentences, strict=True):
            marked = entities_text(entities)
            mark = hash_of(task or "", sentence, kind or "", language or "", marked)
            if entities:
                marked = _escape(marked)
            lines.append(
                f"{before}{escaped[task]}\t{shown}\t{escaped[kind]}\t{escaped[language]}\t{marked}\t{mark}{behind}"
            )
        return "".join(lines).encode()


class _Escaped(dict[str | None, str]):
    def __missing__(self, text: str | None) -> str:
        if len(self) >= _REMEMBERED:
            self.clear()
        shown = self[text] = r"\N" if text is None else _escape(text)
        return shown


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
