"""
Requests, answers and errors of the API, without I/O: what an answer means, and what may be sent again.

What a particular call sends and returns is decided where the call belongs (``bots``, ``jobs.export``).
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_provider_koreai.exceptions import (
    KoreAIAuthError,
    KoreAIConfigurationError,
    KoreAIError,
    KoreAIGatewayError,
    KoreAIRateLimitError,
    KoreAIRefusedError,
    KoreAIRequestError,
    KoreAIServerError,
)
from airflow_provider_koreai.redaction import scrub

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_koreai.api.multipart import FormWithFile

# Most documents are a few hundred bytes; a status log may add some. Anything larger is not the API's, except where a
# request says so.
MAX_ANSWER_BYTES = 4 << 20
# Seconds. The vendor's longest window is an hour, so no rate limit takes longer.
LONGEST_RETRY_AFTER = 3600.0
# Seconds to wait after the hourly limit was reached, where the answer does not say: it rolls off in minutes.
HOURLY_LIMIT_PAUSE = 300.0
# Seconds by which clocks may differ unnoticed: an answer's Date is of a whole second, and it travels for a while.
CLOCK_TOLERANCE = 10.0
_SHOWN = 300


@dataclass(frozen=True)
class ApiRequest:
    """
    One call of the API, without its token.

    :param call: what the call is for, in messages.
    :param url: the complete URL, which holds no secret.
    :param bot_id: the bot that it is about; ``""`` for a call about the account.
    :param refusal: what a 401 or 403 may mean besides a wrong secret or clock, in messages; by default, what it means
        for an export.
    :param is_confidential: the answer holds secrets, so messages repeat no part of it.
    :param body: what to send; an iterable is started anew for each try, and has a length.
    :param is_repeatable: whether it may be sent again when it is not known what became of it.
    :param to_check: what to check when the API refuses the call, in messages, besides bot and host.
    :param max_answer_bytes: how large an answer may be.
    """

    call: str
    method: str
    url: str
    bot_id: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    refusal: str = ""
    is_confidential: bool = False
    body: bytes | FormWithFile | None = field(default=None, repr=False)
    content_type: str = "application/json"
    is_repeatable: bool = True
    to_check: str = ""
    max_answer_bytes: int = MAX_ANSWER_BYTES

    @property
    def subject(self) -> str:
        """The call and its bot, in messages."""
        return f"{self.call} of bot {self.bot_id}" if self.bot_id else self.call

    def to(self, base_url: str) -> ApiRequest:
        """Return the same call to another host."""
        return replace(self, url=f"{base_url}/{self.url.split('/', 3)[3]}")


@dataclass(frozen=True)
class ApiAnswer:
    """An HTTP answer; its body has at most the request's ``max_answer_bytes`` and one more, which shows that it is too large."""

    status_code: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def bot_id_argument(bot_id: object) -> str:
    """Check a bot ID and quote it for a URL."""
    text = bot_id.strip() if isinstance(bot_id, str) else ""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:\-]*", text):
        raise KoreAIConfigurationError(
            f"bot_id={bot_id!r:.80} is not a bot ID; it looks like st-ab12cd34-..., "
            "see Bot Settings > Config Settings > General Settings in Kore.ai."
        )
    return quote(text, safe="")


def id_argument(name: str, value: object) -> str:
    """Check an ID that Kore.ai gave to a job, and quote it for a URL."""
    text = value.strip() if isinstance(value, str) else ""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:\-]*", text):
        raise KoreAIConfigurationError(
            f"{name}={value!r:.80} is not accepted; pass the ID that the start of the job returned."
        )
    return quote(text, safe="")


def read_document(request: ApiRequest, answer: ApiAnswer, conn_id: str) -> dict[str, Any]:
    """Return the JSON object of an answer, or raise the error that its status or content stands for."""
    document = read_json(request, answer, conn_id)
    if not isinstance(document, dict):
        raise unreadable(request, answer, conn_id, "is not a JSON object")
    return document


def read_json(request: ApiRequest, answer: ApiAnswer, conn_id: str) -> Any:
    """Return the JSON of an answer (None where there is none), or raise the error that its status stands for."""
    if not 200 <= answer.status_code < 300:
        raise error_from(request, answer, conn_id)
    if len(answer.body) > request.max_answer_bytes:
        raise KoreAIRequestError(
            f"The answer to the {request.subject} (HTTP {answer.status_code}, {_type_of(answer)}) is larger than "
            f"{request.max_answer_bytes >> 20} MiB, the most that is accepted. {_wrong_host(conn_id)}"
        )
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return None


def by_folded_name(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object's fields by their names in lower case, as Kore.ai's APIs disagree on it, without empty ones."""
    by_name: dict[str, Any] = {}
    for key, value in document.items():
        if value not in (None, ""):
            by_name.setdefault(key.casefold(), value)
    return by_name


def text_of(value: Any) -> str | None:
    """Return a string that is not blank, or a whole number as a string; None for anything else."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def unreadable(request: ApiRequest, answer: ApiAnswer, conn_id: str, problem: str) -> KoreAIRequestError:
    """Return the error of an answer that is not the API's."""
    return KoreAIRequestError(
        f"The answer to the {request.subject} {problem} (HTTP {answer.status_code}, "
        f"{_type_of(answer)}): {_shown_beginning(request, answer)}. {_wrong_host(conn_id)}"
    )


def _type_of(answer: ApiAnswer) -> str:
    kind = answer.headers.get("Content-Type") or answer.headers.get("content-type") or "unknown type"
    return f"{kind:.60}"


def _wrong_host(conn_id: str) -> str:
    return f"Check that the host of connection {conn_id!r} is Kore.ai's API and that no proxy or login page answers in its place."


def error_from(request: ApiRequest, answer: ApiAnswer, conn_id: str) -> KoreAIError:
    """Return the error that an answer other than 2xx stands for."""
    status = answer.status_code
    said = f"Kore.ai answered {status} to the {request.subject}: {_message(request, answer)}"
    if status == 429 or _is_rate_limit(answer.body):
        return KoreAIRateLimitError(
            f"{said}. The limit (60 a minute and 1,800 an hour) is shared by everything that calls for "
            f"{'this bot' if request.bot_id else 'the account'}.",
            retry_after=_asked_pause(answer),
        )
    if status in (408, 425) or status >= 500:
        return KoreAIServerError(f"{said}.")
    if status == 407:
        return KoreAIGatewayError(
            f"A proxy answered 407 to the {request.subject}: it wants a user name and password. Put them into the "
            "environment's proxy URL, or exclude the host with NO_PROXY."
        )
    if 400 <= status < 500 and not is_json_object(answer.body):
        return KoreAIGatewayError(
            f"{said}. Kore.ai's API answers in JSON, so this comes from a gateway or proxy in front of it, or the host "
            f"of connection {conn_id!r} is not the API's."
        )
    if status in (401, 403):
        return KoreAIAuthError(
            f"{said}. Connection {conn_id!r} was refused. Likely causes: a wrong Client ID or Client Secret; "
            f"{request.refusal or refusal('Utterances Export', request.bot_id)}; {_clock_as_a_cause(answer.headers)}.",
            status_code=status,
        )
    if 400 <= status < 500:
        return KoreAIRefusedError(
            f"{said}. Check {request.to_check + ', ' if request.to_check else ''}"
            f"{'bot_id and ' if request.bot_id else ''}the host of connection {conn_id!r}.",
            by_api=bool(_vendor_errors(answer.body)),
            http_status=status,
        )
    return KoreAIRequestError(
        f"{said}. The API never answers this way; check the host of connection {conn_id!r} "
        "(it must be the API's own host, without redirects)."
    )


def is_json_object(body: bytes) -> bool:
    """Return whether a body is a JSON object, as all of the API's are."""
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False


def _is_rate_limit(body: bytes) -> bool:
    return any("rate limit" in text.lower() for text in _vendor_errors(body))


def _asked_pause(answer: ApiAnswer) -> float | None:
    asked = retry_after(answer.headers)
    if asked is None and any("hour" in text.lower() for text in _vendor_errors(answer.body)):
        return HOURLY_LIMIT_PAUSE
    return asked


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """
    Read a ``Retry-After`` header, in seconds or as a date.

    :param now: the present time, for a date; by default the answer's own ``Date``, as this machine's clock may be off.
    :return: seconds from now, at most :data:`LONGEST_RETRY_AFTER`; None where there is none that can be read.
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
    """Return by how many seconds, to about one, this machine's clock is ahead of the server's ``Date``."""
    date = _date_of(headers)
    return None if date is None else (time.time() if now is None else now) - date.timestamp()


def may_be_retried(request: ApiRequest, error: KoreAIError) -> bool:
    """
    Return whether sending the same request again may help.

    Starting an export is safe to repeat: it only refreshes the bot's record, and the answer that was received
    identifies the export. A start whose answer arrived but cannot be read is not repeated blindly. An import replaces
    utterances, so it is repeated only if it surely did not begin.
    """
    if not request.is_repeatable:
        return isinstance(error, KoreAIRateLimitError) or is_unsent(error)
    if isinstance(error, (KoreAIServerError, KoreAIRateLimitError, KoreAIGatewayError)):
        return True
    return request.method == "GET" and is_unreadable(error)


def is_unsent(error: KoreAIError) -> bool:
    """Return whether a call failed before anything of it was sent."""
    return isinstance(error, KoreAIServerError) and not error.was_sent


def is_unreadable(error: KoreAIError) -> bool:
    """Return whether an error is that of an answer that is not the API's."""
    return isinstance(error, KoreAIRequestError) and not isinstance(error, KoreAIRefusedError)


def is_trouble(error: KoreAIError) -> bool:
    """Return whether an error of the status call is trouble with the call, which does not end a wait."""
    return isinstance(error, (KoreAIServerError, KoreAIRateLimitError)) or is_unreadable(error)


def vendor_message(body: bytes) -> str:
    """Return what an error's body says: each ``msg`` with its ``code``, or else the body's beginning."""
    said = _vendor_errors(body)
    if said:
        return scrub("; ".join(said))[:_SHOWN]
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
        return f"but not this machine's clock, which agrees with the server's to within {CLOCK_TOLERANCE:g} s"
    return (
        f"this machine's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the server's, "
        "so tokens carry the wrong time: correct it"
    )


def refusal(scope: str, bot_id: str) -> str:
    """Return what a 401 or 403 may mean for a call that needs a scope."""
    return (
        f"the app lacks the scope '{scope}' or the bot was not published since it was added; "
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
        if not isinstance(entry, dict):
            continue
        text, code = entry.get("msg") or entry.get("message"), entry.get("code")
        if isinstance(text, str):
            said.append(text.rstrip(".") + (f" (code {code})" if isinstance(code, (int, str)) else ""))
    return said


def _beginning(body: bytes) -> str:
    # A JSON document is not repeated: it may hold a download link under a name that is not known here.
    text = " ".join(body[: _SHOWN * 4].decode("utf-8", "replace").split())
    if not text:
        return "empty body"
    if text[0] in "{[":
        return "a JSON document that is not the API's"
    return repr(scrub(text[:_SHOWN]))
