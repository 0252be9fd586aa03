"""
Handing a wait to the triggerer, the same for the sensor and the operators.

Airflow up to 3.3.2 fails a task whose trigger brings it back before the scheduler has noticed the end of its first stay
(apache/airflow 66374, 67287, 71580, 72716). A worker lives on for up to ``[workers] min_heartbeat_interval`` after a
deferral, so a task first waits in its worker for as long, which costs nothing, and its trigger fires no sooner than
that interval and :data:`MARGIN` after the deferral.

A retry is an execution of its own: ``timeout`` and ``execution_timeout`` count anew, as Airflow counts them.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_koreai.exceptions import KoreAITimeoutError
from airflow_provider_koreai.jobs.events import past_limit
from airflow_provider_koreai.jobs.waiting import Wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import BaseOperator
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_koreai.jobs.export import ExportWatch
    from airflow_provider_koreai.jobs.watch import Answer, Watch

# Seconds by which Airflow's own deadline for a deferral comes after the trigger's, which asks once more first.
GRACE = 120.0
# Seconds that the scheduler gets to notice that the worker has ended.
MARGIN = 3.0


def worker_stays() -> float:
    """The seconds for which Airflow keeps a worker anyway; Airflow 2 has no such setting and ends its worker with the task."""
    return float(conf.getfloat("workers", "min_heartbeat_interval", fallback=5.0))


def shortest_absence() -> float:
    """The seconds after which a task that left its worker may come back."""
    return worker_stays() + MARGIN


def wait_or_defer(
    task: BaseOperator,
    watch: Watch[Answer],
    ask: Callable[[], Answer],
    trigger: Callable[..., BaseTrigger],
    *,
    timeout: float,
    poll_interval: float,
    began: float | None = None,
    resume_with: dict[str, Any] | None = None,
) -> Answer:
    """
    Wait in the worker for a short while, then defer.

    :param trigger: makes the trigger, of the arguments that are the same for all kinds of jobs.
    :param began: what ``timeout`` and ``execution_timeout`` count from, in seconds since the epoch; None: now.
    :param resume_with: further arguments for the task's ``execute_complete``.
    :return: the last answer, if the job is done by then.
    :raises TaskDeferred: it is not; the task goes on in its ``execute_complete``.
    """
    limit, seconds = "timeout", timeout
    if task.execution_timeout is not None and task.execution_timeout.total_seconds() < seconds:
        # Airflow 3 does not apply it while a task is deferred, so the trigger's deadline does.
        limit, seconds = "execution_timeout", task.execution_timeout.total_seconds()
    now = time.time()
    began = now if began is None else began
    deadline = began + seconds
    wait = Wait(watch, poll_interval=poll_interval, deadline=deadline, timeout=seconds, began=began)
    # A wait that would end before the task may come back is not worth a deferral.
    leaves = deadline - now > worker_stays() + shortest_absence()
    try:
        done = wait.run(ask, until=now + worker_stays() if leaves else None)
    except KoreAITimeoutError as error:
        if limit == "timeout":
            raise
        raise past_limit(error, limit) from error
    if done is not None:
        return done
    now = time.time()
    task.defer(
        trigger=trigger(
            poll_interval=poll_interval,
            deadline=deadline,
            timeout=seconds,
            began=began,
            # Later still where Kore.ai asked for a longer pause.
            not_before=max(now + shortest_absence(), wait.next_call),
            koreai_conn_id=task.koreai_conn_id,  # type: ignore[attr-defined]
        ),
        method_name="execute_complete",
        kwargs={"limit": limit, **(resume_with or {})},
        timeout=timedelta(seconds=deadline - now + GRACE),
    )


def export_trigger(watch: ExportWatch, **wait: Any) -> BaseTrigger:
    """Make the trigger that goes on with a wait for an export."""
    from airflow_provider_koreai.triggers.koreai import KoreAIExportStatusTrigger

    return KoreAIExportStatusTrigger(
        bot_id=watch.bot_id,
        **watch.ours.as_dict(),
        on_superseded=watch.on_superseded,
        newer_than=watch.newer_than.isoformat() if watch.newer_than else None,
        **wait,
    )
