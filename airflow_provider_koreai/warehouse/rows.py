"""Utterances as rows of the table: for statements with parameters, or as text for PostgreSQL's COPY. No I/O."""

from __future__ import annotations

import json
from collections import Counter
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.exceptions import KoreAIFileError
from airflow_provider_koreai.text import is_storable, storable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from airflow_provider_koreai.utterances.model import Utterance

    # Task names, sentences, types, languages and entities of some utterances.
    Columns = tuple[Sequence[Any], Sequence[str], Sequence[Any], Sequence[Any], Sequence[tuple[Any, ...]]]

# Utterances at a time. More are slower: they leave the processor's cache and give Python's garbage collector work.
BATCH_SIZE = 200
# More than any bot has; each count becomes part of the XCom.
_MOST_COUNTED = 100
_OTHERS = "..."
# How many texts to keep in their escaped form.
_MOST_KEPT = 10_000
_SPECIAL = "\\\t\n\r"
_encode_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode
_encode_ascii_json = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


class Batches:
    """
    The utterances of a file, some at a time, checked and counted as they pass.

    :param on_unstorable: what to do about NUL and unpaired surrogates, which databases do not take: ``fail``, or
        ``replace`` them with U+FFFD.
    """

    def __init__(self, utterances: Iterable[Utterance], on_unstorable: str) -> None:
        self.rows = 0
        self._utterances = iter(utterances)
        self._replace = on_unstorable == "replace"
        self._languages: Counter[str | None] = Counter()
        self._types: Counter[str | None] = Counter()

    def __iter__(self) -> Iterator[Columns]:
        while batch := list(islice(self._utterances, BATCH_SIZE)):
            tasks, sentences, kinds, languages, entities, _ = zip(*batch, strict=True)
            labels = {*tasks, *kinds, *languages}
            labels.discard(None)
            if not is_storable("".join([*sentences, *labels])):
                batch = [self._storable(each, self.rows + number) for number, each in enumerate(batch, 1)]
                tasks, sentences, kinds, languages, entities, _ = zip(*batch, strict=True)
            self._languages.update(languages)
            self._types.update(kinds)
            self.rows += len(batch)
            yield tasks, sentences, kinds, languages, entities

    @property
    def languages(self) -> dict[str, int]:
        """The number of utterances in each language; ``""`` for those without one."""
        return _counts(self._languages)

    @property
    def types(self) -> dict[str, int]:
        """The number of utterances of each type; ``""`` for those without one."""
        return _counts(self._types)

    def _storable(self, utterance: Utterance, row: int) -> Utterance:
        if all(is_storable(text or "") for text in utterance[:4]):
            return utterance
        if not self._replace:
            raise KoreAIFileError(
                f"Row {row:,} of the file, not counting its header, contains a NUL character or an unpaired surrogate, which "
                "databases do not accept. Pass on_unstorable='replace' to store U+FFFD instead."
            )
        task, sentence, kind, language = (text and storable(text) for text in utterance[:4])
        return utterance._replace(task_name=task, sentence=sentence or "", type=kind, language=language)


def _counts(counter: Counter[str | None]) -> dict[str, int]:
    counted = {name or "": count for name, count in counter.most_common(_MOST_COUNTED)}
    others = counter.total() - sum(counted.values())
    return {**counted, _OTHERS: others} if others else counted


def entities_text(entities: tuple[Any, ...]) -> str:
    """Return entities as compact JSON with sorted keys, in a form that any database takes: no NUL, valid UTF-8."""
    if not entities:
        return "[]"
    text = _encode_json(entities)
    # UTF-8 has no unpaired surrogates; JSON can write them in ASCII.
    return text if is_storable(text) else _encode_ascii_json(entities)


def entities_texts(entities: Sequence[tuple[Any, ...]]) -> Iterable[str]:
    """Return the text of each utterance's entities."""
    return map(entities_text, entities) if any(entities) else repeat("[]", len(entities))


def rows_of(batch: Columns, before: tuple[Any, ...], after: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """Return a batch as rows, with the values of the columns before and after an utterance's own."""
    *columns, entities = batch
    return [(*before, *values, *after) for values in zip(*columns, entities_texts(entities), strict=True)]


class CopyText:
    """Writes batches as PostgreSQL's COPY reads them (format ``text``), between the values of the other columns."""

    def __init__(self, before: Sequence[str | None], after: Sequence[str | None]) -> None:
        head = "".join(f"{_cell(text)}\t" for text in before)
        end = "".join(f"\t{_cell(text)}" for text in after) + "\n"
        self._heads = _Kept(lambda task: f"{head}{_cell(task)}\t")
        self._tails = _Kept(
            lambda values: f"\t{_cell(values[0])}\t{_cell(values[1])}\t{_escape(values[2])}{end}"
        )

    def write(self, batch: Columns) -> bytes:
        """Return a batch as lines."""
        tasks, sentences, kinds, languages, entities = batch
        together = "".join(sentences)
        if any(special in together for special in _SPECIAL):
            sentences = tuple(map(_escape, sentences))
        heads = map(self._heads.__getitem__, tasks)
        tails = map(self._tails.__getitem__, zip(kinds, languages, entities_texts(entities), strict=True))
        return "".join(chain.from_iterable(zip(heads, sentences, tails, strict=True))).encode()


class _Kept(dict[Any, str]):
    """What was made of a value, for values that come again and again."""

    def __init__(self, make: Callable[[Any], str]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, value: Any) -> str:
        if len(self) >= _MOST_KEPT:
            self.clear()
        made = self[value] = self._make(value)
        return made


def _cell(text: str | None) -> str:
    return r"\N" if text is None else _escape(text)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
