"""The events with which a trigger resumes its task: written and read here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_koreai.exceptions import KoreAIError, KoreAITimeoutError, from_payload, to_payload

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

IDENTITY = ("request_id", "requested_time", "file_type")


def success_event(result: Mapping[str, Any]) -> dict[str, Any]:
    """The event of a job that is done, with what the task needs of it."""
    return {"status": "success", **result}


def failure_event(error: KoreAIError) -> dict[str, Any]:
    """The event of a wait that ended with an error."""
    return {"status": "error", **to_payload(error)}


def past_limit(error: KoreAITimeoutError, limit: str) -> BaseException:
    """The error for a wait past its deadline: an ``execution_timeout`` ends as it does in a worker, and may be retried."""
    return AirflowTaskTimeout(str(error)) if limit == "execution_timeout" else error


def export_of_event(event: Mapping[str, Any] | None, limit: str = "timeout") -> dict[str, str]:
    """Return request ID, requested time and file type of the export that is done, as :func:`result_of_event` does."""
    found = result_of_event(event, IDENTITY, limit)
    if all(isinstance(value, str) for value in found.values()):
        return found
    raise _not_understood()


def result_of_event(
    event: Mapping[str, Any] | None, keys: Iterable[str], limit: str = "timeout"
) -> dict[str, Any]:
    """
    Return what an event says of a job that is done, or raise the error of the wait.

    :param keys: what it has to say.
    :param limit: what set the deadline, ``timeout`` or ``execution_timeout``.
    """
    status = event.get("status") if isinstance(event, dict) else None
    if event is not None and status == "success" and all(key in event for key in keys):
        return {key: event[key] for key in keys}
    if event is not None and status == "error":
        error = from_payload(event)
        raise past_limit(error, limit) if isinstance(error, KoreAITimeoutError) else error
    raise _not_understood()


def _not_understood() -> KoreAIError:
    return KoreAIError(
        "The trigger resumed this task without an event that this version of airflow-provider-koreai "
        "understands. Are worker and triggerer on the same version?"
    )
