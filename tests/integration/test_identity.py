"""Whose export is it? Two exports of a bot side by side, and services whose status does not repeat what the start said."""

from __future__ import annotations

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_koreai.exceptions import KoreAIExportSupersededError
from airflow_provider_koreai.hooks.koreai import KoreAIHook
from airflow_provider_koreai.jobs import confirming, polling
from airflow_provider_koreai.operators.koreai import (
    KoreAIDownloadUtterancesOperator,
    KoreAIExportUtterancesOperator,
)
from airflow_provider_koreai.sensors.koreai import KoreAIExportStatusSensor
from tests.support.logs import everything_logged
from tests.support.running import new_context, run_task

if TYPE_CHECKING:
    from pathlib import Path

BOT = "st-demo-travel"


@pytest.fixture(autouse=True)
def quick(monkeypatch, emulator, koreai_conn):
    monkeypatch.setattr(polling, "SHORTEST", 0.02)
    emulator.control.configure_bot(
        BOT, seconds=0.1, too_soon_seconds=0.02, status_per_minute=10**6, status_per_hour=10**6
    )


def content_of(state: str) -> bytes:
    return f"taskName,sentence,type,language\nRun,utterance of {state},DialogIntent,en\n".encode()


class RecordingHook(KoreAIHook):
    """Remembers the time that the start itself answered."""

    answered: str | None = None

    def _call(self, request: Any, *arguments: Any) -> Any:
        result = super()._call(request, *arguments)
        if request.method == "POST":
            self.answered = result.requested_time
        return result


@dataclass
class Branch:
    """
    The tasks ``export``, ``wait`` and ``fetch`` of one branch of a DAG.

    :param state: what is exported.
    :param folder: for the file.
    :param file_type: of the export.
    """

    state: str
    folder: Path
    file_type: str = "csv"
    identity: dict[str, Any] = field(default_factory=dict)

    def export(self, emulator: Any) -> None:
        if self.file_type == "csv":
            content = base64.b64encode(content_of(self.state)).decode()
            emulator.control.configure_bot(BOT, content_b64=content)
        context = new_context()
        task = KoreAIExportUtterancesOperator(
            task_id="export", bot_id=BOT, state=self.state, file_type=self.file_type
        )
        self.identity = {"request_id": run_task(task, context)}
        self.identity |= {key: context["ti"].xcoms[key] for key in ("requested_time", "file_type")}

    def wait(self, **more: Any) -> dict[str, str]:
        return run_task(
            KoreAIExportStatusSensor(
                task_id="wait", bot_id=BOT, poke_interval=0.02, timeout=20, **self.identity, **more
            )
        )

    def fetch(self) -> bytes:
        path = self.folder / f"{self.state}.{self.file_type}"
        run_task(
            KoreAIDownloadUtterancesOperator(task_id="fetch", bot_id=BOT, path=str(path), **self.identity)
        )
        return path.read_bytes()


@pytest.mark.parametrize("reuse_record", [True, False])
@pytest.mark.parametrize("file_types", [("csv", "csv"), ("csv", "json"), ("json", "csv")])
@pytest.mark.parametrize("deferrable", [False, True])
def test_two_exports_of_a_bot_side_by_side_are_never_taken_for_each_other(
    emulator, tmp_path, reuse_record, file_types, deferrable
):
    emulator.control.configure_bot(BOT, reuse_record=reuse_record)
    first = Branch("configured", tmp_path, file_types[0])
    second = Branch("published", tmp_path, file_types[1])
    first.export(emulator)
    second.export(emulator)
    for task in (lambda: first.wait(deferrable=deferrable), first.fetch):
        with pytest.raises(KoreAIExportSupersededError, match=first.identity["requested_time"]):
            task()
    assert second.wait(deferrable=deferrable) == second.identity
    if second.file_type == "csv":
        assert second.fetch() == content_of("published")


@pytest.mark.parametrize("reuse_record", [True, False])
def test_of_two_exports_that_start_at_the_same_moment_each_keeps_its_own_identity(emulator, reuse_record):
    emulator.control.configure_bot(BOT, reuse_record=reuse_record, start_per_minute=10**6)
    hooks = [RecordingHook(max_retry_wait=0.01) for _ in range(2)]
    together = threading.Barrier(2)

    def start(hook: RecordingHook, state: str) -> str | None:
        together.wait(30)
        return hook.start_export(BOT, state=state).requested_time

    with ThreadPoolExecutor(2) as pool:
        for _ in range(10):
            confirmed = list(pool.map(start, hooks, ("configured", "published")))
            assert confirmed == [hook.answered for hook in hooks]
            assert len(set(confirmed)) == 2


@pytest.mark.parametrize("reuse_record", [True, False])
@pytest.mark.parametrize("milliseconds", [300, 900, 1500])
def test_somebody_elses_start_while_the_status_call_still_fails_is_not_taken_for_ours(
    monkeypatch, emulator, tmp_path, reuse_record, milliseconds
):
    monkeypatch.setattr(confirming, "FIRST_PAUSES", ())
    monkeypatch.setattr(confirming, "PAUSE", 0.1)
    emulator.control.configure_bot(
        BOT, reuse_record=reuse_record, overtaken_ms=milliseconds, too_soon_seconds=milliseconds / 1000
    )
    branch = Branch("configured", tmp_path)
    branch.export(emulator)
    with pytest.raises(KoreAIExportSupersededError, match=branch.identity["requested_time"]):
        branch.wait()


@pytest.mark.parametrize(
    "service",
    [
        {"requested_time_offset_ms": 3},
        {"requested_time_offset_ms": 700},
        {"requested_time_offset_ms": -700},
        {"requested_time_offset_ms": 1900, "other_status_id": True},
        {"requested_time_offset_ms": -1900, "other_status_id": True},
        {"other_status_id": True},
        {"status_without_time": True},
        {"legacy": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("reuse_record", [True, False])
def test_a_service_that_does_not_repeat_the_start_exactly_works(emulator, tmp_path, service, reuse_record):
    emulator.control.configure_bot(BOT, reuse_record=reuse_record, **service)
    branch = Branch("configured", tmp_path)
    branch.export(emulator)
    assert branch.wait()["file_type"] == "csv"
    assert branch.fetch() == content_of("configured")


@pytest.mark.parametrize(
    "service", [{}, {"requested_time_offset_ms": 700}, {"other_status_id": True}], ids=str
)
def test_a_differing_identity_is_logged_once_and_not_again_by_later_tasks(emulator, tmp_path, service):
    emulator.control.configure_bot(BOT, **service)
    branch = Branch("configured", tmp_path)
    with everything_logged() as lines:
        branch.export(emulator)
        branch.wait()
        branch.fetch()
    assert len([line for line in lines if "the start answered" in line]) == bool(service)
    assert not [line for line in lines if "not ds-" in line]


@pytest.mark.parametrize("reuse_record", [True, False])
def test_an_earlier_export_that_is_reported_for_a_while_is_not_taken_for_ours(
    emulator, tmp_path, reuse_record
):
    emulator.control.configure_bot(BOT, reuse_record=reuse_record, earlier_seconds=0.1)
    earlier, ours = Branch("published", tmp_path), Branch("configured", tmp_path)
    earlier.export(emulator)
    ours.export(emulator)
    assert ours.identity["requested_time"] > earlier.identity["requested_time"]
    assert ours.wait() == ours.identity
    assert ours.fetch() == content_of("configured")


def test_a_faster_callers_export_leaves_the_starts_own_identity_and_whoever_waits_is_told(emulator, tmp_path):
    emulator.control.configure_bot(BOT, overtaken_ms=5000)
    with everything_logged() as lines:
        started = KoreAIHook().start_export(BOT)
    assert any("Somebody else started an export" in line for line in lines)
    branch = Branch("configured", tmp_path, identity=started.identity.as_dict())
    with pytest.raises(KoreAIExportSupersededError, match=started.requested_time):
        branch.wait()


def test_a_start_that_the_status_call_never_reports_keeps_its_own_identity(emulator):
    emulator.control.add_fault(BOT, "status", "http", status=503, times=-1)
    with everything_logged() as lines:
        started = KoreAIHook().start_export(BOT, confirm_seconds=0.1)
    assert started.request_id
    assert any("could not be confirmed" in line for line in lines)
    emulator.control.clear_faults(BOT)
    assert KoreAIHook().get_export(BOT).identity == started.identity


def test_the_one_task_form_spends_no_longer_on_the_confirmation_than_its_timeout(emulator):
    emulator.control.add_fault(BOT, "status", "http", status=503, times=-1)
    task = KoreAIExportUtterancesOperator(
        task_id="export", bot_id=BOT, wait_for_completion=True, deferrable=False, timeout=0.3
    )
    with pytest.raises(Exception, match=r"within 0\.3 seconds") as caught:
        run_task(task)
    assert "answered 503" in str(caught.value)
