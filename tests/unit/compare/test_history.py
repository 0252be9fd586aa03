"""How a bot's utterances developed over its last snapshots, and what a report of it shows."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_koreai.compare.comparison import ADDED, Change, Row, changes
from airflow_provider_koreai.compare.history import NAMED, History, Trend
from airflow_provider_koreai.compare.history_report import history_report

FIRST = datetime(2026, 11, 23, tzinfo=timezone.utc)
HOSTILE = '</svg><script>alert(1)</script>"\u202e'


def days(number: int) -> list[datetime]:
    return [FIRST + timedelta(days=day) for day in range(number)]


def history(tasks: dict[str, list[int]], bot_id: str = "st-1", language: str = "en") -> History:
    times = days(len(next(iter(tasks.values()))))
    made = History(bot_id, times)
    for name, values in tasks.items():
        for time, number in zip(times, values, strict=True):
            if number:
                made.count(time, name, language, number)
    return made


def page(*made: History, missing: tuple[str, ...] = ()) -> str:
    return history_report("utterances", [each.page() for each in made], missing, 30).decode()


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0, 0, 3], "appeared"),
        ([3, 2, 0], "vanished"),
        ([0, 5, 0], "vanished"),
        ([1, 9, 2], "grew"),
        ([2, 9, 1], "shrank"),
        ([4, 9, 4], None),
    ],
)
def test_the_first_and_the_last_snapshot_say_what_became_of_a_task(
    values: list[int], kind: str | None
) -> None:
    assert Trend("Book Flight", values).kind == kind


def test_the_latest_snapshot_in_numbers() -> None:
    made = history({"A": [5, 6], "B": [1, 0], "C": [0, 2]})
    for change in changes(
        [
            ("moves", ("B", "x", "en"), -1),
            ("moves", ("A", "x", "en"), 1),
            ("new", ("C", "x", "en"), 2),
        ]
    ):
        made.comparison.observe(change)
    assert made.numbers() == {
        "snapshot": "2026-11-24T00:00:00+00:00",
        "previous": "2026-11-23T00:00:00+00:00",
        "snapshots": 2,
        "rows": 8,
        "tasks": 2,
        "languages": 1,
        "added": 2,
        "removed": 0,
        "moved": 1,
    }
    assert {entry["task_name"]: entry["before"] for entry in made.page()["summary"]["tasks"]} == {
        "A": 5,
        "B": 1,
        "C": 0,
    }


def test_a_snapshot_that_came_in_between_does_not_count() -> None:
    made = history({"A": [5, 6]})
    made.count(FIRST + timedelta(hours=5), "A", "en", 100)
    assert made.total.values == [5, 6]


def test_the_largest_changes_come_first_and_the_others_are_counted() -> None:
    made = history({f"T{number}": [100, 101 + number] for number in range(30)})
    ((kind, found, count),) = made.page()["tasks"]
    assert (kind, count) == ("grew", 30)
    assert [trend.name for trend in found] == [f"T{number}" for number in range(29, 29 - NAMED, -1)]
    assert "and 20 more" in page(made)


def test_a_page_does_not_grow_with_the_tasks() -> None:
    small, large = (page(history({f"T{n}": [n % 7, n % 5] for n in range(size)})) for size in (200, 5000))
    assert len(large) < len(small) * 1.1


def test_a_page_shows_each_bot_and_leads_to_it() -> None:
    text = page(history({"A": [5, 6]}, "st-1"), history({"B": [3, 1]}, "st-2"))
    assert "Utterances of 2 bots" in text
    assert '<a href="#bot-2">st-2</a>' in text
    assert '<section id="bot-2">' in text
    assert "1 task shrank since 2026-11-23" in text


def test_a_page_shows_what_the_last_snapshot_changed() -> None:
    made = history({"A": [5, 6], "B": [9, 9]})
    made.comparison.observe(Change(ADDED, Row("A", "new", "x", "en")))
    shown = page(made).partition("Changed since the snapshot before, of 2026-11-23")[2].partition("<h3>")[0]
    assert "<b>1</b><span>added</span>" in shown
    assert re.findall(r'<td class="name" dir="auto">(.*?)</td>', shown) == ["A"]


def test_a_bot_that_did_not_change_says_so() -> None:
    assert "Nothing has changed." in page(history({"A": [5, 5]}))


def test_a_first_snapshot_has_nothing_to_compare_with() -> None:
    made = history({"A": [5]})
    made.comparison.everything_was_added()
    assert (made.numbers()["previous"], made.numbers()["added"]) == ("", 5)
    assert "There is no snapshot before this one." in page(made)


def test_a_bot_without_snapshots_is_named() -> None:
    assert "No snapshot in the table:</b> <bdi>st-typo</bdi>" in page(missing=("st-typo",))


def test_nothing_in_the_data_becomes_markup() -> None:
    text = page(history({HOSTILE: [1, 2]}, HOSTILE, HOSTILE), missing=(HOSTILE,))
    assert "<script" not in text
    assert "\u202e" not in text
    assert text.count("<svg") == text.count("</svg>")
    assert not re.search(r' (src|on\w+)=|href="(?!#)', text)
