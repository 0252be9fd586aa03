"""What depends on the clock, with a clock of our own."""

from __future__ import annotations

import pytest

from airflow_provider_koreai.emulator.config import EmulatorConfig
from airflow_provider_koreai.emulator.state import State
from airflow_provider_koreai.emulator.tokens import ReplayMemory

BOT = "st-demo-travel"


class Clock(State):
    time = 1_700_000_000.25

    def now(self) -> float:
        return self.time


@pytest.fixture
def state():
    return Clock(EmulatorConfig(seconds=100, too_soon_seconds=0.5))


def report(state, elapsed):
    bot = state.bots[BOT]
    start = bot.export or state.start_export(bot, "configured", "csv")
    return state.status_document(bot, start, start.started + elapsed, "http://x")


@pytest.mark.parametrize(
    ("progress", "percents"),
    [
        ("linear", [0, 10, 50, 99, 100]),
        ("none", [0, 0, 0, 0, 100]),
        ("steps", [0, 0, 50, 75, 100]),
        ("sqrt", [0, 31, 70, 99, 100]),
    ],
)
def test_progress_grows_as_set(state, progress, percents):
    state.configure(BOT, {"progress": progress})
    assert [report(state, at)["percentageComplete"] for at in (0, 10, 50, 99.9, 100)] == percents


def test_export_is_done_after_its_time_and_not_before(state):
    assert report(state, 99.99)["status"] == "IN_PROGRESS"
    assert report(state, 100)["status"] == "SUCCESS"


def test_status_is_too_soon_for_a_moment(state):
    bot = state.bots[BOT]
    export = state.start_export(bot, "configured", "csv")
    assert state.too_soon(bot, export, state.time + 0.49)
    assert not state.too_soon(bot, export, state.time + 0.5)


def test_two_starts_within_a_millisecond_have_different_times(state):
    bot = state.bots[BOT]
    first = state.start_export(bot, "configured", "csv").requested_ms
    assert state.start_export(bot, "configured", "csv").requested_ms == first + 1


def test_empty_link_lasts_from_the_end_of_the_export(state):
    state.configure(BOT, {"empty_link_seconds": 5})
    assert report(state, 104.9)["downloadUrl"] == ""
    assert report(state, 105)["downloadUrl"].startswith("http://x/")


def test_export_that_was_told_to_end_has_ended_then(state):
    report(state, 0)
    state.time += 10
    state.configure(BOT, {"seconds": 0, "empty_link_seconds": 5})
    assert report(state, 14.9)["downloadUrl"] == ""
    assert report(state, 15)["downloadUrl"]


def test_ids_are_the_same_on_every_start():
    one, two = (Clock(EmulatorConfig()) for _ in range(2))
    assert report(one, 0)["_id"] == report(two, 0)["_id"]


def test_used_token_ids_are_forgotten_when_the_token_expires():
    memory = ReplayMemory()
    assert memory.first_use("a", 100.0, 0.0)
    assert not memory.first_use("a", 100.0, 99.0)
    assert memory.first_use("b", 200.0, 100.0)
    assert len(memory) == 1


def test_memory_of_token_ids_is_bounded():
    memory = ReplayMemory(max_size=10)
    for number in range(100):
        assert memory.first_use(str(number), 1000.0 + number, 0.0)
    assert len(memory) == 10
    assert not memory.first_use("99", 2000.0, 0.0)
