"""
The reports as people see them, in a real browser: wide and narrow, light and dark.

With ``E2E_SCREENSHOTS=<folder>`` the pictures of the documentation are made anew there.
"""

from __future__ import annotations

import base64
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_koreai.compare.comparison import Comparison, changes
from airflow_provider_koreai.compare.history import History
from airflow_provider_koreai.compare.history_report import history_report
from airflow_provider_koreai.compare.report import html_report
from airflow_provider_koreai.utterances.alike import NearPairs
from airflow_provider_koreai.utterances.folding import folded
from airflow_provider_koreai.utterances.quality import (
    UNUSABLE,
    Finding,
    Quality,
    Row,
    judge_sentences,
    judge_tasks,
)
from airflow_provider_koreai.utterances.quality_report import html_report as quality_report
from tests.support.browser import chromium

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDE, NARROW = 900, 360
TASKS = {
    "Book Flight": (124, 118),
    "Flight Status": (68, 62),
    "Book Hotel": (65, 63),
    "Cancel Booking": (51, 48),
    "Baggage Allowance": (21, 15),
    "حجز فندق": (22, 24),
    "Refund Status": (0, 9),
    "Change_the_seat_of_a_booking_that_somebody_else_made": (9, 0),
}
# Sentence; task, type and language; how many more the later snapshot has.
CHANGES: list[tuple[str, tuple[str, str, str], int]] = [
    ("I'd like <b>two</b> seats", ("Book Flight", "x", "en"), 1),
    ("fly me to the moon & back", ("Book Flight", "x", "en"), 1),
    ("has my refund been paid out", ("Baggage Allowance", "x", "en"), -1),
    ("has my refund been paid out", ("Refund Status", "x", "en"), 1),
    ("is LH 400 on time", ("Flight Status", "x", "en"), -1),
    ("أريد حجز غرفة لشخصين في دبي (من 3 إلى 5 مايو).", ("حجز فندق", "x", "ar"), 1),
]


def comparison_page() -> bytes:
    made = Comparison("s3://lake/koreai/2026-11-24.csv", "s3://lake/koreai/2026-11-25.csv", 6)
    for task, (_, number) in TASKS.items():
        made.count(task, "ar" if task == "حجز فندق" else "en", number)
    for change in changes(CHANGES):
        made.observe(change)
    return html_report(made, ["1 of 337 utterances were removed, more than max_removed=0"], "st-demo-travel")


def history_page() -> bytes:
    pages = []
    for bot_id, later in (("st-demo-travel", 0), ("st-demo-bank", 4), ("st-demo-retail", -3)):
        times = [datetime(2026, 10, 27, tzinfo=timezone.utc) + timedelta(days=day) for day in range(30)]
        made = History(bot_id, times)
        for at, time in enumerate(times):
            for place, (task, (first, last)) in enumerate(TASKS.items()):
                step = min(4, max(0, (at - 3 * place - later) // 2)) / 4
                if number := round(first + (last - first) * step) + (
                    at // (9 + place) if first and last else 0
                ):
                    made.count(time, task, "ar" if task == "حجز فندق" else "en", number)
        for change in changes(CHANGES):
            made.comparison.observe(change)
        pages.append(made.page())
    return history_report("analytics.koreai_utterances", pages, ["st-nowhere"], 30)


def quality_page() -> bytes:
    utterances = [
        ("Cancel Booking", "I want my money back", "en"),
        ("Refund Status", "I want my money back!", "en"),
        ("Book Hotel", "find me a room with <b>two</b> beds", "en"),
        ("Change Booking", "find me a room with <b>2</b> beds", "en"),
        ("Cancel Booking", "cancel my booking", "en"),
        ("Change Booking", "cancel my bookings", "en"),
        ("Book Hotel", "أريد حجز غرفة لشخصين في دبي (من 3 إلى 5 مايو).", "ar"),
        ("حجز فندق", "أريد حجز غرفة لشخصين في دبي (من 3 إلى 5 مايو)؟", "ar"),
        ("Flight Status", "is my flight on time", "en"),
        ("Flight Status", "Is my flight on time?", "en"),
    ]
    for number, task in enumerate([*TASKS, "Change Booking", "Talk to an agent"]):
        utterances += [
            (
                task,
                f"{chr(97 + number) * 12} {chr(97 + count % 26) * 12} {count}",
                "ar" if task[0] > "z" else "en",
            )
            for count in range(40 - 4 * number)
        ]
    rows = [Row(language, folded(text, language), task, text) for task, text, language in utterances]
    made = Quality("s3://lake/koreai/2026-11-25.csv")
    made.rows = len(rows) + 1
    made.add(Finding(UNUSABLE, "Book Hotel", "en", note="empty"))
    judge_sentences(sorted(rows, key=lambda row: row[:2]), made, NearPairs(0.9))
    judge_tasks(made, 10)
    return quality_report(
        made, 10, 0.9, ["2 sentences in several tasks, more than max_conflicts=0"], "st-demo-travel"
    )


PAGES = {"report": comparison_page, "bots-report": history_page, "quality-report": quality_page}


class Page:
    """A report that is open in a browser."""

    def __init__(self, driver: Any, address: str) -> None:
        self._driver = driver
        self._address = address

    def open(self, width: int, scheme: str = "light") -> None:
        """Show it, on a screen of some width, to somebody who prefers light or dark."""
        screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        preference = [{"name": "prefers-color-scheme", "value": scheme}]
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": preference})
        self._driver.get(self._address)

    def ask(self, expression: str) -> Any:
        """Return the value of an expression in JavaScript."""
        return self._driver.execute_script(f"return {expression}")

    def complaints(self) -> list[str]:
        """What the browser has logged since this was last asked, such as a breach of the page's own policy."""
        return [entry["message"] for entry in self._driver.get_log("browser")]

    def click(self, xpath: str) -> None:
        self._driver.find_element("xpath", xpath).click()

    def picture(self, path: Path, height: int) -> None:
        """Take a picture of its upper part."""
        area = {"x": 0, "y": 0, "width": self.ask("innerWidth"), "height": height, "scale": 1}
        more = {"captureBeyondViewport": True, "clip": area}
        taken = self._driver.execute_cdp_cmd("Page.captureScreenshot", more)
        path.write_bytes(base64.b64decode(taken["data"]))


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.fixture(params=PAGES)
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def page(driver: Any, name: str, tmp_path: Path) -> Page:
    file = tmp_path / f"{name}.html"
    file.write_bytes(PAGES[name]())
    return Page(driver, file.as_uri())


def luminance(color: str) -> float:
    """How light a colour is, as WCAG defines it, from ``rgb(r, g, b)``."""
    parts = [int(part) / 255 for part in color.partition("(")[2].rstrip(")").split(",")[:3]]
    red, green, blue = (
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_it_loads_nothing_and_the_browser_does_not_complain(page):
    page.open(WIDE)
    assert page.ask("performance.getEntriesByType('resource').length") == 0
    assert page.complaints() == []


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_only_tables_scroll_sideways(page, width):
    page.open(width)
    assert page.ask("document.documentElement.scrollWidth") == width
    outside = """[...document.querySelectorAll('body *')].filter(
        e => !e.closest('.scroll > *') && e.getBoundingClientRect().right > innerWidth + 1).length"""
    assert page.ask(outside) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(page, scheme):
    page.open(WIDE, scheme)
    paper = luminance(page.ask("getComputedStyle(document.body).backgroundColor"))
    assert (paper > 0.5) == (scheme == "light")
    for selector in ("body", ".soft, .tiles span", "th", ".alarm b"):
        ink = luminance(page.ask(f"getComputedStyle(document.querySelector('{selector}')).color"))
        lighter, darker = max(ink, paper), min(ink, paper)
        assert (lighter + 0.05) / (darker + 0.05) > 4.5, selector


def test_text_in_arabic_runs_from_the_right(page):
    page.open(WIDE)
    cells = "[...document.querySelectorAll('td')].filter(e => /[\\u0600-\\u06ff]/.test(e.textContent))"
    assert page.ask(f"{cells}.length") > 0
    assert page.ask(f"[...new Set({cells}.map(e => getComputedStyle(e).direction))]") == ["rtl"]


def test_lines_and_bars_are_drawn(page):
    page.open(NARROW)
    drawn = "[...document.querySelectorAll('polyline, .chart rect')].map(e => e.getBoundingClientRect())"
    sizes = page.ask(f"{drawn}.map(r => r.width)")
    assert len(sizes) >= 10
    assert max(sizes) > 60


@pytest.mark.parametrize("name", ["bots-report"])
def test_a_bots_name_leads_to_it(page):
    page.open(WIDE)
    page.click("//a[.='st-demo-retail']")
    assert -1 < page.ask("document.querySelector('#bot-3').getBoundingClientRect().top") < 200


@pytest.mark.skipif(not os.environ.get("E2E_SCREENSHOTS"), reason="makes pictures for the documentation")
def test_pictures(page, name):
    folder = Path(os.environ["E2E_SCREENSHOTS"])
    page.open(WIDE)
    page.picture(folder / f"{name}.png", 1250)
    if name == "bots-report":
        page.open(NARROW, "dark")
        page.picture(folder / f"{name}-phone.png", 900)
