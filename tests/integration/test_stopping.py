"""A download task that is stopped: SIGTERM, as after "mark failed"."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_koreai.exceptions import KoreAIDownloadError
from airflow_provider_koreai.hooks.koreai import KoreAIHook
from airflow_provider_koreai.operators.koreai import KoreAIDownloadUtterancesOperator
from tests.support.running import run_task

BOT = "st-demo-travel"


@pytest.fixture
def fetch(koreai_conn, emulator, tmp_path):
    """A download task whose on_kill is called on SIGTERM, as Airflow does."""
    emulator.control.configure_bot(BOT, seconds=0, too_soon_seconds=0)
    KoreAIHook().start_export(BOT)
    task = KoreAIDownloadUtterancesOperator(
        task_id="fetch", bot_id=BOT, path=str(tmp_path / "utterances.csv")
    )
    earlier = signal.signal(signal.SIGTERM, lambda *_: task.on_kill())
    yield task
    signal.signal(signal.SIGTERM, earlier)


def stop_during_the_download(emulator):
    """Send this process a SIGTERM soon after the emulator was asked for the file; returns where the time of it will be."""
    sent = []

    def watch():
        deadline = time.monotonic() + 20
        while not emulator.control.requests(BOT, call="download") and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.2)  # into the wait that follows, which nothing announces
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    return sent


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("stall", {"at": 5000, "seconds": 60}),
        ("stall", {"at": "before_headers", "seconds": 60}),
        ("http", {"status": 503, "headers": {"Retry-After": "60"}}),
    ],
    ids=["in mid-file", "before the answer", "between two attempts"],
)
def test_it_ends_within_a_second_and_leaves_nothing(fetch, emulator, tmp_path, kind, params):
    emulator.control.add_fault(BOT, "download", kind, **params)
    sent = stop_during_the_download(emulator)
    with pytest.raises(KoreAIDownloadError, match="The task was stopped") as caught:
        run_task(fetch)
    assert time.monotonic() - sent[0] < 1
    assert not isinstance(caught.value, AirflowFailException)
    assert list(tmp_path.iterdir()) == []


def test_a_task_that_is_not_downloading_is_not_disturbed(fetch):
    fetch.on_kill()
    run_task(fetch)
    fetch.on_kill()
