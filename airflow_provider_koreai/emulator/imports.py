"""Uploaded files, and imports of them, without HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_koreai.emulator.settings import BotSettings
    from airflow_provider_koreai.emulator.utterance_store import Entry, UtteranceStore


@dataclass(frozen=True)
class Upload:
    """An uploaded file."""

    data: bytes = field(repr=False)
    file_type: str


@dataclass
class Import:
    """
    One import. Times in seconds since the epoch.

    :param problem: why the file cannot be imported; the import then fails.
    :param status: ``None`` while it is pending.
    """

    id: str
    started: float
    entries: list[Entry] = field(repr=False)
    problem: str | None = None
    asked: bool = False
    status: str | None = None
    logs: list[Any] = field(default_factory=list)
    message: str | None = None

    def finish(self, store: UtteranceStore, settings: BotSettings) -> None:
        """Change the bot, or fail without a change."""
        rows = len(self.entries)
        if settings.import_fail_with is not None or self.problem is not None:
            self.status = settings.import_final_status or "failure"
            self.logs = settings.import_fail_with or [self.problem]
        else:
            copied = store.take(self.entries, settings.import_semantics, settings.import_lost_rows)
            number = copied if settings.import_counts == "copied" else rows
            self.status = settings.import_final_status or "success"
            self.message = f"File imported completed. {number} utterances copied successfully"
        self.entries = []
