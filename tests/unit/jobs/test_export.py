"""
The domain: statuses, times, "is it mine?", and what one task makes of the answers that it sees.

How the two calls of an export are sent and read is in `tests/unit/api/test_calls.py`.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_koreai.exceptions import (
    KoreAIConfigurationError,
    KoreAIError,
    KoreAIExportFailedError,
    KoreAIExportSupersededError,
)
from airflow_provider_koreai.jobs.export import (
    Export,
    ExportIdentity,
    ExportStatus,
    ExportWatch,
    Verdict,
    describe,
    judge,
    parse_time,
)

BOT = "st-0a1b"
NOON = datetime(2023, 7, 26, 12, 0, 0, tzinfo=timezone.utc)
LINK = "https://bots.kore.ai/api/getMediaStream/market/f-1.csv?n=1&s=SIGNATURE&e=2"
LOG = logging.getLogger("koreai.test.exports")

MINE, SUPERSEDED, STALE = Verdict.MINE, Verdict.SUPERSEDED, Verdict.STALE


def at(seconds: float) -> str:
    """The time that many seconds from noon, as the service writes it."""
    moment = NOON + timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def ident(request_id=None, seconds=None, file_type=None) -> ExportIdentity:
    return ExportIdentity(request_id, None if seconds is None else at(seconds), file_type)


OURS = ident("ds-1", 0, "csv")


def answer(
    request_id="ds-1", seconds: float | None = 0.0, file_type="csv", status="IN_PROGRESS", **more
) -> Export:
    return Export(
        BOT,
        request_id=request_id,
        requested_time=None if seconds is None else at(seconds),
        file_type=file_type,
        status=ExportStatus.parse(status),
        status_word=status,
        **more,
    )


def watch(ours=OURS, on_superseded="fail") -> ExportWatch:
    return ExportWatch(BOT, ours, on_superseded=on_superseded, log=LOG)


class TestStatusWords:
    @pytest.mark.parametrize(
        ("word", "status"),
        [
            ("IN_PROGRESS", ExportStatus.IN_PROGRESS),
            ("SUCCESS", ExportStatus.SUCCESS),
            ("FAILED", ExportStatus.FAILED),
            # The sibling APIs' words.
            ("pending", ExportStatus.IN_PROGRESS),
            ("Inprogress", ExportStatus.IN_PROGRESS),
            ("success", ExportStatus.SUCCESS),
            ("failure", ExportStatus.FAILED),
            ("failed", ExportStatus.FAILED),
            (" Success ", ExportStatus.SUCCESS),
        ],
    )
    def test_a_known_word_is_read(self, word, status):
        assert ExportStatus.parse(word) is status

    @given(
        word=st.sampled_from(["IN_PROGRESS", "SUCCESS", "FAILED", "pending", "failure"]),
        upper=st.lists(st.booleans(), min_size=11, max_size=11),
    )
    def test_case_does_not_matter(self, word, upper):
        mixed = "".join(c.upper() if up else c.lower() for c, up in zip(word, upper, strict=False))
        assert ExportStatus.parse(mixed) is ExportStatus.parse(word)

    @pytest.mark.parametrize("word", ["", "STOPPED", "SUCCESSFUL", "NOT_FAILED", "UNKNOWN", "100"])
    def test_any_other_word_is_unknown_and_not_taken_for_an_end(self, word):
        assert ExportStatus.parse(word) is ExportStatus.UNKNOWN

    @given(st.text())
    def test_no_word_is_an_error(self, word):
        assert ExportStatus.parse(word) in ExportStatus


class TestTimes:
    @pytest.mark.parametrize(
        ("text", "moment"),
        [
            ("2023-07-26T12:00:00.984Z", NOON + timedelta(milliseconds=984)),
            ("2023-07-26T12:00:00Z", NOON),
            ("2023-07-26T12:00:00z", NOON),
            (" 2023-07-26T12:00:00.000Z ", NOON),
            ("2023-07-26T14:00:00.000+02:00", NOON),
            ("2023-07-26T12:00:00+0000", NOON),
            ("2023-07-26T12:00:00.5Z", NOON + timedelta(milliseconds=500)),
            ("2023-07-26T10:00:00.5-0200", NOON + timedelta(milliseconds=500)),
            ("2023-07-26T12:00:00.984000000Z", NOON + timedelta(milliseconds=984)),
            ("2023-07-26T14:00+02", NOON),
            ("2023-07-26T12:00:00.000", NOON),  # without an offset it is UTC
        ],
    )
    def test_the_services_time_is_read(self, text, moment):
        assert parse_time(text) == moment

    def test_a_time_without_an_offset_is_utc_wherever_the_worker_stands(self, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setenv("TZ", "America/New_York")
            time.tzset()
            moment = parse_time("2023-07-26T12:00:00")
        time.tzset()
        assert moment == NOON

    @pytest.mark.parametrize(
        "text",
        [
            None,
            "",
            "   ",
            "yesterday",
            "2023-13-26T12:00:00Z",
            "2023-07-26T12:00:00ZZ",
            "0001-01-01T00:00:00+05:00",  # before the first day that can be computed with
            "1690377304984",
            "1712011201234",  # milliseconds since 1970, not a day of the year 1712
        ],
    )
    def test_what_is_no_time_is_none(self, text):
        assert parse_time(text) is None

    @given(st.text())
    def test_no_text_is_an_error(self, text):
        moment = parse_time(text)
        assert moment is None or moment.tzinfo is not None

    @given(st.integers(min_value=-(10**12), max_value=10**12))
    def test_a_time_is_read_back_to_the_millisecond(self, millis):
        assert parse_time(at(millis / 1000)) == parse_time(at(0)) + timedelta(milliseconds=millis)


class TestIsItMine:
    """One class attribute per row of the design's table; ours was requested at noon as CSV, ID ``ds-1``."""

    @pytest.mark.parametrize(
        "theirs",
        [ident("ds-1", 0, "csv"), ident("ds-2", 0, "csv"), ident(None, 0, "csv"), ident("ds-1", 0, None)],
        ids=["same", "another id", "no id", "no file type"],
    )
    def test_row_1_the_same_time_is_mine_whatever_the_id(self, theirs):
        assert judge(OURS, theirs) is MINE

    def test_row_1_the_same_time_written_otherwise_is_mine(self):
        theirs = ExportIdentity("ds-1", "2023-07-26T14:00:00+02:00", "csv")
        assert judge(OURS, theirs) is MINE

    @pytest.mark.parametrize(
        ("seconds", "verdict"), [(-2, STALE), (-0.001, STALE), (0.001, SUPERSEDED), (2, SUPERSEDED)]
    )
    @pytest.mark.parametrize("request_id", ["ds-1", "ds-2", None])
    def test_row_2_a_millisecond_makes_it_another_one(self, request_id, seconds, verdict):
        assert judge(OURS, ident(request_id, seconds, "csv")) is verdict

    @pytest.mark.parametrize(
        ("seconds", "verdict"),
        [(-60, STALE), (-1, STALE), (-0.001, STALE), (0, SUPERSEDED), (1, SUPERSEDED), (60, SUPERSEDED)],
    )
    def test_row_1_and_2_another_file_type_is_never_mine(self, seconds, verdict):
        assert judge(OURS, ident("ds-1", seconds, "json")) is verdict

    @pytest.mark.parametrize("seconds", [0.001, 60, 86400])
    @pytest.mark.parametrize("request_id", ["ds-1", "ds-2", None])
    def test_row_2_later_is_superseded_though_the_record_is_reused(self, seconds, request_id):
        assert judge(OURS, ident(request_id, seconds, "csv")) is SUPERSEDED

    @pytest.mark.parametrize("seconds", [-0.001, -60, -86400])
    @pytest.mark.parametrize("request_id", ["ds-1", "ds-2", None])
    def test_row_2_earlier_is_stale_though_the_record_is_reused(self, seconds, request_id):
        assert judge(OURS, ident(request_id, seconds, "csv")) is STALE

    @pytest.mark.parametrize(
        ("our_time", "their_time"), [(None, None), (0, None), (None, 0)], ids=["neither", "ours", "theirs"]
    )
    @pytest.mark.parametrize(
        ("our_id", "their_id", "verdict"),
        [
            ("ds-1", "ds-1", MINE),
            ("ds-1", None, MINE),
            (None, "ds-1", MINE),
            (None, None, MINE),
            ("ds-1", "ds-2", SUPERSEDED),
        ],
    )
    def test_row_3_without_a_time_on_one_side_the_id_decides(
        self, our_time, their_time, our_id, their_id, verdict
    ):
        assert judge(ident(our_id, our_time, "csv"), ident(their_id, their_time, "csv")) is verdict

    def test_row_3_a_time_that_cannot_be_read_is_no_time(self):
        theirs = ExportIdentity("ds-2", "yesterday", "csv")
        assert judge(OURS, theirs) is SUPERSEDED
        assert judge(OURS, dataclasses.replace(theirs, request_id="ds-1")) is MINE

    def test_row_3_the_same_unreadable_time_is_the_same_time(self):
        ours, theirs = (ExportIdentity(request_id, "26/7/23 12:00", "csv") for request_id in ("ds-1", "ds-2"))
        assert judge(ours, theirs) is MINE

    def test_row_3_another_file_type_is_not_mine_though_the_id_is_equal(self):
        assert judge(ident("ds-1", None, "csv"), ident("ds-1", None, "json")) is SUPERSEDED

    @pytest.mark.parametrize(
        "theirs",
        [ident("ds-9", 5, "csv"), ident("ds-9", -5, "json"), ident("ds-9", None, None), ident()],
    )
    def test_without_any_identity_the_latest_export_is_mine(self, theirs):
        assert judge(ExportIdentity(), theirs) is MINE


seconds_near_noon = st.none() | st.integers(-4000, 4000).map(lambda ms: ms / 1000) | st.integers(-9999, 9999)
identities = st.builds(
    ident,
    st.sampled_from([None, "ds-1", "ds-2"]),
    seconds_near_noon,
    st.sampled_from([None, "csv", "json"]),
)
odd_texts = st.none() | st.sampled_from(["", "ds-1", "csv", at(0), "yesterday"]) | st.text()
any_identities = identities | st.builds(ExportIdentity, odd_texts, odd_texts, odd_texts)


class TestIsItMineAlways:
    @given(any_identities, any_identities)
    def test_there_is_a_verdict_on_anything(self, ours, theirs):
        assert judge(ours, theirs) in Verdict

    @given(any_identities)
    def test_an_export_is_its_own(self, ours):
        assert judge(ours, ours) is MINE

    @given(any_identities, any_identities)
    def test_a_different_file_type_is_never_mine(self, ours, theirs):
        ours = dataclasses.replace(ours, file_type="csv")
        theirs = dataclasses.replace(theirs, file_type="json")
        assert judge(ours, theirs) is not MINE

    @given(identities, identities)
    def test_swapping_the_roles_turns_later_into_earlier(self, ours, theirs):
        there, back = judge(ours, theirs), judge(theirs, ours)
        one_has_no_time = not ours.requested_time or not theirs.requested_time
        if one_has_no_time or ours.requested_time == theirs.requested_time:
            assert back is there
        else:
            assert back is {STALE: SUPERSEDED, SUPERSEDED: STALE}[there]

    @given(identities, identities, st.integers(-5000, 5000), st.integers(min_value=0, max_value=5000))
    def test_the_later_theirs_is_the_less_it_is_stale(self, ours, theirs, millis, more):
        ours = dataclasses.replace(ours, requested_time=ours.requested_time or at(0))
        order = [STALE, MINE, SUPERSEDED]
        early, late = (
            order.index(judge(ours, dataclasses.replace(theirs, requested_time=at(ms / 1000))))
            for ms in (millis, millis + more)
        )
        assert early <= late

    @given(any_identities)
    def test_nothing_known_takes_anything(self, theirs):
        assert judge(ExportIdentity(), theirs) is MINE


class TestExport:
    def test_its_link_is_out_of_its_repr(self):
        assert "SIGNATURE" not in repr(answer(download_url=LINK))

    def test_it_is_frozen(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            answer().status = ExportStatus.SUCCESS

    def test_its_identity_is_id_time_and_file_type(self):
        assert answer("ds-7", 5, "json").identity == ExportIdentity("ds-7", at(5), "json")


class TestIdentityArguments:
    def test_empty_strings_mean_nothing_is_known(self):
        assert ExportIdentity.of("", "", "") == ExportIdentity.of(None, None, None) == ExportIdentity()

    def test_the_file_type_is_taken_in_any_case(self):
        assert ExportIdentity.of("ds-1", at(0), "CSV") == OURS

    @pytest.mark.parametrize("name", ["request_id", "requested_time"])
    @pytest.mark.parametrize("value", [5, ["ds-1"], {"a": 1}, object()])
    def test_an_argument_that_is_no_string_is_named(self, name, value):
        with pytest.raises(KoreAIConfigurationError, match=rf"{name} must be a string"):
            ExportIdentity.of(**{name: value})

    @pytest.mark.parametrize("name", ["request_id", "requested_time"])
    def test_a_template_that_found_nothing_is_named(self, name):
        with pytest.raises(KoreAIConfigurationError, match=f"{name}='None': the template"):
            ExportIdentity.of(**{name: "None"})

    @pytest.mark.parametrize("value", ["xml", "csvs", 5, True, ["csv"]])
    def test_an_unknown_file_type_is_named_with_the_accepted_ones(self, value):
        with pytest.raises(KoreAIConfigurationError, match=r"file_type=.*csv, json"):
            ExportIdentity.of(file_type=value)

    @given(identities)
    def test_the_form_for_xcom_has_only_strings_and_reads_back(self, identity):
        written = identity.as_dict()
        assert set(written) == {"request_id", "requested_time", "file_type"}
        assert all(isinstance(value, str) for value in written.values())
        assert ExportIdentity.of(**written) == identity

    def test_an_unknown_identity_is_described_without_none(self):
        assert "None" not in describe(ExportIdentity())


def warnings_in(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


class TestWatch:
    def test_our_export_that_is_done_is_given_back(self):
        done = answer(status="SUCCESS", download_url=LINK)
        assert watch().observe(done) is done

    def test_our_export_in_progress_is_waited_on(self):
        assert watch().observe(answer(status="IN_PROGRESS")) is None

    def test_our_export_that_failed_is_an_error_with_its_status_logs(self):
        failed = answer(status="FAILED", status_logs=("no intents", "code 17"))
        with pytest.raises(KoreAIExportFailedError, match="no intents; code 17") as caught:
            watch().observe(failed)
        assert caught.value.status_logs == ("no intents", "code 17")

    def test_the_error_of_a_failed_export_names_bot_id_and_time(self):
        with pytest.raises(KoreAIExportFailedError) as caught:
            watch().observe(answer(status="FAILED"))
        assert all(part in str(caught.value) for part in (BOT, "ds-1", at(0)))

    def test_an_unknown_status_is_waited_on_and_logged_once(self, caplog):
        watching = watch()
        assert [watching.observe(answer(status="PAUSED")) for _ in range(3)] == [None, None, None]
        (line,) = warnings_in(caplog)
        assert "PAUSED" in line

    def test_each_unknown_status_is_logged(self, caplog):
        watching = watch()
        for word in ("PAUSED", "RESUMED", "PAUSED"):
            watching.observe(answer(status=word))
        assert len(warnings_in(caplog)) == 2

    @pytest.mark.parametrize("status", ["SUCCESS", "FAILED", "IN_PROGRESS"])
    def test_an_earlier_exports_end_is_not_ours(self, status):
        assert watch().observe(answer(seconds=-60, status=status)) is None

    def test_an_earlier_export_is_logged_once(self, caplog):
        watching = watch()
        for _ in range(3):
            watching.observe(answer(seconds=-60))
        (line,) = warnings_in(caplog)
        assert at(-60) in line
        assert at(0) in line

    @pytest.mark.parametrize("status", ["SUCCESS", "FAILED", "IN_PROGRESS"])
    def test_a_newer_export_is_an_error_that_says_both_times(self, status):
        with pytest.raises(KoreAIExportSupersededError) as caught:
            watch().observe(answer(seconds=60, status=status))
        assert at(0) in str(caught.value)
        assert at(60) in str(caught.value)
        assert "on_superseded='follow'" in str(caught.value)

    def test_another_id_at_our_time_is_ours_and_logged_once(self, caplog):
        watching = watch()
        for _ in range(3):
            assert watching.observe(answer("ds-2", status="IN_PROGRESS")) is None
        assert watching.observe(answer("ds-2", status="SUCCESS")) is not None
        (line,) = warnings_in(caplog)
        assert "ds-1" in line
        assert "ds-2" in line

    def test_a_millisecond_later_is_a_newer_export(self):
        with pytest.raises(KoreAIExportSupersededError):
            watch().observe(answer(seconds=0.001, status="SUCCESS"))

    def test_a_millisecond_earlier_is_an_earlier_export(self):
        assert watch().observe(answer(seconds=-0.001, status="SUCCESS")) is None

    def test_it_says_once_what_it_says_of_one_kind(self, caplog):
        watching = watch()
        for kind in ("a", "b", "a"):
            watching.tell_once(kind, "surprise %s", kind)
        assert warnings_in(caplog) == ["surprise a", "surprise b"]

    def test_a_superseded_export_of_a_reused_record_shows_no_two_equal_ids(self):
        with pytest.raises(KoreAIExportSupersededError) as caught:
            watch().observe(answer("ds-1", 60))
        assert "ds-1" not in str(caught.value)

    def test_a_superseded_export_without_times_shows_both_ids(self):
        with pytest.raises(KoreAIExportSupersededError) as caught:
            watch(ident("ds-1", None, "csv")).observe(answer("ds-2", None))
        assert "ds-1" in str(caught.value)
        assert "ds-2" in str(caught.value)

    def test_a_superseded_export_says_which_task_to_clear_and_which_form_copes(self):
        with pytest.raises(
            KoreAIExportSupersededError, match=r"clear the task .*`export`.*wait_for_completion=True"
        ):
            watch().observe(answer("ds-1", 60))

    def test_our_export_in_another_file_type_is_not_called_superseded(self):
        with pytest.raises(KoreAIConfigurationError, match="is a json export, but this task wants csv"):
            watch().observe(answer(file_type="json"))

    @pytest.mark.parametrize("value", ["", "ignore", None, 1])
    def test_an_unknown_on_superseded_is_named_with_the_accepted_values(self, value):
        with pytest.raises(KoreAIConfigurationError, match=r"on_superseded=.*fail, follow"):
            watch(on_superseded=value)


class TestResult:
    """What a finished wait hands on through XCom."""

    def test_the_answer_identifies_the_export(self):
        done = answer("ds-2", 1, "json")
        assert watch(ExportIdentity()).result(done) == ident("ds-2", 1, "json").as_dict()

    def test_where_the_answer_is_silent_ours_does(self):
        assert watch().result(answer(None, None, None)) == OURS.as_dict()

    def test_what_nobody_knows_is_an_empty_string(self):
        nothing = {"request_id": "", "requested_time": "", "file_type": ""}
        assert watch(ExportIdentity()).result(answer(None, None, None)) == nothing

    def test_a_followed_export_is_the_result(self):
        watching = watch(on_superseded="follow")
        done = watching.observe(answer("ds-2", 60, status="SUCCESS"))
        assert watching.result(done) == ident("ds-2", 60, "csv").as_dict()


class TestFollowing:
    def test_a_newer_export_in_progress_is_waited_for_and_logged(self, caplog):
        watching = watch(on_superseded="follow")
        assert watching.observe(answer("ds-2", 60)) is None
        (line,) = warnings_in(caplog)
        assert at(0) in line
        assert at(60) in line

    def test_the_followed_export_is_the_one_that_is_waited_for(self):
        watching = watch(on_superseded="follow")
        watching.observe(answer("ds-2", 60))
        assert watching.ours == ident("ds-2", 60, "csv")
        assert watching.observe(answer("ds-1", 0, status="SUCCESS")) is None
        done = answer("ds-2", 60, status="SUCCESS")
        assert watching.observe(done) is done

    def test_a_newer_export_that_is_done_is_given_back(self):
        done = answer("ds-2", 60, status="SUCCESS")
        assert watch(on_superseded="follow").observe(done) is done

    def test_a_newer_export_that_failed_is_a_failed_export(self):
        with pytest.raises(KoreAIExportFailedError, match="ds-2"):
            watch(on_superseded="follow").observe(answer("ds-2", 60, status="FAILED"))

    def test_one_after_the_other_is_followed(self):
        watching = watch(on_superseded="follow")
        for seconds in (60, 120, 180):
            assert watching.observe(answer(f"ds-{seconds}", seconds)) is None
        assert watching.ours == ident("ds-180", 180, "csv")

    def test_a_newer_export_of_another_file_type_is_an_error_that_names_both(self):
        with pytest.raises(KoreAIExportSupersededError, match="file type is json, not csv") as caught:
            watch(on_superseded="follow").observe(answer("ds-2", 60, "json"))
        assert at(0) in str(caught.value)
        assert at(60) in str(caught.value)

    def test_our_file_type_is_kept_where_the_newer_export_does_not_tell_its_own(self):
        watching = watch(on_superseded="follow")
        watching.observe(answer("ds-2", 60, None))
        with pytest.raises(KoreAIExportSupersededError):
            watching.observe(answer("ds-3", 120, "json"))

    def test_without_times_another_id_is_followed(self):
        watching = watch(ident("ds-1", None, "csv"), on_superseded="follow")
        done = answer("ds-2", None, status="SUCCESS")
        assert watching.observe(done) is done

    def test_an_earlier_export_is_not_followed(self):
        assert watch(on_superseded="follow").observe(answer("ds-2", -60, status="SUCCESS")) is None


@pytest.mark.parametrize("on_superseded", ["fail", "follow"])
class TestLatestExport:
    """No request ID and no time: the bot's latest export is wanted, whoever started it."""

    def test_whatever_is_done_is_given_back(self, on_superseded):
        done = answer("ds-9", -3600, status="SUCCESS")
        assert watch(ExportIdentity(), on_superseded).observe(done) is done

    def test_an_export_started_meanwhile_is_the_latest(self, on_superseded):
        watching = watch(ExportIdentity(), on_superseded)
        assert watching.observe(answer("ds-1", 0)) is None
        done = answer("ds-2", 60, "json", status="SUCCESS")
        assert watching.observe(done) is done

    def test_an_answer_without_id_and_time_is_taken(self, on_superseded):
        done = answer(None, None, None, status="SUCCESS")
        assert watch(ExportIdentity(), on_superseded).observe(done) is done

    def test_the_file_type_that_is_asked_for_is_taken(self, on_superseded):
        done = answer("ds-9", 0, "json", status="SUCCESS")
        assert watch(ExportIdentity(file_type="json"), on_superseded).observe(done) is done

    def test_another_file_type_than_asked_for_is_an_error_that_names_both(self, on_superseded):
        with pytest.raises(KoreAIConfigurationError, match="is a csv export, but this task wants json"):
            watch(ExportIdentity(file_type="json"), on_superseded).observe(answer("ds-9", 0, "csv"))


class TestNewerThan:
    """The bot's latest export is wanted, but not an older one than this."""

    @staticmethod
    def since(seconds: float, ours=ExportIdentity()) -> ExportWatch:  # noqa: B008
        return ExportWatch(BOT, ours, newer_than=at(seconds), log=LOG)

    @pytest.mark.parametrize("status", ["SUCCESS", "FAILED", "IN_PROGRESS"])
    def test_an_older_export_is_waited_out_and_logged_once(self, status, caplog):
        watching = self.since(0)
        assert [watching.observe(answer(seconds=-1, status=status)) for _ in range(2)] == [None, None]
        (line,) = warnings_in(caplog)
        assert at(-1) in line
        assert "newer_than=2023-07-26T12:00:00+00:00" in line

    @pytest.mark.parametrize("seconds", [0, 1])
    def test_an_export_of_that_time_or_later_counts(self, seconds):
        done = answer(seconds=seconds, status="SUCCESS")
        assert self.since(0).observe(done) is done

    def test_an_older_export_of_another_file_type_is_waited_out_too(self):
        watching = self.since(0, ExportIdentity(file_type="json"))
        assert watching.observe(answer(seconds=-1, file_type="csv", status="SUCCESS")) is None

    def test_an_export_whose_time_is_not_reported_does_not_count(self, caplog):
        assert self.since(0).observe(answer(seconds=None, status="SUCCESS")) is None
        assert "does not report" in warnings_in(caplog)[0]

    def test_an_export_that_is_named_counts_whenever_it_was_requested(self):
        done = answer(status="SUCCESS")
        assert self.since(60, OURS).observe(done) is done

    @pytest.mark.parametrize(
        "value",
        [NOON, NOON.date(), "2023-07-26", "2023-07-26 12:00:00+00:00", "2023-07-26T14:00:00.000+02:00"],
    )
    def test_it_may_be_a_date_a_time_or_the_text_of_one(self, value):
        watching = ExportWatch(BOT, ExportIdentity(), newer_than=value)
        assert watching.newer_than in (NOON, NOON.replace(hour=0))

    @pytest.mark.parametrize("value", [None, ""])
    def test_without_it_any_export_counts(self, value):
        assert ExportWatch(BOT, ExportIdentity(), newer_than=value).newer_than is None

    @pytest.mark.parametrize("value", ["yesterday", 5, "{{ ds }}"])
    def test_what_is_not_a_time_is_refused_by_name(self, value):
        with pytest.raises(KoreAIConfigurationError, match=r"^newer_than="):
            ExportWatch(BOT, ExportIdentity(), newer_than=value)

    def test_what_is_wanted_says_so(self):
        assert "latest of those requested since 2023-07-26T12:00:00+00:00" in self.since(0).wanted


statuses = st.sampled_from(["IN_PROGRESS", "SUCCESS", "FAILED", "PAUSED"])
answers = st.builds(
    lambda identity, status: Export(
        BOT,
        request_id=identity.request_id,
        requested_time=identity.requested_time,
        file_type=identity.file_type,
        status=ExportStatus.parse(status),
        status_word=status,
        download_url=LINK,
    ),
    any_identities,
    statuses,
)


def observe_all(watching: ExportWatch, sequence: list[Export]) -> tuple[Export | None, KoreAIError | None]:
    """What ends the wait: an export or an error, or neither."""
    try:
        return next((export for export in sequence if watching.observe(export) is not None), None), None
    except KoreAIError as error:
        return None, error


class TestWatchAlways:
    @given(any_identities, st.sampled_from(["fail", "follow"]), st.lists(answers, max_size=8))
    def test_any_answers_end_in_a_finished_export_or_one_of_our_errors(self, ours, on_superseded, sequence):
        done, error = observe_all(watch(ours, on_superseded), sequence)
        assert done is None or done.status is ExportStatus.SUCCESS
        assert error is None or isinstance(
            error, (KoreAIConfigurationError, KoreAIExportFailedError, KoreAIExportSupersededError)
        )

    @given(any_identities, st.sampled_from(["fail", "follow"]), st.lists(answers, max_size=8))
    def test_neither_errors_nor_log_lines_hold_a_link(self, ours, on_superseded, sequence):
        lines: list[str] = []
        logger = logging.Logger("private")
        handler = logging.Handler()
        handler.emit = lambda record: lines.append(record.getMessage())
        logger.addHandler(handler)
        _, error = observe_all(ExportWatch(BOT, ours, on_superseded=on_superseded, log=logger), sequence)
        assert "SIGNATURE" not in "\n".join([str(error), *lines])

    @given(identities, st.lists(answers, max_size=8))
    def test_a_watch_that_does_not_follow_never_changes_its_mind(self, ours, sequence):
        watching = watch(ours)
        observe_all(watching, sequence)
        assert watching.ours == ours
