"""The events with which a trigger resumes its task: written and read here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_koreai.exceptions import KoreAIError, KoreAIExportTimeoutError, from_payload, to_payload

if TYPE_CHECKING:
    from collections.abc import Mapping

_IDENTITY = ("request_id", "requested_time", "file_type")


def success_event(export: Mapping[str, str]) -> dict[str, Any]:
    """The event of an export that is done, by its request ID, requested time and file type."""
    return {"status": "success", **export}


def failure_event(error: KoreAIError) -> dict[str, Any]:
    """The event of a wait that ended with an error."""
    return {"status": "error", **to_payload(error)}


def past_limit(error: KoreAIExportTimeoutError, limit: str) -> BaseException:
    """The error for a wait past its deadline: an ``execution_timeout`` ends as it does in a worker, and may be retried."""
    return AirflowTaskTimeout(str(error)) if limit == "execution_timeout" else error


def export_of_event(event: Mapping[str, Any] | None, limit: str = "timeout") -> dict[str, str]:
    """
    Return request ID, requested time and file type of the export that is done, or raise the error of the wait.

    :param limit: what set the deadline, ``timeout`` or ``execution_timeout``.
    """
    status = event.get("status") if isinstance(event, dict) else None
    if event is not None and status == "success" and all(isinstance(event.get(k), str) for k in _IDENTITY):
        return {key: event[key] for key in _IDENTITY}
    if event is not None and status == "error":
        error = from_payload(event)
        raise past_limit(error, limit) if isinstance(error, KoreAIExportTimeoutError) else error
    raise KoreAIError(
        "The trigger resumed this task without an event that this version of airflow-provider-koreai "
        "understands. Are worker and triggerer on the same version?"
    )
