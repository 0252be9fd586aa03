"""What the operators share that start a job at Kore.ai and may wait for it: an export, an import, a training, a test."""

from __future__ import annotations

import time
from abc import abstractmethod
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, BaseOperator

from airflow_provider_koreai import metrics
from airflow_provider_koreai.arguments import seconds
from airflow_provider_koreai.deferral import wait_or_defer
from airflow_provider_koreai.exceptions import KoreAIError
from airflow_provider_koreai.jobs.events import result_of_event
from airflow_provider_koreai.jobs.waiting import Wait, note_trouble
from airflow_provider_koreai.links.koreai import store_bot_link
from airflow_provider_koreai.version_compat import ResumableJobMixin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_koreai.hooks.koreai import KoreAIHook
    from airflow_provider_koreai.jobs.watch import Watch

# Longest pause between two status calls, in seconds.
POLL_INTERVAL = 60.0
# Seconds after which a wait notices that Airflow has stopped the task.
STOP_CHECK_INTERVAL = 0.5
ACTIVE, SUCCEEDED, GONE = "active", "succeeded", "gone"


class WithHook:
    """An operator with a connection."""

    koreai_conn_id: str

    @cached_property
    def hook(self) -> KoreAIHook:
        """The hook, made when it is first needed."""
        from airflow_provider_koreai.hooks.koreai import KoreAIHook

        return KoreAIHook(self.koreai_conn_id)


class JobOperator(WithHook, ResumableJobMixin, BaseOperator):
    """
    Starts a job and, if wanted, waits for it, in the worker or in the triggerer.

    A job that was started is described by a *note*, a dictionary of JSON-safe values without a secret. On Airflow 3.3 and
    later it outlives the worker, so that a retry goes on waiting for the same job. A deferrable task keeps none, and
    a cleared one ignores it; an import does neither.
    """

    # What the trigger's event has to say of a job that is done: the keys of the watch's result.
    result_keys: ClassVar[Sequence[str]]
    # The errors of a job that came to nothing.
    lost_errors: ClassVar[tuple[type[KoreAIError], ...]]

    bot_id: str
    wait_for_completion: bool
    timeout: float | timedelta
    deferrable: bool
    # What this process has learned of the job.
    _note: dict[str, Any]
    _result: Mapping[str, Any]
    _has_started = False
    _is_stopped = False

    def execute(self, context: Context) -> Any:
        if self.wait_for_completion:
            # Refused before anything is started.
            self.limit()
        store_bot_link(context, self)
        if not self.wait_for_completion:
            with self._explaining(context):
                return self.started(self.submit_job(context), context)
        with self._forgetting(context):
            if self.is_resumable() and context.get("task_state_store") is not None:
                self.execute_resumable(context)
            else:
                self.poll_until_complete(self.submit_job(context), context)
            return self.finish(self._note, self._result, context)

    def execute_complete(
        self,
        context: Context,
        event: Mapping[str, Any] | None = None,
        limit: str = "timeout",
        note: dict[str, Any] | None = None,
    ) -> Any:
        self._has_started = True
        with self._forgetting(context):
            return self.finish(note or {}, result_of_event(event, self.result_keys, limit), context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        # Airflow may also resume a task to fail it, without calling execute_complete.
        self._has_started = True
        with self._explaining(context):
            return super().resume_execution(next_method, next_kwargs, context)

    def on_kill(self) -> None:
        self._is_stopped = True

    def limit(self) -> float:
        """The seconds of ``timeout``."""
        return seconds("timeout", self.timeout)

    # What each kind of job says of itself.

    @abstractmethod
    def watch_for(self, note: dict[str, Any]) -> Watch[Any]:
        """Make the watch that judges the status answers."""

    @abstractmethod
    def ask(self, note: dict[str, Any], max_tries: int | None = None) -> Any:
        """Call the status."""

    @abstractmethod
    def trigger(self, watch: Any, note: dict[str, Any], **wait: Any) -> BaseTrigger:
        """Make the trigger that goes on with a wait."""

    @abstractmethod
    def started(self, note: dict[str, Any], context: Context) -> Any:
        """Return what the task returns if it does not wait."""

    @abstractmethod
    def finish(self, note: dict[str, Any], result: Mapping[str, Any], context: Context) -> Any:
        """Return what the task returns once the job is done, or raise what is wrong with it."""

    def asked_for(self, context: Context) -> dict[str, str]:
        """What a retry has to ask for as well, or the note is not its own."""
        fields = {name: str(getattr(self, name)) for name in self.template_fields}
        # Airflow raises it when a task is cleared, not for a retry.
        return {**fields, "max_tries": str(getattr(context["ti"], "max_tries", ""))}

    def until(self) -> float:
        """The end of a wait that begins now, in seconds since the epoch; 0 for a task that does not wait."""
        return time.time() + self.limit() if self.wait_for_completion else 0.0

    def is_own(self, note: Any, context: Context) -> bool:
        """Whether a stored note is of a job that this run of the task may go on with."""
        if not isinstance(note, dict) or note.get("asked_for") != self.asked_for(context):
            self.log.info(
                "The stored job was started with other arguments, or before the task was cleared; starting a new one"
            )
            return False
        if time.time() >= note["until"]:
            self.log.info("The stored job is past its timeout; starting a new one")
            return False
        return True

    def is_resumable(self) -> bool:
        """Whether a retry may go on with the job of an earlier try."""
        # A deferred task needs no note, and one that Airflow ends while it is deferred could not delete it.
        return not self.deferrable

    def is_over(self, error: BaseException) -> bool:
        """Whether the next try starts a job of its own after this error."""
        return True

    def instead_of(self, error: BaseException, context: Context) -> BaseException:
        """Return what the task fails with because of an error, while the job is under way."""
        return error

    def began(self, note: dict[str, Any]) -> float:
        """When the wait began, in seconds since the epoch."""
        return float(note["until"]) - self.limit()

    # What follows is called by ResumableJobMixin.

    @abstractmethod
    def submit_job(self, context: Context) -> dict[str, Any]:
        """Start the job and return its note, with ``asked_for`` and ``until``."""

    def get_job_status(self, external_id: Any, context: Context) -> str:
        return self.status_of(external_id) if self.is_own(external_id, context) else GONE

    def status_of(self, note: dict[str, Any]) -> str:
        """Ask how the job of a note is getting on."""
        watch = self.watch_for(note)
        try:
            done = watch.observe(self.ask(note))
        except self.lost_errors as error:
            self.log.warning("The %s that an earlier try started cannot be used: %s", watch.job, error)
            return GONE
        except KoreAIError as error:
            note_trouble(watch, error)
            return ACTIVE
        if done is None:
            return ACTIVE
        self._note, self._result = note, watch.result(done)
        return SUCCEEDED

    def is_job_active(self, status: str) -> bool:
        return status == ACTIVE

    def is_job_succeeded(self, status: str) -> bool:
        return status == SUCCEEDED

    def poll_until_complete(self, external_id: Any, context: Context) -> None:
        watch = self.watch_for(external_id)

        def ask() -> Any:
            # One try a call: the wait is what tries again.
            return self.ask(external_id, max_tries=1)

        limit, began = self.limit(), self.began(external_id)
        if self.deferrable:
            done = wait_or_defer(
                self,
                watch,
                ask,
                lambda **wait: self.trigger(watch, external_id, **wait),
                timeout=limit,
                poll_interval=POLL_INTERVAL,
                began=began,
                resume_with={"note": external_id},
            )
        else:
            wait: Wait[Any] = Wait(
                watch, poll_interval=POLL_INTERVAL, deadline=began + limit, timeout=limit, began=began
            )
            done = wait.run(ask, partial(self._sleep, watch.name))
        self._note, self._result = external_id, watch.result(done)

    def get_job_result(self, external_id: Any, context: Context) -> None:
        """Nothing: ``execute`` has it."""

    @contextmanager
    def _forgetting(self, context: Context) -> Iterator[None]:
        """Forget the job when it is over."""
        with self._explaining(context):
            try:
                yield
            except (Exception, AirflowTaskTimeout) as error:
                metrics.export_lost(self.bot_id, error)
                if self.is_over(error):
                    self._forget(context)
                raise
        self._forget(context)

    @contextmanager
    def _explaining(self, context: Context) -> Iterator[None]:
        """Fail with the error that a kind of job has instead."""
        try:
            yield
        except (Exception, AirflowTaskTimeout) as error:
            if (instead := self.instead_of(error, context)) is not error:
                raise instead from error
            raise

    def _forget(self, context: Context) -> None:
        """Let the next try start a job of its own: Airflow keeps the note even when a task is cleared."""
        store: Any = context.get("task_state_store")
        if store is None or not self.is_resumable():
            return
        try:
            store.delete(self.external_id_key)
        except Exception as error:  # noqa: BLE001 - the job has ended, whatever becomes of its note
            self.log.warning(
                "The note of the job could not be deleted (%s), so if this task is run again, it may take up the same job",
                type(error).__name__,
            )

    def _sleep(self, job: str, pause: float) -> None:
        """Sleep, but not for long after Airflow has stopped the task."""
        end = time.monotonic() + pause
        while not self._is_stopped and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, STOP_CHECK_INTERVAL))
        if self._is_stopped:
            raise KoreAIError(f"The task was stopped; the {job} continues at Kore.ai.")


def push_result(returned: Mapping[str, Any], context: Context) -> None:
    """Push what a task returns although it is about to fail, as Airflow does for one that succeeds."""
    for key, value in {**returned, "return_value": returned}.items():
        context["ti"].xcom_push(key=key, value=value)
