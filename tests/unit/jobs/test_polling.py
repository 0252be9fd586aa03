"""When to ask next: bounds that always hold, and how soon and how cheaply the end of a job is noticed."""

from __future__ import annotations

import math
import random
from statistics import mean
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_koreai.jobs.polling import (
    LEAST_UPPER,
    LONGEST_AFTER_FAILURE,
    SHORTEST,
    Pace,
    Sample,
    delay_after_failure,
    next_delay,
)

if TYPE_CHECKING:
    from collections.abc import Callable

elapsed_times = st.floats(0, 1e6)
percents = st.none() | st.floats(0, 100) | st.integers(0, 100).map(float)
samples = st.builds(Sample, elapsed_times, percents)
uppers = st.floats(0.01, 7200)
jitters = st.floats(0, 1)
stills = st.just(0.0) | elapsed_times
failure_counts = st.integers(1, 10_000)


class TestAfterAnAnswer:
    @given(samples, samples, stills, uppers, jitters)
    def test_never_longer_than_the_upper_bound(self, first, last, still, upper, jitter):
        assert next_delay(first, last, still=still, upper=upper, jitter=jitter) <= upper

    @given(samples, samples, stills, uppers, jitters)
    def test_never_shorter_than_the_shortest_unless_the_upper_bound_is(
        self, first, last, still, upper, jitter
    ):
        delay = next_delay(first, last, still=still, upper=upper, jitter=jitter)
        assert delay >= min(SHORTEST, upper)

    @given(samples, samples, stills, uppers, jitters)
    def test_the_same_jitter_gives_the_same_delay(self, first, last, still, upper, jitter):
        once, again = (next_delay(first, last, still=still, upper=upper, jitter=jitter) for _ in range(2))
        assert once == again

    @given(samples, samples, stills, uppers, jitters, jitters)
    def test_more_jitter_is_never_a_shorter_delay(self, first, last, still, upper, one, other):
        short, long = (
            next_delay(first, last, still=still, upper=upper, jitter=jitter)
            for jitter in sorted((one, other))
        )
        assert short <= long

    @pytest.mark.parametrize("elapsed", [0, 1, 10, 100])
    @pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
    def test_a_fleet_does_not_march_in_step(self, elapsed, share):
        first, last = Sample(0, 0.0), Sample(elapsed, 50.0)
        delays = {next_delay(first, last, still=share * elapsed, upper=1e6, jitter=n / 10) for n in range(11)}
        assert len(delays) == 11

    @given(elapsed_times, elapsed_times, uppers, jitters, percents)
    def test_without_progress_the_pause_grows_with_the_time_waited(self, one, other, upper, jitter, percent):
        early, late = (
            next_delay(
                Sample(0, percent), Sample(elapsed, percent), still=elapsed, upper=upper, jitter=jitter
            )
            for elapsed in sorted((one, other))
        )
        assert early <= late

    def test_near_the_foretold_end_it_asks_soon(self):
        # 1 % a second: the end is half a second away.
        delay = next_delay(Sample(0, 0), Sample(99.5, 99.5), still=0, upper=60, jitter=0.5)
        assert delay < 1.2

    def test_progress_that_foretells_a_late_end_lets_it_wait_longer_than_no_progress(self):
        first, slow = Sample(0, 0.0), Sample(10, 1.0)
        guided = next_delay(first, slow, still=0, upper=600, jitter=0.5)
        blind = next_delay(first, Sample(10, 0.0), still=10, upper=600, jitter=0.5)
        assert guided > blind

    def test_a_clock_that_was_set_back_does_no_harm(self):
        delay = next_delay(Sample(0, 0), Sample(-3600, 10), still=0, upper=60, jitter=0.5)
        assert SHORTEST <= delay <= 60


class TestAfterAFailure:
    @given(failure_counts, uppers, jitters)
    def test_never_longer_than_the_upper_bound(self, failures, upper, jitter):
        assert delay_after_failure(failures, upper=upper, jitter=jitter) <= upper

    @given(failure_counts, uppers, jitters)
    def test_never_shorter_than_the_shortest_unless_the_upper_bound_is(self, failures, upper, jitter):
        assert delay_after_failure(failures, upper=upper, jitter=jitter) >= min(SHORTEST, upper)

    @given(failure_counts, jitters)
    def test_it_backs_off_only_so_far(self, failures, jitter):
        assert delay_after_failure(failures, upper=1e9, jitter=jitter) <= LONGEST_AFTER_FAILURE

    @given(st.integers(1, 100), jitters, uppers)
    def test_the_more_failures_the_longer_the_pause(self, failures, jitter, upper):
        fewer, more = (
            delay_after_failure(count, upper=upper, jitter=jitter) for count in (failures, failures + 1)
        )
        assert fewer <= more

    @given(failure_counts, uppers, jitters, st.floats(0, 1e6))
    def test_what_the_service_asks_for_is_kept_even_above_the_upper_bound(
        self, failures, upper, jitter, asked
    ):
        assert delay_after_failure(failures, upper=upper, jitter=jitter, retry_after=asked) >= asked

    @given(failure_counts, uppers, jitters, st.floats(0, 1e6))
    def test_what_the_service_asks_for_is_not_stretched_much(self, failures, upper, jitter, asked):
        own = delay_after_failure(failures, upper=upper, jitter=jitter)
        delay = delay_after_failure(failures, upper=upper, jitter=jitter, retry_after=asked)
        assert delay <= max(own, asked * 1.2)

    @given(failure_counts, uppers, jitters)
    def test_a_service_that_asks_for_nothing_is_not_asked_at_once(self, failures, upper, jitter):
        own = delay_after_failure(failures, upper=upper, jitter=jitter)
        assert delay_after_failure(failures, upper=upper, jitter=jitter, retry_after=0.0) == own

    def test_a_fleet_does_not_march_in_step(self):
        delays = {delay_after_failure(5, upper=60, jitter=n / 10) for n in range(11)}
        told = {delay_after_failure(5, upper=60, jitter=n / 10, retry_after=100) for n in range(11)}
        assert len(delays) == len(told) == 11


histories = st.lists(st.tuples(st.floats(0, 100), percents | st.just("failure")), min_size=1, max_size=30)


class TestPace:
    @given(histories, uppers, st.integers(0, 2**32))
    def test_the_bounds_hold_for_any_history(self, history, upper, seed):
        pace = Pace(upper, random.Random(seed).random)
        elapsed = 0.0
        for passed, percent in history:
            elapsed += passed
            delay = pace.after_failure() if percent == "failure" else pace.after_answer(elapsed, percent)
            assert min(SHORTEST, upper) <= delay <= max(upper, LEAST_UPPER)

    @given(histories, uppers, st.integers(0, 2**32))
    def test_the_same_jitter_gives_the_same_pauses(self, history, upper, seed):
        def pauses() -> list[float]:
            pace = Pace(upper, random.Random(seed).random)
            return [
                pace.after_failure() if percent == "failure" else pace.after_answer(elapsed, percent)
                for elapsed, percent in history
            ]

        assert pauses() == pauses()

    def test_an_answer_ends_a_row_of_failures(self):
        pace = Pace(1000, lambda: 0.5)
        first = pace.after_failure()
        assert pace.after_failure() > first
        pace.after_answer(0, 0)
        assert pace.after_failure() == first

    def test_a_service_that_asks_for_time_gets_it(self):
        assert Pace(10, lambda: 0.0).after_failure(90.0) == 90

    def test_a_percentage_that_falls_starts_the_reckoning_anew(self):
        # 50 % after 100 s, then another export runs: 1 % after 200 s, 11 % after 210 s foretell 89 s more.
        def pause(*history: tuple[float, float]) -> float:
            pace = Pace(1000, lambda: 0.5)
            return [pace.after_answer(elapsed, percent) for elapsed, percent in history][-1]

        assert pause((0, 0), (100, 50), (200, 1), (210, 11)) == pause((200, 1), (210, 11)) < 89


class Outcome(NamedTuple):
    lag: float
    calls: int
    pauses: list[float]


PROGRESS: dict[str, Callable[[float], float | None]] = {
    # From the share of the duration that has passed to the percentage; the service tells whole ones.
    "linear": lambda share: float(int(100 * share)),
    "square root": lambda share: float(int(100 * math.sqrt(share))),
    "steps of 10": lambda share: 10.0 * int(10 * share),
    "steps of 25": lambda share: 25.0 * int(4 * share),
    "always 0": lambda _: 0.0,
    "absent": lambda _: None,
}
DURATIONS = [5, 10, 17, 20, 30, 40, 60, 180, 600]
SEEDS = range(200)


def simulate(
    duration: float, progress: Callable[[float], float | None], seed: int, *, upper: float = 60.0, began=0.0
) -> Outcome:
    """
    Wait, in simulated time, for a job.

    :param began: seconds between the job's start and the first call.
    """
    pace = Pace(upper, random.Random(seed).random)
    now, pauses = began, []
    while now < duration:
        pauses.append(pace.after_answer(now - began, progress(now / duration)))
        now += pauses[-1]
    return Outcome(now - duration, len(pauses) + 1, pauses)


def simulate_all(duration: float, shape: str, **more) -> list[Outcome]:
    return [simulate(duration, PROGRESS[shape], seed, **more) for seed in SEEDS]


class TestSimulatedJobs:
    @pytest.mark.parametrize("duration", DURATIONS)
    def test_linear_progress_is_noticed_within_a_second_or_5_percent_with_at_most_32_calls(self, duration):
        outcomes = simulate_all(duration, "linear")
        assert mean(outcome.lag for outcome in outcomes) <= max(1.0, 0.05 * duration)
        assert max(outcome.calls for outcome in outcomes) <= 32

    @pytest.mark.parametrize("duration", DURATIONS)
    @pytest.mark.parametrize("began", [0.5, 3.0])
    def test_the_same_holds_where_the_wait_begins_after_the_job(self, duration, began):
        outcomes = simulate_all(duration, "linear", began=began)
        assert mean(outcome.lag for outcome in outcomes) <= max(1.0, 0.05 * duration)
        assert max(outcome.calls for outcome in outcomes) <= 32

    @pytest.mark.parametrize("duration", DURATIONS)
    @pytest.mark.parametrize("shape", PROGRESS)
    def test_no_shape_of_progress_takes_more_than_30_calls_a_minute_or_60_in_ten(self, shape, duration):
        assert max(outcome.calls for outcome in simulate_all(duration, shape)) <= (
            30 if duration <= 60 else 60
        )

    @pytest.mark.parametrize("duration", [17, 20, 25, 30, 40])
    @pytest.mark.parametrize("shape", ["linear", "square root", "steps of 10"])
    def test_moving_progress_is_noticed_within_4_percent_with_at_most_20_calls_on_average(
        self, shape, duration
    ):
        outcomes = simulate_all(duration, shape)
        assert mean(outcome.lag for outcome in outcomes) <= 0.04 * duration
        assert mean(outcome.calls for outcome in outcomes) <= 20

    @pytest.mark.parametrize("duration", [17, 20, 25, 30, 40])
    @pytest.mark.parametrize("shape", ["always 0", "absent"])
    def test_without_progress_the_end_is_noticed_within_8_percent_with_at_most_30_calls(
        self, shape, duration
    ):
        outcomes = simulate_all(duration, shape)
        assert mean(outcome.lag for outcome in outcomes) <= 0.08 * duration
        assert max(outcome.calls for outcome in outcomes) <= 30

    @pytest.mark.parametrize("duration", DURATIONS)
    @pytest.mark.parametrize("shape", PROGRESS)
    def test_no_shape_of_progress_is_noticed_later_than_by_a_quarter_on_average(self, shape, duration):
        outcomes = simulate_all(duration, shape)
        assert mean(outcome.lag for outcome in outcomes) <= max(1.0, 0.25 * duration)

    @pytest.mark.parametrize("upper", [2, 5, 30])
    @pytest.mark.parametrize("shape", PROGRESS)
    def test_the_upper_bound_is_also_that_of_the_lag(self, shape, upper):
        assert max(outcome.lag for outcome in simulate_all(600, shape, upper=upper)) <= upper

    @given(st.lists(st.integers(0, 100), min_size=1, max_size=40), st.sampled_from([0.0, 0.5, 1.0]))
    def test_the_vendors_limits_are_kept_whatever_the_progress(self, percentages, jitter):
        steps = sorted(percentages)
        pace = Pace(60.0, lambda: jitter)
        now, asked = 0.0, []
        while now < 3600:
            asked.append(now)
            now += pace.after_answer(now, float(steps[int(now / 3600 * len(steps))]))
        assert len(asked) <= 1800
        assert all(later - earlier >= 59 for earlier, later in zip(asked, asked[60:], strict=False))


def test_an_upper_bound_of_nothing_still_pauses():
    pace = Pace(0.0, lambda: 0.0)
    assert pace.after_answer(0.0, None) > 0
    assert pace.after_failure() > 0
