"""
The domain, without I/O: what an export is, and whether an answer of the status call speaks of ours.

The status call reports the bot's *latest* export, whoever started it, and the record behind it, ``_id``
included, may be reused from one export to the next. So the time decides first and the ID second.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from airflow_provider_koreai.api.calls import (
    ApiAnswer,
    ApiRequest,
    bot_id_argument,
    by_folded_name,
    read_document,
    text_of,
    unreadable,
)
from airflow_provider_koreai.arguments import FILE_TYPES, choice, file_type_argument
from airflow_provider_koreai.exceptions import (
    KoreAIConfigurationError,
    KoreAIExportFailedError,
    KoreAIExportSupersededError,
)
from airflow_provider_koreai.redaction import scrub

if TYPE_CHECKING:
    from airflow_provider_koreai.version_compat import Log

STATES = ("configured", "published")
ON_SUPERSEDED = ("fail", "follow")

# Start and status may not echo each other's clock to the millisecond; that they do is not documented.
ECHO_TOLERANCE = timedelta(seconds=2)


class ExportStatus(str, Enum):
    """What the status call says of an export; a word that is not known yet is ``UNKNOWN``, and waited on."""

    IN_PROGRESS = "IN_PROGRESS"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"

    @classmethod
    def parse(cls, word: str) -> ExportStatus:
        """
        Read the service's word for a status, without regard to case.

        :param word: the word, such as ``SUCCESS`` or a sibling API's ``pending``.
        """
        return _WORDS.get(word.strip().casefold().replace(" ", "_"), cls.UNKNOWN)


# Beside the enum, so that they are no members of it. The lower-case words are the sibling APIs'.
_WORDS = {
    "in_progress": ExportStatus.IN_PROGRESS,
    "inprogress": ExportStatus.IN_PROGRESS,
    "pending": ExportStatus.IN_PROGRESS,
    "queued": ExportStatus.IN_PROGRESS,
    "success": ExportStatus.SUCCESS,
    "failed": ExportStatus.FAILED,
    "failure": ExportStatus.FAILED,
}


@dataclass(frozen=True)
class Export:
    """
    One export of a bot's ML utterances, as the service describes it.

    :param bot_id: the bot.
    :param request_id: the record's ``_id``, None where the answer has none.
    :param status: the status.
    :param percent_complete: 0 to 100, None where the answer does not say.
    :param file_type: ``csv`` or ``json``, None where the answer does not say.
    :param requested_time: ``requestedTime`` as the service wrote it, None on older platform versions.
    :param status_logs: ``statusLogs``.
    :param download_url: the link to the file. Whoever has it has the data, so it is left out of the repr.
    :param status_word: the status in the service's own word.
    """

    bot_id: str
    request_id: str | None = None
    status: ExportStatus = ExportStatus.IN_PROGRESS
    percent_complete: float | None = None
    file_type: str | None = None
    requested_time: str | None = None
    status_logs: tuple[Any, ...] = ()
    download_url: str | None = field(default=None, repr=False)
    status_word: str = ""

    @property
    def identity(self) -> ExportIdentity:
        """What tells this export from the bot's others."""
        return ExportIdentity(self.request_id, self.requested_time, self.file_type)


@dataclass(frozen=True)
class ExportIdentity:
    """
    What a task knows of the export that it wants; nothing known means: the bot's latest.

    :param request_id: the request ID that the start answered.
    :param requested_time: the requested time that the start answered.
    :param file_type: the file type that was asked for.
    """

    request_id: str | None = None
    requested_time: str | None = None
    file_type: str | None = None

    @classmethod
    def of(
        cls, request_id: str | None = None, requested_time: str | None = None, file_type: str | None = None
    ) -> ExportIdentity:
        """
        Build an identity from a task's arguments, where ``""`` means the same as None.

        :param request_id: as on the class.
        :param requested_time: as on the class.
        :param file_type: as on the class, in any case.
        :raises KoreAIConfigurationError: for an argument that is not a string, or an unknown file type.
        """
        return cls(
            _text("request_id", request_id),
            _text("requested_time", requested_time),
            file_type_argument(file_type),
        )

    def as_dict(self) -> dict[str, str]:
        """Give the identity as XCom carries it: always strings, because a None breaks rendering downstream."""
        return {
            "request_id": self.request_id or "",
            "requested_time": self.requested_time or "",
            "file_type": self.file_type or "",
        }


class Verdict(str, Enum):
    """Whose export a status answer speaks of."""

    MINE = "mine"
    SUPERSEDED = "superseded"
    STALE = "stale"


def parse_time(value: str | None) -> datetime | None:
    """
    Read a time as the service writes it.

    :param value: ISO 8601, such as ``2023-07-26T13:15:04.984Z``; without an offset it is UTC.
    :return: the time, None if there is none that can be read (the service's format is not guaranteed).
    """
    if not value:
        return None
    if not re.match(r"\s*\d{4}-\d\d-\d\d", value):
        return None
    try:
        # Python 3.10's fromisoformat does not know the Z.
        parsed = datetime.fromisoformat(value.strip().replace("Z", "+00:00").replace("z", "+00:00"))
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def judge(ours: ExportIdentity, theirs: ExportIdentity, *, echo_seen: bool = False) -> Verdict:
    """
    Decide whether a status answer speaks of our export.

    :param ours: what the start answered.
    :param theirs: what the status call answered.
    :param echo_seen: this task has seen our exact requested time in a status answer before: the service
        echoes exactly, so a time that is merely close is another export's.
    """
    other_type = bool(ours.file_type and theirs.file_type) and ours.file_type != theirs.file_type
    our_time, their_time = parse_time(ours.requested_time), parse_time(theirs.requested_time)
    if our_time is None or their_time is None:
        if ours.requested_time and ours.requested_time == theirs.requested_time and not other_type:
            return Verdict.MINE
        same_id = ours.request_id == theirs.request_id or not ours.request_id or not theirs.request_id
        return Verdict.MINE if same_id and not other_type else Verdict.SUPERSEDED
    if not other_type:
        if our_time == their_time:
            return Verdict.MINE
        if not echo_seen and abs(their_time - our_time) <= ECHO_TOLERANCE:
            return Verdict.MINE
    return Verdict.STALE if their_time < our_time else Verdict.SUPERSEDED


class ExportWatch:
    """
    What one task has seen of the export that it waits for: turns status answers into "done" or "not yet".

    Sensor, operators and trigger all decide with this. It does no I/O and knows no clock.

    :param bot_id: the bot, for messages.
    :param ours: the export that is wanted; an empty identity takes the bot's latest.
    :param on_superseded: ``fail``, or ``follow`` to wait for the newer export if it has our file type.
    :param log: where each surprise is told, once.
    """

    def __init__(
        self,
        bot_id: str,
        ours: ExportIdentity,
        *,
        on_superseded: str = "fail",
        log: Log | None = None,
    ) -> None:
        self.bot_id = bot_id
        self.ours = ours
        self.on_superseded = choice("on_superseded", on_superseded, ON_SUPERSEDED)
        self.echo_seen = False
        self._log = log
        self._told: set[str] = set()

    def expect_type(self, file_type: str | None) -> None:
        """
        Let the file type that is wanted help to tell our export from others.

        :param file_type: ``csv``, ``json`` or None.
        """
        if not self.ours.file_type and (self.ours.request_id or self.ours.requested_time):
            self.ours = replace(self.ours, file_type=file_type)

    def tell_once(self, kind: str, message: str, *args: object) -> None:
        """
        Log a surprise, once for each kind of it.

        :param kind: what makes two surprises the same.
        :param message: the message, with ``%s`` for each of ``args``.
        """
        if kind not in self._told:
            self._told.add(kind)
            if self._log is not None:
                self._log.warning(message, *args)

    def verdict(self, export: Export) -> Verdict:
        """
        Say whose export an answer speaks of, and under ``follow`` take the newer one as ours.

        :param export: a status answer.
        :raises KoreAIExportSupersededError: our export was superseded, and is not to be or cannot be followed.
        """
        theirs = export.identity
        verdict = judge(self.ours, theirs, echo_seen=self.echo_seen)
        if verdict is Verdict.SUPERSEDED:
            self._follow(theirs)
            return Verdict.MINE
        if verdict is Verdict.MINE and self.ours.requested_time:
            our_time, their_time = parse_time(self.ours.requested_time), parse_time(theirs.requested_time)
            self.echo_seen |= our_time is not None and our_time == their_time
            if our_time and their_time and our_time != their_time:
                self.tell_once(
                    f"time {theirs.requested_time}",
                    "The status of bot %s names requested time %s, the start named %s: taken for the same export, as "
                    "they are close. If somebody else started an export of this bot at the same moment, this is "
                    "theirs; a pool keeps starts apart.",
                    self.bot_id,
                    theirs.requested_time,
                    self.ours.requested_time,
                )
            elif theirs.request_id and self.ours.request_id and theirs.request_id != self.ours.request_id:
                self.tell_once(
                    "id",
                    "The status of bot %s names request ID %s, the start named %s; their requested times agree, "
                    "so it is the same export.",
                    self.bot_id,
                    theirs.request_id,
                    self.ours.request_id,
                )
        if verdict is Verdict.STALE:
            self.tell_once(
                "stale",
                "The status of bot %s still speaks of an earlier export (requested %s; ours %s). Waiting.",
                self.bot_id,
                theirs.requested_time,
                self.ours.requested_time,
            )
        return verdict

    def observe(self, export: Export) -> Export | None:
        """
        Take in a status answer.

        :param export: the answer.
        :return: the export when it is ours and done, None while there is something to wait for.
        :raises KoreAIExportFailedError: our export failed.
        :raises KoreAIExportSupersededError: as :meth:`verdict`.
        """
        if self.verdict(export) is not Verdict.MINE:
            return None
        if export.status is ExportStatus.SUCCESS:
            return export
        if export.status is ExportStatus.FAILED:
            logs = "; ".join(str(entry) for entry in export.status_logs) or "none"
            raise KoreAIExportFailedError(
                f"Kore.ai reports that the export of bot {self.bot_id} {describe(export.identity)} failed. "
                f"Its status logs: {logs[:2000]}",
                status_logs=export.status_logs,
            )
        if export.status is ExportStatus.UNKNOWN:
            self.tell_once(
                f"status {export.status_word}",
                "Kore.ai reports a status that this provider does not know, %r, for the export of bot %s. Waiting.",
                export.status_word[:80],
                self.bot_id,
            )
        return None

    def result(self, export: Export) -> dict[str, str]:
        """
        Identify a finished export for XCom: as its own answer does, and where that is silent, as ours did.

        :param export: what :meth:`observe` returned.
        """
        return ExportIdentity(
            export.request_id or self.ours.request_id,
            export.requested_time or self.ours.requested_time,
            export.file_type or self.ours.file_type,
        ).as_dict()

    def _follow(self, theirs: ExportIdentity) -> None:
        other_type = (
            bool(self.ours.file_type and theirs.file_type) and self.ours.file_type != theirs.file_type
        )
        anybodys = not self.ours.request_id and not self.ours.requested_time
        our_time = parse_time(self.ours.requested_time)
        if anybodys or (other_type and our_time and our_time == parse_time(theirs.requested_time)):
            # Nothing was superseded: this is the export that is wanted, and it has the wrong file type.
            raise KoreAIExportSupersededError(
                f"The latest export of bot {self.bot_id}, {describe(theirs)}, is a {theirs.file_type} export; "
                f"file_type={self.ours.file_type!r} was asked for (a path's suffix counts, too). Export the bot as "
                f"{self.ours.file_type}, or ask for {theirs.file_type}."
            )
        text = (
            f"A newer export of bot {self.bot_id} was started while this task wanted another: ours is "
            f"{describe(self.ours)}, the bot's latest is {describe(theirs)}."
        )
        if self.on_superseded == "follow" and not other_type:
            if self._log is not None:
                self._log.warning("%s Following the newer one.", text)
            self.ours = ExportIdentity(
                theirs.request_id, theirs.requested_time, theirs.file_type or self.ours.file_type
            )
            self.echo_seen = False
            return
        remedy = (
            f"It cannot be followed: its file type is {theirs.file_type}, ours {self.ours.file_type}."
            if self.on_superseded == "follow"
            else "Start one export of a bot at a time (an Airflow pool, max_active_runs=1), "
            "or set on_superseded='follow' to take the newer one."
        )
        raise KoreAIExportSupersededError(f"{text} {remedy}")


def describe(identity: ExportIdentity) -> str:
    """
    Name an export in a message.

    :param identity: the export.
    """
    return (
        f"(request ID {identity.request_id or 'unknown'}, "
        f"requested {identity.requested_time or 'at an unknown time'}, "
        f"file type {identity.file_type or 'unknown'})"
    )


def _text(name: str, value: object) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise KoreAIConfigurationError(
            f"{name} must be a string, not {type(value).__name__} ({value!r:.80}). "
            "Pass the export task's output, such as export.output."
        )
    return value.strip() or None


def start_request(
    base_url: str, bot_id: str, *, state: str = "configured", file_type: str = "csv"
) -> ApiRequest:
    """
    Build the call that starts an export.

    :param base_url: scheme, host and port of the API.
    :param bot_id: the bot.
    :param state: ``configured`` (in development) or ``published``.
    :param file_type: ``csv`` or ``json``.
    :raises KoreAIConfigurationError: an argument is not accepted.
    """
    query = urlencode(
        {"state": choice("state", state, STATES), "type": choice("file_type", file_type, FILE_TYPES)}
    )
    url = f"{base_url}/api/public/bot/{bot_id_argument(bot_id)}/mlexport?{query}"
    return ApiRequest("start of the export", "POST", url, bot_id.strip())


def status_request(base_url: str, bot_id: str) -> ApiRequest:
    """
    Build the call that asks for the bot's latest export.

    :param base_url: scheme, host and port of the API.
    :param bot_id: the bot.
    :raises KoreAIConfigurationError: the bot ID is not accepted.
    """
    url = f"{base_url}/api/public/bot/{bot_id_argument(bot_id)}/mlexport/status"
    return ApiRequest("status of the export", "GET", url, bot_id.strip())


def read_export(request: ApiRequest, answer: ApiAnswer, conn_id: str) -> Export:
    """
    Turn the answer to a start or a status call into an Export.

    :param request: the call.
    :param answer: what came back.
    :param conn_id: the connection, for messages.
    :raises KoreAIError: of the kind that the answer's HTTP status or content stands for.
    """
    by_name = by_folded_name(read_document(request, answer, conn_id))
    word = by_name.get("status")
    request_id = text_of(by_name.get("_id"))
    is_start = request.method == "POST"
    if not (request_id if is_start else isinstance(word, str) and word.strip()):
        raise unreadable(request, answer, conn_id, f"has no {'_id' if is_start else 'status'}")
    word = word if isinstance(word, str) else ""
    logs = by_name.get("statuslogs")
    return Export(
        bot_id=request.bot_id,
        request_id=request_id,
        status=ExportStatus.parse(word) if word else ExportStatus.IN_PROGRESS,
        percent_complete=_percent(by_name.get("percentagecomplete")),
        file_type=(text_of(by_name.get("filetype")) or "").lower() or None,
        requested_time=text_of(by_name.get("requestedtime")),
        status_logs=tuple(_scrub_value(entry) for entry in logs) if isinstance(logs, list) else (),
        download_url=text_of(by_name.get("downloadurl")),
        status_word=word,
    )


def _percent(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if isinstance(value, bool) or not 0 <= number <= 100 else number


def _scrub_value(value: Any) -> Any:
    if isinstance(value, str):
        return scrub(value)
    return scrub(json.dumps(value, ensure_ascii=False, default=str))
