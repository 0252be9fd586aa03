"""What makes utterances equal, what happened to a sentence, what is too much."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_koreai.compare.comparison import (
    ADDED,
    MOVED,
    REMOVED,
    Change,
    Comparison,
    Limits,
    Row,
    pair,
)


def row(task: str, sentence: str = "to rome", kind: str = "DialogIntent", language: str = "en") -> Row:
    return Row(task, sentence, kind, language)


def test_what_is_on_one_side_only_was_added_or_removed() -> None:
    assert list(pair([], [row("A")])) == [Change(ADDED, row("A"))]
    assert list(pair([row("A")], [])) == [Change(REMOVED, row("A"))]


def test_a_sentence_under_another_task_was_moved() -> None:
    assert list(pair([row("A")], [row("B")])) == [Change(MOVED, row("B"), "A")]


def test_of_two_new_places_one_was_added() -> None:
    assert list(pair([row("A")], [row("C"), row("B")])) == [
        Change(MOVED, row("B"), "A"),
        Change(ADDED, row("C")),
    ]


def test_a_sentence_moves_rather_to_a_task_of_its_own_type() -> None:
    assert list(pair([row("A")], [row("B", kind="FAQ"), row("C")])) == [
        Change(MOVED, row("C"), "A"),
        Change(ADDED, row("B", kind="FAQ")),
    ]


def test_a_sentence_may_move_to_a_task_of_another_type() -> None:
    assert list(pair([row("A")], [row("B", kind="FAQ")])) == [Change(MOVED, row("B", kind="FAQ"), "A")]


def test_another_type_in_the_same_task_is_no_move() -> None:
    assert list(pair([row("A")], [row("A", kind="FAQ")])) == [
        Change(REMOVED, row("A")),
        Change(ADDED, row("A", kind="FAQ")),
    ]


tasks = st.tuples(st.sampled_from("ABC"), st.sampled_from("xy"))


@given(st.lists(tasks, max_size=8), st.lists(tasks, max_size=8))
def test_a_pairing_loses_nothing_and_moves_nothing_to_where_it_was(
    before: list[tuple[str, str]], after: list[tuple[str, str]]
) -> None:
    gone = [row(task, kind=kind) for task, kind in before if (task, kind) not in after]
    come = [row(task, kind=kind) for task, kind in after if (task, kind) not in before]
    changes = list(pair(gone, come))
    moved = [change for change in changes if change.kind == MOVED]
    assert sorted(change.row for change in changes if change.kind != REMOVED) == sorted(come)
    left = [change.row.task_name for change in changes if change.kind == REMOVED]
    assert sorted(left + [change.previous_task_name for change in moved]) == sorted(
        each.task_name for each in gone
    )
    assert all(change.previous_task_name != change.row.task_name for change in moved)


def comparison(after: dict[str, int], *changes: Change, top: int = 20) -> Comparison:
    made = Comparison("yesterday.csv", "today.csv", top)
    for task, number in after.items():
        made.count(task, "en", number)
    for change in changes:
        made.observe(change)
    return made


def test_a_summary_counts_before_and_after() -> None:
    made = comparison(
        {"A": 5, "B": 2},
        Change(ADDED, row("A")),
        Change(REMOVED, row("B")),
        Change(REMOVED, row("C")),
        Change(MOVED, row("B"), "A"),
    )
    summary = made.summary()
    assert {key: summary[key] for key in list(summary)[:9]} == {
        "before": "yesterday.csv",
        "after": "today.csv",
        "rows_before": 8,
        "rows_after": 7,
        "added": 1,
        "removed": 2,
        "moved": 1,
        "unchanged": 5,
        "removed_fraction": 0.25,
    }
    assert {each["task_name"]: (each["before"], each["after"]) for each in summary["tasks"]} == {
        "A": (5, 5),
        "B": (2, 2),
        "C": (1, 0),
    }
    assert summary["languages"] == [
        {
            "language": "en",
            "before": 8,
            "after": 7,
            "added": 1,
            "removed": 2,
            "moved_in": 1,
            "moved_out": 1,
        }
    ]


def test_a_summary_names_the_most_changed_tasks_and_sums_up_the_others() -> None:
    made = comparison({f"T{number:04}": 3 for number in range(5000)}, Change(ADDED, row("T4999")), top=2)
    tasks = made.summary()["tasks"]
    assert [(each["task_name"], each["after"]) for each in tasks] == [
        ("T4999", 3),
        ("T0000", 3),
        ("", 3 * 4998),
    ]
    assert tasks[-1]["others"] == 4998
    assert len(json.dumps(made.summary())) < 5000


def test_a_summary_is_json_without_nothing_in_it() -> None:
    # None would break the rendering of a downstream template.
    assert "null" not in json.dumps(Comparison("", "today.csv").summary())


def test_of_each_kind_only_the_first_changes_are_kept() -> None:
    made = comparison({"A": 100}, *[Change(ADDED, row("A", str(number))) for number in range(100)], top=3)
    assert [change.row.sentence for change in made.sample[ADDED]] == ["0", "1", "2"]


THREE_OF_TEN = [Change(REMOVED, row("A"))] * 3


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(max_removed_fraction=0.29), "3 of 10 utterances were removed, a fraction of 0.3: .*=0.29"),
        (Limits(max_removed=2), "3 utterances were removed, more than max_removed=2"),
        (Limits(min_rows=8), "7 utterances, fewer than min_rows=8"),
    ],
)
def test_a_limit_that_is_exceeded_comes_with_its_numbers(limits: Limits, said: str) -> None:
    (text,) = limits.exceeded(comparison({"A": 7}, *THREE_OF_TEN))
    assert re.search(said, text)


def test_what_is_just_allowed_is_allowed() -> None:
    limits = Limits(max_removed_fraction=0.3, max_removed=3, min_rows=7)
    assert limits.exceeded(comparison({"A": 7}, *THREE_OF_TEN)) == []


def test_all_limits_that_are_exceeded_are_listed() -> None:
    limits = Limits(max_removed_fraction=0, max_removed=0, min_rows=8)
    assert len(limits.exceeded(comparison({"A": 7}, *THREE_OF_TEN))) == 3


def test_a_move_is_not_removed() -> None:
    limits = Limits(max_removed_fraction=0, max_removed=0)
    assert limits.exceeded(comparison({"B": 1}, Change(MOVED, row("B"), "A"))) == []


def test_nothing_before_exceeds_no_limit_on_what_was_removed() -> None:
    made = comparison({"A": 1}, Change(ADDED, row("A")))
    assert Limits(max_removed_fraction=0, max_removed=0).exceeded(made) == []
