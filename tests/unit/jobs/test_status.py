"""What the documents of all jobs have in common."""

from __future__ import annotations

import pytest

from airflow_provider_koreai.jobs.status import JobStatus, count, number, percent, status_logs


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("pending", JobStatus.IN_PROGRESS),
        ("Inprogress", JobStatus.IN_PROGRESS),
        ("IN_PROGRESS", JobStatus.IN_PROGRESS),
        ("accepted", JobStatus.IN_PROGRESS),
        ("running", JobStatus.IN_PROGRESS),
        ("success", JobStatus.SUCCESS),
        ("Finished", JobStatus.SUCCESS),
        ("completed", JobStatus.SUCCESS),
        ("failure", JobStatus.FAILED),
        ("Failed", JobStatus.FAILED),
        ("failed partly", JobStatus.UNKNOWN),
        ("", JobStatus.UNKNOWN),
    ],
)
def test_each_word_of_the_vendor_has_a_meaning_and_others_have_none(word, status):
    assert JobStatus.parse(word) is status


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0.90", 0.9),
        (" 1 ", 1.0),
        (0.5, 0.5),
        ("", None),
        ("n/a", None),
        ("NaN", None),
        (None, None),
        (True, None),
    ],
)
def test_a_number_may_be_written_as_a_string(value, expected):
    assert number(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [("12", 12), (3.0, 3), (0, 0), ("1.5", None), (-1, None), ([], None)]
)
def test_a_count_is_a_whole_number(value, expected):
    assert count(value) == expected


@pytest.mark.parametrize(("value", "expected"), [(100, 100.0), ("0", 0.0), (101, None), (-1, None)])
def test_a_percentage_is_at_most_a_hundred(value, expected):
    assert percent(value) == expected


def test_status_logs_hold_no_secret():
    logs = status_logs(["see https://x/y?s=secret", {"fileId": "64c1f00dc0ffee64c1f00dca"}])
    assert logs == ("see https://x/y?...", '{"fileId": "<file ID>"}')
    assert status_logs("none") == ()
