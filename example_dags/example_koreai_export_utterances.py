"""
Every night: export a bot's ML utterances, wait for the export without a worker slot, and fetch the file.

It needs a connection ``koreai_default`` of type Kore.ai. Choose the bot and the place in the trigger form, or
change the defaults below.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_koreai.operators.koreai import (
    KoreAIDownloadUtterancesOperator,
    KoreAIExportUtterancesOperator,
)
from airflow_provider_koreai.sensors.koreai import KoreAIExportStatusSensor

with DAG(
    dag_id="example_koreai_export_utterances",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    # Two exports of one bot at the same time supersede each other. Backfills of Airflow 3 do not heed this limit: start
    # them with `airflow backfill create --max-active-runs 1`.
    max_active_runs=1,
    # For a lost worker or a store that is down; when Kore.ai is out of reach for a while, the tasks themselves try again.
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "bot_id": Param(
            os.environ.get("KOREAI_BOT_ID", "st-demo-travel"),
            type="string",
            title="Bot ID",
            description="Bot Settings > Config Settings > General Settings in Kore.ai",
        ),
        "state": Param("configured", enum=["configured", "published"], title="State of the bot"),
        "file_type": Param("csv", enum=["csv", "json"], title="File type"),
        "folder": Param(
            "/tmp/koreai",
            type="string",
            title="Folder",
            description="A local folder, or a URL such as s3://lake/koreai",
        ),
    },
    tags=["koreai", "example"],
    doc_md=__doc__,
):
    BOT = "{{ params.bot_id }}"

    export = KoreAIExportUtterancesOperator(
        task_id="export",
        bot_id=BOT,
        state="{{ params.state }}",
        file_type="{{ params.file_type }}",
    )
    wait = KoreAIExportStatusSensor(
        task_id="wait",
        bot_id=BOT,
        request_id=export.output,
        requested_time=export.output["requested_time"],
        file_type=export.output["file_type"],
        deferrable=True,
        timeout=timedelta(hours=1).total_seconds(),
    )
    fetch = KoreAIDownloadUtterancesOperator(
        task_id="fetch",
        bot_id=BOT,
        request_id=export.output,
        requested_time=export.output["requested_time"],
        file_type=export.output["file_type"],
        # Not {{ ds }}: a run that the REST API or an asset starts may have no logical date, and then no ds either.
        path="{{ params.folder }}/{{ params.bot_id }}/"
        "{{ (dag_run.logical_date or dag_run.run_after) | ds }}/utterances.{{ params.file_type }}",
    )
    export >> wait >> fetch
