"""
Confirm a start: which export, in the words of the status call, is the one that was just started?

This is the only place that compares with a tolerance. Whoever waits later compares exactly.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.api.calls import is_trouble
from airflow_provider_koreai.arguments import parse_time
from airflow_provider_koreai.exceptions import KoreAIError, KoreAIRateLimitError, KoreAIRefusedError
from airflow_provider_koreai.jobs.export import Verdict, describe, judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_koreai.jobs.export import Export, ExportIdentity
    from airflow_provider_koreai.version_compat import Log

# Seconds to ask for at most.
CONFIRM_SECONDS = 30.0
# That the status repeats the start's time to the millisecond is not documented.
TOLERANCE = timedelta(seconds=2)
# Seconds for which a time slightly before the start's may still be that of an export before it, which the status
# call goes on reporting for a moment.
STALE_SECONDS = 5.0
# Seconds within which a later time is always taken for another writing of the start's own.
SAME_MOMENT = 0.05
# Seconds between two calls. The first ones follow at once: the sooner the status is read, the less somebody else's
# start can come between.
FIRST_PAUSES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
PAUSE = 3.0


def recognise(started: ExportIdentity, seen: ExportIdentity) -> Verdict:
    """Decide whether a status answer is about the export that was just started; ``STALE`` means: not yet."""
    our_time, their_time = parse_time(started.requested_time), parse_time(seen.requested_time)
    verdict = judge(started, seen)
    if our_time is None or their_time is None:
        # Nothing says whether another export is earlier or later.
        return Verdict.MINE if verdict is Verdict.MINE else Verdict.STALE
    if abs(their_time - our_time) <= TOLERANCE and not started.has_other_type(seen):
        return Verdict.MINE
    return verdict


class Confirmation:
    """
    The confirmation of one start.

    :param started: what the start answered.
    :param log: where differences are logged.
    :param limit: seconds to ask for at most.
    :param took: seconds that the start took, until its answer was there.
    """

    def __init__(
        self, started: Export, log: Log, limit: float = CONFIRM_SECONDS, *, took: float = 0.0
    ) -> None:
        self._started = started
        self._log = log
        self._limit = limit
        self._took = took
        self._close: ExportIdentity | None = None
        self._problem = "it reports an earlier export"

    def run(
        self,
        ask: Callable[[], Export],
        sleep: Callable[[float], Any] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> Export:
        """Ask until the status call reports the new export, and return that with the identity given there."""
        began = clock()
        for pause in chain(FIRST_PAUSES, repeat(PAUSE)):
            try:
                seen = ask().identity
            except KoreAIError as error:
                self._problem = str(error)
                if not _is_not_yet(error):
                    break
                if isinstance(error, KoreAIRateLimitError):
                    pause = max(pause, error.retry_after or 0.0)
            else:
                if (confirmed := self._confirmed(seen, clock() - began)) is not None:
                    return confirmed
            if clock() - began + pause >= self._limit:
                break
            sleep(pause)
        if self._close is not None:
            return self._taken(self._close)
        self._log.warning(
            "The start of an export of bot %s could not be confirmed by the status call: %s. Continuing with the answer to "
            "the start: %s",
            self._started.bot_id,
            self._problem.rstrip("."),
            describe(self._started.identity),
        )
        return self._started

    def _confirmed(self, seen: ExportIdentity, elapsed: float) -> Export | None:
        started = self._started.identity
        verdict = recognise(started, seen)
        if verdict is Verdict.STALE:
            return None
        if verdict is Verdict.SUPERSEDED or self._came_between(seen, elapsed):
            self._log.warning(
                "Somebody else started an export of bot %s right after this one: the status call reports %s, the start "
                "answered %s. A task that waits for this one will find it superseded.",
                self._started.bot_id,
                describe(seen),
                describe(started),
            )
            return self._started
        if judge(started, seen) is Verdict.STALE and elapsed < STALE_SECONDS:
            self._close = seen
            return None
        return self._taken(seen)

    def _came_between(self, seen: ExportIdentity, elapsed: float) -> bool:
        """Whether a close, later time lies between the start's answer and now: ours was written before, not then."""
        our_time, their_time = parse_time(self._started.requested_time), parse_time(seen.requested_time)
        if our_time is None or their_time is None:
            return False
        later = (their_time - our_time).total_seconds()
        return max(self._took, SAME_MOMENT) < later <= self._took + elapsed

    def _taken(self, seen: ExportIdentity) -> Export:
        started = self._started.identity
        taken = replace(
            self._started,
            request_id=seen.request_id or started.request_id,
            requested_time=seen.requested_time or started.requested_time,
            file_type=seen.file_type or started.file_type,
        )
        if taken.identity != started:
            is_close = judge(started, seen) is not Verdict.MINE
            (self._log.warning if is_close else self._log.info)(
                "The status call reports the new export of bot %s as %s; the start answered %s.%s",
                self._started.bot_id,
                describe(taken.identity),
                describe(started),
                _CLOSE if is_close else "",
            )
        return taken


_CLOSE = (
    " They are taken for the same export, as the times are close. If somebody else started an export of this bot within "
    "these two seconds, it may be theirs; a pool with one slot keeps the exports of a bot apart."
)


def _is_not_yet(error: KoreAIError) -> bool:
    """Whether an error of the status call may only mean that the export is not reported yet."""
    return is_trouble(error) or (
        isinstance(error, KoreAIRefusedError) and error.http_status == HTTPStatus.NOT_FOUND
    )
