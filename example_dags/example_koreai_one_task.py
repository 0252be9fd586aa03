"""
Every night: the shortest form. One task starts the export and waits for it, without a worker slot; one fetches the file.

It needs a connection ``koreai_default`` of type Kore.ai. Choose the bot and the place in the trigger form, or
change the defaults below.

Compared with a sensor between the two, a failed export is started anew by the task's own retries.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_koreai.operators.koreai import (
    KoreAIDownloadUtterancesOperator,
    KoreAIExportUtterancesOperator,
)

with DAG(
    dag_id="example_koreai_one_task",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    # Two exports of one bot at the same time supersede each other. Backfills of Airflow 3 do not heed this limit: start
    # them with `airflow backfill create --max-active-runs 1`.
    max_active_runs=1,
    # A retry of a failed export starts a new one.
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "bot_id": Param(
            os.environ.get("KOREAI_BOT_ID", "st-demo-travel"),
            type="string",
            title="Bot ID",
            description="Bot Settings > Config Settings > General Settings in Kore.ai",
        ),
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
    export = KoreAIExportUtterancesOperator(
        task_id="export",
        bot_id="{{ params.bot_id }}",
        wait_for_completion=True,
        deferrable=True,
        timeout=timedelta(hours=1),
    )
    fetch = KoreAIDownloadUtterancesOperator(
        task_id="fetch",
        bot_id="{{ params.bot_id }}",
        request_id=export.output,
        requested_time=export.output["requested_time"],
        file_type=export.output["file_type"],
        path="{{ params.folder }}/{{ params.bot_id }}/utterances.csv",
    )
    export >> fetch
