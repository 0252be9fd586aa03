"""
What a training is, and when ours is done. Without I/O.

The status call names a language and no training: right after a start it may still report the training before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
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

if TYPE_CHECKING:
    from typing import Any

# Seconds after the start from which an answer is taken for ours, even if nothing shows that it is.
STALE_SECONDS = 60.0


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


class TrainingWatch:
    """
    What one task has seen of the training that it started: turns status answers into "done" or "not yet".

    It does no I/O and has no clock.

    :param before: the status before the start; None where it is not known.
    :param seen_running: whether ours was already seen running, for a trigger that was restarted.
    """

    def __init__(self, before: Training | None, *, seen_running: bool = False) -> None:
        self.before = before
        self.seen_running = seen_running

    def observe(self, training: Training, elapsed: float) -> Training | None:
        """
        Take in a status answer.

        :param elapsed: seconds since the start.
        :return: the training when it is ours and finished; None while there is something to wait for.
        :raises KoreAITrainingFailedError: our training failed.
        """
        if training.status is JobStatus.IN_PROGRESS:
            self.seen_running = True
        if training.status not in (JobStatus.SUCCESS, JobStatus.FAILED) or not self._is_ours(
            training, elapsed
        ):
            return None
        if training.status is JobStatus.FAILED:
            raise KoreAITrainingFailedError(
                f"Kore.ai reports that the training of bot {training.bot_id} in language {training.language!r} failed. "
                "Kore.ai's builder shows why, under Natural Language > Training."
            )
        return training

    def _is_ours(self, training: Training, elapsed: float) -> bool:
        return self.seen_running or elapsed >= STALE_SECONDS or self._is_another_version(training)

    def _is_another_version(self, training: Training) -> bool:
        earlier = self.before.train_version if self.before else None
        return None not in (earlier, training.train_version) and earlier != training.train_version


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
