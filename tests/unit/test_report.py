"""What a report of a comparison shows, and that data in it is never markup."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from typing import Any

import pytest

from airflow_provider_koreai.compare.comparison import ADDED, MOVED, REMOVED, Change, Comparison, Row
from airflow_provider_koreai.compare.report import check_report_path, html_report
from airflow_provider_koreai.exceptions import KoreAIConfigurationError

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


def comparison(*names: str) -> Comparison:
    made = Comparison("/data/2026-11-24.csv", "/data/2026-11-25.csv")
    for name in names:
        made.count(name, "en", 10)
        made.observe(Change(ADDED, Row(name, f"new {name}", "x", "en")))
        made.observe(Change(REMOVED, Row(name, f"old {name}", "x", "en")))
        made.observe(Change(MOVED, Row(name, f"moved {name}", "x", "en"), names[0]))
    return made


class Seen(HTMLParser):
    """Collects tags, attributes and text as a browser would see them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_shows_the_numbers_and_a_sample_of_each_kind() -> None:
    text = Seen(html_report(comparison("Book Flight", "Refund"), 20)).text
    assert "20 utterances before, 20 after: 2 added, 2 removed (10.00%), 2 moved" in text
    for shown in ("Book Flight → Refund", "new Refund", "old Refund", "moved Refund", "/data/2026-11-24.csv"):
        assert shown in text


def test_a_limit_that_is_exceeded_is_shown() -> None:
    report = html_report(comparison("A"), 20, ["7 utterances, fewer than min_rows=8"])
    assert "Too much has changed" in report
    assert "7 utterances, fewer than min_rows=8" in report


def test_tasks_beyond_the_first_ones_are_summed_up() -> None:
    report = html_report(comparison(*(f"Task {number}" for number in range(50))), 5)
    assert "(45 others)" in report
    assert len(report) < 20_000


def test_html_has_no_tag_or_attribute_from_the_data() -> None:
    harmless, hostile = Seen(html_report(comparison("A"), 20)), Seen(html_report(comparison(*HOSTILE), 20))
    assert set(hostile.tags) == set(harmless.tags)
    assert {name for name, _ in hostile.attributes} == {name for name, _ in harmless.attributes}
    assert "<script>alert(1)</script>" in hostile.text


def test_html_loads_nothing() -> None:
    page = Seen(html_report(comparison(*HOSTILE), 20))
    assert not {"script", "link", "img", "iframe", "object", "base"} & set(page.tags)
    assert not {"src", "href", "onerror", "onload"} & {name for name, _ in page.attributes}
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes


def test_characters_that_turn_the_text_around_are_not_shown() -> None:
    assert "\u202e" not in html_report(comparison(*HOSTILE), 20)


def test_the_chart_has_two_bars_for_each_task() -> None:
    page = html_report(comparison(*HOSTILE), 3)
    drawing = re.search(r"<svg.*?</svg>", page, re.S)
    assert drawing is not None
    bars = [each for each in ElementTree.fromstring(drawing[0]).iter() if each.tag.endswith("rect")]
    # Two for the key; before and after of three tasks and of the others.
    assert len(bars) == 2 + 2 * 4
    assert max(float(each.get("width", 0)) for each in bars) == 430


def test_a_long_text_is_cut() -> None:
    assert len(html_report(comparison("A" * 10_000), 20)) < 10_000


def test_no_utterances_at_all_can_be_reported() -> None:
    assert "0 utterances before" in html_report(Comparison("", "/data/today.csv"), 20)


def test_the_bot_is_named_where_it_is_known() -> None:
    assert "Bot: st-1" in html_report(comparison("A"), 20, bot_id="st-1")
    assert "Bot:" not in html_report(comparison("A"), 20)


@pytest.mark.parametrize("path", ["a/b.HTML", "s3://b/c.htm"])
def test_a_report_is_an_html_page(path: str) -> None:
    check_report_path(path)


@pytest.mark.parametrize("path", ["x.pdf", "x.md", 5])
def test_another_suffix_is_refused(path: Any) -> None:
    with pytest.raises(KoreAIConfigurationError, match=r"report_path=.* does not end in .html"):
        check_report_path(path)
