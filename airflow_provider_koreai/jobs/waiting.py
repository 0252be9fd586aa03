"""
Waiting for a job at Kore.ai, without I/O: an answer or an error goes in, "done" or a pause comes out.

Workers and triggers run the same :class:`Wait`, with and without ``await``; a sensor in its poke and reschedule modes
uses the same :class:`Observer` and leaves the pauses to Airflow. So their outcomes cannot differ.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any, Generic

from airflow_provider_koreai.api.calls import is_trouble
from airflow_provider_koreai.exceptions import KoreAIError, KoreAIRateLimitError
from airflow_provider_koreai.jobs.polling import Pace
from airflow_provider_koreai.jobs.watch import Answer, Watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

# Seconds between two log lines about the progress of a wait.
PROGRESS_INTERVAL = 60.0


class Observer(Generic[Answer]):
    """Judges answers and errors of the status call, and logs what is worth knowing about them."""

    def __init__(self, watch: Watch[Answer], *, clock: Callable[[], float] = time.time) -> None:
        self.watch = watch
        self.trouble: KoreAIError | None = None
        self._recovery_is_news = False
        self._clock = clock
        self._logged_percent: float | None = None
        self._logged_at = float("-inf")

    def answered(self, answer: Answer) -> Answer | None:
        """
        Return the answer if the job is done, None while there is something to wait for.

        :raises KoreAIError: our job failed or was superseded.
        """
        self.trouble = None
        if self._recovery_is_news:
            self.watch.tell("The status call for bot %s answers again.", self.watch.bot_id)
            self._recovery_is_news = False
        done = self.watch.observe(answer)
        if done is None:
            self._log_progress(percent_of(answer))
        return done

    def failed(self, error: KoreAIError) -> None:
        """Log each kind of trouble once; raise ``error`` if it is the API's last word."""
        self._recovery_is_news |= note_trouble(self.watch, error)
        self.trouble = error

    def _log_progress(self, percent: float | None) -> None:
        now = self._clock()
        if percent is None or percent == self._logged_percent or now < self._logged_at + PROGRESS_INTERVAL:
            return
        self._logged_percent, self._logged_at = percent, now
        self.watch.tell("The %s is %g %% complete.", self.watch.name, percent)


class Wait(Generic[Answer]):
    """
    A wait for one job, up to a deadline.

    :param poll_interval: the longest pause between two status calls, in seconds.
    :param deadline: when to give up, in seconds since the epoch, so that it survives a restart; None: never.
    :param timeout: the seconds that led to the deadline, for the message.
    :param began: when the wait began, in seconds since the epoch; None: now.
    """

    def __init__(
        self,
        watch: Watch[Answer],
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

    def answered(self, answer: Answer) -> tuple[Answer | None, float]:
        """
        Return the answer if the job is done, else None; and the seconds until the next call.

        :raises KoreAITimeoutError: the deadline has passed. The answer is looked at first.
        :raises KoreAIError: as :meth:`Observer.answered`.
        """
        done = self._observer.answered(answer)
        if done is not None:
            return done, 0.0
        return None, self._until_next(
            lambda: self._pace.after_answer(self._clock() - self._began, percent_of(answer))
        )

    def failed(self, error: KoreAIError) -> float:
        """
        Return the seconds until the next call, after one that failed.

        :raises KoreAITimeoutError: the deadline has passed.
        :raises KoreAIError: as :meth:`Observer.failed`.
        """
        self._observer.failed(error)
        asked = error.retry_after if isinstance(error, KoreAIRateLimitError) else None
        return self._until_next(lambda: self._pace.after_failure(asked))

    def _until_next(self, delay: Callable[[], float]) -> float:
        now = self._clock()
        left = float("inf") if self._deadline is None else self._deadline - now
        if left <= 0:
            text = timeout_text(self.watch, self._timeout, self._observer.trouble)
            raise self.watch.timeout_error(text)
        pause = min(delay(), left)
        self.next_call = now + pause
        return pause

    def run(
        self,
        ask: Callable[[], Answer],
        sleep: Callable[[float], Any] = time.sleep,
        *,
        until: float | None = None,
    ) -> Answer | None:
        """
        Wait, blocking.

        :param until: when to stop without a result, in seconds since the epoch; None: only the deadline counts.
        :return: the last answer, if the job is done; None if the next call would come after ``until``.
        :raises KoreAIError: as :meth:`answered` and :meth:`failed`.
        """
        while True:
            try:
                answer = ask()
            except KoreAIError as error:
                delay = self.failed(error)
            else:
                done, delay = self.answered(answer)
                if done is not None:
                    return done
            if until is not None and self._clock() + delay > until:
                return None
            sleep(delay)

    async def arun(
        self, ask: Callable[[], Awaitable[Answer]], sleep: Callable[[float], Awaitable[Any]]
    ) -> Answer:
        """Wait on an event loop, as :meth:`run` does without ``until``."""
        while True:
            try:
                answer = await ask()
            except KoreAIError as error:
                delay = self.failed(error)
            else:
                done, delay = self.answered(answer)
                if done is not None:
                    return done
            await sleep(delay)


def percent_of(answer: object) -> float | None:
    """Return the percentage of an answer; not every kind of job has one."""
    percent: float | None = getattr(answer, "percent_complete", None)
    return percent


def timeout_text(watch: Watch[Any], timeout: float | None, trouble: KoreAIError | None) -> str:
    """The text for a job that did not finish in time; ``timeout`` is None where its seconds are not known."""
    within = f" within {timeout:g} seconds" if timeout is not None else " in time"
    last = f" The last status call failed: {trouble}" if trouble is not None else ""
    return f"The {watch.full_name} did not finish{within}; it may still finish.{last}"


def note_trouble(watch: Watch[Any], error: KoreAIError) -> bool:
    """
    Log trouble with the status call, each kind once; return whether this kind is new.

    :raises KoreAIError: ``error`` itself if it is the API's last word.
    """
    if not is_trouble(error) and not watch.expects(error):
        raise error
    return watch.tell_once(
        type(error).__name__,
        "The status call failed, which does not mean that the %s failed. Still waiting. %s",
        watch.job,
        error,
    )
