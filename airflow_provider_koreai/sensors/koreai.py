"""The sensor: waits until an export is done."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_koreai import metrics
from airflow_provider_koreai.arguments import FILE_TYPES, refuse_literals
from airflow_provider_koreai.deferral import export_trigger, shortest_absence, wait_or_defer
from airflow_provider_koreai.exceptions import (
    KoreAIError,
    KoreAIExportTimeoutError,
    KoreAIRateLimitError,
    final,
)
from airflow_provider_koreai.jobs.events import export_of_event
from airflow_provider_koreai.jobs.export import ON_SUPERSEDED, ExportIdentity, ExportWatch
from airflow_provider_koreai.jobs.waiting import Observer, timeout_text
from airflow_provider_koreai.links.koreai import KoreAIBotLink, store_bot_link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_koreai.hooks.koreai import KoreAIHook
    from airflow_provider_koreai.jobs.export import Export


class KoreAIExportStatusSensor(BaseSensorOperator):
    """
    Wait until an export of a bot's ML utterances is done.

    Trouble with the status call (5xx, 429, no answer, an answer that is not the API's) does not mean that the export
    failed: the sensor keeps waiting, until its ``timeout``. A 401, a 403, another definite 4xx, a failed export and a
    superseded one fail the task at once, without Airflow's retries.

    :param bot_id: the bot, for example ``st-ab12cd34-...``. (templated)
    :param request_id: the export's request ID, ``export.output``. Without it and ``requested_time``, the sensor waits
        for the bot's latest export, whoever started it. (templated)
    :param requested_time: the export's requested time, ``export.output["requested_time"]``. Kore.ai may reuse a
        request ID, so pass both. (templated)
    :param file_type: the export's file type, ``export.output["file_type"]``. Default None: any. (templated)
    :param on_superseded: what to do when somebody starts a newer export of the bot in the meantime: ``fail`` (the
        default), or ``follow``: wait for the newer one if it has our file type. (templated)
    :param newer_than: without ``request_id`` and ``requested_time``: ignore exports that were requested before this time,
        and wait for a newer one. A date, a time, or its text in ISO 8601 (UTC if it has no offset), for example
        ``"{{ data_interval_end }}"``. Default None: any export counts. (templated)
    :param deferrable: wait in the triggerer, without a worker slot. Default: Airflow's
        ``[operators] default_deferrable``.
    :param koreai_conn_id: ID of a connection of type ``koreai``. Default ``koreai_default``. (templated)

    All other arguments are those of ``BaseSensorOperator``. Its ``poke_interval``, 60 by default, is the pause between two
    status calls in seconds. In deferrable mode it is the longest pause, and the pace follows the export's progress. In
    ``mode="reschedule"`` the pause is at least 3 seconds longer than ``[workers] min_heartbeat_interval`` (8 seconds in
    all by default), because Airflow may fail a task that comes back sooner.

    ``timeout`` skips or fails the task for good; ``execution_timeout`` fails the try, and Airflow retries the task. Both
    count from the start of the try, except that Airflow counts the ``timeout`` of ``mode="reschedule"`` over all tries,
    and applies ``execution_timeout`` there to each poke.

    Returns ``{"request_id", "requested_time", "file_type"}`` of the export that it waited for.
    """

    template_fields: Sequence[str] = (
        "bot_id",
        "request_id",
        "requested_time",
        "file_type",
        "on_superseded",
        "newer_than",
        "koreai_conn_id",
    )
    operator_extra_links = (KoreAIBotLink(),)
    ui_color = "#dff0ea"

    def __init__(
        self,
        *,
        bot_id: str,
        request_id: str | None = None,
        requested_time: str | None = None,
        file_type: str | None = None,
        on_superseded: str = "fail",
        newer_than: str | datetime | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        koreai_conn_id: str = "koreai_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        refuse_literals(file_type=(file_type, FILE_TYPES), on_superseded=(on_superseded, ON_SUPERSEDED))
        self.bot_id = bot_id
        self.request_id = request_id
        self.requested_time = requested_time
        self.file_type = file_type
        self.on_superseded = on_superseded
        self.newer_than = newer_than
        self.deferrable = deferrable
        self.koreai_conn_id = koreai_conn_id
        self._not_before = 0.0

    @cached_property
    def hook(self) -> KoreAIHook:
        """The hook, made when it is first needed."""
        from airflow_provider_koreai.hooks.koreai import KoreAIHook

        return KoreAIHook(self.koreai_conn_id)

    def execute(self, context: Context) -> Any:
        # Each try starts afresh, also when several run in one process, as in dag.test().
        self.__dict__.pop("_observer", None)
        store_bot_link(context, self)
        if self.deferrable:
            return self._wait_or_defer()
        try:
            return super().execute(context)
        except AirflowSensorTimeout:
            # Airflow's own text names neither the export nor what was wrong.
            problem = timeout_text(self._observer.watch, self.timeout, self._observer.trouble)
        with self._skipping():
            raise AirflowSensorTimeout(problem)

    def poke(self, context: Context) -> bool | PokeReturnValue:
        if time.monotonic() < self._not_before:
            return False
        try:
            # No retries within a poke: the next poke tries again.
            export = self._ask()
        except KoreAIError as error:
            self._observer.failed(error)
            if isinstance(error, KoreAIRateLimitError) and error.retry_after:
                self._not_before = time.monotonic() + error.retry_after
            return False
        with self._final_errors():
            done = self._observer.answered(export)
        if done is None:
            return False
        return PokeReturnValue(is_done=True, xcom_value=self._done(self._observer.watch.result(done)))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        with self._skipping():
            return super().resume_execution(next_method, next_kwargs, context)

    def execute_complete(
        self, context: Context, event: Mapping[str, Any] | None = None, limit: str = "timeout"
    ) -> dict[str, str]:
        with self._final_errors():
            return self._done(export_of_event(event, limit))

    def _wait_or_defer(self) -> dict[str, str]:
        # What ends here means the same as what ends after a deferral.
        with self._skipping(), self._final_errors():
            watch = self._watch()
            done = wait_or_defer(
                self,
                watch,
                self._ask,
                partial(export_trigger, watch),
                timeout=float(self.timeout),
                poll_interval=float(self.poke_interval),
            )
            return self._done(watch.result(done))

    def _ask(self) -> Export:
        return self.hook.get_export(self.bot_id, max_tries=1)

    @contextmanager
    def _skipping(self) -> Iterator[None]:
        """Skip instead of failing where ``soft_fail`` or ``never_fail`` says so, as Airflow does after a deferral."""
        try:
            yield
        except AirflowSkipException:
            raise
        except AirflowException as error:
            for name in ("soft_fail", "never_fail"):
                if getattr(self, name):
                    raise AirflowSkipException(f"Skipping due to {name} is set to True.") from error
            raise

    def _get_next_poke_interval(
        self, started_at: Any, run_duration: Callable[[], float], *args: Any, **kwargs: Any
    ) -> float:
        pause = float(super()._get_next_poke_interval(started_at, run_duration, *args, **kwargs))
        if not self.reschedule:
            return pause
        # The next poke is another process, which does not know of a Retry-After.
        asked_for = min(self._not_before - time.monotonic(), float(self.timeout) - run_duration())
        # Airflow may fail a task that comes back sooner.
        return max(pause, asked_for, shortest_absence())

    @cached_property
    def _observer(self) -> Observer[Export]:
        return Observer(self._watch())

    def _watch(self) -> ExportWatch:
        return ExportWatch(
            self.bot_id,
            ExportIdentity.of(self.request_id, self.requested_time, self.file_type),
            on_superseded=self.on_superseded,
            newer_than=self.newer_than,
            log=self.log,
        )

    def _done(self, export: dict[str, str]) -> dict[str, str]:
        if self.request_id or self.requested_time:
            # Without them, the export may have ended long before this task began.
            metrics.export_ended(self.bot_id, export["requested_time"])
        self.log.info(
            "The export of bot %s is done: request ID %s, requested %s, file type %s",
            self.bot_id,
            export["request_id"],
            export["requested_time"],
            export["file_type"],
        )
        return export

    @contextmanager
    def _final_errors(self) -> Iterator[None]:
        """A sensor's retry would see the same again, so its errors are final, and its timeout is Airflow's."""
        try:
            yield
        except KoreAIExportTimeoutError as error:
            raise AirflowSensorTimeout(str(error)) from error
        except KoreAIError as error:
            metrics.export_lost(self.bot_id, error)
            if (as_final := final(error)) is error:
                raise
            raise as_final from error
