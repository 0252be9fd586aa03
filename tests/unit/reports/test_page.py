"""What all reports have in common: where a line is drawn, and what a report's path may be."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_koreai.exceptions import KoreAIConfigurationError
from airflow_provider_koreai.reports.page import check_report_path, points

FIRST = datetime(2026, 11, 23, tzinfo=timezone.utc)


def days(number: int) -> list[datetime]:
    return [FIRST + timedelta(days=day) for day in range(number)]


@pytest.mark.parametrize(
    ("values", "placed"),
    [
        ([0, 50, 100], [(0, 60), (150, 30), (300, 0)]),
        # A change of 1 in 100 is not drawn from the bottom to the top.
        ([100, 101], [(0, 60), (300, 48)]),
        ([7], [(0, 60)]),
        ([7, 7], [(0, 60), (300, 60)]),
        ([0, 0], [(0, 60), (300, 60)]),
    ],
)
def test_a_line_leads_from_the_first_snapshot_to_the_last(values: list[int], placed: Any) -> None:
    assert points(values, days(len(values))) == placed


def test_a_gap_between_snapshots_is_as_wide_as_it_was_long() -> None:
    times = [FIRST, FIRST + timedelta(days=1), FIRST + timedelta(days=10)]
    assert [x for x, _ in points([1, 2, 3], times)] == [0, 30, 300]


@pytest.mark.parametrize("path", ["a/b.HTML", "s3://b/c.htm"])
def test_a_report_is_an_html_page(path: str) -> None:
    check_report_path(path)


@pytest.mark.parametrize("path", ["x.pdf", "x.md", 5])
def test_another_suffix_is_refused(path: Any) -> None:
    with pytest.raises(KoreAIConfigurationError, match=r"report_path=.* does not end in .html"):
        check_report_path(path)
