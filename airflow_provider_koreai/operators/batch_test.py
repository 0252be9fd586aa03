"""The operator that runs a batch test of a bot, and judges its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_koreai.arguments import fraction
from airflow_provider_koreai.exceptions import KoreAIBatchTestError, KoreAIConfigurationError
from airflow_provider_koreai.jobs.batch_test import DEFAULT_SUITE, NUMBERS, BatchTestWatch
from airflow_provider_koreai.links.koreai import KoreAIBotLink
from airflow_provider_koreai.operators.job import JobOperator, push_result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_koreai.jobs.batch_test import BatchTest

_LIMITS = {"f1": "min_f1", "precision": "min_precision", "recall": "min_recall"}


class KoreAIBatchTestOperator(JobOperator):
    """
    Run one of a bot's test suites, and fail if the bot understands too little of it.

    :param bot_id: the bot, for example ``st-ab12cd34-...``. (templated)
    :param test_suite: the suite's name in Kore.ai's builder. Default ``Developer defined utterances``, which every bot
        has. (templated)
    :param version: ``inDevelopment`` (the default) or ``published``. (templated)
    :param language: the language of the test, for example ``en`` (the default). (templated)
    :param min_f1: fail if the F1 score is lower than this, from 0 to 1. Default None: no limit. (templated)
    :param min_precision: fail if the precision is lower than this, from 0 to 1. Default None: no limit. (templated)
    :param min_recall: fail if the recall is lower than this, from 0 to 1. Default None: no limit. (templated)
    :param wait_for_completion: wait in this task until the test is done. Default True; limits need it.
    :param timeout: seconds (or a timedelta) to wait for completion at most. Default 3600.
    :param deferrable: wait in the triggerer, without a worker slot. Default: Airflow's
        ``[operators] default_deferrable``.
    :param koreai_conn_id: ID of a connection of type ``koreai``. Default ``koreai_default``. (templated)

    Returns ``{"request_id", "f1", "precision", "recall", "utterances", "passed", "failed"}``, all but the first of them
    numbers (``""`` where Kore.ai does not report one, or the task does not wait), and pushes each entry under its own key
    as well. Below a limit the XComs are pushed anyway, and the task fails with
    :class:`~airflow_provider_koreai.exceptions.KoreAIBatchTestError`, which Airflow does not retry; so does a test that
    Kore.ai reports as failed. A test that takes longer than ``timeout`` raises
    :class:`~airflow_provider_koreai.exceptions.KoreAITimeoutError`, which may be retried. On Airflow 3.3 and later, when the
    worker dies while it waits without ``deferrable``, the retry goes on waiting for the same test.
    """

    template_fields: Sequence[str] = (
        "bot_id",
        "test_suite",
        "version",
        "language",
        "min_f1",
        "min_precision",
        "min_recall",
        "koreai_conn_id",
    )
    external_id_key = "koreai_batch_test"
    result_keys = ("request_id", *NUMBERS)
    lost_errors = (KoreAIBatchTestError,)
    operator_extra_links = (KoreAIBotLink(),)
    ui_color = "#d5e3f0"

    def __init__(
        self,
        *,
        bot_id: str,
        test_suite: str = DEFAULT_SUITE,
        version: str = "inDevelopment",
        language: str = "en",
        min_f1: float | None = None,
        min_precision: float | None = None,
        min_recall: float | None = None,
        wait_for_completion: bool = True,
        timeout: float | timedelta = 3600,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        koreai_conn_id: str = "koreai_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        self.bot_id = bot_id
        self.test_suite = test_suite
        self.version = version
        self.language = language
        self.min_f1 = min_f1
        self.min_precision = min_precision
        self.min_recall = min_recall
        self.wait_for_completion = wait_for_completion
        self.timeout = timeout
        self.deferrable = deferrable
        self.koreai_conn_id = koreai_conn_id

    def execute(self, context: Context) -> Any:
        limits = self._limits()
        if limits and not self.wait_for_completion:
            raise KoreAIConfigurationError(
                f"{', '.join(_LIMITS[name] for name in limits)} cannot be checked with wait_for_completion=False. "
                "Wait for the results, or leave the limits out."
            )
        return super().execute(context)

    def submit_job(self, context: Context) -> dict[str, Any]:
        started = self.hook.start_batch_test(
            self.bot_id, test_suite=self.test_suite, version=self.version, language=self.language
        )
        context["ti"].xcom_push(key="request_id", value=started.request_id)
        self.log.info(
            "Started batch test %s of bot %s: test suite %r, version %s, language %s",
            started.request_id,
            self.bot_id,
            self.test_suite,
            self.version,
            self.language,
        )
        return {
            "request_id": started.request_id,
            "asked_for": self.asked_for(context),
            "until": self.until(),
        }

    def watch_for(self, note: dict[str, Any]) -> BatchTestWatch:
        return BatchTestWatch(self.bot_id, note["request_id"], log=self.log)

    def ask(self, note: dict[str, Any], max_tries: int | None = None) -> BatchTest:
        return self.hook.get_batch_test(
            self.bot_id, note["request_id"], test_suite=self.test_suite, max_tries=max_tries
        )

    def trigger(self, watch: Any, note: dict[str, Any], **wait: Any) -> BaseTrigger:
        from airflow_provider_koreai.triggers.koreai import KoreAIBatchTestStatusTrigger

        return KoreAIBatchTestStatusTrigger(
            bot_id=self.bot_id, request_id=note["request_id"], test_suite=self.test_suite, **wait
        )

    def started(self, note: dict[str, Any], context: Context) -> dict[str, Any]:
        return _returned(note, {})

    def finish(self, note: dict[str, Any], result: Mapping[str, Any], context: Context) -> dict[str, Any]:
        returned = _returned(note, result)
        text = ", ".join(
            f"{name} {'unknown' if returned[name] == '' else returned[name]}" for name in NUMBERS
        )
        self.log.info("Batch test %s of bot %s is done: %s", note["request_id"], self.bot_id, text)
        problems = [
            f"{_LIMITS[name]}={limit:g}, but {_judged(name, returned[name])}"
            for name, limit in self._limits().items()
            if not _reaches(returned[name], limit)
        ]
        if problems:
            push_result(returned, context)
            raise KoreAIBatchTestError(
                f"Batch test {note['request_id']} of bot {self.bot_id} is below its limits: {'; '.join(problems)}. "
                f"All numbers: {text}."
            )
        return returned

    def _limits(self) -> dict[str, float]:
        given = {name: fraction(argument, getattr(self, argument)) for name, argument in _LIMITS.items()}
        return {name: limit for name, limit in given.items() if limit is not None}


def _reaches(value: Any, limit: float) -> bool:
    # A number above 1 is a percentage that this provider does not know of, and must not pass by mistake.
    return isinstance(value, (int, float)) and limit <= value <= 1


def _judged(name: str, value: Any) -> str:
    if value == "":
        return f"Kore.ai reports no {name}"
    return f"{name} is {value:g}" + (", which is not from 0 to 1" if value > 1 else "")


def _returned(note: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    # Never None, which breaks rendering downstream on Airflow 3.3.
    numbers = {name: result.get(name) for name in NUMBERS}
    return {
        "request_id": note["request_id"],
        **{name: "" if value is None else value for name, value in numbers.items()},
    }
