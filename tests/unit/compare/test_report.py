"""What a report of a comparison shows, and that data in it is never markup."""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_koreai.compare.comparison import ADDED, MOVED, REMOVED, Change, Comparison, Row
from airflow_provider_koreai.compare.report import html_report
from tests.support.pages import Seen

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a | b | c",
    "[click](http://example.com) ![x](http://example.com/x.png)",
    "`code` *bold* _italic_ ~~gone~~",
    "one\ntwo\r\n# three",
    "\u202eelif\u202c",
    "&amp; </td></table>",
]


def comparison(*names: str, top: int = 20) -> Comparison:
    made = Comparison("/data/2026-11-24.csv", "/data/2026-11-25.csv", top)
    for name in names:
        made.count(name, "en", 10)
        made.observe(Change(ADDED, Row(name, f"new {name}", "x", "en")))
        made.observe(Change(REMOVED, Row(name, f"old {name}", "x", "en")))
        made.observe(Change(MOVED, Row(name, f"moved {name}", "x", "en"), names[0]))
    return made


def report(*names: str, top: int = 20, **values: Any) -> str:
    return html_report(comparison(*names, top=top), **values).decode()


def test_html_shows_the_numbers_and_a_sample_of_each_kind() -> None:
    text = Seen(report("Book Flight", "Refund")).text
    for shown in (
        "20utterances before",
        "20utterances after",
        "2added",
        "2removed (10.00%)",
        "2moved to another task",
    ):
        assert shown in text
    for shown in ("Book Flight", "new Refund", "old Refund", "moved Refund", "/data/2026-11-24.csv"):
        assert shown in text


def test_a_limit_that_is_exceeded_is_shown() -> None:
    page = report("A", exceeded=["7 utterances, fewer than min_rows=8"])
    assert "Too much has changed" in page
    assert "7 utterances, fewer than min_rows=8" in page


def test_tasks_beyond_the_first_ones_are_summed_up() -> None:
    page = report(*(f"Task {number}" for number in range(50)), top=5)
    assert "(45 others)" in page
    assert len(page) < 20_000


def test_samples_are_as_long_as_the_tables() -> None:
    page = report(*(f"Task {number}" for number in range(50)), top=5)
    assert "Added: 5 of 50" in page
    assert page.count("new Task") == 5


def test_html_has_no_tag_or_attribute_from_the_data() -> None:
    harmless, hostile = Seen(report("A")), Seen(report(*HOSTILE))
    assert set(hostile.tags) == set(harmless.tags)
    assert {name for name, _ in hostile.attributes} == {name for name, _ in harmless.attributes}
    assert "<script>alert(1)</script>" in hostile.text


def test_html_loads_nothing() -> None:
    page = Seen(report(*HOSTILE))
    assert not {"script", "link", "img", "iframe", "object", "base"} & set(page.tags)
    assert not {"src", "href", "onerror", "onload"} & {name for name, _ in page.attributes}
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes


def test_characters_that_turn_the_text_around_are_not_shown() -> None:
    assert "\u202e" not in report(*HOSTILE)


def test_each_text_from_the_data_has_its_own_direction() -> None:
    page = report("حجز رحلة")
    assert '<td class="sentence" dir="auto">new حجز رحلة</td>' in page
    assert "<bdi>حجز رحلة</bdi>" in page


def test_the_chart_has_two_bars_for_each_task() -> None:
    chart = report(*HOSTILE, top=3).partition('<div class="chart"')[2].partition("<table")[0]
    widths = re.findall(r'<rect class="(then|now)" .*?width="([\d.]+)%"', chart)
    # Before and after of three tasks and of the others.
    assert [kind for kind, _ in widths] == ["then", "now"] * 4
    assert max(float(width) for _, width in widths) == 98


def test_a_long_text_is_cut() -> None:
    assert len(report("A" * 10_000)) < 12_000


def test_no_utterances_at_all_can_be_reported() -> None:
    assert "0utterances before" in Seen(html_report(Comparison("", "/data/today.csv")).decode()).text


def test_the_bot_is_named_where_it_is_known() -> None:
    assert "<h1>Changed utterances of bot st-1</h1>" in report("A", bot_id="st-1")
    assert "<h1>Changed utterances</h1>" in report("A")


def test_the_word_task_is_explained() -> None:
    assert "Kore.ai's word for what an utterance trains: an intent" in Seen(report("A")).text


def test_half_a_surrogate_pair_is_replaced() -> None:
    assert "new ?" in report("\ud83d")
