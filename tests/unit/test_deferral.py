"""Handing a wait to the triggerer, and taking it back."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from functools import partial

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout, TaskDeferred, conf

from airflow_provider_koreai import deferral
from airflow_provider_koreai.exceptions import (
    KoreAIAuthError,
    KoreAIConfigurationError,
    KoreAIDownloadError,
    KoreAIError,
    KoreAIExportFailedError,
    KoreAIExportSupersededError,
    KoreAIExportTimeoutError,
    KoreAIRateLimitError,
    KoreAIRefusedError,
    KoreAIRequestError,
    KoreAIServerError,
)
from airflow_provider_koreai.jobs import polling
from airflow_provider_koreai.jobs.events import export_of_event, failure_event, success_event
from airflow_provider_koreai.jobs.export import Export, ExportIdentity, ExportStatus, ExportWatch
from airflow_provider_koreai.operators.koreai import (
    KoreAIDownloadUtterancesOperator,
    KoreAIExportUtterancesOperator,
)
from airflow_provider_koreai.sensors.koreai import KoreAIExportStatusSensor
from airflow_provider_koreai.triggers.koreai import KoreAIExportStatusTrigger

EXPORT = {"request_id": "ds-1", "requested_time": "2026-01-01T00:00:00.000Z", "file_type": "csv"}


def through_json(event: dict) -> dict:
    return json.loads(json.dumps(event))


def test_a_success_comes_back_as_the_export():
    assert export_of_event(through_json(success_event(EXPORT))) == EXPORT


@pytest.mark.parametrize(
    "kind",
    [
        KoreAIError,
        KoreAIConfigurationError,
        KoreAIAuthError,
        KoreAIRequestError,
        KoreAIRefusedError,
        KoreAIServerError,
        KoreAIExportFailedError,
        KoreAIExportSupersededError,
        KoreAIExportTimeoutError,
        KoreAIDownloadError,
    ],
)
def test_an_error_comes_back_with_its_type_and_text(kind):
    with pytest.raises(KoreAIError) as caught:
        export_of_event(through_json(failure_event(kind("what happened"))))
    assert type(caught.value) is kind
    assert str(caught.value) == "what happened"


def test_a_failed_export_comes_back_with_its_status_logs():
    event = through_json(failure_event(KoreAIExportFailedError("failed", status_logs=["a", "b"])))
    with pytest.raises(KoreAIExportFailedError) as caught:
        export_of_event(event)
    assert caught.value.status_logs == ("a", "b")


@pytest.mark.parametrize(
    "event",
    [None, {}, "success", {"status": "success"}, {"status": "done"}, {"status": "success", "request_id": 1}],
)
def test_a_missing_or_strange_event_is_an_error(event):
    with pytest.raises(KoreAIError, match="same version"):
        export_of_event(event)


RUNNING = Export("st-1", **{**EXPORT, "status": ExportStatus.IN_PROGRESS})
DONE = Export("st-1", **{**EXPORT, "status": ExportStatus.SUCCESS})


@pytest.fixture
def airflow_keeps_workers(monkeypatch):
    """Sets for how many seconds Airflow keeps a worker after its task has deferred."""

    def keep(seconds: float) -> None:
        monkeypatch.setattr(deferral, "worker_stays", lambda: seconds)
        monkeypatch.setattr(deferral, "MARGIN", seconds / 2)
        monkeypatch.setattr(polling, "SHORTEST", 0.01)

    keep(0.1)
    return keep


def wait(answers, *, timeout=100.0, execution_timeout=None, began=None):
    """What comes of a wait whose status calls give these answers or errors, the last one for ever."""
    answers = list(answers)

    def ask():
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    task = KoreAIExportStatusSensor(task_id="wait", bot_id="st-1", execution_timeout=execution_timeout)
    watch = ExportWatch("st-1", ExportIdentity.of(**EXPORT))
    return deferral.wait_or_defer(
        task,
        watch,
        ask,
        partial(deferral.export_trigger, watch),
        timeout=timeout,
        poll_interval=60,
        began=began,
    )


def deferred(*args, **kwargs) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        wait(*args, **kwargs)
    return caught.value


def test_a_short_export_ends_in_the_worker_without_a_deferral(airflow_keeps_workers):
    assert wait([RUNNING, RUNNING, DONE]) is DONE


def test_the_task_leaves_its_worker_after_the_time_for_which_airflow_keeps_that_anyway(airflow_keeps_workers):
    began = time.time()
    deferred([RUNNING])
    assert time.time() - began < 2


def test_the_trigger_may_not_fire_before_the_worker_is_gone_and_the_scheduler_knows(airflow_keeps_workers):
    airflow_keeps_workers(0.2)
    before = time.time()
    trigger = deferred([RUNNING]).trigger
    assert before + 0.3 <= trigger.not_before <= time.time() + 0.3


def test_a_trigger_does_not_ask_before_the_time_that_kore_ai_asked_to_wait(airflow_keeps_workers):
    before = time.time()
    trigger = deferred([KoreAIRateLimitError("429", retry_after=50)]).trigger
    assert before + 50 <= trigger.not_before <= trigger.deadline


def test_a_time_that_kore_ai_asked_to_wait_does_not_outlast_the_timeout(airflow_keeps_workers):
    trigger = deferred([KoreAIRateLimitError("429", retry_after=500)]).trigger
    assert trigger.not_before == pytest.approx(trigger.deadline, abs=0.5)


def test_the_deadline_counts_from_when_the_task_began(airflow_keeps_workers):
    trigger = deferred([RUNNING], began=time.time() - 50).trigger
    assert trigger.deadline == pytest.approx(time.time() + 50, abs=2)


def test_a_worker_is_kept_as_long_as_airflow_is_configured_to():
    assert deferral.worker_stays() == conf.getfloat("workers", "min_heartbeat_interval", fallback=5.0)
    assert deferral.shortest_absence() == deferral.worker_stays() + 3


def test_a_wait_that_would_end_before_it_may_come_back_stays_in_its_worker(airflow_keeps_workers):
    with pytest.raises(KoreAIExportTimeoutError, match=r"within 0\.2 seconds"):
        wait([RUNNING], timeout=0.2)


def test_the_same_goes_for_an_execution_timeout(airflow_keeps_workers):
    with pytest.raises(AirflowTaskTimeout, match=r"within 0\.2 seconds"):
        wait([RUNNING], execution_timeout=timedelta(seconds=0.2))


def test_the_deadline_counts_from_the_start_and_airflows_own_comes_after_it(airflow_keeps_workers):
    before = time.time()
    ended = deferred([RUNNING], timeout=100)
    assert before + 100 <= ended.trigger.deadline <= time.time() + 100
    assert 99 + deferral.GRACE < ended.timeout.total_seconds() <= 100 + deferral.GRACE
    assert ended.kwargs == {"limit": "timeout"}


def test_a_shorter_execution_timeout_is_the_deadline(airflow_keeps_workers):
    ended = deferred([RUNNING], execution_timeout=timedelta(seconds=10))
    assert ended.trigger.deadline <= time.time() + 10
    assert ended.kwargs == {"limit": "execution_timeout"}


def test_a_deadline_that_execution_timeout_set_ends_as_a_task_timeout():
    event = failure_event(KoreAIExportTimeoutError("too long"))
    with pytest.raises(AirflowTaskTimeout, match="too long"):
        export_of_event(event, "execution_timeout")


def test_the_trigger_is_made_anew_from_what_it_serializes_to():
    trigger = KoreAIExportStatusTrigger(
        bot_id="st-1", **EXPORT, deadline=1.5, timeout=3.0, began=0.5, not_before=1.0
    )
    path, kwargs = trigger.serialize()
    assert path == f"{KoreAIExportStatusTrigger.__module__}.{KoreAIExportStatusTrigger.__name__}"
    assert KoreAIExportStatusTrigger(**through_json(kwargs)).serialize() == (path, kwargs)


@pytest.mark.parametrize(
    ("operator", "fields"),
    [
        (KoreAIExportUtterancesOperator, {"bot_id", "state", "file_type", "koreai_conn_id"}),
        (
            KoreAIExportStatusSensor,
            {
                "bot_id",
                "request_id",
                "requested_time",
                "file_type",
                "on_superseded",
                "newer_than",
                "koreai_conn_id",
            },
        ),
        (
            KoreAIDownloadUtterancesOperator,
            {
                "bot_id",
                "path",
                "request_id",
                "requested_time",
                "file_type",
                "on_superseded",
                "newer_than",
                "min_rows",
                "max_bytes",
                "compression",
                "storage_conn_id",
                "koreai_conn_id",
            },
        ),
    ],
)
def test_what_a_user_may_want_per_run_is_a_template_field(operator, fields):
    assert set(operator.template_fields) == fields
