"""
What an export is, and whether an answer of the status call is about ours. Without I/O.

The status call reports the bot's *latest* export, whoever started it, and may reuse a record, ``_id`` included, from
one export to the next. So the time decides first and the ID second, and both are compared exactly: the start has
confirmed how the status writes them (see :mod:`airflow_provider_koreai.jobs.confirming`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from http import HTTPStatus
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
from airflow_provider_koreai.arguments import (
    FILE_TYPES,
    choice,
    file_type_argument,
    parse_time,
    point_in_time,
)
from airflow_provider_koreai.exceptions import (
    KoreAIConfigurationError,
    KoreAIError,
    KoreAIExportFailedError,
    KoreAIExportSupersededError,
    KoreAIExportTimeoutError,
    KoreAIRefusedError,
)
from airflow_provider_koreai.jobs.status import JobStatus, percent, status_logs
from airflow_provider_koreai.jobs.watch import Watch

if TYPE_CHECKING:
    from airflow_provider_koreai.version_compat import Log

STATES = ("configured", "published")
ON_SUPERSEDED = ("fail", "follow")
ExportStatus = JobStatus


@dataclass(frozen=True)
class Export:
    """
    One export of a bot's ML utterances, as the service describes it. What an answer leaves out is None.

    :param bot_id: the bot.
    :param request_id: the record's ``_id``.
    :param status: the status.
    :param percent_complete: 0 to 100.
    :param file_type: ``csv`` or ``json``.
    :param requested_time: ``requestedTime`` as the service wrote it. Older platform versions have none.
    :param status_logs: ``statusLogs``.
    :param download_url: the link to the file. Whoever has it has the data, so it is not in the repr.
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
        """What distinguishes this export from the bot's others."""
        return ExportIdentity(self.request_id, self.requested_time, self.file_type)


@dataclass(frozen=True)
class ExportIdentity:
    """What a task knows of the export that it wants; where ID and time are None, that is the bot's latest."""

    request_id: str | None = None
    requested_time: str | None = None
    file_type: str | None = None

    @classmethod
    def of(
        cls, request_id: str | None = None, requested_time: str | None = None, file_type: str | None = None
    ) -> ExportIdentity:
        """Build an identity from a task's arguments, where ``""`` means None."""
        return cls(
            _text("request_id", request_id),
            _text("requested_time", requested_time),
            file_type_argument(file_type),
        )

    def as_dict(self) -> dict[str, str]:
        """Return the identity as XCom carries it: always strings, because a None breaks rendering downstream."""
        return {
            "request_id": self.request_id or "",
            "requested_time": self.requested_time or "",
            "file_type": self.file_type or "",
        }

    @property
    def is_latest(self) -> bool:
        """Whether the bot's latest export is meant, whoever started it."""
        return not self.request_id and not self.requested_time

    def has_other_type(self, other: ExportIdentity) -> bool:
        """Whether the file types of both are known and differ."""
        return bool(self.file_type and other.file_type) and self.file_type != other.file_type


class Verdict(str, Enum):
    """Whose export a status answer is about."""

    MINE = "mine"
    SUPERSEDED = "superseded"
    STALE = "stale"


def judge(ours: ExportIdentity, theirs: ExportIdentity) -> Verdict:
    """Decide whether a status answer is about our export; every comparison is exact."""
    our_time, their_time = parse_time(ours.requested_time), parse_time(theirs.requested_time)
    if our_time and their_time and our_time != their_time:
        return Verdict.STALE if their_time < our_time else Verdict.SUPERSEDED
    is_same_time = (our_time or ours.requested_time) == (their_time or theirs.requested_time)
    is_ours = (
        (bool(ours.requested_time) and is_same_time)
        or ours.request_id == theirs.request_id
        or not ours.request_id
        or not theirs.request_id
    )
    return Verdict.MINE if is_ours and not ours.has_other_type(theirs) else Verdict.SUPERSEDED


class ExportWatch(Watch[Export]):
    """
    What one task has seen of the export that it waits for: turns status answers into "done" or "not yet".

    Sensor, operators and trigger all decide with this.

    :param bot_id: the bot, for messages.
    :param ours: the export that is wanted.
    :param on_superseded: ``fail``, or ``follow`` to wait for the newer export if it has our file type.
    :param newer_than: where the bot's latest export is wanted, the time from which on an export counts.
    :param log: where each surprise is logged, once.
    """

    job = "export"
    timeout_error = KoreAIExportTimeoutError

    def __init__(
        self,
        bot_id: str,
        ours: ExportIdentity,
        *,
        on_superseded: str = "fail",
        newer_than: object = None,
        log: Log | None = None,
    ) -> None:
        super().__init__(bot_id, log=log)
        self.ours = ours
        self.on_superseded = choice("on_superseded", on_superseded, ON_SUPERSEDED)
        self.newer_than = point_in_time("newer_than", newer_than) if newer_than else None

    @property
    def full_name(self) -> str:
        return f"{self.name} {self.wanted}"

    @property
    def wanted(self) -> str:
        """The export that is wanted, in messages."""
        if not self.ours.is_latest:
            return describe(self.ours)
        since = f" of those requested since {self.newer_than.isoformat()}" if self.newer_than else ""
        return f"(the latest{since}, file type {self.ours.file_type or 'any'})"

    def expect_type(self, file_type: str | None) -> None:
        """Let the file type that is wanted help to distinguish our export from others."""
        if not self.ours.file_type and not self.ours.is_latest:
            self.ours = replace(self.ours, file_type=file_type)

    def expects(self, error: KoreAIError) -> bool:
        # The bot has no export yet, and newer_than awaits one.
        is_unknown = isinstance(error, KoreAIRefusedError) and error.http_status == HTTPStatus.NOT_FOUND
        return self.ours.is_latest and self.newer_than is not None and is_unknown

    def verdict(self, export: Export) -> Verdict:
        """Decide whose export an answer is about; under ``follow``, adopt a newer one as ours."""
        theirs = export.identity
        if self.ours.is_latest and not self._is_new_enough(theirs):
            return Verdict.STALE
        verdict = judge(self.ours, theirs)
        if verdict is Verdict.SUPERSEDED:
            self._follow(theirs)
            return Verdict.MINE
        if verdict is Verdict.STALE:
            self.tell_once(
                "stale",
                "The status call still reports an earlier export of bot %s (requested %s, ours %s). Waiting.",
                self.bot_id,
                theirs.requested_time,
                self.ours.requested_time,
            )
        elif theirs.request_id and self.ours.request_id and theirs.request_id != self.ours.request_id:
            self.tell_once(
                "id",
                "The status call reports request ID %s for the export of bot %s, not %s. The requested times are equal, "
                "so it is the same export.",
                theirs.request_id,
                self.bot_id,
                self.ours.request_id,
            )
        return verdict

    def observe(self, export: Export) -> Export | None:
        """
        Take in a status answer.

        :return: the export when it is ours and done; None while there is something to wait for.
        :raises KoreAIExportFailedError: our export failed.
        :raises KoreAIExportSupersededError: our export was superseded, and is not to be or cannot be followed.
        :raises KoreAIConfigurationError: the export has another file type than the task wants.
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
        self.tell_of_unknown(export.status, export.status_word)
        return None

    def result(self, export: Export) -> dict[str, str]:
        """Identify a finished export for XCom: by its own answer, or by ours where that says nothing."""
        return ExportIdentity(
            export.request_id or self.ours.request_id,
            export.requested_time or self.ours.requested_time,
            export.file_type or self.ours.file_type,
        ).as_dict()

    def _is_new_enough(self, theirs: ExportIdentity) -> bool:
        if self.newer_than is None:
            return True
        requested = parse_time(theirs.requested_time)
        if requested is not None and requested >= self.newer_than:
            return True
        self.tell_once(
            "older",
            "The latest export of bot %s was requested %s, so it does not count: newer_than=%s. Waiting for a newer one.",
            self.bot_id,
            theirs.requested_time or "at a time that Kore.ai does not report",
            self.newer_than.isoformat(),
        )
        return False

    def _follow(self, theirs: ExportIdentity) -> None:
        is_same_time = parse_time(self.ours.requested_time) == parse_time(theirs.requested_time)
        has_other_type = self.ours.has_other_type(theirs)
        if self.ours.is_latest or (has_other_type and self.ours.requested_time and is_same_time):
            # Nothing was superseded: this is the export that is wanted.
            raise KoreAIConfigurationError(
                f"The export of bot {self.bot_id} {describe(theirs)} is a {theirs.file_type} export, but this task wants "
                f"{self.ours.file_type} (from file_type, or from the suffix of path). Export the bot as "
                f"{self.ours.file_type}, or change file_type or path to {theirs.file_type}."
            )
        text = (
            f"A newer export of bot {self.bot_id} has taken the place of the one that this task wants: "
            f"{_compared(theirs, self.ours)}, instead of {_compared(self.ours, theirs)}. Kore.ai reports only the latest "
            "export of a bot."
        )
        if self.on_superseded == "follow" and not has_other_type:
            if self._log is not None:
                self._log.warning("%s Following the newer one.", text)
            self.ours = replace(theirs, file_type=theirs.file_type or self.ours.file_type)
            return
        if self.on_superseded == "follow":
            text += f" It cannot be followed: its file type is {theirs.file_type}, not {self.ours.file_type}."
        raise KoreAIExportSupersededError(f"{text} {_START_ANEW}")


_START_ANEW = (
    "To export again, clear the task that started the export (`export`), not only this one; a task with "
    "wait_for_completion=True does so by itself when it is retried. on_superseded='follow' takes the newer export "
    "instead. To keep exports of one bot apart, use a pool with one slot, or max_active_runs=1."
)


def describe(identity: ExportIdentity) -> str:
    """Name an export in a message."""
    return (
        f"(request ID {identity.request_id or 'unknown'}, "
        f"requested {identity.requested_time or 'at an unknown time'}, "
        f"file type {identity.file_type or 'unknown'})"
    )


def _compared(identity: ExportIdentity, other: ExportIdentity) -> str:
    """Name an export by what distinguishes it from another: Kore.ai may reuse a request ID."""
    parts = [f"requested {identity.requested_time or 'at an unknown time'}"]
    if identity.request_id != other.request_id:
        parts.append(f"request ID {identity.request_id or 'unknown'}")
    if identity.has_other_type(other):
        parts.append(f"file type {identity.file_type}")
    return ", ".join(parts)


def _text(name: str, value: object) -> str | None:
    if value is None or value == "":
        return None
    if value == "None":
        raise KoreAIConfigurationError(
            f"{name}='None': the template in {name} found no value. Check the task ID that it names, and whether that task "
            "has run, or pass the output of the export task, for example export.output."
        )
    if not isinstance(value, str):
        raise KoreAIConfigurationError(
            f"{name} must be a string, not {type(value).__name__} ({value!r:.80}). "
            "Pass the output of the export task, for example export.output."
        )
    return value.strip() or None


def start_request(
    base_url: str, bot_id: str, *, state: str = "configured", file_type: str = "csv"
) -> ApiRequest:
    """Build the call that starts an export."""
    query = urlencode(
        {"state": choice("state", state, STATES), "type": choice("file_type", file_type, FILE_TYPES)}
    )
    url = f"{base_url}/api/public/bot/{bot_id_argument(bot_id)}/mlexport?{query}"
    return ApiRequest("start of the export", "POST", url, bot_id.strip())


def status_request(base_url: str, bot_id: str) -> ApiRequest:
    """Build the call that asks for the bot's latest export."""
    url = f"{base_url}/api/public/bot/{bot_id_argument(bot_id)}/mlexport/status"
    return ApiRequest("status of the export", "GET", url, bot_id.strip())


def read_export(request: ApiRequest, answer: ApiAnswer, conn_id: str) -> Export:
    """Turn the answer to a start or a status call into an Export, or raise the error that it stands for."""
    by_name = by_folded_name(read_document(request, answer, conn_id))
    word = by_name.get("status")
    request_id = text_of(by_name.get("_id"))
    is_start = request.method == "POST"
    if not (request_id if is_start else isinstance(word, str) and word.strip()):
        raise unreadable(request, answer, conn_id, f"has no {'_id' if is_start else 'status'}")
    word = word if isinstance(word, str) else ""
    return Export(
        bot_id=request.bot_id,
        request_id=request_id,
        status=ExportStatus.parse(word) if word else ExportStatus.IN_PROGRESS,
        percent_complete=percent(by_name.get("percentagecomplete")),
        file_type=(text_of(by_name.get("filetype")) or "").lower() or None,
        requested_time=text_of(by_name.get("requestedtime")),
        status_logs=status_logs(by_name.get("statuslogs")),
        download_url=text_of(by_name.get("downloadurl")),
        status_word=word,
    )
