"""
Waiting for an export, without I/O: an answer or an error goes in, "done" or a pause comes out.

Workers and triggers run the same :class:`Wait`, with and without ``await``; a sensor in its poke and reschedule modes
uses the same :class:`Observer` and leaves the pauses to Airflow. So their outcomes cannot differ.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.api.calls import is_trouble
from airflow_provider_koreai.exceptions import KoreAIError, KoreAIExportTimeoutError, KoreAIRateLimitError
from airflow_provider_koreai.jobs.polling import Pace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airflow_provider_koreai.jobs.export import Export, ExportWatch

# Seconds between two log lines about the progress of a wait.
PROGRESS_INTERVAL = 60.0


class Observer:
    """Judges answers and errors of the status call, and logs what is worth knowing about them."""

    def __init__(self, watch: ExportWatch, *, clock: Callable[[], float] = time.time) -> None:
        self.watch = watch
        self.trouble: KoreAIError | None = None
        self._recovery_is_news = False
        self._clock = clock
        self._logged_percent: float | None = None
        self._logged_at = float("-inf")

    def answered(self, export: Export) -> Export | None:
        """
        Return the export if it is done, None while there is something to wait for.

        :raises KoreAIError: our export failed or was superseded.
        """
        self.trouble = None
        if self._recovery_is_news:
            self.watch.tell("The status call for bot %s answers again.", self.watch.bot_id)
            self._recovery_is_news = False
        done = self.watch.observe(export)
        if done is None:
            self._log_progress(export)
        return done

    def failed(self, error: KoreAIError) -> None:
        """Log each kind of trouble once; raise ``error`` if it is the API's last word."""
        self._recovery_is_news |= note_trouble(self.watch, error)
        self.trouble = error

    def _log_progress(self, export: Export) -> None:
        percent, now = export.percent_complete, self._clock()
        if percent is None or percent == self._logged_percent or now < self._logged_at + PROGRESS_INTERVAL:
            return
        self._logged_percent, self._logged_at = percent, now
        self.watch.tell("The export of bot %s is %g %% complete.", self.watch.bot_id, percent)


class Wait:
    """
    A wait for one export, up to a deadline.

    :param poll_interval: the longest pause between two status calls, in seconds.
    :param deadline: when to give up, in seconds since the epoch, so that it survives a restart; None: never.
    :param timeout: the seconds that led to the deadline, for the message.
    :param began: when the wait began, in seconds since the epoch; None: now.
    """

    def __init__(
        self,
        watch: ExportWatch,
        *,
        poll_interval: float,
        deadline: float | None = None,
        timeout: float | None = None,
        began: float | None = None,
        clock: Callable[[], float] = time.time,
        rng: Callable[[], float] = random.random,
    ) -> None:
        self.watch = watch
        self._observer = Observer(watch, clock=clock)
        self._pace = Pace(poll_interval, rng)
        self._deadline = deadline
        self._timeout = timeout
        self._clock = clock
        self._began = clock() if began is None else began
        # When the status call is due again, in seconds since the epoch.
        self.next_call = self._began

    def answered(self, export: Export) -> tuple[Export | None, float]:
        """
        Return the export if it is done, else None; and the seconds until the next call.

        :raises KoreAIExportTimeoutError: the deadline has passed. The answer is looked at first.
        :raises KoreAIError: as :meth:`Observer.answered`.
        """
        done = self._observer.answered(export)
        if done is not None:
            return done, 0.0
        return None, self._until_next(
            lambda: self._pace.after_answer(self._clock() - self._began, export.percent_complete)
        )

    def failed(self, error: KoreAIError) -> float:
        """
        Return the seconds until the next call, after one that failed.

        :raises KoreAIExportTimeoutError: the deadline has passed.
        :raises KoreAIError: as :meth:`Observer.failed`.
        """
        self._observer.failed(error)
        asked = error.retry_after if isinstance(error, KoreAIRateLimitError) else None
        return self._until_next(lambda: self._pace.after_failure(asked))

    def _until_next(self, delay: Callable[[], float]) -> float:
        now = self._clock()
        left = float("inf") if self._deadline is None else self._deadline - now
        if left <= 0:
            raise KoreAIExportTimeoutError(timeout_text(self.watch, self._timeout, self._observer.trouble))
        pause = min(delay(), left)
        self.next_call = now + pause
        return pause

    def run(
        self,
        ask: Callable[[], Export],
        sleep: Callable[[float], Any] = time.sleep,
        *,
        until: float | None = None,
    ) -> Export | None:
        """
        Wait, blocking.

        :param until: when to stop without a result, in seconds since the epoch; None: only the deadline counts.
        :return: the export, done; None if the next call would come after ``until``.
        :raises KoreAIError: as :meth:`answered` and :meth:`failed`.
        """
        while True:
            try:
                export = ask()
            except KoreAIError as error:
                delay = self.failed(error)
            else:
                done, delay = self.answered(export)
                if done is not None:
                    return done
            if until is not None and self._clock() + delay > until:
                return None
            sleep(delay)

    async def arun(
        self, ask: Callable[[], Awaitable[Export]], sleep: Callable[[float], Awaitable[Any]]
    ) -> Export:
        """Wait on an event loop, as :meth:`run` does without ``until``."""
        while True:
            try:
                export = await ask()
            except KoreAIError as error:
                delay = self.failed(error)
            else:
                done, delay = self.answered(export)
                if done is not None:
                    return done
            await sleep(delay)


def timeout_text(watch: ExportWatch, timeout: float | None, trouble: KoreAIError | None) -> str:
    """The text for an export that did not finish in time; ``timeout`` is None where its seconds are not known."""
    within = f" within {timeout:g} seconds" if timeout is not None else " in time"
    last = f" The last status call failed: {trouble}" if trouble is not None else ""
    return (
        f"The export of bot {watch.bot_id} {watch.wanted} did not finish{within}; it may still finish.{last}"
    )


def note_trouble(watch: ExportWatch, error: KoreAIError) -> bool:
    """
    Log trouble with the status call, each kind once; return whether this kind is new.

    :raises KoreAIError: ``error`` itself if it is the API's last word.
    """
    if not is_trouble(error) and not watch.awaits_first_export(error):
        raise error
    return watch.tell_once(
        type(error).__name__,
        "The status call failed, which does not mean that the export failed. Still waiting. %s",
        error,
    )
