"""
When to ask the status call next: a pure function of elapsed time and progress.

The end should be noticed soon, but the vendor allows only 60 status calls a minute and 1,800 an hour for a request ID.
Where the percentage moves, it predicts the end, and few calls find it. Where it does not, the pause grows with the time
waited, so that the delay at the end stays a small share of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Seconds; the vendor's limit is one call a second, so never less, unless the caller's upper bound is lower.
SHORTEST = 1.0
# A poke_interval of 0 must not become a loop without a pause.
LEAST_UPPER = 0.1
# The pause as a share of the time waited, where the percentage predicts nothing ...
BLIND_SHARE = 0.1
# ... and the largest such share where it does: it may move faster towards the end than it did so far.
GUIDED_SHARE = 0.35
# How much of the predicted rest to wait before asking again; the rest is then smaller and more certain.
REST_SHARE = 0.6
# While the percentage stands still, the pause is also a share of the time for which it has.
STILL_SHARE = 0.3
# A rest below this share of the time waited is waited for without asking in between.
LAST_REST_SHARE = 0.04
JITTER = 0.1
# Seconds; failures of the call itself back off up to this.
LONGEST_AFTER_FAILURE = 30.0


@dataclass(frozen=True)
class Sample:
    """One answer of the status call: seconds since the wait began, and the percentage, None where there was none."""

    elapsed: float
    percent: float | None


def next_delay(first: Sample, last: Sample, *, still: float, upper: float, jitter: float) -> float:
    """
    Return how many seconds to wait after an answer that did not end the wait.

    :param still: seconds for which the percentage has stood still up to the latest answer; 0 if it has just risen.
    :param upper: the longest pause in seconds (a sensor's ``poke_interval``).
    :param jitter: a number from 0 to 1 that spreads a fleet of waits.
    """
    rest = _predicted_rest(first, Sample(last.elapsed - still, last.percent))
    spread = 1 + JITTER * (2 * jitter - 1)
    blind = BLIND_SHARE * last.elapsed * spread
    if rest is None:
        delay = blind
    elif still > 0:
        delay = min(blind, max(REST_SHARE * (rest - still), STILL_SHARE * still) * spread)
    elif rest <= max(SHORTEST, LAST_REST_SHARE * last.elapsed):
        # Just after the predicted end: a call before it would only have to be repeated.
        delay = rest * (1 + JITTER * jitter)
    else:
        delay = min(REST_SHARE * rest, GUIDED_SHARE * last.elapsed) * spread
    return min(max(delay, SHORTEST * (1 + JITTER * jitter)), upper)


def delay_after_failure(
    failures: int, *, upper: float, jitter: float, retry_after: float | None = None
) -> float:
    """
    Return how many seconds to wait after a status call that failed.

    :param failures: how many failed in a row, this one included.
    :param upper: the longest pause in seconds, unless the service asks for more.
    :param jitter: a number from 0 to 1.
    :param retry_after: seconds that the service asked to wait.
    """
    longest = min(SHORTEST * 2.0 ** min(failures, 10), LONGEST_AFTER_FAILURE)
    delay = min(longest * (0.5 + 0.5 * jitter), upper)
    return delay if retry_after is None else max(delay, retry_after * (1 + JITTER * jitter))


class Pace:
    """The samples of one wait, and what follows from them; ``random`` returns numbers from 0 to 1."""

    def __init__(self, upper: float, random: Callable[[], float]) -> None:
        self.upper = max(upper, LEAST_UPPER)
        self._random = random
        self._first: Sample | None = None
        self._last: Sample | None = None
        self._rose = 0.0
        self._failures = 0

    def after_answer(self, elapsed: float, percent: float | None) -> float:
        """Return how many seconds to wait after an answer."""
        self._failures = 0
        before, self._last = self._last, Sample(elapsed, percent)
        if self._first is None or before is None or percent is None or percent < (before.percent or 0):
            # The first answer, or the percentage fell: another export is running now.
            self._first, self._rose = self._last, elapsed
        elif percent > (before.percent or 0):
            self._rose = elapsed
        still = max(elapsed - self._rose, 0.0)
        return next_delay(self._first, self._last, still=still, upper=self.upper, jitter=self._random())

    def after_failure(self, retry_after: float | None = None) -> float:
        """Return how many seconds to wait after a call that failed."""
        self._failures += 1
        return delay_after_failure(
            self._failures, upper=self.upper, jitter=self._random(), retry_after=retry_after
        )


def _predicted_rest(first: Sample, last: Sample) -> float | None:
    risen = (last.percent or 0) - (first.percent or 0)
    if risen <= 0 or last.elapsed <= first.elapsed:
        return None
    return (100 - (last.percent or 0)) * (last.elapsed - first.elapsed) / risen
