"""The utterances that the built-in bots have learned, and how an export writes them."""

from __future__ import annotations

import csv
import functools
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEADER = ("taskName", "sentence", "type", "language")
FILE_TYPES = ("csv", "json")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

#: How many utterances a sentence with a city in it becomes.
_VARIANTS = 4


@dataclass(frozen=True)
class Utterance:
    """One row of an export. ``task`` is empty for entries that belong to no task."""

    task: str
    sentence: str
    type: str
    language: str


@functools.lru_cache(maxsize=1)
def data_sets() -> dict[str, tuple[Utterance, ...]]:
    """Return the built-in data sets by name."""
    document: dict[str, Any] = json.loads(Path(__file__).with_name("utterances.json").read_text("utf-8"))
    cities: dict[str, list[str]] = document["cities"]
    return {name: tuple(_expand(intents, cities)) for name, intents in document["bots"].items()}


def _expand(intents: list[dict[str, Any]], cities: dict[str, list[str]]) -> list[Utterance]:
    rows: list[Utterance] = []
    for intent in intents:
        for language, templates in intent.items():
            if language in ("task", "type"):
                continue
            for number, template in enumerate(templates):
                names = cities.get(language, [])
                variants = _VARIANTS if "{" in template else 1
                for variant in range(variants):
                    sentence = template
                    if names:
                        start = number + variant
                        sentence = sentence.replace("{from}", names[start % len(names)])
                        sentence = sentence.replace("{to}", names[(start + 1) % len(names)])
                    rows.append(Utterance(intent["task"], sentence, intent["type"], language))
    return rows


def csv_row(utterance: Utterance) -> str:
    """Return one CSV record, line end included."""
    return _csv_line((utterance.task, utterance.sentence, utterance.type, utterance.language))


def csv_header() -> str:
    """Return the first line of a CSV export."""
    return _csv_line(HEADER)


def _csv_line(fields: tuple[str, ...]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(fields)
    return out.getvalue()


def json_entry(utterance: Utterance) -> str:
    """Return one object of a JSON export; without the key ``taskName`` where there is no task."""
    entry: dict[str, Any] = {"taskName": utterance.task} if utterance.task else {}
    entry |= {
        "sentence": utterance.sentence,
        "type": utterance.type,
        "entities": [],
        "language": utterance.language,
    }
    return json.dumps(entry, ensure_ascii=False)


def render(rows: tuple[Utterance, ...], file_type: str, *, bom: bool = False) -> bytes:
    """Return a whole export file."""
    if file_type == "csv":
        text = csv_header() + "".join(csv_row(row) for row in rows)
    else:
        text = "[" + ",".join(json_entry(row) for row in rows) + "]"
    return (BYTE_ORDER_MARK if bom else b"") + text.encode()
