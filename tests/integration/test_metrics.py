"""What Airflow's metrics say of exports and downloads, over real HTTP."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from airflow_provider_koreai import metrics
from airflow_provider_koreai.exceptions import KoreAIExportFailedError, KoreAIExportSupersededError
from airflow_provider_koreai.hooks.koreai import KoreAIHook
from airflow_provider_koreai.jobs import polling
from airflow_provider_koreai.operators.koreai import (
    KoreAIDownloadUtterancesOperator,
    KoreAIExportUtterancesOperator,
)
from airflow_provider_koreai.sensors.koreai import KoreAIExportStatusSensor
from tests.support.running import run_task

BOT = "st-demo-travel"


class Recorded:
    """In the place of Airflow's Stats, which sends to a server that is not here."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.times: list[tuple[str, timedelta]] = []
        self.tags: list[dict[str, str]] = []

    def incr(self, name: str, count: int = 1, *, tags: dict[str, str]) -> None:
        self.counts[name] += count
        self.tags.append(tags)

    def timing(self, name: str, duration: timedelta, *, tags: dict[str, str]) -> None:
        self.times.append((name, duration))
        self.tags.append(tags)


@pytest.fixture
def stats(monkeypatch: pytest.MonkeyPatch, emulator, koreai_conn) -> Recorded:
    recorded = Recorded()
    monkeypatch.setattr(metrics, "_stats", lambda: recorded)
    monkeypatch.setattr(polling, "SHORTEST", 0.02)
    emulator.control.configure_bot(BOT, seconds=0, too_soon_seconds=0)
    return recorded


def identity_of(started) -> dict[str, str]:
    return {"request_id": started.request_id, "requested_time": started.requested_time}


@pytest.mark.parametrize("deferrable", [False, True])
def test_an_export_that_is_waited_for_is_counted_and_timed(stats, emulator, deferrable):
    emulator.control.configure_bot(BOT, seconds=0.3)
    task = KoreAIExportUtterancesOperator(
        task_id="export", bot_id=BOT, wait_for_completion=True, deferrable=deferrable
    )
    run_task(task)
    assert stats.counts == {"koreai.exports_started": 1}
    ((name, waited),) = stats.times
    assert name == "koreai.export_waited"
    assert timedelta(seconds=0.3) <= waited < timedelta(minutes=5)
    assert stats.tags == [{"bot_id": BOT}] * 2


@pytest.mark.parametrize("more", [{"deferrable": True}, {"mode": "poke", "poke_interval": 0.02}])
def test_a_sensor_times_the_export_that_it_waits_for(stats, more):
    started = KoreAIHook().start_export(BOT)
    run_task(KoreAIExportStatusSensor(task_id="wait", bot_id=BOT, **identity_of(started), **more))
    assert [name for name, _ in stats.times] == ["koreai.export_waited"]


def test_the_age_of_whichever_export_is_the_latest_is_no_waiting_time(stats):
    KoreAIHook().start_export(BOT)
    run_task(KoreAIExportStatusSensor(task_id="wait", bot_id=BOT, deferrable=True))
    assert stats.times == []


def superseded(emulator) -> dict[str, str]:
    ours = KoreAIHook().start_export(BOT)
    KoreAIHook().start_export(BOT, file_type="json")
    return {**identity_of(ours), "file_type": "csv"}


@pytest.mark.parametrize(
    "more", [{"deferrable": True}, {"deferrable": False, "mode": "poke", "poke_interval": 0.02}]
)
def test_a_sensor_counts_an_export_that_was_superseded(stats, emulator, more):
    task = KoreAIExportStatusSensor(task_id="wait", bot_id=BOT, **superseded(emulator), **more)
    with pytest.raises(KoreAIExportSupersededError):
        run_task(task)
    assert stats.counts["koreai.exports_superseded"] == 1


def test_a_download_counts_an_export_that_was_superseded(stats, emulator, tmp_path):
    task = KoreAIDownloadUtterancesOperator(
        task_id="fetch", bot_id=BOT, path=str(tmp_path / "a.csv"), **superseded(emulator)
    )
    with pytest.raises(KoreAIExportSupersededError):
        run_task(task)
    assert stats.counts["koreai.exports_superseded"] == 1


def test_an_export_that_failed_was_not_superseded(stats, emulator):
    emulator.control.configure_bot(BOT, fail_with=["no"])
    task = KoreAIExportUtterancesOperator(task_id="export", bot_id=BOT, wait_for_completion=True)
    with pytest.raises(KoreAIExportFailedError):
        run_task(task)
    assert stats.counts == {"koreai.exports_started": 1}


def test_a_download_counts_its_bytes_and_rows(stats, tmp_path):
    KoreAIHook().start_export(BOT)
    stats.counts.clear()
    path = tmp_path / "utterances.csv"
    run_task(KoreAIDownloadUtterancesOperator(task_id="fetch", bot_id=BOT, path=str(path)))
    assert stats.counts == {
        "koreai.downloads": 1,
        "koreai.downloaded_bytes": path.stat().st_size,
        "koreai.downloaded_rows": 364,
    }


def test_a_call_that_is_sent_again_is_counted(stats, emulator):
    emulator.control.add_fault(BOT, call="start", kind="http", times=2)
    KoreAIHook(max_retry_wait=0.01).start_export(BOT)
    assert stats.counts == {"koreai.exports_started": 1, "koreai.retries": 2}
    assert stats.tags[0]["bot_id"] == BOT


def test_a_download_that_is_continued_is_counted(stats, emulator, tmp_path):
    KoreAIHook().start_export(BOT)
    emulator.control.add_fault(BOT, call="download", kind="drop", at=1000)
    KoreAIHook().download_export(BOT, str(tmp_path / "utterances.csv"))
    assert stats.counts["koreai.retries"] == 1
    assert {"bot_id": BOT, "call": "download"} in stats.tags


def test_airflows_own_metrics_take_all_of_them():
    metrics.export_started(BOT)
    metrics.export_ended(BOT, "2026-11-25T14:22:01.922Z")
    metrics.export_lost(BOT, KoreAIExportSupersededError("another"))
    metrics.downloaded(BOT, 1, 1)
    metrics.retried(BOT, "download")
