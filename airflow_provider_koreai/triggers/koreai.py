"""
The triggers: each waits for a job of its kind in the triggerer, so that the wait takes no worker slot.

``KoreAIExportEventTrigger`` is for asset watchers and lives in a module of its own.
"""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_koreai.exceptions import KoreAIError
from airflow_provider_koreai.jobs.batch_test import BatchTestWatch
from airflow_provider_koreai.jobs.events import failure_event, success_event
from airflow_provider_koreai.jobs.export import ExportIdentity, ExportWatch
from airflow_provider_koreai.jobs.imports import ImportWatch
from airflow_provider_koreai.jobs.training import Training, TrainingWatch
from airflow_provider_koreai.jobs.waiting import Wait
from airflow_provider_koreai.triggers.export_event import KoreAIExportEventTrigger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from airflow_provider_koreai.hooks.koreai import KoreAIHook
    from airflow_provider_koreai.jobs.watch import Watch

__all__ = [
    "KoreAIBatchTestStatusTrigger",
    "KoreAIExportEventTrigger",
    "KoreAIExportStatusTrigger",
    "KoreAIImportStatusTrigger",
    "KoreAITrainingStatusTrigger",
]

_WAIT = ("poll_interval", "deadline", "timeout", "began", "not_before", "koreai_conn_id")


class _WaitTrigger(BaseTrigger):
    """
    Fires when a job is done, failed, or past its deadline.

    Its row in the database holds no secret and no link. Its times are absolute, so they survive a restart of the
    triggerer.

    :param poll_interval: the longest pause between two status calls, in seconds. Default 60.
    :param deadline: when to give up, in seconds since the epoch; None: never.
    :param timeout: the seconds that led to the deadline, for the message.
    :param began: when the wait began, in seconds since the epoch; None: when the trigger starts.
    :param not_before: when the trigger asks for the first time and may fire, in seconds since the epoch; None: at once.
        Airflow may fail a task that comes back too soon after its deferral.
    :param koreai_conn_id: ID of the connection.
    """

    # The arguments that name the job.
    job_arguments: ClassVar[Sequence[str]]

    def __init__(
        self,
        *,
        poll_interval: float = 60.0,
        deadline: float | None = None,
        timeout: float | None = None,
        began: float | None = None,
        not_before: float | None = None,
        koreai_conn_id: str = "koreai_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.timeout = timeout
        self.began = began
        self.not_before = not_before
        self.koreai_conn_id = koreai_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        cls = type(self)
        arguments = {name: getattr(self, name) for name in (*self.job_arguments, *_WAIT)}
        return f"{cls.__module__}.{cls.__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        from airflow_provider_koreai.hooks.koreai import KoreAIHook

        # Whatever it learned sooner could not be used sooner.
        await asyncio.sleep(max((self.not_before or 0.0) - time.time(), 0.0))
        try:
            hook = KoreAIHook(self.koreai_conn_id)
            watch = self._watch()
            wait = Wait(
                watch,
                poll_interval=self.poll_interval,
                deadline=self.deadline,
                timeout=self.timeout,
                began=self.began,
            )
            async with hook.aopen():
                answer = await wait.arun(lambda: self._ask(hook), asyncio.sleep)
        except KoreAIError as error:
            yield TriggerEvent(failure_event(error))  # type: ignore[no-untyped-call]
        else:
            yield TriggerEvent(success_event(watch.result(answer)))  # type: ignore[no-untyped-call]

    @abstractmethod
    def _watch(self) -> Watch[Any]:
        """Make the watch that judges the answers."""

    @abstractmethod
    async def _ask(self, hook: KoreAIHook) -> Any:
        """Call the status once: the wait is what tries again."""


class KoreAIExportStatusTrigger(_WaitTrigger):
    """
    Fires when an export of a bot's ML utterances is done, failed, superseded, or past its deadline.

    It decides exactly as the sensor does in its other modes.

    :param bot_id: the bot.
    :param request_id: the export's request ID; ``""`` and no ``requested_time``: the bot's latest export.
    :param requested_time: the export's requested time, as Kore.ai wrote it.
    :param file_type: ``csv``, ``json``, or ``""`` for any.
    :param on_superseded: ``fail`` or ``follow``.
    :param newer_than: ignore exports that were requested before this time, in ISO 8601; only for the bot's latest export.
    :param kwargs: ``poll_interval``, ``deadline``, ``timeout``, ``began``, ``not_before`` and ``koreai_conn_id``, as in
        every trigger here.
    """

    job_arguments = (
        "bot_id",
        "request_id",
        "requested_time",
        "file_type",
        "on_superseded",
        "newer_than",
    )

    def __init__(
        self,
        *,
        bot_id: str,
        request_id: str | None = None,
        requested_time: str | None = None,
        file_type: str | None = None,
        on_superseded: str = "fail",
        newer_than: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bot_id = bot_id
        self.request_id = request_id
        self.requested_time = requested_time
        self.file_type = file_type
        self.on_superseded = on_superseded
        self.newer_than = newer_than

    def _watch(self) -> ExportWatch:
        return ExportWatch(
            self.bot_id,
            ExportIdentity.of(self.request_id, self.requested_time, self.file_type),
            on_superseded=self.on_superseded,
            newer_than=self.newer_than,
            log=self.log,
        )

    async def _ask(self, hook: KoreAIHook) -> Any:
        return await hook.aget_export(self.bot_id, max_tries=1)


class KoreAIImportStatusTrigger(_WaitTrigger):
    """
    Fires when an import is done, failed, or past its deadline.

    :param bot_id: the bot.
    :param import_id: the import.
    :param kwargs: as in :class:`KoreAIExportStatusTrigger`.
    """

    job_arguments = ("bot_id", "import_id")

    def __init__(self, *, bot_id: str, import_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bot_id = bot_id
        self.import_id = import_id

    def _watch(self) -> ImportWatch:
        return ImportWatch(self.bot_id, self.import_id, log=self.log)

    async def _ask(self, hook: KoreAIHook) -> Any:
        return await hook.aget_import(self.bot_id, self.import_id, max_tries=1)


class KoreAITrainingStatusTrigger(_WaitTrigger):
    """
    Fires when a training is done, failed, or past its deadline.

    :param bot_id: the bot.
    :param language: the language code.
    :param before: what the status reported before the start, as ``Training.note`` writes it.
    :param seen_running: whether the training was already seen running.
    :param kwargs: as in :class:`KoreAIExportStatusTrigger`.
    """

    job_arguments = ("bot_id", "language", "before", "seen_running")

    def __init__(
        self,
        *,
        bot_id: str,
        language: str,
        before: dict[str, Any] | None = None,
        seen_running: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bot_id = bot_id
        self.language = language
        self.before = before
        self.seen_running = seen_running

    def _watch(self) -> TrainingWatch:
        return TrainingWatch(
            self.bot_id,
            self.language,
            before=Training.of_note(self.bot_id, self.language, self.before),
            seen_running=self.seen_running,
            log=self.log,
        )

    async def _ask(self, hook: KoreAIHook) -> Any:
        return await hook.aget_training(self.bot_id, self.language, max_tries=1)


class KoreAIBatchTestStatusTrigger(_WaitTrigger):
    """
    Fires when a batch test is done, failed, or past its deadline.

    :param bot_id: the bot.
    :param request_id: the run of the suite.
    :param test_suite: the suite's name.
    :param kwargs: as in :class:`KoreAIExportStatusTrigger`.
    """

    job_arguments = ("bot_id", "request_id", "test_suite")

    def __init__(self, *, bot_id: str, request_id: str, test_suite: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bot_id = bot_id
        self.request_id = request_id
        self.test_suite = test_suite

    def _watch(self) -> BatchTestWatch:
        return BatchTestWatch(self.bot_id, self.request_id, log=self.log)

    async def _ask(self, hook: KoreAIHook) -> Any:
        return await hook.aget_batch_test(
            self.bot_id, self.request_id, test_suite=self.test_suite, max_tries=1
        )
