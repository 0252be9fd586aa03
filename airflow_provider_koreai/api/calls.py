"""
The wire, without I/O: build a request, turn an answer into an Export or an error, say what may be retried.

The synchronous and the asynchronous client both send what this module builds and believe what it reads.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_provider_koreai.exceptions import (
    KoreAIAuthError,
    KoreAIConfigurationError,
    KoreAIError,
    KoreAIRateLimitError,
    KoreAIRefusedError,
    KoreAIRequestError,
    KoreAIServerError,
)
from airflow_provider_koreai.redaction import scrub

if TYPE_CHECKING:
    from collections.abc import Mapping

# The documents are a few hundred bytes; a status log may add some. What is larger is not the API's.
MAX_ANSWER_BYTES = 4 << 20
# Seconds. The vendor's longest window is an hour, so a longer wait than that is nobody's rate limit.
LONGEST_RETRY_AFTER = 3600.0
# Seconds by which clocks may differ unnoticed: an answer's Date is of a whole second, and it travels for a while.
CLOCK_TOLERANCE = 10.0
_SHOWN = 300


@dataclass(frozen=True)
class ApiRequest:
    """
    One call of the API, without its token.

    :param call: what the call is for, in messages.
    :param method: the HTTP method.
    :param url: the whole URL. It holds no secret.
    :param bot_id: the bot that it is about; ``""`` (the default) for a call about the account.
    :param headers: further headers. Default: none.
    :param refusal: what besides a wrong secret and a wrong clock a 401 or 403 may mean, in messages. Default: what it
        means for an export.
    :param is_confidential: the answer holds secrets, so no part of it is repeated in messages. Default False.
    """

    call: str
    method: str
    url: str
    bot_id: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    refusal: str = ""
    is_confidential: bool = False

    @property
    def subject(self) -> str:
        """What was asked about what, in messages."""
        return f"{self.call} of bot {self.bot_id}" if self.bot_id else self.call


@dataclass(frozen=True)
class ApiAnswer:
    """
    An HTTP answer.

    :param status_code: the HTTP status.
    :param headers: its headers, looked up without regard to case.
    :param body: its body, at most :data:`MAX_ANSWER_BYTES` and one more.
    """

    status_code: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def bot_id_argument(bot_id: object) -> str:
    """
    Check a bot ID and quote it for a URL's path.

    :param bot_id: such as ``st-ab12cd34-...``.
    :raises KoreAIConfigurationError: it is empty or has characters that no bot ID has.
    """
    text = bot_id.strip() if isinstance(bot_id, str) else ""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:\-]*", text):
        raise KoreAIConfigurationError(
            f"bot_id={bot_id!r:.80} is not a bot ID; it looks like st-ab12cd34-..., "
            "see Bot Settings > Config Settings > General Settings in Kore.ai."
        )
    return quote(text, safe="")


def read_document(request: ApiRequest, answer: ApiAnswer, conn_id: str) -> dict[str, Any]:
    """
    Read the JSON object of an answer.

    :param request: the call.
    :param answer: what came back.
    :param conn_id: the connection, for messages.
    :raises KoreAIError: of the kind that the answer's HTTP status or content stands for.
    """
    if not 200 <= answer.status_code < 300:
        raise error_from(request, answer, conn_id)
    if len(answer.body) > MAX_ANSWER_BYTES:
        raise unreadable(request, answer, conn_id, f"is larger than {MAX_ANSWER_BYTES} bytes")
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise unreadable(request, answer, conn_id, "is not a JSON object")
    return document


def by_folded_name(document: Mapping[str, Any]) -> dict[str, Any]:
    """
    Give the fields of an object by their names in lower case, without the empty ones.

    :param document: the object; Kore.ai's APIs do not agree on the case of names.
    """
    by_name: dict[str, Any] = {}
    for key, value in document.items():
        if value not in (None, ""):
            by_name.setdefault(key.casefold(), value)
    return by_name


def text_of(value: Any) -> str | None:
    """
    Give a field's value as a text: a text that is not blank, or a whole number.

    :param value: the value; of another kind, it counts as absent.
    """
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def unreadable(request: ApiRequest, answer: ApiAnswer, conn_id: str, problem: str) -> KoreAIRequestError:
    """
    Make the error of an answer that is not the API's.

    :param request: the call.
    :param answer: what came back.
    :param conn_id: the connection, for messages.
    :param problem: what is wrong with it.
    """
    kind = answer.headers.get("Content-Type") or answer.headers.get("content-type") or "unknown type"
    return KoreAIRequestError(
        f"The answer to the {request.subject} {problem} (HTTP {answer.status_code}, "
        f"{kind:.60}): {_shown_beginning(request, answer)}. Check that the host of connection {conn_id!r} is "
        "Kore.ai's API and that no proxy or login page answers in its place."
    )


def error_from(request: ApiRequest, answer: ApiAnswer, conn_id: str) -> KoreAIError:
    """
    Turn an answer that is no 2xx into the error that it stands for.

    :param request: the call.
    :param answer: what came back.
    :param conn_id: the connection, for messages.
    """
    status = answer.status_code
    said = f"Kore.ai answered {status} to the {request.subject}: {_message(request, answer)}"
    if status in (401, 403):
        return KoreAIAuthError(
            f"{said}. Connection {conn_id!r} was refused. Likely causes: a wrong Client ID or Client Secret; "
            f"{request.refusal or _export_refusal(request.bot_id)}; {_clock_as_a_cause(answer.headers)}.",
            status_code=status,
        )
    if status == 429:
        return KoreAIRateLimitError(
            f"{said}. The limit (60 a minute and 1,800 an hour) is shared by all who call for "
            f"{'this bot' if request.bot_id else 'the account'}.",
            retry_after=retry_after(answer.headers),
        )
    if status == 408 or status >= 500:
        return KoreAIServerError(f"{said}.")
    if status == 407:
        return KoreAIRefusedError(
            f"A proxy answered 407 to the {request.subject}: it wants a user name and password. Put them into the "
            "environment's proxy URL, or keep the host away from the proxy with NO_PROXY."
        )
    if 400 <= status < 500:
        return KoreAIRefusedError(
            f"{said}. Check {'bot_id and ' if request.bot_id else ''}the host of connection {conn_id!r}.",
            by_api=bool(_vendor_errors(answer.body)),
            http_status=status,
        )
    return KoreAIRequestError(
        f"{said}. That is no answer of the API; check the host of connection {conn_id!r} "
        "(it must be the API's own host, without redirects)."
    )


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """
    Read a ``Retry-After`` header, in seconds or as a date.

    :param headers: the answer's headers.
    :param now: the present time, for a date; when None the answer's own ``Date``, since this machine's clock may be
        off, or else the clock's.
    :return: seconds from now, from 0 to :data:`LONGEST_RETRY_AFTER`; None where there is none that can be read.
    """
    value = (headers.get("Retry-After") or headers.get("retry-after") or "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value):
        return min(float(value), LONGEST_RETRY_AFTER)
    when = _http_date(value)
    if when is None:
        return None
    now = now or _date_of(headers) or datetime.now(timezone.utc)
    return min(max(0.0, (when - now).total_seconds()), LONGEST_RETRY_AFTER)


def clock_ahead(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """
    Say how far this machine's clock is ahead of the server's.

    :param headers: the headers of an answer that has just arrived.
    :param now: this machine's time in seconds since the epoch; the clock's when None.
    :return: seconds, negative where it is behind, about a second exact; None where the answer has no ``Date``.
    """
    date = _date_of(headers)
    return None if date is None else (time.time() if now is None else now) - date.timestamp()


def may_be_retried(request: ApiRequest, error: KoreAIError) -> bool:
    """
    Say whether sending the same request again may mend an error.

    Starting an export is safe to repeat: it only refreshes the bot's record, and the answer that was received
    says which start it belongs to. A start whose answer arrived but cannot be read is not repeated blindly.

    :param request: the call.
    :param error: what it ended with.
    """
    if isinstance(error, (KoreAIServerError, KoreAIRateLimitError)):
        return True
    return request.method == "GET" and is_unreadable(error)


def is_unreadable(error: KoreAIError) -> bool:
    """
    Say whether an error is that of an answer that is not the API's.

    :param error: the error of a call.
    """
    return isinstance(error, KoreAIRequestError) and not isinstance(error, KoreAIRefusedError)


def is_trouble(error: KoreAIError) -> bool:
    """
    Say whether an error of the status call is trouble with the call, not with the export.

    :param error: the error of a status call; while waiting, such trouble does not end the wait.
    """
    return isinstance(error, (KoreAIServerError, KoreAIRateLimitError)) or is_unreadable(error)


def vendor_message(body: bytes) -> str:
    """
    Give the vendor's own words from an error's body: each ``msg`` with its ``code``.

    :param body: the body; where it is not the vendor's, its beginning is given instead.
    """
    said = _vendor_errors(body)
    if said:
        return scrub("; ".join(said)[:_SHOWN])
    return _beginning(body)


def _date_of(headers: Mapping[str, str]) -> datetime | None:
    return _http_date(headers.get("Date") or headers.get("date") or "")


def _http_date(value: str) -> datetime | None:
    try:
        when = parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return when if when.tzinfo else when.replace(tzinfo=timezone.utc)


def _clock_as_a_cause(headers: Mapping[str, str]) -> str:
    ahead = clock_ahead(headers)
    if ahead is None:
        return "this machine's clock is off"
    if abs(ahead) < CLOCK_TOLERANCE:
        return f"but not this machine's clock, which agrees with the server's within {CLOCK_TOLERANCE:g} s"
    return (
        f"this machine's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the server's, "
        "so tokens seem to be of another time: set it right"
    )


def _export_refusal(bot_id: str) -> str:
    return (
        "the app lacks the scope 'Utterances Export' or the bot was not published since it was added; "
        f"bot {bot_id} is not linked to the app or does not exist"
    )


def _message(request: ApiRequest, answer: ApiAnswer) -> str:
    if request.is_confidential and not _vendor_errors(answer.body):
        return _shown_beginning(request, answer)
    return vendor_message(answer.body)


def _shown_beginning(request: ApiRequest, answer: ApiAnswer) -> str:
    if request.is_confidential and answer.body:
        return f"{len(answer.body)} bytes, which may hold secrets and are not repeated here"
    return _beginning(answer.body)


def _vendor_errors(body: bytes) -> list[str]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    entries = document.get("errors") if isinstance(document, dict) else None
    said = []
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("msg"), str):
            code = entry.get("code")
            said.append(
                f"{entry['msg'].rstrip('.')}" + (f" (code {code})" if isinstance(code, (int, str)) else "")
            )
    return said


def _beginning(body: bytes) -> str:
    # A JSON document is not repeated: it may hold a download link under a name that is not known here.
    text = " ".join(body[: _SHOWN * 4].decode("utf-8", "replace").split())
    if not text:
        return "empty body"
    if text[0] in "{[":
        return "a JSON document that is not the API's"
    return repr(scrub(text[:_SHOWN]))
