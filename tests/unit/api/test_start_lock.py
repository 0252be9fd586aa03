"""One start of a bot's export at a time on a machine."""

from __future__ import annotations

import tempfile
import threading

import pytest

from airflow_provider_koreai.api.start_lock import one_start_at_a_time


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def held(subject: str, limit: float) -> bool:
    """Whether another thread has the lock still after some time."""
    inside, leave, entered = threading.Event(), threading.Event(), threading.Event()

    def hold() -> None:
        with one_start_at_a_time("bot", 10):
            inside.set()
            leave.wait(10)

    def enter() -> None:
        with one_start_at_a_time(subject, limit):
            entered.set()

    threads = [threading.Thread(target=hold), threading.Thread(target=enter)]
    threads[0].start()
    assert inside.wait(10)
    threads[1].start()
    is_held = not entered.wait(0.5)
    leave.set()
    for thread in threads:
        thread.join()
    assert entered.is_set()
    return is_held


def test_a_second_start_of_a_bot_waits_for_the_first():
    assert held("bot", limit=10)


def test_another_bots_start_does_not_wait():
    assert not held("another bot", limit=10)


def test_a_start_does_not_wait_longer_than_its_limit():
    assert not held("bot", limit=0.05)


def test_without_a_folder_to_lock_in_the_start_goes_on(folder):
    folder.rmdir()
    with one_start_at_a_time("bot", 10):
        pass


def test_an_error_inside_is_not_swallowed():
    with pytest.raises(OSError, match="inside"), one_start_at_a_time("bot", 10):
        raise OSError("inside")
