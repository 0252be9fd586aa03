"""
The errors that this provider raises.

Those that trying again cannot mend are also an ``AirflowFailException``: Airflow fails the task at once,
without using up its retries. No message ever holds a secret, a token or a download link.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class KoreAIError(AirflowException):
    """Base of every error of this provider."""


class KoreAIConfigurationError(KoreAIError, AirflowFailException):
    """A connection or an argument is missing or wrong; the text names it and says what is accepted."""


class KoreAIAuthError(KoreAIError, AirflowFailException):
    """
    Kore.ai answered 401 or 403.

    :param status_code: which of them.
    """

    def __init__(self, message: str, *, status_code: int = 401) -> None:
        super().__init__(message)
        self.status_code = HTTPStatus(status_code)


class KoreAIRequestError(KoreAIError):
    """Kore.ai refused the request, or what answered is not Kore.ai's API."""


class KoreAIRefusedError(KoreAIRequestError, AirflowFailException):
    """
    A definite 4xx (not 401, 403, 408, 429): the same request would be refused again.

    :param by_api: the body is an error of the API's, so it was Kore.ai that refused.
    """

    def __init__(self, message: str, *, by_api: bool = False) -> None:
        super().__init__(message)
        self.by_api = by_api


class KoreAIServerError(KoreAIError):
    """The service could not be reached or answered 5xx (or 408), after retries."""


class KoreAIRateLimitError(KoreAIError):
    """
    Kore.ai answered 429, after retries.

    :param retry_after: seconds that the service asked to wait, None where it did not say.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class KoreAIExportFailedError(KoreAIError):
    """
    Kore.ai reports that the export failed.

    :param status_logs: what the service logged of it (``statusLogs``).
    """

    def __init__(self, message: str, *, status_logs: tuple[Any, ...] | list[Any] = ()) -> None:
        super().__init__(message)
        self.status_logs = tuple(status_logs)


class KoreAIExportSupersededError(KoreAIError):
    """Another export of the bot was started after ours; the service no longer reports ours."""


class KoreAIExportTimeoutError(KoreAIError):
    """The export did not finish within the operator's ``timeout``."""


class KoreAIDownloadError(KoreAIError):
    """The export's file could not be fetched whole, or it is not what it should be. Nothing was published."""


class KoreAIFileError(KoreAIError, AirflowFailException):
    """A stored export is missing or broken; the text names the line or the element, and does not repeat the data."""


class KoreAIDatabaseError(KoreAIError):
    """A database could not be reached, or it ended the work. What it had before is still there."""


class KoreAIComparisonError(KoreAIError, AirflowFailException):
    """Two snapshots differ by more than the task allows; the text has the numbers."""


class KoreAIExportFailedFinalError(KoreAIExportFailedError, AirflowFailException):
    """A failed export, seen by a task that did not start it: its retry would see the same again."""


class KoreAIExportSupersededFinalError(KoreAIExportSupersededError, AirflowFailException):
    """A superseded export, seen by a task that did not start it: its retry would see the same again."""


def final(error: KoreAIError) -> KoreAIError:
    """
    Make an error about an export final, for tasks that wait for somebody else's export.

    :param error: any error of this provider.
    :return: the same error, as one that Airflow does not retry if it is a failed or superseded export.
    """
    if isinstance(error, KoreAIExportFailedError):
        return KoreAIExportFailedFinalError(str(error), status_logs=error.status_logs)
    if isinstance(error, KoreAIExportSupersededError):
        return KoreAIExportSupersededFinalError(str(error))
    return error


_BY_NAME: Mapping[str, type[KoreAIError]] = {
    cls.__name__: cls
    for cls in (
        KoreAIError,
        KoreAIConfigurationError,
        KoreAIAuthError,
        KoreAIRequestError,
        KoreAIRefusedError,
        KoreAIServerError,
        KoreAIRateLimitError,
        KoreAIExportFailedError,
        KoreAIExportSupersededError,
        KoreAIExportTimeoutError,
        KoreAIDownloadError,
        KoreAIFileError,
        KoreAIDatabaseError,
        KoreAIComparisonError,
        KoreAIExportFailedFinalError,
        KoreAIExportSupersededFinalError,
    )
}

# What an error says beside its text: its name, what makes it JSON-safe, what it may be.
_ATTRIBUTES: Mapping[type[KoreAIError], tuple[str, Callable[[Any], Any], Callable[[Any], bool]]] = {
    KoreAIAuthError: ("status_code", int, lambda value: value in (401, 403)),
    KoreAIRefusedError: ("by_api", bool, lambda value: isinstance(value, bool)),
    KoreAIRateLimitError: ("retry_after", lambda value: value, lambda value: isinstance(value, (int, float))),
    KoreAIExportFailedError: ("status_logs", list, lambda value: isinstance(value, list)),
}


def to_payload(error: KoreAIError) -> dict[str, Any]:
    """
    Write an error as JSON-safe values, for a trigger's event.

    :param error: any error of this provider.
    """
    payload: dict[str, Any] = {"error": type(error).__name__, "message": str(error)}
    for cls, (name, write, _) in _ATTRIBUTES.items():
        if isinstance(error, cls):
            payload[name] = write(getattr(error, name))
    return payload


def from_payload(payload: Mapping[str, Any]) -> KoreAIError:
    """
    Read an error back from :func:`to_payload`.

    :param payload: what :func:`to_payload` wrote.
    """
    cls = _BY_NAME.get(str(payload.get("error")), KoreAIError)
    more = {
        name: payload[name]
        for kind, (name, _, is_valid) in _ATTRIBUTES.items()
        if issubclass(cls, kind) and is_valid(payload.get(name))
    }
    return cls(str(payload.get("message", "")), **more)
