"""How fast the pages of analytics are read, against Kore.ai's limits as the emulator keeps them."""

from __future__ import annotations

import pytest

from airflow_provider_koreai.api.analytics import MOST_READINGS, Page, Query
from airflow_provider_koreai.emulator.limits import HOUR, MINUTE, RollingWindows
from airflow_provider_koreai.exceptions import KoreAIRequestError
from airflow_provider_koreai.hooks import analytics

QUERY = Query.of("st-1", "unhandledutterance", "2026-11-01", "2026-11-02")
LIMITS = ((MINUTE, 60), (HOUR, 1800))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(analytics, "time", clock)
    return clock


def read(clock: Clock, pages: int, *, changes: bool = False) -> int:
    """Read so many pages, each answered at once, within the limits; with changes, the last one spoils each reading."""
    windows, calls = RollingWindows(), 0

    def ask(_: object) -> Page:
        nonlocal calls
        assert windows.admit("st-1", clock.now, LIMITS) is None, f"call {calls + 1} at {clock.now:g} s"
        calls += 1
        number = (calls - 1) % pages
        if changes and number == pages - 1:
            return Page([], False)
        return Page([{"n": number}, {"n": number + 1}], number < pages - 1)

    list(analytics.read_whole(QUERY, "https://x", ask, include_user_ids=True))
    return calls


def test_the_limits_of_a_minute_and_of_an_hour_are_kept(clock):
    assert read(clock, 4000) == 4000


def test_few_pages_are_read_without_a_pause(clock):
    read(clock, 30)
    assert clock.now == 0


def test_a_reading_that_begins_anew_keeps_the_limits_too(clock):
    with pytest.raises(KoreAIRequestError, match="changed during each"):
        read(clock, 25, changes=True)
    assert clock.now == pytest.approx((MOST_READINGS * 25 - 30) * 2.1)
