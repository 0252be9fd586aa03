"""
What a training is, and when ours is done. Without I/O.

The status call names a language and no training: right after a start it may still report the training before.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from airflow_provider_koreai.api.calls import (
    ApiAnswer,
    ApiRequest,
    bot_id_argument,
    by_folded_name,
    read_document,
    read_json,
    refusal,
    text_of,
    unreadable,
)
from airflow_provider_koreai.arguments import language_code
from airflow_provider_koreai.exceptions import KoreAITrainingFailedError
from airflow_provider_koreai.jobs.status import JobStatus, count
from airflow_provider_koreai.jobs.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_koreai.version_compat import Log

# Seconds for which an answer stands until it is taken for ours, even if nothing shows that it is.
STANDING_SECONDS = 60.0


@dataclass(frozen=True)
class Training:
    """
    The latest training of a bot in a language, as the service describes it. What an answer leaves out is None.

    :param bot_id: the bot.
    :param language: the language code.
    :param training_id: only the start reports it.
    :param status: the status; ``Inprogress`` is ``IN_PROGRESS``, ``Finished`` is ``SUCCESS``.
    :param train_version: ``trainVersion``, which seems to count the trainings. Older platform versions have none.
    :param status_word: the status in the service's own word.
    """

    bot_id: str
    language: str
    training_id: str | None = None
    status: JobStatus = JobStatus.IN_PROGRESS
    train_version: int | None = None
    status_word: str = ""

    def note(self) -> dict[str, Any]:
        """Return what a wait needs to remember of the training before its own, as JSON-safe values."""
        return {"status": self.status.value, "train_version": self.train_version}

    @classmethod
    def of_note(cls, bot_id: str, language: str, note: dict[str, Any] | None) -> Training | None:
        """Read what :meth:`note` wrote."""
        if note is None:
            return None
        return cls(bot_id, language, status=JobStatus(note["status"]), train_version=note["train_version"])


class TrainingWatch(Watch[Training]):
    """
    What one task has seen of the training that it started: turns status answers into "done" or "not yet".

    An answer is about ours if ``trainVersion`` has changed since before the start, if a training was seen running in
    between, or if the answer stands for a minute.

    :param bot_id: the bot.
    :param language: the language code.
    :param before: the status before the start; None where it is not known.
    :param seen_running: whether ours was already seen running, for a wait that goes on elsewhere.
    :param log: where each surprise is logged, once.
    """

    job = "training"

    def __init__(
        self,
        bot_id: str,
        language: str = "en",
        *,
        before: Training | None = None,
        seen_running: bool = False,
        log: Log | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(bot_id, log=log)
        self.language = language
        self.before = before
        self.seen_running = seen_running
        self._clock = clock
        # What a finished training looked like, and when it was first seen.
        self._standing: tuple[Training, float] | None = None

    @property
    def name(self) -> str:
        return f"training of bot {self.bot_id} in language {self.language}"

    def observe(self, answer: Training) -> Training | None:
        """
        Take in a status answer.

        :return: the training when it is ours and finished; None while there is something to wait for.
        :raises KoreAITrainingFailedError: our training failed.
        """
        self.tell_of_unknown(answer.status, answer.status_word)
        if answer.status not in (JobStatus.SUCCESS, JobStatus.FAILED):
            self._standing = None
            # One that ran before ours was started says nothing about ours.
            self.seen_running |= answer.status is JobStatus.IN_PROGRESS and not self._was_busy()
            return None
        if not self._is_ours(answer):
            return None
        if answer.status is JobStatus.FAILED:
            raise KoreAITrainingFailedError(
                f"Kore.ai reports that the {self.name} failed. "
                "Kore.ai's builder shows why, under Natural Language > Training."
            )
        return answer

    def result(self, answer: Training) -> dict[str, Any]:
        return {"training_status": answer.status_word, "train_version": answer.train_version}

    def _is_ours(self, answer: Training) -> bool:
        return self.seen_running or self._is_another_version(answer) or self._stands(answer)

    def _is_another_version(self, answer: Training) -> bool:
        earlier = self.before.train_version if self.before else None
        # While another training ran, the version counts that one first.
        return (
            None not in (earlier, answer.train_version)
            and earlier != answer.train_version
            and not self._was_busy()
        )

    def _was_busy(self) -> bool:
        return self.before is not None and self.before.status is JobStatus.IN_PROGRESS

    def _stands(self, answer: Training) -> bool:
        now = self._clock()
        if self._standing is None or self._standing[0] != answer:
            self._standing = (answer, now)
        return now - self._standing[1] >= STANDING_SECONDS


def start_request(base_url: str, bot_id: str, language: str = "en") -> ApiRequest:
    """Build the call that starts a training."""
    return ApiRequest(
        "start of the training",
        "POST",
        f"{base_url}/api/public/bot/{bot_id_argument(bot_id)}/ml/train",
        bot_id.strip(),
        # Without it, Kore.ai trains English.
        headers={"bot-language": language_code(language)},
        refusal=refusal("Train ML", bot_id.strip()),
        to_check="language",
    )


def status_request(base_url: str, bot_id: str, language: str = "en") -> ApiRequest:
    """Build the call that asks for the latest training in a language."""
    query = urlencode({"language": language_code(language), "state": "configured"})
    return ApiRequest(
        "status of the training",
        "GET",
        f"{base_url}/api/public/bot/{bot_id_argument(bot_id)}/ml/train/status?{query}",
        bot_id.strip(),
        headers={"bot-language": language_code(language)},
        refusal=refusal("Train ML", bot_id.strip()),
        to_check="language",
    )


def read_start(request: ApiRequest, answer: ApiAnswer, conn_id: str) -> Training:
    """Turn the answer to a start, an object or an array of one, into a Training."""
    document = read_json(request, answer, conn_id)
    entry = document[0] if isinstance(document, list) and document else document
    training_id = text_of(by_folded_name(entry).get("training_id")) if isinstance(entry, dict) else None
    if training_id is None:
        raise unreadable(request, answer, conn_id, "has no Training_ID")
    return Training(request.bot_id, request.headers["bot-language"], training_id)


def read_status(request: ApiRequest, answer: ApiAnswer, conn_id: str) -> Training:
    """Turn the answer to a status call into a Training."""
    by_name = by_folded_name(read_document(request, answer, conn_id))
    word = text_of(by_name.get("trainingstatus"))
    if word is None:
        raise unreadable(request, answer, conn_id, "has no trainingStatus")
    return Training(
        request.bot_id,
        request.headers["bot-language"],
        status=JobStatus.parse(word),
        train_version=_version(by_name.get("traindetails")),
        status_word=word,
    )


def _version(details: Any) -> int | None:
    return count(by_folded_name(details).get("trainversion")) if isinstance(details, dict) else None
