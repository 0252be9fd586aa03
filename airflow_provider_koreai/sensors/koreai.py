"""The sensor: waits until an export is done."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_koreai.arguments import FILE_TYPES, as_text, refuse_literals
from airflow_provider_koreai.deferral import deferral, start_in_triggerer
from airflow_provider_koreai.exceptions import (
    KoreAIConfigurationError,
    KoreAIError,
    KoreAIExportTimeoutError,
    KoreAIRateLimitError,
    final,
)
from airflow_provider_koreai.jobs.events import export_of_event
from airflow_provider_koreai.jobs.export import ON_SUPERSEDED, ExportIdentity, ExportWatch
from airflow_provider_koreai.jobs.waiting import note_trouble, timeout_text
from airflow_provider_koreai.links.koreai import KoreAIBotLink, store_bot_link

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_koreai.hooks.koreai import KoreAIHook


class KoreAIExportStatusSensor(BaseSensorOperator):
    """
    Wait until an export of a bot's ML utterances is done.

    Trouble with the status call (5xx, 429, no answer, an answer that is not the API's) is not trouble with the
    export: the sensor waits on, until its ``timeout``. A 401, a 403, another definite 4xx, a failed export and a
    superseded one fail the task at once, without Airflow's retries.

    :param bot_id: the bot, such as ``st-ab12cd34-...``. (templated)
    :param request_id: the export's request ID, ``export.output``; without it and ``requested_time`` the sensor waits
        for the bot's latest export, whoever started it. (templated)
    :param requested_time: the export's requested time, ``export.output["requested_time"]``. Kore.ai may reuse a
        request ID, so give both. (templated)
    :param file_type: the export's file type, ``export.output["file_type"]``; None: any. (templated)
    :param on_superseded: what to do when somebody starts a newer export of the bot meanwhile: ``fail`` (the default),
        or ``follow``: wait for the newer one if it has our file type. (templated)
    :param newer_than: without ``request_id`` and ``requested_time``, the time from which on an export counts: a date, a
        time, or a text of one in ISO 8601 (UTC where it names no offset), for example ``"{{ data_interval_end }}"``. An
        export that was requested earlier is waited out. Default None: any export counts. (templated)
    :param deferrable: wait in the triggerer, without a worker slot. Default: Airflow's
        ``[operators] default_deferrable``.
    :param start_from_trigger: let the scheduler hand the task to the triggerer directly, so that the wait takes no
        worker at all to begin with. Needs Airflow 3.3, ``deferrable=True``, and arguments that are literals or
        templates of ``params`` and the like: another task's output is refused, because the triggerer cannot resolve
        it. ``timeout`` then counts from the handing over. Default False.
    :param end_from_trigger: let the triggerer end the task when the export is done, without a worker. Default False.
    :param koreai_conn_id: ID of a connection of type ``koreai``. Default ``koreai_default``. (templated)

    All else is ``BaseSensorOperator``'s. Its ``poke_interval``, 60 by default, is the seconds between two status calls;
    in deferrable mode the longest pause, and the pace follows the export's progress. Returns ``{"request_id",
    "requested_time", "file_type"}`` of the export that it waited for.
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
        start_from_trigger: bool = False,
        end_from_trigger: bool = False,
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
        self.end_from_trigger = end_from_trigger
        self._not_before = 0.0
        self._trouble: KoreAIError | None = None
        if start_from_trigger:
            if not deferrable:
                raise KoreAIConfigurationError(
                    f"Task {self.task_id!r}: start_from_trigger needs deferrable=True."
                )
            self.start_trigger_args = start_in_triggerer(self, self.timeout, self._trigger_kwargs())
            self.start_from_trigger = True

    @cached_property
    def hook(self) -> KoreAIHook:
        """The hook, made when it is first needed."""
        from airflow_provider_koreai.hooks.koreai import KoreAIHook

        return KoreAIHook(self.koreai_conn_id)

    def execute(self, context: Context) -> Any:
        """
        Wait, in the mode that was chosen.

        :param context: Airflow's.
        """
        # One try, one watch: what an earlier try of the same process saw does not count.
        self.__dict__.pop("_watch", None)
        self._trouble = None
        store_bot_link(context, self)
        if self.deferrable:
            # The trigger checks the arguments, so that soft_fail and never_fail mean the same in every mode.
            self.defer(**deferral(float(self.timeout), self.execution_timeout, **self._trigger_kwargs()))
        try:
            return super().execute(context)
        except AirflowSensorTimeout:
            # Airflow's own text names neither the export nor what was wrong.
            problem = timeout_text(self._watch, self.timeout, self._trouble)
        raise AirflowSensorTimeout(problem)

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """
        Ask once.

        :param context: Airflow's.
        """
        if time.monotonic() < self._not_before:
            return False
        try:
            # One try: the next poke is what tries again.
            export = self.hook.get_export(self.bot_id, max_tries=1)
        except KoreAIError as error:
            note_trouble(self._watch, error)
            self._trouble = error
            if isinstance(error, KoreAIRateLimitError) and error.retry_after:
                self._not_before = time.monotonic() + error.retry_after
            return False
        self._trouble = None
        try:
            done = self._watch.observe(export)
        except KoreAIError as error:
            raise final(error) from None
        if done is None:
            percent = "" if export.percent_complete is None else f", {export.percent_complete:g} %"
            self.log.info("The export of bot %s is %s%s", self.bot_id, export.status_word, percent)
            return False
        return PokeReturnValue(is_done=True, xcom_value=self._done(self._watch.result(done)))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """
        Take up the task again after the deferral, with what ``never_fail`` means in every mode.

        :param next_method: Airflow's.
        :param next_kwargs: Airflow's.
        :param context: Airflow's.
        """
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except AirflowSkipException:
            raise
        except AirflowException as error:
            if self.never_fail:
                # Airflow 2.11 knows only soft_fail here.
                raise AirflowSkipException("Skipping due to never_fail is set to True.") from error
            raise

    def execute_complete(
        self, context: Context, event: Mapping[str, Any] | None = None, limit: str = "timeout"
    ) -> dict[str, str]:
        """
        Take up the task again after the deferral.

        :param context: Airflow's.
        :param event: what the trigger fired.
        :param limit: whether ``timeout`` or ``execution_timeout`` set the trigger's deadline.
        """
        if self.start_from_trigger:
            # There was no execute().
            store_bot_link(context, self)
        try:
            return self._done(export_of_event(event, limit))
        except KoreAIExportTimeoutError as error:
            raise AirflowSensorTimeout(str(error)) from None
        except KoreAIError as error:
            raise final(error) from None

    def _trigger_kwargs(self) -> dict[str, Any]:
        return {
            "bot_id": self.bot_id,
            "request_id": self.request_id,
            "requested_time": self.requested_time,
            "file_type": self.file_type,
            "on_superseded": self.on_superseded,
            "newer_than": as_text(self.newer_than),
            "poll_interval": self.poke_interval,
            "koreai_conn_id": self.koreai_conn_id,
            "end_from_trigger": self.end_from_trigger,
        }

    @cached_property
    def _watch(self) -> ExportWatch:
        return ExportWatch(
            self.bot_id,
            ExportIdentity.of(self.request_id, self.requested_time, self.file_type),
            on_superseded=self.on_superseded,
            newer_than=self.newer_than,
            log=self.log,
        )

    def _done(self, export: dict[str, str]) -> dict[str, str]:
        self.log.info(
            "The export of bot %s is done: request ID %s, requested %s, file type %s",
            self.bot_id,
            export["request_id"],
            export["requested_time"],
            export["file_type"],
        )
        return export
