"""Which exports are new to a watcher."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest

from airflow_provider_koreai.jobs.export import Export, ExportStatus
from airflow_provider_koreai.jobs.new_exports import NewExports

ELEVEN, NOON, ONE = (f"2023-07-26T{hour}:00:00.000Z" for hour in (11, 12, 13))


def export(
    time: str | None, status: str = "SUCCESS", request_id: str = "ds-1", file_type: str = "csv"
) -> Export:
    return Export(
        "st-1",
        request_id=request_id,
        status=ExportStatus.parse(status),
        file_type=file_type,
        requested_time=time,
    )


def fired(exports: NewExports, *answers: Export | None) -> list[Export]:
    """What is new of these answers."""
    return [new for new in map(exports.observe, answers) if new is not None]


def restarted(exports: NewExports, file_type: str | None = None) -> NewExports:
    again = NewExports(file_type)
    assert again.go_on_from(json.loads(json.dumps(exports.note)))
    return again


@pytest.mark.parametrize("status", ["SUCCESS", "FAILED"])
def test_an_export_that_is_over_at_the_first_look_is_not_new(status):
    first = export(NOON, status)
    assert fired(NewExports(), first, first) == []


@pytest.mark.parametrize("status", ["IN_PROGRESS", "PAUSED"])
def test_an_export_that_is_running_at_the_first_look_is_new_when_it_is_done(status):
    done = export(NOON)
    assert fired(NewExports(), export(NOON, status), done) == [done]


@pytest.mark.parametrize(("time", "new"), [(ELEVEN, False), (NOON, True), (ONE, True), (None, False)])
def test_at_the_first_look_what_was_requested_since_the_watch_began_is_new(time, new):
    exports = NewExports(since=datetime(2023, 7, 26, 12, tzinfo=timezone.utc))
    assert fired(exports, export(time), export(time)) == [export(time)] * new


def test_the_first_export_of_a_bot_is_new():
    done = export(NOON)
    assert fired(NewExports(), None, done) == [done]


def test_each_new_export_is_reported_once():
    noon, one = export(NOON), export(ONE)
    assert fired(NewExports(), export(ELEVEN), noon, noon, export(ONE, "IN_PROGRESS"), one, one) == [
        noon,
        one,
    ]


def test_a_failed_export_is_not_reported_and_the_next_one_is():
    done = export(ONE)
    assert fired(NewExports(), None, export(NOON, "FAILED"), done) == [done]


def test_an_export_of_another_file_type_is_not_reported_and_the_next_one_is():
    other, done = export(NOON, file_type="json"), export(ONE)
    assert fired(NewExports("csv"), None, other, other, done) == [done]


def test_an_export_whose_file_type_is_not_reported_counts():
    done = export(NOON, file_type="")
    assert fired(NewExports("csv"), None, done) == [done]


def test_an_earlier_export_that_is_reported_again_for_a_while_is_not_new():
    noon, one = export(NOON), export(ONE)
    assert fired(NewExports(), noon, one, noon, one) == [one]


def test_without_times_another_request_id_is_new():
    first, second = export(None, request_id="ds-1"), export(None, request_id="ds-2")
    assert fired(NewExports(), first, first, second, second) == [second]


def test_after_a_restart_what_was_reported_is_not_reported_again():
    exports = NewExports()
    fired(exports, None, export(NOON))
    assert fired(restarted(exports), export(NOON)) == []


@pytest.mark.parametrize("before", [export(NOON), export(ONE, "IN_PROGRESS"), None])
def test_after_a_restart_what_was_done_in_between_is_reported(before):
    exports, done = NewExports(), export(ONE)
    assert fired(exports, before) == []
    assert fired(restarted(exports), done) == [done]


def test_there_is_nothing_to_keep_before_the_first_look():
    assert NewExports().note is None


@pytest.mark.parametrize("note", [None, "", [], {}, {"request_id": "ds-1"}, {"requested_time": 5}])
def test_what_is_not_a_note_lets_it_begin_anew(note):
    exports = NewExports()
    assert not exports.go_on_from(note)
    assert fired(exports, export(NOON)) == []
