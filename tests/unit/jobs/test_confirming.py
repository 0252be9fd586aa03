"""The confirmation of a start: which answer of the status call is taken for the new export, and for how long it asks."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_koreai.exceptions import (
    KoreAIAuthError,
    KoreAIRateLimitError,
    KoreAIRefusedError,
    KoreAIRequestError,
    KoreAIServerError,
)
from airflow_provider_koreai.jobs.confirming import CONFIRM_SECONDS, Confirmation, recognise
from airflow_provider_koreai.jobs.export import Export, ExportStatus, Verdict, judge

from .test_export import LINK, MINE, STALE, SUPERSEDED, answer, any_identities, at, ident, warnings_in

LOG = logging.getLogger("koreai.test.confirming")
STARTED = ident("ds-1", 0, "csv")


class Scene:
    """
    A status call with scripted answers, the last of which stays, and a clock that only pauses move.

    :param answers: exports, or errors to raise.
    """

    def __init__(self, *answers: Export | Exception) -> None:
        self.answers = list(answers)
        self.now = 0.0
        self.calls = 0
        self.pauses: list[float] = []

    def ask(self) -> Export:
        self.calls += 1
        given_ = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(given_, Exception):
            raise given_
        return given_

    def sleep(self, pause: float) -> None:
        self.pauses.append(pause)
        self.now += pause

    def confirm(self, started: Export | None = None, **more) -> Export:
        started = started or answer(status="IN_PROGRESS")
        return Confirmation(started, LOG, **more).run(self.ask, self.sleep, lambda: self.now)


class TestRecognise:
    """One test for each row of the table; the start answered noon, CSV, ID ``ds-1``."""

    @pytest.mark.parametrize("request_id", ["ds-1", "ds-2", None])
    @pytest.mark.parametrize("file_type", ["csv", None])
    @pytest.mark.parametrize("seconds", [-2, -0.001, 0, 0.001, 2])
    def test_a_time_within_two_seconds_is_ours(self, request_id, file_type, seconds):
        assert recognise(STARTED, ident(request_id, seconds, file_type)) is MINE

    @pytest.mark.parametrize(
        ("our_time", "their_time"), [(None, None), (0, None), (None, 0)], ids=["neither", "ours", "theirs"]
    )
    @pytest.mark.parametrize("their_id", ["ds-1", None])
    def test_without_a_time_the_same_id_or_none_is_ours(self, our_time, their_time, their_id):
        assert recognise(ident("ds-1", our_time, "csv"), ident(their_id, their_time, "csv")) is MINE

    def test_without_a_time_another_id_is_not_reported_yet(self):
        assert recognise(ident("ds-1", None, "csv"), ident("ds-2", None, "csv")) is STALE

    def test_without_a_time_another_file_type_is_not_reported_yet(self):
        assert recognise(ident("ds-1", None, "csv"), ident("ds-1", None, "json")) is STALE

    @pytest.mark.parametrize("seconds", [-2.001, -60])
    def test_earlier_is_not_reported_yet(self, seconds):
        assert recognise(STARTED, ident("ds-1", seconds, "csv")) is STALE

    @pytest.mark.parametrize("seconds", [2.001, 60])
    def test_later_is_somebody_elses(self, seconds):
        assert recognise(STARTED, ident("ds-1", seconds, "csv")) is SUPERSEDED

    @pytest.mark.parametrize(("seconds", "verdict"), [(-1, STALE), (0, SUPERSEDED), (1, SUPERSEDED)])
    def test_another_file_type_at_about_that_time_is_not_ours(self, seconds, verdict):
        assert recognise(STARTED, ident("ds-1", seconds, "json")) is verdict

    @given(any_identities, any_identities)
    def test_what_later_tasks_take_for_ours_the_start_does_too(self, started, seen):
        assert recognise(started, seen) in Verdict
        if judge(started, seen) is MINE:
            assert recognise(started, seen) is MINE


class TestConfirmation:
    def test_an_exact_answer_is_taken_at_once_and_nothing_is_logged(self, caplog):
        scene = Scene(answer())
        assert scene.confirm().identity == STARTED
        assert (scene.calls, scene.pauses) == (1, [])
        assert caplog.records == []

    def test_the_result_is_the_starts_and_holds_no_link(self):
        confirmed = Scene(answer(status="SUCCESS", download_url=LINK)).confirm()
        assert confirmed.status is ExportStatus.IN_PROGRESS
        assert confirmed.download_url is None

    def test_a_close_time_gives_the_identity_as_the_status_writes_it_with_one_warning(self, caplog):
        assert Scene(answer("ds-2", 0.7)).confirm().identity == ident("ds-2", 0.7, "csv")
        (line,) = warnings_in(caplog)
        assert at(0) in line
        assert at(0.7) in line

    def test_another_id_at_the_same_time_is_taken_without_a_warning(self, caplog):
        caplog.set_level(logging.INFO)
        assert Scene(answer("ds-2")).confirm().identity == ident("ds-2", 0, "csv")
        assert warnings_in(caplog) == []
        assert "ds-2" in caplog.text

    def test_what_the_status_leaves_out_stays_the_starts(self):
        assert Scene(answer(None, None, None)).confirm().identity == STARTED

    @pytest.mark.parametrize(
        "not_yet",
        [
            answer(seconds=-60, status="SUCCESS"),
            answer(seconds=-1, file_type="json", status="SUCCESS"),
            KoreAIServerError("500"),
            KoreAIRateLimitError("429"),
            KoreAIRequestError("HTML"),
            KoreAIRefusedError("no export", by_api=True, http_status=404),
        ],
        ids=["earlier", "earlier, other type", "5xx", "429", "unreadable", "404"],
    )
    def test_it_asks_again_while_the_export_is_not_reported_yet(self, not_yet):
        scene = Scene(not_yet, not_yet, answer())
        assert scene.confirm().identity == STARTED
        assert scene.calls == 3

    def test_the_second_call_follows_at_once(self):
        # The first one after a start is answered 500; who waits meets somebody else's start.
        scene = Scene(KoreAIServerError("500"), answer())
        scene.confirm()
        assert scene.now == 0

    def test_an_earlier_export_within_two_seconds_is_waited_out_before_it_is_taken_for_ours(self, caplog):
        scene = Scene(*[answer(seconds=-1, status="SUCCESS")] * 4, answer())
        assert scene.confirm().identity == STARTED
        assert warnings_in(caplog) == []

    def test_a_service_whose_times_are_a_little_early_is_understood_after_a_few_seconds(self):
        scene = Scene(answer(seconds=-0.5))
        assert scene.confirm().identity == ident("ds-1", -0.5, "csv")
        assert 4 < scene.now < 10

    @pytest.mark.parametrize("request_id", ["ds-1", "ds-2"])
    def test_a_start_that_came_between_while_the_status_call_failed_is_somebody_elses(
        self, request_id, caplog
    ):
        scene = Scene(*[KoreAIServerError("500")] * 6, answer(request_id, 0.5))
        assert scene.confirm(took=0.02).identity == STARTED
        assert "Somebody else started" in warnings_in(caplog)[0]

    @pytest.mark.parametrize(
        ("seconds", "took"),
        [(0.05, 0.02), (0.5, 0.6), (1.9, 0.02)],
        ids=["a moment", "while it started", "the future"],
    )
    def test_a_later_time_at_which_nobody_can_have_come_between_is_ours(self, seconds, took):
        scene = Scene(*[KoreAIServerError("500")] * 6, answer("ds-2", seconds))
        assert scene.confirm(took=took).identity == ident("ds-2", seconds, "csv")
        assert 0.5 < scene.now < 1.8

    @pytest.mark.parametrize("theirs", [answer("ds-9", 60), answer("ds-1", 1, "json")])
    def test_somebody_elses_later_export_leaves_the_starts_own_identity_with_a_warning(self, theirs, caplog):
        scene = Scene(theirs)
        assert scene.confirm().identity == STARTED
        assert scene.calls == 1
        (line,) = warnings_in(caplog)
        assert theirs.requested_time in line

    @pytest.mark.parametrize(
        "never",
        [answer(seconds=-60), KoreAIServerError("Kore.ai answered 503 to it.")],
        ids=["earlier", "503"],
    )
    def test_after_thirty_seconds_the_starts_own_identity_stays_with_a_warning(self, never, caplog):
        scene = Scene(never)
        assert scene.confirm().identity == STARTED
        assert CONFIRM_SECONDS - 3 <= scene.now <= CONFIRM_SECONDS
        assert scene.calls <= 20
        (line,) = warnings_in(caplog)
        assert "could not be confirmed" in line

    def test_the_warning_says_what_was_wrong(self, caplog):
        Scene(KoreAIServerError("Kore.ai answered 503 to it.")).confirm()
        assert "Kore.ai answered 503 to it" in warnings_in(caplog)[0]

    def test_it_stops_sooner_where_there_is_less_time(self):
        scene = Scene(KoreAIServerError("500"))
        scene.confirm(limit=1.0)
        assert scene.now <= 1

    def test_a_retry_after_is_kept(self):
        scene = Scene(KoreAIRateLimitError("429", retry_after=7), answer())
        scene.confirm()
        assert scene.pauses == [7]

    def test_a_retry_after_beyond_the_limit_is_not_waited_for(self):
        scene = Scene(KoreAIRateLimitError("429", retry_after=3600))
        assert scene.confirm().identity == STARTED
        assert scene.pauses == []

    @pytest.mark.parametrize(
        "refused", [KoreAIAuthError("401"), KoreAIRefusedError("no", by_api=True, http_status=400)]
    )
    def test_a_definite_refusal_is_left_to_whoever_waits(self, refused, caplog):
        scene = Scene(refused)
        assert scene.confirm().identity == STARTED
        assert scene.calls == 1
        assert len(warnings_in(caplog)) == 1

    @given(
        started=any_identities,
        seen=st.lists(any_identities, min_size=1, max_size=5),
    )
    def test_whatever_is_answered_it_ends_in_time(self, started, seen):
        def export(identity) -> Export:
            return Export(
                "st-0a1b",
                identity.request_id,
                ExportStatus.IN_PROGRESS,
                None,
                identity.file_type,
                identity.requested_time,
            )

        scene = Scene(*map(export, seen))
        confirmed = scene.confirm(export(started))
        assert scene.now <= CONFIRM_SECONDS
        assert confirmed.identity == started or any(recognise(started, each) is MINE for each in seen)
