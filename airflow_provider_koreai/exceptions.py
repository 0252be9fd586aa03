"""
The errors that this provider raises.

Where a retry would fail in the same way, the error is also an ``AirflowFailException``: Airflow then fails the task at
once, without using its retries. No message holds a secret, a token or a download link.
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

    :param status_code: 401 or 403.
    """

    def __init__(self, message: str, *, status_code: int = 401) -> None:
        super().__init__(message)
        self.status_code = HTTPStatus(status_code)


class KoreAIRequestError(KoreAIError):
    """Kore.ai refused the request, or the answer did not come from Kore.ai's API."""


class KoreAIGatewayError(KoreAIRequestError):
    """A 4xx from something in front of Kore.ai's API, for example a gateway that is being redeployed; it may go away."""


class KoreAIRefusedError(KoreAIRequestError, AirflowFailException):
    """
    A definite 4xx (not 401, 403, 408, 429): the same request would be refused again.

    :param by_api: whether the body is an error in the API's own form, so that Kore.ai itself refused.
    :param http_status: the HTTP status; 0 if it is not known.
    """

    def __init__(self, message: str, *, by_api: bool = False, http_status: int = 0) -> None:
        super().__init__(message)
        self.by_api = by_api
        self.http_status = http_status


class KoreAIServerError(KoreAIError):
    """
    The service could not be reached or answered 5xx (or 408), after retries.

    :param was_sent: False if the connection failed before anything was sent.
    """

    def __init__(self, message: str, *, was_sent: bool = True) -> None:
        super().__init__(message)
        self.was_sent = was_sent


class KoreAIRateLimitError(KoreAIError):
    """
    Kore.ai answered 429, after retries.

    :param retry_after: seconds that the service asked to wait, None if it did not say.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class KoreAIExportFailedError(KoreAIError):
    """
    Kore.ai reports that the export failed.

    :param status_logs: what the service logged about it (``statusLogs``).
    """

    def __init__(self, message: str, *, status_logs: tuple[Any, ...] | list[Any] = ()) -> None:
        super().__init__(message)
        self.status_logs = tuple(status_logs)


class KoreAIExportSupersededError(KoreAIError):
    """Another export of the bot was started after ours, so Kore.ai no longer reports ours."""


class KoreAITimeoutError(KoreAIError):
    """What a task waits for did not finish within its ``timeout``."""


class KoreAIExportTimeoutError(KoreAITimeoutError):
    """The export did not finish within the operator's ``timeout``."""


class KoreAIImportFailedError(KoreAIError):
    """
    Kore.ai reports that an import failed.

    :param status_logs: what the service logged about it (``statusLogs``).
    """

    def __init__(self, message: str, *, status_logs: tuple[Any, ...] | list[Any] = ()) -> None:
        super().__init__(message)
        self.status_logs = tuple(status_logs)


class KoreAIImportUncertainError(KoreAIError, AirflowFailException):
    """The answer to the start of an import was lost, so the import may be running. The text says what to check."""


class KoreAIImportTimeoutError(KoreAITimeoutError, AirflowFailException):
    """The import did not finish within the operator's ``timeout``; it may still be running, so it is not repeated."""


class KoreAITrainingFailedError(KoreAIError):
    """Kore.ai reports that a training failed."""


class KoreAIBatchTestError(KoreAIError, AirflowFailException):
    """A batch test failed, or its results are outside the task's limits; the text contains the results."""


class KoreAIDownloadError(KoreAIError):
    """The export's file could not be downloaded completely, or its content is wrong. Nothing was published."""


class KoreAIFileError(KoreAIError, AirflowFailException):
    """A stored export is missing or broken; the text names the line or the element, without quoting the data."""


class KoreAIDatabaseError(KoreAIError):
    """A database could not be reached, or it aborted the transaction. Its content is unchanged."""


class KoreAIComparisonError(KoreAIError, AirflowFailException):
    """Two snapshots differ by more than the task allows; the text contains the numbers."""


class KoreAIQualityError(KoreAIError, AirflowFailException):
    """Utterances have more problems than the task allows; the text contains the numbers."""


class _FinalFailedError(KoreAIExportFailedError, AirflowFailException):
    """A failed export, in a task that did not start it: a retry would find the same one."""

    def __reduce__(self) -> tuple[Any, ...]:
        return final, (KoreAIExportFailedError(str(self), status_logs=self.status_logs),)


class _FinalSupersededError(KoreAIExportSupersededError, AirflowFailException):
    """A superseded export, in a task that did not start it: a retry would find the same one."""

    def __reduce__(self) -> tuple[Any, ...]:
        return final, (KoreAIExportSupersededError(str(self)),)


class _FinalImportFailedError(KoreAIImportFailedError, AirflowFailException):
    """An import that copied another number of utterances than were sent: a retry would, too."""

    def __reduce__(self) -> tuple[Any, ...]:
        return final, (KoreAIImportFailedError(str(self), status_logs=self.status_logs),)


# Users see and catch only the names in the documentation.
for _final, _known in (
    (_FinalImportFailedError, KoreAIImportFailedError),
    (_FinalFailedError, KoreAIExportFailedError),
    (_FinalSupersededError, KoreAIExportSupersededError),
):
    _final.__name__ = _known.__name__
    _final.__qualname__ = _known.__qualname__


def final(error: KoreAIError) -> KoreAIError:
    """Return the same error, as one that Airflow does not retry if it is a failed export or import, or a superseded export."""
    if isinstance(error, KoreAIImportFailedError):
        return _FinalImportFailedError(str(error), status_logs=error.status_logs)
    if isinstance(error, KoreAIExportFailedError):
        return _FinalFailedError(str(error), status_logs=error.status_logs)
    if isinstance(error, KoreAIExportSupersededError):
        return _FinalSupersededError(str(error))
    return error


_BY_NAME: Mapping[str, type[KoreAIError]] = {
    cls.__name__: cls
    for cls in (
        KoreAIError,
        KoreAIConfigurationError,
        KoreAIAuthError,
        KoreAIRequestError,
        KoreAIGatewayError,
        KoreAIRefusedError,
        KoreAIServerError,
        KoreAIRateLimitError,
        KoreAIExportFailedError,
        KoreAIExportSupersededError,
        KoreAITimeoutError,
        KoreAIExportTimeoutError,
        KoreAIImportTimeoutError,
        KoreAIImportFailedError,
        KoreAIImportUncertainError,
        KoreAITrainingFailedError,
        KoreAIBatchTestError,
        KoreAIDownloadError,
        KoreAIFileError,
        KoreAIDatabaseError,
        KoreAIComparisonError,
        KoreAIQualityError,
    )
}

# What an error carries besides its text: the name, how to make it JSON-safe, and whether a value is valid.
_ATTRIBUTES: Mapping[type[KoreAIError], tuple[str, Callable[[Any], Any], Callable[[Any], bool]]] = {
    KoreAIAuthError: ("status_code", int, lambda value: value in (401, 403)),
    KoreAIRefusedError: ("by_api", bool, lambda value: isinstance(value, bool)),
    KoreAIRateLimitError: ("retry_after", lambda value: value, lambda value: isinstance(value, (int, float))),
    KoreAIExportFailedError: ("status_logs", list, lambda value: isinstance(value, list)),
    KoreAIImportFailedError: ("status_logs", list, lambda value: isinstance(value, list)),
}


def to_payload(error: KoreAIError) -> dict[str, Any]:
    """Write an error as JSON-safe values, for a trigger's event."""
    payload: dict[str, Any] = {"error": type(error).__name__, "message": str(error)}
    for cls, (name, write, _) in _ATTRIBUTES.items():
        if isinstance(error, cls):
            payload[name] = write(getattr(error, name))
    return payload


def from_payload(payload: Mapping[str, Any]) -> KoreAIError:
    """Read what :func:`to_payload` wrote."""
    cls = _BY_NAME.get(str(payload.get("error")), KoreAIError)
    more = {
        name: payload[name]
        for kind, (name, _, is_valid) in _ATTRIBUTES.items()
        if issubclass(cls, kind) and is_valid(payload.get(name))
    }
    return cls(str(payload.get("message", "")), **more)
