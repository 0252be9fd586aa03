"""
Every hour: what users said and the bot did not understand, into a table. That is what its training set lacks.

It needs a connection ``koreai_default`` of type Kore.ai whose app has the API scope "Metrics", and one of a database,
``warehouse_default``: PostgreSQL, or any other whose hook is a ``DbApiHook``, with ``pip install
'airflow-provider-koreai[sql]'`` and that database's provider.

An export always reflects the bot's current state; analytics can be read for any hour. So Airflow catches up on all hours
since ``KOREAI_ANALYTICS_SINCE``, an environment variable of the whole deployment. Hours may run in any order, more than once
and with overlap: each load replaces the rows of its interval, so no row is duplicated, and rows that Kore.ai had late arrive
with the next hours.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG, Param
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_koreai.operators.download_analytics import KoreAIDownloadAnalyticsOperator
from airflow_provider_koreai.operators.load_analytics import KoreAILoadAnalyticsOperator

SINCE = datetime.fromisoformat(os.environ.get("KOREAI_ANALYTICS_SINCE", "2026-11-01T00:00:00"))
# A run that was started by hand without a date has no data interval: it reads the hour before it.
START = "{{ data_interval_start | default(none) or dag_run.run_after - macros.timedelta(hours=1) }}"
END = "{{ data_interval_end | default(none) or dag_run.run_after }}"

with DAG(
    dag_id="example_koreai_unhandled",
    # With "@hourly", the interval of a run is empty on Airflow 3, unless [scheduler] create_cron_data_intervals is set.
    schedule=CronDataIntervalTimetable("0 * * * *", timezone="UTC"),
    start_date=SINCE.replace(tzinfo=timezone.utc),
    catchup=True,
    # Look at the above first.
    is_paused_upon_creation=True,
    # Kore.ai allows 60 calls a minute for each bot.
    max_active_runs=1,
    # For a lost worker or a store that is down; when Kore.ai is out of reach for a while, the task itself tries again.
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "bot_id": Param(
            os.environ.get("KOREAI_BOT_ID", "st-demo-travel"), type="string", minLength=1, title="Bot ID"
        ),
        "folder": Param(
            "/tmp/koreai",
            type="string",
            title="Folder",
            description="A local folder, or a URL such as s3://lake/koreai",
        ),
        "conn_id": Param("warehouse_default", type="string", title="Connection of the database"),
        "table": Param("koreai_analytics", type="string", title="Table", description="table or schema.table"),
    },
    tags=["koreai", "example"],
    doc_md=__doc__,
):
    fetch = KoreAIDownloadAnalyticsOperator(
        task_id="fetch",
        bot_id="{{ params.bot_id }}",
        path="{{ params.folder }}/{{ params.bot_id }}/unhandled-{{ run_id }}.jsonl.gz",
        start=START,
        end=END,
        # Rows that were late by up to six hours are found, too.
        overlap=timedelta(hours=6),
    )
    KoreAILoadAnalyticsOperator(
        task_id="load",
        path=fetch.output["path"],
        # The interval with its overlap, as it was read.
        start=fetch.output["start"],
        end=fetch.output["end"],
        bot_id="{{ params.bot_id }}",
        table="{{ params.table }}",
        conn_id="{{ params.conn_id }}",
    )
