"""The triggers of imports, trainings and batch tests: what their rows hold, and what is made of them again."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from airflow.providers.common.compat.module_loading import import_string

from airflow_provider_koreai.exceptions import KoreAIConfigurationError
from airflow_provider_koreai.jobs.events import result_of_event
from airflow_provider_koreai.jobs.status import JobStatus
from airflow_provider_koreai.jobs.training import Training
from airflow_provider_koreai.triggers.koreai import (
    KoreAIBatchTestStatusTrigger,
    KoreAIImportStatusTrigger,
    KoreAITrainingStatusTrigger,
)
from tests.support.running import first_event

BEFORE = {"status": "SUCCESS", "train_version": 6}
JOBS = {
    KoreAIImportStatusTrigger: {"bot_id": "st-1", "import_id": "bir-7"},
    KoreAITrainingStatusTrigger: {
        "bot_id": "st-1",
        "language": "de",
        "before": BEFORE,
        "seen_running": True,
    },
    KoreAIBatchTestStatusTrigger: {"bot_id": "st-1", "request_id": "tr-5", "test_suite": "Über alles 100%"},
}
WAIT = {
    "poll_interval": 30.0,
    "deadline": 1.5,
    "timeout": 3.0,
    "began": 0.5,
    "not_before": 1.0,
    "koreai_conn_id": "koreai_eu",
}
each = pytest.mark.parametrize("kind", JOBS)


def from_row(trigger: Any) -> Any:
    """Make a trigger anew, as a triggerer does from its row in the database."""
    path, kwargs = json.loads(json.dumps(trigger.serialize()))
    return import_string(path)(**kwargs)


def training(status: JobStatus, version: int | None = None) -> Training:
    return Training("st-1", "de", status=status, train_version=version)


@each
def test_the_row_holds_what_names_the_job_and_the_wait_and_nothing_else(kind):
    assert kind(**JOBS[kind], **WAIT).serialize()[1] == {**JOBS[kind], **WAIT}


@each
def test_a_trigger_that_is_made_anew_has_the_same_row(kind):
    trigger = kind(**JOBS[kind], **WAIT)
    again = from_row(trigger)
    assert type(again) is kind
    assert again.serialize() == trigger.serialize()


@each
def test_it_watches_the_job_that_its_row_names(kind):
    watch, again = kind(**JOBS[kind])._watch(), from_row(kind(**JOBS[kind]))._watch()
    assert again.full_name == watch.full_name
    named = JOBS[kind].get("import_id") or JOBS[kind].get("request_id") or "language de"
    assert named in again.full_name


def test_a_training_that_was_seen_running_is_still_known_as_that():
    trigger = KoreAITrainingStatusTrigger(bot_id="st-1", language="de", before=BEFORE, seen_running=True)
    finished = training(JobStatus.SUCCESS, 6)
    assert from_row(trigger)._watch().observe(finished) is finished


def test_the_training_before_is_still_known_as_that():
    trigger = KoreAITrainingStatusTrigger(bot_id="st-1", language="de", before=BEFORE)
    assert from_row(trigger)._watch().observe(training(JobStatus.SUCCESS, 6)) is None
    finished = training(JobStatus.SUCCESS, 7)
    assert from_row(trigger)._watch().observe(finished) is finished


def test_a_training_of_somebody_else_is_still_waited_out():
    busy = training(JobStatus.IN_PROGRESS, 6).note()
    watch = from_row(KoreAITrainingStatusTrigger(bot_id="st-1", language="de", before=busy))._watch()
    assert watch.observe(training(JobStatus.IN_PROGRESS, 6)) is None
    assert watch.observe(training(JobStatus.SUCCESS, 7)) is None


@each
def test_a_connection_that_does_not_exist_comes_back_as_the_tasks_error(kind, monkeypatch):
    monkeypatch.setattr("airflow_provider_koreai.hooks.koreai.LOOK_UP_PAUSES", (0.0,))
    event = asyncio.run(first_event(kind(**JOBS[kind], koreai_conn_id="koreai_missing")))
    with pytest.raises(KoreAIConfigurationError, match="'koreai_missing' does not exist"):
        result_of_event(json.loads(json.dumps(event.payload)), ())
