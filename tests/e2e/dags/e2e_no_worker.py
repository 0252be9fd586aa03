"""A wait that begins and ends in the triggerer."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_koreai.sensors.koreai import KoreAIExportStatusSensor

with DAG(
    dag_id="e2e_no_worker",
    schedule=None,
    params={"bot_id": "", "request_id": "", "requested_time": ""},
    default_args={"retries": 0},
):
    KoreAIExportStatusSensor(
        task_id="wait",
        bot_id="{{ params.bot_id }}",
        request_id="{{ params.request_id }}",
        requested_time="{{ params.requested_time }}",
        file_type="csv",
        deferrable=True,
        start_from_trigger=True,
        end_from_trigger=True,
        timeout=300,
        poke_interval=2,
    )
