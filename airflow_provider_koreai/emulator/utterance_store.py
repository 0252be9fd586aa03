"""A bot's utterances once an import has changed them, and what an imported file holds."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from airflow_provider_koreai.emulator.data import BYTE_ORDER_MARK, HEADER, Utterance, csv_header, csv_row

SEMANTICS = ("replace", "wipe", "append")

Entry = dict[str, Any]


class WrongHeaderError(Exception):
    """The CSV lacks a column."""


class UnreadableFileError(Exception):
    """The file is not the CSV or JSON that it should be."""


def read_entries(data: bytes, file_type: str) -> list[Entry]:
    """Return the utterances of a file, unknown JSON keys included; CSV carries no entities."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFileError("the file is not UTF-8") from error
    return _from_csv(text) if file_type == "csv" else _from_json(text)


def _from_csv(text: str) -> list[Entry]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if not set(HEADER) <= set(reader.fieldnames or ()):
        raise WrongHeaderError
    return [{**{name: row[name] or "" for name in HEADER}, "entities": []} for row in reader]


def _from_json(text: str) -> list[Entry]:
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise UnreadableFileError("the file is not JSON") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UnreadableFileError("the file is not a JSON array of objects")
    return entries


def task_of(entry: Entry) -> str:
    """Return an utterance's task; empty for those without one."""
    return entry.get("taskName") or ""


def language_of(entry: Entry) -> str:
    """Return an utterance's language."""
    return entry.get("language") or "en"


class UtteranceStore:
    """The utterances of a bot in development. Its tasks stay, even without an utterance."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self._tasks = {task_of(entry) for entry in entries}

    def take(self, entries: list[Entry], semantics: str, lost: int = 0) -> int:
        """
        Import utterances, except those of unknown tasks, and return how many were copied.

        :param semantics: one of :data:`SEMANTICS`.
        :param lost: how many of the last ones get lost.
        """
        known = [entry for entry in entries if task_of(entry) in self._tasks]
        copied = known[: max(0, len(known) - lost)]
        if semantics == "wipe":
            self.entries = copied
        elif semantics == "append":
            self.entries = self.entries + copied
        else:
            replaced = {(task_of(entry), language_of(entry)) for entry in known}
            kept = [entry for entry in self.entries if (task_of(entry), language_of(entry)) not in replaced]
            self.entries = kept + copied
        return len(copied)

    def render(self, file_type: str, *, bom: bool = False) -> bytes:
        """Return the utterances as an export file."""
        if file_type == "csv":
            text = csv_header() + "".join(csv_row(_row(entry)) for entry in self.entries)
        else:
            text = "[" + ",".join(json.dumps(entry, ensure_ascii=False) for entry in self.entries) + "]"
        return (BYTE_ORDER_MARK if bom else b"") + text.encode()


def _row(entry: Entry) -> Utterance:
    return Utterance(task_of(entry), entry.get("sentence") or "", entry.get("type") or "", language_of(entry))
