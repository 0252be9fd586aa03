"""The steps of a wait, blocking and on an event loop, with a scripted service and a clock that only pauses move."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_koreai.exceptions import (
    KoreAIAuthError,
    KoreAIConfigurationError,
    KoreAIError,
    KoreAIExportFailedError,
    KoreAIExportSupersededError,
    KoreAIExportTimeoutError,
    KoreAIRateLimitError,
    KoreAIRefusedError,
    KoreAIRequestError,
    KoreAIServerError,
)
from airflow_provider_koreai.jobs.export import Export, ExportIdentity, ExportStatus, ExportWatch
from airflow_provider_koreai.jobs.waiting import Wait, note_trouble

if TYPE_CHECKING:
    from collections.abc import Sequence

BOT = "st-0a1b"
NOON, LATER, EARLIER = (f"2023-07-26T{hour}:00:00.000Z" for hour in (12, 13, 11))
OURS = ExportIdentity("ds-1", NOON, "csv")
EPOCH = 1_700_000_000.0


def export(status: str, percent: float | None = None, requested_time: str = NOON) -> Export:
    return Export(
        BOT,
        request_id="ds-1",
        status=ExportStatus.parse(status),
        percent_complete=percent,
        file_type="csv",
        requested_time=requested_time,
        status_word=status,
    )


DONE = export("SUCCESS", 100)
RUNNING = export("IN_PROGRESS", 10)
FAILED = export("FAILED")
UNKNOWN = export("PAUSED")
STALE = export("SUCCESS", 100, EARLIER)
NEWER = export("IN_PROGRESS", 10, LATER)
NEWER_DONE = export("SUCCESS", 100, LATER)

SERVER = KoreAIServerError("Kore.ai answered 502")
RATE = KoreAIRateLimitError("Kore.ai answered 429", retry_after=17.0)
UNREADABLE = KoreAIRequestError("The answer is not a JSON object")
TROUBLE = [SERVER, RATE, UNREADABLE]
DEFINITE = [
    KoreAIAuthError("Kore.ai answered 401"),
    KoreAIRefusedError("Kore.ai answered 404"),
    KoreAIConfigurationError("Connection 'x' cannot be used"),
]


class Scene:
    """A service that answers from a script, then repeats its last answer; a clock; and a log."""

    def __init__(
        self,
        script: Sequence[Export | BaseException],
        *,
        timeout: float | None = None,
        poll_interval: float = 60.0,
        on_superseded: str = "fail",
        seed: int = 0,
        now: float = EPOCH,
        deadline: float | None = None,
        call_takes: float = 0.0,
    ) -> None:
        self.script = list(script)
        self.now = now
        self.call_takes = call_takes
        self.asked: list[float] = []
        self.pauses: list[float] = []
        self.log_lines: list[str] = []
        logger = logging.Logger("scene")
        handler = logging.Handler()
        handler.emit = lambda record: self.log_lines.append(record.getMessage())
        logger.addHandler(handler)
        if deadline is None and timeout is not None:
            deadline = now + timeout
        self.wait = Wait(
            ExportWatch(BOT, OURS, on_superseded=on_superseded, log=logger),
            poll_interval=poll_interval,
            deadline=deadline,
            timeout=timeout,
            clock=lambda: self.now,
            rng=random.Random(seed).random,
        )

    def ask(self) -> Export:
        answer = self.script[min(len(self.asked), len(self.script) - 1)]
        assert len(self.asked) < 10_000, "the wait does not end"
        self.asked.append(self.now)
        self.now += self.call_takes
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    async def aask(self) -> Export:
        await asyncio.sleep(0)
        return self.ask()

    async def asleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.sleep(seconds)

    def run(self) -> Export:
        return self.wait.run(self.ask, self.sleep)

    def arun(self) -> Export:
        return asyncio.run(self.wait.arun(self.aask, self.asleep))


@pytest.fixture(params=["run", "arun"], ids=["blocking", "on a loop"])
def way(request) -> str:
    return request.param


def go(scene: Scene, way: str) -> Export:
    return getattr(scene, way)()


def error_of(scene: Scene, way: str) -> KoreAIError:
    with pytest.raises(KoreAIError) as caught:
        go(scene, way)
    return caught.value


class TestOutcomes:
    def test_an_export_that_is_done_is_given_back_without_a_pause(self, way):
        scene = Scene([DONE])
        assert go(scene, way) is DONE
        assert (len(scene.asked), scene.pauses) == (1, [])

    def test_it_asks_until_the_export_is_done(self, way):
        scene = Scene([RUNNING, UNKNOWN, STALE, SERVER, RUNNING, DONE])
        assert go(scene, way) is DONE
        assert len(scene.asked) == 6

    def test_a_failed_export_ends_the_wait(self, way):
        scene = Scene([RUNNING, FAILED])
        assert isinstance(error_of(scene, way), KoreAIExportFailedError)
        assert len(scene.asked) == 2

    def test_a_superseded_export_ends_the_wait(self, way):
        scene = Scene([RUNNING, NEWER])
        assert isinstance(error_of(scene, way), KoreAIExportSupersededError)
        assert len(scene.asked) == 2

    def test_a_superseding_export_is_waited_for_where_it_is_to_be_followed(self, way):
        scene = Scene([RUNNING, NEWER, NEWER, NEWER_DONE], on_superseded="follow")
        assert go(scene, way) is NEWER_DONE

    @pytest.mark.parametrize("error", DEFINITE, ids=lambda error: type(error).__name__)
    def test_a_definite_answer_ends_the_wait_at_once(self, error, way):
        scene = Scene([RUNNING, error, DONE])
        assert error_of(scene, way) is error
        assert len(scene.asked) == 2

    def test_an_error_that_is_not_ours_is_not_taken_for_trouble(self, way):
        bug = ZeroDivisionError("a bug")
        scene = Scene([bug, DONE])
        with pytest.raises(ZeroDivisionError) as caught:
            go(scene, way)
        assert caught.value is bug

    @pytest.mark.parametrize("trouble", TROUBLE, ids=lambda error: type(error).__name__)
    def test_trouble_with_the_call_does_not_end_the_wait(self, trouble, way):
        scene = Scene([trouble] * 50 + [DONE])
        assert go(scene, way) is DONE


class TestPauses:
    def test_they_stay_below_the_poll_interval(self, way):
        scene = Scene([RUNNING] * 40 + [SERVER] * 20 + [DONE], poll_interval=7)
        go(scene, way)
        assert max(scene.pauses) == pytest.approx(7)
        assert min(scene.pauses) >= 1

    def test_they_grow_while_nothing_moves(self, way):
        scene = Scene([RUNNING] * 30 + [DONE], poll_interval=1000)
        go(scene, way)
        assert scene.pauses[-1] > 3 * scene.pauses[0]

    def test_a_percentage_that_foretells_the_end_shortens_them(self, way):
        blind, guided = (
            Scene([export("IN_PROGRESS", 0)] * 12 + [export("IN_PROGRESS", last), DONE], poll_interval=1000)
            for last in (0, 99)
        )
        go(blind, way)
        go(guided, way)
        assert guided.pauses[-1] < blind.pauses[-1]

    def test_a_rate_limit_is_waited_out_even_above_the_poll_interval(self, way):
        scene = Scene([KoreAIRateLimitError("429", retry_after=90), DONE], poll_interval=10)
        go(scene, way)
        assert 90 <= scene.pauses[0] < 100

    def test_the_last_one_ends_at_the_deadline(self, way):
        scene = Scene([RUNNING], timeout=100)
        error_of(scene, way)
        assert sum(scene.pauses) == pytest.approx(100)

    def test_a_rate_limit_is_not_waited_out_beyond_the_deadline(self, way):
        scene = Scene([KoreAIRateLimitError("429", retry_after=5000)], timeout=100)
        error_of(scene, way)
        assert scene.pauses == [100]


class TestDeadline:
    def test_it_is_looked_at_only_after_asking(self, way):
        scene = Scene([DONE], timeout=-1)
        assert go(scene, way) is DONE

    def test_one_that_has_passed_still_allows_one_question(self, way):
        scene = Scene([RUNNING], timeout=-1)
        assert isinstance(error_of(scene, way), KoreAIExportTimeoutError)
        assert (len(scene.asked), scene.pauses) == (1, [])

    def test_an_export_that_ends_in_the_last_pause_is_found_done(self, way):
        scene = Scene([RUNNING] * 2 + [DONE], timeout=1.5)
        assert go(scene, way) is DONE
        assert scene.asked[-1] == EPOCH + 1.5

    @pytest.mark.parametrize("timeout", [0, 1, 60, 3600])
    def test_it_ends_the_wait_on_time(self, timeout, way):
        scene = Scene([RUNNING], timeout=timeout)
        assert isinstance(error_of(scene, way), KoreAIExportTimeoutError)
        assert scene.now == pytest.approx(EPOCH + timeout, abs=1e-3)

    def test_trouble_does_not_push_it_back(self, way):
        scene = Scene([SERVER], timeout=100)
        assert isinstance(error_of(scene, way), KoreAIExportTimeoutError)
        assert scene.now == pytest.approx(EPOCH + 100, abs=1e-3)

    @pytest.mark.parametrize(
        ("last", "outcome"),
        [
            (FAILED, KoreAIExportFailedError),
            (NEWER, KoreAIExportSupersededError),
            (DEFINITE[0], KoreAIAuthError),
        ],
    )
    def test_a_definite_end_seen_after_it_is_told_as_what_it_is(self, last, outcome, way):
        assert type(error_of(Scene([last], timeout=-1), way)) is outcome

    def test_it_survives_a_restart_of_the_waiter(self, way):
        scene = Scene([RUNNING], timeout=3600, now=EPOCH + 1000, deadline=EPOCH + 3600)
        error_of(scene, way)
        assert scene.now == pytest.approx(EPOCH + 3600, abs=1e-3)

    def test_without_one_the_wait_goes_on(self, way):
        scene = Scene([RUNNING] * 2000 + [DONE])
        assert go(scene, way) is DONE
        assert scene.now - EPOCH > 24 * 3600


class TestTimeoutText:
    def test_it_names_bot_export_and_seconds(self, way):
        text = str(error_of(Scene([RUNNING], timeout=90), way))
        assert all(part in text for part in (BOT, "ds-1", NOON, "within 90 seconds"))

    @pytest.mark.parametrize("trouble", TROUBLE, ids=lambda error: type(error).__name__)
    def test_it_carries_the_last_trouble(self, trouble, way):
        text = str(error_of(Scene([RUNNING, SERVER, trouble], timeout=100), way))
        assert f"The last status call failed: {trouble}" in text

    def test_it_does_not_carry_trouble_that_is_over(self, way):
        text = str(error_of(Scene([SERVER, RUNNING], timeout=100), way))
        assert "502" not in text

    def test_it_names_the_export_that_is_followed(self, way):
        text = str(error_of(Scene([NEWER], timeout=100, on_superseded="follow"), way))
        assert LATER in text
        assert NOON not in text


def percent(number: float) -> Export:
    return export("IN_PROGRESS", number)


class TestLog:
    def test_each_kind_of_trouble_is_logged_once(self, way):
        scene = Scene([SERVER, RATE, UNREADABLE, SERVER, RATE, RUNNING, UNREADABLE, SERVER, DONE])
        go(scene, way)
        said = [str(error) for line in scene.log_lines for error in TROUBLE if str(error) in line]
        assert said == [str(SERVER), str(RATE), str(UNREADABLE)]

    def test_the_same_kind_in_other_words_is_logged_once(self, way):
        scene = Scene([KoreAIServerError("502"), KoreAIServerError("connection reset"), DONE])
        go(scene, way)
        assert sum("The status call failed" in line for line in scene.log_lines) == 1

    def test_trouble_is_not_called_a_failure_of_the_export(self, way):
        scene = Scene([SERVER, DONE])
        go(scene, way)
        assert "does not mean that the export failed" in scene.log_lines[0]

    def test_that_the_status_call_answers_again_is_logged_after_trouble_that_was(self, way):
        scene = Scene([SERVER, SERVER, RUNNING, SERVER, RUNNING, DONE])
        go(scene, way)
        assert [line for line in scene.log_lines if "answers again" in line] == [
            f"The status call for bot {BOT} answers again."
        ]

    def test_progress_is_logged_once_a_minute_at_most(self, way):
        scene = Scene([percent(number / 10) for number in range(1000)] + [DONE], poll_interval=1)
        go(scene, way)
        lines = [line for line in scene.log_lines if "% complete" in line]
        assert lines[0] == f"The export of bot {BOT} is 0 % complete."
        assert (scene.now - EPOCH) / 60 - 3 < len(lines) <= (scene.now - EPOCH) / 60 + 1

    def test_a_percentage_that_stands_still_is_logged_once(self, way):
        scene = Scene([RUNNING] * 200 + [DONE])
        go(scene, way)
        assert len(scene.log_lines) == 1

    def test_without_a_percentage_a_quiet_wait_logs_nothing(self, way):
        scene = Scene([export("IN_PROGRESS")] * 3 + [DONE])
        go(scene, way)
        assert scene.log_lines == []

    @pytest.mark.parametrize("error", DEFINITE, ids=lambda error: type(error).__name__)
    def test_a_definite_answer_is_raised_and_not_told(self, error):
        scene = Scene([DONE])
        with pytest.raises(type(error)) as caught:
            note_trouble(scene.wait.watch, error)
        assert caught.value is error
        assert scene.log_lines == []


steps = st.sampled_from(
    [*[export("IN_PROGRESS", percent) for percent in (None, 0, 5, 50, 99, 100)], UNKNOWN, STALE, *TROUBLE]
)
ends = st.sampled_from([DONE, FAILED, NEWER, NEWER_DONE, *DEFINITE])
scripts = st.lists(steps | ends, min_size=1, max_size=20)


def outcome_of(scene: Scene, way: str) -> tuple[object, ...]:
    """All that can be told apart from outside."""
    try:
        end: object = go(scene, way)
    except KoreAIError as error:
        end = (type(error), str(error))
    return end, scene.asked, scene.pauses, scene.log_lines


class TestAlways:
    @given(
        script=scripts,
        # A script that ends in a step repeats it for ever, so it needs a deadline.
        timeout=st.floats(-10, 500),
        on_superseded=st.sampled_from(["fail", "follow"]),
        poll_interval=st.floats(1, 100),
        seed=st.integers(0, 1000),
        call_takes=st.sampled_from([0.0, 0.3, 30.0]),
    )
    def test_blocking_and_on_a_loop_it_ends_the_same(self, script, **settings):
        assert outcome_of(Scene(script, **settings), "run") == outcome_of(Scene(script, **settings), "arun")

    @given(st.lists(steps, max_size=20), ends, st.integers(0, 1000))
    def test_without_a_deadline_the_first_definite_answer_decides(self, script, end, seed):
        scene = Scene([*script, end], seed=seed)
        outcome = outcome_of(scene, "run")[0]
        assert len(scene.asked) == len(script) + 1
        if end is DONE:
            assert outcome is DONE
        elif isinstance(end, KoreAIError):
            assert outcome == (type(end), str(end))
        else:
            assert outcome[0] is (KoreAIExportFailedError if end is FAILED else KoreAIExportSupersededError)

    @given(st.lists(steps, min_size=1, max_size=20), st.floats(0, 5000), st.floats(1, 100))
    def test_with_nothing_definite_the_deadline_is_met_to_the_second(self, script, timeout, poll_interval):
        scene = Scene(script, timeout=timeout, poll_interval=poll_interval)
        assert outcome_of(scene, "run")[0][0] is KoreAIExportTimeoutError
        assert scene.now == pytest.approx(EPOCH + timeout, abs=1e-3)

    @given(scripts, st.floats(-10, 500), st.integers(0, 1000))
    def test_each_pause_is_positive(self, script, timeout, seed):
        scene = Scene(script, timeout=timeout, seed=seed)
        outcome_of(scene, "run")
        assert all(pause > 0 for pause in scene.pauses)
