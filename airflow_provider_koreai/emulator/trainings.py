"""Trainings of a bot, without HTTP. The status names a language, and no training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_koreai.emulator.settings import BotSettings

_NLP_VERSION = 3
#: In every sample of the vendor these are true, of a failed training too.
_FLAGS = ("Sentences", "Synonyms", "Mlparams", "Traits", "SmallTalk", "EntityNode", "IntentNode", "Patterns")


@dataclass(frozen=True)
class TrainingState:
    """What the status call reports of a language."""

    status: str = "Finished"
    version: int = 1

    def document(self, settings: BotSettings) -> dict[str, Any]:
        """Return the answer of the status call."""
        answer: dict[str, Any] = {"trainingStatus": self.status}
        answer |= {f"isMlInSyncWith{name}": True for name in _FLAGS}
        if settings.train_versions != "absent":
            answer["trainDetails"] = {"nlpVersion": _NLP_VERSION, "trainVersion": self.version}
        return answer


@dataclass
class Training:
    """
    The latest training of a bot in a language.

    :param before: how things were until it began.
    :param utterances: how many it was trained with.
    """

    id: str
    started: float
    before: TrainingState
    utterances: int
    ended: TrainingState | None = None

    def told(self, settings: BotSettings, seconds: float, now: float) -> TrainingState:
        """Return what the status call reports, which may still be the training before."""
        state = self.state(settings, seconds, now)
        return self.before if now - self.started < settings.train_stale_seconds else state

    def state(self, settings: BotSettings, seconds: float, now: float) -> TrainingState:
        """Return the current state."""
        if self.ended is None and now - self.started >= seconds:
            counted = not settings.train_fail and settings.train_versions == "counted"
            status = "Failed" if settings.train_fail else "Finished"
            self.ended = TrainingState(status, self.before.version + counted)
        return self.ended or TrainingState("Inprogress", self.before.version)
