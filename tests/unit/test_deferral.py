"""Handing a wait to the triggerer, and taking it back."""

from __future__ import annotations

import json
import time
from datetime import timedelta

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_koreai.deferral import GRACE, deferral
from airflow_provider_koreai.exceptions import (
    KoreAIAuthError,
    KoreAIConfigurationError,
    KoreAIDownloadError,
    KoreAIError,
    KoreAIExportFailedError,
    KoreAIExportSupersededError,
    KoreAIExportTimeoutError,
    KoreAIRefusedError,
    KoreAIRequestError,
    KoreAIServerError,
)
from airflow_provider_koreai.jobs.events import export_of_event, failure_event, success_event
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


def test_the_deadline_is_the_timeout_and_airflows_own_stands_behind_it():
    before = time.time()
    arguments = deferral(100.0, None, bot_id="st-1")
    assert before + 100 <= arguments["trigger"].deadline <= time.time() + 100
    assert arguments["timeout"] == timedelta(seconds=100 + GRACE)
    assert arguments["kwargs"] == {"limit": "timeout"}


def test_a_shorter_execution_timeout_is_the_deadline():
    arguments = deferral(100.0, timedelta(seconds=10), bot_id="st-1")
    assert arguments["trigger"].deadline <= time.time() + 10
    assert arguments["kwargs"] == {"limit": "execution_timeout"}


def test_a_deadline_that_execution_timeout_set_ends_as_a_task_timeout():
    event = failure_event(KoreAIExportTimeoutError("too long"))
    with pytest.raises(AirflowTaskTimeout, match="too long"):
        export_of_event(event, "execution_timeout")


def test_the_trigger_is_made_anew_from_what_it_serializes_to():
    trigger = KoreAIExportStatusTrigger(
        bot_id="st-1", **EXPORT, deadline=1.5, timeout=3.0, end_from_trigger=True
    )
    path, kwargs = trigger.serialize()
    assert path == f"{KoreAIExportStatusTrigger.__module__}.{KoreAIExportStatusTrigger.__name__}"
    assert KoreAIExportStatusTrigger(**through_json(kwargs)).serialize() == (path, kwargs)


needs_3_3 = pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="starting in the triggerer needs Airflow 3.3")


@needs_3_3
def test_a_sensor_that_starts_in_the_triggerer_gives_it_its_arguments_unrendered():
    sensor = KoreAIExportStatusSensor(
        task_id="wait", bot_id="{{ params.bot }}", deferrable=True, start_from_trigger=True, timeout=60
    )
    arguments = sensor.start_trigger_args
    assert sensor.start_from_trigger is True
    assert arguments.trigger_kwargs["bot_id"] == "{{ params.bot }}"
    assert arguments.timeout == timedelta(seconds=60)
    assert arguments.next_method == "execute_complete"
    assert KoreAIExportStatusTrigger(**arguments.trigger_kwargs).bot_id == "{{ params.bot }}"


def test_plain_deferral_is_the_default():
    sensor = KoreAIExportStatusSensor(task_id="wait", bot_id="st-1", deferrable=True)
    assert sensor.start_from_trigger is False
    assert sensor.end_from_trigger is False


@needs_3_3
def test_another_tasks_output_is_refused_when_the_dag_is_parsed():
    export = KoreAIExportUtterancesOperator(task_id="export", bot_id="st-1")
    with pytest.raises(KoreAIConfigurationError, match=r"'wait': request_id .*start_from_trigger"):
        KoreAIExportStatusSensor(
            task_id="wait", bot_id="st-1", request_id=export.output, deferrable=True, start_from_trigger=True
        )


@needs_3_3
def test_a_template_that_pulls_an_xcom_is_refused_when_the_dag_is_parsed():
    with pytest.raises(KoreAIConfigurationError, match="requested_time"):
        KoreAIExportStatusSensor(
            task_id="wait",
            bot_id="st-1",
            requested_time="{{ ti.xcom_pull('export', key='requested_time') }}",
            deferrable=True,
            start_from_trigger=True,
        )


def test_starting_in_the_triggerer_without_deferrable_is_refused():
    with pytest.raises(KoreAIConfigurationError, match="deferrable=True"):
        KoreAIExportStatusSensor(task_id="wait", bot_id="st-1", deferrable=False, start_from_trigger=True)


@pytest.mark.skipif(AIRFLOW_V_3_3_PLUS, reason="Airflow 3.3 can do it")
def test_starting_in_the_triggerer_is_refused_where_airflow_cannot():
    with pytest.raises(KoreAIConfigurationError, match=r"Airflow 3\.3"):
        KoreAIExportStatusSensor(task_id="wait", bot_id="st-1", deferrable=True, start_from_trigger=True)


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
                "storage_conn_id",
                "koreai_conn_id",
            },
        ),
    ],
)
def test_what_a_user_may_want_per_run_is_a_template_field(operator, fields):
    assert set(operator.template_fields) == fields
