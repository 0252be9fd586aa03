"""Runs of a test suite, without HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_koreai.emulator.settings import BotSettings

VERSIONS = ("inDevelopment", "published")


@dataclass
class BatchTest:
    """One run of a test suite."""

    id: str
    suite: str
    version: str
    language: str
    started: float
    utterances: int
    ended: bool = False

    def document(self, bot_id: str, settings: BotSettings, seconds: float, now: float) -> dict[str, Any]:
        """Return the answer of the status call, without the link to the result."""
        age = now - self.started
        self.ended = self.ended or age >= seconds
        status = "running" if not self.ended else "failed" if settings.test_fail else "completed"
        ran = self.utterances if self.ended else int(self.utterances * age / seconds)
        result: dict[str, Any] = {
            "_id": self.id,
            "isPartialFailure": False,
            "status": status,
            "streamId": bot_id,
            "botLanguage": self.language,
            "runType": self.version,
            "utterance_count": self.utterances,
        }
        if status == "completed":
            result |= self._scores(settings)
        return {
            "_id": self.id,
            "streamId": bot_id,
            "status": status,
            "utterance_count": self.utterances,
            "result": result,
            "totalUtterances": self.utterances,
            "utterance_ran": ran,
            "percentage": 100 * ran // self.utterances if self.utterances else 100 * self.ended,
        }

    def _scores(self, settings: BotSettings) -> dict[str, Any]:
        passed = round(self.utterances * settings.test_recall)
        counts = {"TP": passed, "TN": 0, "FP": 0, "FN": self.utterances - passed}
        return {
            "f1_score": str(settings.test_f1),
            "precision": str(settings.test_precision),
            "recall": str(settings.test_recall),
            "results": {**counts, "success": passed, "failure": self.utterances - passed},
        }
