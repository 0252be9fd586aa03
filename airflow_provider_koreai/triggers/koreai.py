"""The trigger: waits for an export in the triggerer, so that the wait takes no worker slot."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_koreai.exceptions import KoreAIError
from airflow_provider_koreai.jobs.events import failure_event, success_event
from airflow_provider_koreai.jobs.export import ExportIdentity, ExportWatch
from airflow_provider_koreai.jobs.waiting import Wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TRIGGER = "airflow_provider_koreai.triggers.koreai.KoreAIExportStatusTrigger"


class KoreAIExportStatusTrigger(BaseTrigger):
    """
    Fires when an export of a bot's ML utterances is done, failed, superseded, or past its deadline.

    It decides exactly as the sensor does in its other modes. Its row in the database holds no secret and no link. Its
    times are absolute, so they survive a restart of the triggerer.

    :param bot_id: the bot.
    :param request_id: the export's request ID; ``""`` and no ``requested_time``: the bot's latest export.
    :param requested_time: the export's requested time, as Kore.ai wrote it.
    :param file_type: ``csv``, ``json``, or ``""`` for any.
    :param on_superseded: ``fail`` or ``follow``.
    :param newer_than: ignore exports that were requested before this time, in ISO 8601; only for the bot's latest export.
    :param poll_interval: the longest pause between two status calls, in seconds. Default 60.
    :param deadline: when to give up, in seconds since the epoch; None: never.
    :param timeout: the seconds that led to the deadline, for the message.
    :param began: when the wait began, in seconds since the epoch; None: when the trigger starts.
    :param not_before: when the trigger asks for the first time and may fire, in seconds since the epoch; None: at once.
        Airflow may fail a task that comes back too soon after its deferral.
    :param koreai_conn_id: ID of the connection.
    """

    def __init__(
        self,
        *,
        bot_id: str,
        request_id: str | None = None,
        requested_time: str | None = None,
        file_type: str | None = None,
        on_superseded: str = "fail",
        newer_than: str | None = None,
        poll_interval: float = 60.0,
        deadline: float | None = None,
        timeout: float | None = None,
        began: float | None = None,
        not_before: float | None = None,
        koreai_conn_id: str = "koreai_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self.bot_id = bot_id
        self.request_id = request_id
        self.requested_time = requested_time
        self.file_type = file_type
        self.on_superseded = on_superseded
        self.newer_than = newer_than
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.timeout = timeout
        self.began = began
        self.not_before = not_before
        self.koreai_conn_id = koreai_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            TRIGGER,
            {
                "bot_id": self.bot_id,
                "request_id": self.request_id,
                "requested_time": self.requested_time,
                "file_type": self.file_type,
                "on_superseded": self.on_superseded,
                "newer_than": self.newer_than,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "timeout": self.timeout,
                "began": self.began,
                "not_before": self.not_before,
                "koreai_conn_id": self.koreai_conn_id,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        from airflow_provider_koreai.hooks.koreai import KoreAIHook

        # Whatever it learned sooner could not be used sooner.
        await asyncio.sleep(max((self.not_before or 0.0) - time.time(), 0.0))
        try:
            hook = KoreAIHook(self.koreai_conn_id)
            watch = ExportWatch(
                self.bot_id,
                ExportIdentity.of(self.request_id, self.requested_time, self.file_type),
                on_superseded=self.on_superseded,
                newer_than=self.newer_than,
                log=self.log,
            )
            wait = Wait(
                watch,
                poll_interval=self.poll_interval,
                deadline=self.deadline,
                timeout=self.timeout,
                began=self.began,
            )
            async with hook.aopen():
                # No retries within a call: this loop is what tries again.
                export = await wait.arun(lambda: hook.aget_export(self.bot_id, max_tries=1), asyncio.sleep)
        except KoreAIError as error:
            yield TriggerEvent(failure_event(error))  # type: ignore[no-untyped-call]
        else:
            yield TriggerEvent(success_event(watch.result(export)))  # type: ignore[no-untyped-call]
