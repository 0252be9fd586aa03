"""What a batch test is: a run of one of a bot's test suites, and its numbers. Without I/O."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from airflow_provider_koreai.api.calls import (
    ApiAnswer,
    ApiRequest,
    bot_id_argument,
    by_folded_name,
    id_argument,
    read_document,
    refusal,
    text_of,
    unreadable,
)
from airflow_provider_koreai.arguments import language_code
from airflow_provider_koreai.exceptions import KoreAIBatchTestError, KoreAIConfigurationError
from airflow_provider_koreai.jobs.status import JobStatus, count, number, percent
from airflow_provider_koreai.jobs.watch import Watch

if TYPE_CHECKING:
    from airflow_provider_koreai.version_compat import Log

DEFAULT_SUITE = "Developer defined utterances"
VERSIONS = ("inDevelopment", "published")
# What a completed run is judged by.
NUMBERS = ("f1", "precision", "recall", "utterances", "passed", "failed")


@dataclass(frozen=True)
class BatchTest:
    """
    One run of a test suite, as the service describes it. What an answer leaves out is None.

    :param bot_id: the bot.
    :param request_id: the run's ID.
    :param status: the status; ``running`` is ``IN_PROGRESS``, ``completed`` is ``SUCCESS``.
    :param f1: F1 score.
    :param precision: precision.
    :param recall: recall.
    :param utterances: how many utterances the suite has.
    :param passed: how many of them were recognised as expected.
    :param failed: how many were not.
    :param percent_complete: 0 to 100.
    :param status_word: the status in the service's own word.
    """

    bot_id: str
    request_id: str
    status: JobStatus = JobStatus.IN_PROGRESS
    f1: float | None = None
    precision: float | None = None
    recall: float | None = None
    utterances: int | None = None
    passed: int | None = None
    failed: int | None = None
    percent_complete: float | None = None
    status_word: str = ""

    def is_done(self) -> bool:
        """
        Return whether the run completed; False while there is something to wait for.

        :raises KoreAIBatchTestError: it failed.
        """
        if self.status is JobStatus.FAILED:
            raise KoreAIBatchTestError(
                f"Kore.ai reports that batch test {self.request_id} of bot {self.bot_id} failed, so it has no numbers. "
                "Kore.ai's builder shows why, under Testing > Batch Testing."
            )
        return self.status is JobStatus.SUCCESS


class BatchTestWatch(Watch[BatchTest]):
    """
    What one task has seen of the batch test that it started.

    :param bot_id: the bot.
    :param request_id: the run of the suite.
    :param log: where each surprise is logged, once.
    """

    job = "batch test"

    def __init__(self, bot_id: str, request_id: str, *, log: Log | None = None) -> None:
        super().__init__(bot_id, log=log)
        self.request_id = request_id

    @property
    def name(self) -> str:
        return f"batch test {self.request_id} of bot {self.bot_id}"

    def observe(self, answer: BatchTest) -> BatchTest | None:
        """
        Take in a status answer.

        :return: the batch test when it completed; None while there is something to wait for.
        :raises KoreAIBatchTestError: it failed.
        """
        self.tell_of_unknown(answer.status, answer.status_word)
        return answer if answer.is_done() else None

    def result(self, answer: BatchTest) -> dict[str, Any]:
        return {"request_id": self.request_id, **{name: getattr(answer, name) for name in NUMBERS}}


def start_request(
    base_url: str,
    bot_id: str,
    *,
    test_suite: str = DEFAULT_SUITE,
    version: str = "inDevelopment",
    language: str = "en",
) -> ApiRequest:
    """Build the call that runs a test suite."""
    return ApiRequest(
        "start of the batch test",
        "POST",
        f"{_suite_url(base_url, bot_id, test_suite)}/run",
        bot_id.strip(),
        headers={"bot-language": language_code(language)},
        refusal=refusal("Batch Tests Execution", bot_id.strip()),
        body=json.dumps({"version": _version(version)}).encode(),
        to_check=f"test_suite={test_suite!r:.80}",
    )


def status_request(
    base_url: str, bot_id: str, request_id: object, *, test_suite: str = DEFAULT_SUITE
) -> ApiRequest:
    """Build the call that asks for one run."""
    return ApiRequest(
        "status of the batch test",
        "GET",
        f"{_suite_url(base_url, bot_id, test_suite)}/{id_argument('request_id', request_id)}/status",
        bot_id.strip(),
        refusal=refusal("Batch Tests Execution", bot_id.strip()),
        to_check=f"request_id, test_suite={test_suite!r:.80}",
    )


def read_start(request: ApiRequest, answer: ApiAnswer, conn_id: str) -> BatchTest:
    """Turn the answer to a start into a BatchTest."""
    by_name = by_folded_name(read_document(request, answer, conn_id))
    request_id = text_of(by_name.get("requestid"))
    if request_id is None:
        raise unreadable(request, answer, conn_id, "has no requestId")
    return BatchTest(request.bot_id, request_id, status_word=text_of(by_name.get("status")) or "")


def read_status(request: ApiRequest, answer: ApiAnswer, conn_id: str) -> BatchTest:
    """Turn the answer to a status call into a BatchTest. Its ``fileUrl``, which is a secret, is not kept."""
    by_name = by_folded_name(read_document(request, answer, conn_id))
    word = text_of(by_name.get("status"))
    if word is None:
        raise unreadable(request, answer, conn_id, "has no status")
    result = _object(by_name.get("result"))
    counts = _object(result.get("results"))
    return BatchTest(
        bot_id=request.bot_id,
        request_id=unquote(request.url.split("/")[-2]),
        status=JobStatus.parse(word),
        f1=number(result.get("f1_score")),
        precision=number(result.get("precision")),
        recall=number(result.get("recall")),
        utterances=count(by_name.get("utterance_count", result.get("utterance_count"))),
        passed=count(counts.get("success")),
        failed=count(counts.get("failure")),
        percent_complete=percent(by_name.get("percentage")),
        status_word=word,
    )


def _suite_url(base_url: str, bot_id: str, test_suite: object) -> str:
    suite = test_suite.strip() if isinstance(test_suite, str) else ""
    if suite in ("", ".", ".."):
        raise KoreAIConfigurationError(
            f"test_suite={test_suite!r:.80} is not accepted; use the name of one of the bot's test suites."
        )
    return f"{base_url}/api/public/stream/{bot_id_argument(bot_id)}/testsuite/{quote(suite, safe='')}"


def _version(value: object) -> str:
    for version in VERSIONS:
        if isinstance(value, str) and value.strip().lower() == version.lower():
            return version
    raise KoreAIConfigurationError(
        f"version={value!r:.40} is not accepted; use one of {', '.join(VERSIONS)}."
    )


def _object(value: Any) -> dict[str, Any]:
    return by_folded_name(value) if isinstance(value, dict) else {}
