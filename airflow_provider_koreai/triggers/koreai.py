"""The trigger: waits for an export in the triggerer, so that the wait takes no worker slot."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS
from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

from airflow_provider_koreai.exceptions import KoreAIError
from airflow_provider_koreai.jobs.events import failure_event, success_event
from airflow_provider_koreai.jobs.export import ExportIdentity, ExportWatch
from airflow_provider_koreai.jobs.waiting import Wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TRIGGER = "airflow_provider_koreai.triggers.koreai.KoreAIExportStatusTrigger"
XCOM_RETURN_KEY = "return_value"


class KoreAIExportStatusTrigger(BaseTrigger):
    """
    Fires when an export of a bot's ML utterances is done, failed, superseded, or past its deadline.

    It takes the same decisions as the sensor in its other modes. Its row in the database holds no secret and no
    link. A triggerer that starts it again keeps its deadline, because that is absolute.

    :param bot_id: the bot.
    :param request_id: the export's request ID; ``""`` and no ``requested_time``: the bot's latest export.
    :param requested_time: the export's requested time, as Kore.ai wrote it.
    :param file_type: ``csv``, ``json``, or ``""`` for any.
    :param on_superseded: ``fail`` or ``follow``.
    :param newer_than: where the bot's latest export is wanted, the time from which on one counts, in ISO 8601.
    :param poll_interval: longest pause between two status calls, in seconds. Default 60.
    :param deadline: when to give up, in seconds since the epoch; None: never.
    :param timeout: the seconds that led to the deadline, for the message.
    :param koreai_conn_id: ID of the connection.
    :param end_from_trigger: end the task from here when the export is done, without a worker. Any other end is
        told to the task, which knows of retries and of ``soft_fail``.
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
        koreai_conn_id: str = "koreai_default",
        end_from_trigger: bool = False,
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
        self.koreai_conn_id = koreai_conn_id
        self.end_from_trigger = end_from_trigger

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give what the triggerer needs to make this trigger again."""
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
                "koreai_conn_id": self.koreai_conn_id,
                "end_from_trigger": self.end_from_trigger,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire once."""
        from airflow_provider_koreai.hooks.koreai import KoreAIHook

        try:
            hook = KoreAIHook(self.koreai_conn_id)
            watch = ExportWatch(
                self.bot_id,
                ExportIdentity.of(self.request_id, self.requested_time, self.file_type),
                on_superseded=self.on_superseded,
                newer_than=self.newer_than,
                log=self.log,
            )
            wait = Wait(watch, poll_interval=self.poll_interval, deadline=self.deadline, timeout=self.timeout)
            async with hook.aopen():
                # One try a call: this loop is what tries again.
                export = await wait.arun(lambda: hook.aget_export(self.bot_id, max_tries=1), asyncio.sleep)
        except KoreAIError as error:
            yield TriggerEvent(failure_event(error))  # type: ignore[no-untyped-call]
        else:
            done = watch.result(export)
            if self.end_from_trigger:
                yield await self._end(done)
            else:
                yield TriggerEvent(success_event(done))  # type: ignore[no-untyped-call]

    async def _end(self, done: dict[str, str]) -> TaskSuccessEvent:
        """Push the sensor's result, and end its task."""
        task = self.task_instance
        if not AIRFLOW_V_3_0_PLUS or task is None:
            return TaskSuccessEvent(xcoms={XCOM_RETURN_KEY: dict(done)})
        # Airflow 3 (seen on 3.3.2) encodes what the event carries twice: downstream would get a text.
        from airflow.providers.common.compat.sdk import XCom
        from asgiref.sync import sync_to_async

        await sync_to_async(XCom.set)(
            key=XCOM_RETURN_KEY,
            value=done,
            dag_id=task.dag_id,
            task_id=task.task_id,
            run_id=task.run_id,
            map_index=task.map_index,
        )
        return TaskSuccessEvent()
