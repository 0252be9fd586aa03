"""
One step of waiting for an export, without I/O: an answer or an error goes in, "done" or a pause comes out.

The trigger and the one-task operator run the same steps, one with ``await`` and the other without; the sensor
takes the same decisions and leaves the pauses to Airflow. So their outcomes and texts cannot differ.
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


class Wait:
    """
    A wait for one export, up to a deadline.

    :param watch: decides what an answer means.
    :param poll_interval: the longest pause between two status calls, in seconds.
    :param deadline: when to give up, in seconds since the epoch, so that it survives a restart; None: never.
    :param timeout: the seconds that led to the deadline, for the message.
    """

    def __init__(
        self,
        watch: ExportWatch,
        *,
        poll_interval: float,
        deadline: float | None = None,
        timeout: float | None = None,
        clock: Callable[[], float] = time.time,
        rng: Callable[[], float] = random.random,
    ) -> None:
        self.watch = watch
        self._pace = Pace(poll_interval, rng)
        self._deadline = deadline
        self._timeout = timeout
        self._clock = clock
        self._began = clock()
        self._trouble: KoreAIError | None = None

    def answered(self, export: Export) -> tuple[Export | None, float]:
        """
        Take in a status answer.

        :param export: the answer.
        :return: the export when it is done, else None; and the seconds to wait before the next call.
        :raises KoreAIExportFailedError: our export failed.
        :raises KoreAIExportSupersededError: our export was superseded.
        :raises KoreAIExportTimeoutError: the deadline has passed. The answer is looked at first.
        """
        self._trouble = None
        done = self.watch.observe(export)
        if done is not None:
            return done, 0.0
        return None, self._until_next(
            lambda: self._pace.after_answer(self._clock() - self._began, export.percent_complete)
        )

    def failed(self, error: KoreAIError) -> float:
        """
        Take in an error of the status call.

        :param error: the error.
        :return: the seconds to wait before the next call.
        :raises KoreAIError: ``error`` itself if it is a definite answer.
        :raises KoreAIExportTimeoutError: the deadline has passed.
        """
        note_trouble(self.watch, error)
        self._trouble = error
        asked = error.retry_after if isinstance(error, KoreAIRateLimitError) else None
        return self._until_next(lambda: self._pace.after_failure(asked))

    def _until_next(self, delay: Callable[[], float]) -> float:
        if self._deadline is None:
            return delay()
        left = self._deadline - self._clock()
        if left <= 0:
            raise KoreAIExportTimeoutError(timeout_text(self.watch, self._timeout, self._trouble))
        return min(delay(), left)

    def run(self, ask: Callable[[], Export], sleep: Callable[[float], Any] = time.sleep) -> Export:
        """
        Wait, blocking.

        :param ask: makes one status call.
        :param sleep: pauses for that many seconds.
        :return: the export that is done.
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
            sleep(delay)

    async def arun(
        self, ask: Callable[[], Awaitable[Export]], sleep: Callable[[float], Awaitable[Any]]
    ) -> Export:
        """
        Wait on an event loop.

        :param ask: makes one status call.
        :param sleep: pauses for that many seconds.
        :return: the export that is done.
        :raises KoreAIError: as :meth:`answered` and :meth:`failed`.
        """
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
    """
    Say that an export did not finish in time.

    :param watch: the wait's watch.
    :param timeout: the seconds that it had; None: they are not known.
    :param trouble: the error of the last status call, None where that was answered.
    """
    within = f" within {timeout:g} seconds" if timeout is not None else " in time"
    last = f" The last status call failed: {trouble}" if trouble is not None else ""
    return (
        f"The export of bot {watch.bot_id} {watch.wanted} did not finish{within}; it may still finish.{last}"
    )


def note_trouble(watch: ExportWatch, error: KoreAIError) -> None:
    """
    Tell of trouble with the status call, each kind once, or pass a definite answer on.

    :param watch: the wait's watch.
    :param error: an error of the status call.
    :raises KoreAIError: ``error`` itself if it is a definite answer.
    """
    if not is_trouble(error):
        raise error
    watch.tell_once(
        type(error).__name__,
        "The status call failed, which is not a failure of the export; waiting on. %s",
        error,
    )
