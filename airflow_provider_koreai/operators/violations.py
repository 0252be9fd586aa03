"""What a task does when its data exceeds its limits, the same for each task that has ``on_violation``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException, AssetAlias

from airflow_provider_koreai.arguments import choice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import BaseOperator, Context

    from airflow_provider_koreai.exceptions import KoreAIError

ON_VIOLATION = ("fail", "skip", "warn")


def on_violation_argument(value: object) -> str:
    """Return ``fail``, ``skip`` or ``warn``."""
    return choice("on_violation", value, ON_VIOLATION)


def settle(
    task: BaseOperator,
    on_violation: str,
    error: KoreAIError,
    exceeded: Sequence[str],
    result: Mapping[str, Any],
    context: Context,
) -> None:
    """
    Fail, skip or warn. In each case XCom has the result, and ``violations``: the limits that are exceeded, in words.

    :param error: what the task fails with; a skip and a warning have its text.
    """
    from airflow_provider_koreai.operators.job import push_result

    context["ti"].xcom_push(key="violations", value=list(exceeded))
    if on_violation == "warn":
        for outlet in task.outlets:
            if not isinstance(outlet, AssetAlias):
                context["outlet_events"][outlet].extra["violations"] = list(exceeded)
        task.log.warning("%s The task succeeds, because on_violation='warn'.", error)
        return
    push_result(result, context)
    if on_violation == "skip":
        raise AirflowSkipException(f"{error} The task is skipped, because on_violation='skip'.")
    raise error
