"""Handing a wait to the triggerer and taking it back: the same for the sensor and the one-task operator."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.exceptions import (
    KoreAIConfigurationError,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator
    from airflow.triggers.base import StartTriggerArgs

# Seconds that Airflow's own deadline of a deferral stands behind the trigger's, which asks once more first.
GRACE = 120.0


def deferral(timeout: float, execution_timeout: timedelta | None, **trigger_kwargs: Any) -> dict[str, Any]:
    """
    Make the arguments of an operator's ``defer``.

    Airflow 3 does not apply ``execution_timeout`` while a task is deferred, so the trigger's deadline does.

    :param timeout: seconds that the task may wait.
    :param execution_timeout: the task's.
    :param trigger_kwargs: the trigger's other arguments.
    """
    from airflow_provider_koreai.triggers.koreai import KoreAIExportStatusTrigger

    limit, seconds = "timeout", timeout
    if execution_timeout is not None and execution_timeout.total_seconds() < seconds:
        limit, seconds = "execution_timeout", execution_timeout.total_seconds()
    return {
        "trigger": KoreAIExportStatusTrigger(
            deadline=time.time() + seconds, timeout=seconds, **trigger_kwargs
        ),
        "method_name": "execute_complete",
        "kwargs": {"limit": limit},
        "timeout": timedelta(seconds=seconds + GRACE),
    }


def start_in_triggerer(
    task: BaseOperator, timeout: float, trigger_kwargs: dict[str, Any]
) -> StartTriggerArgs:
    """
    Make what lets the scheduler hand a task to the triggerer without a worker.

    Airflow then keeps the deadline alone, from the moment at which it hands the task over.

    :param task: the task, for messages.
    :param timeout: seconds that the task may wait.
    :param trigger_kwargs: the trigger's arguments, not rendered; the triggerer renders them.
    :raises KoreAIConfigurationError: this Airflow cannot do it, or an argument cannot be resolved there.
    """
    from airflow.providers.common.compat.sdk import XComArg
    from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS
    from airflow.triggers.base import StartTriggerArgs

    from airflow_provider_koreai.triggers.koreai import TRIGGER

    if not AIRFLOW_V_3_3_PLUS:
        raise KoreAIConfigurationError(
            f"Task {task.task_id!r}: start_from_trigger needs Airflow 3.3 or later; leave it out, and the task "
            "defers from a worker."
        )
    for name, value in trigger_kwargs.items():
        if isinstance(value, XComArg) or (isinstance(value, str) and "xcom" in value.lower()):
            raise KoreAIConfigurationError(
                f"Task {task.task_id!r}: {name} is another task's output, which the triggerer cannot resolve, so "
                "start_from_trigger would leave the task deferred for ever. Leave start_from_trigger out, or give "
                f"{name} as a literal or a template of params or dag_run.conf."
            )
    return StartTriggerArgs(
        trigger_cls=TRIGGER,
        trigger_kwargs=trigger_kwargs,
        next_method="execute_complete",
        next_kwargs={},
        timeout=timedelta(seconds=timeout),
    )
