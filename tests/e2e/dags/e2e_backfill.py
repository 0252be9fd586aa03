"""A daily DAG that has ended: only a backfill runs it."""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_koreai.task_groups import koreai_export_utterances

with DAG(
    dag_id="e2e_backfill",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    end_date=datetime(2026, 1, 31, tzinfo=timezone.utc),
    catchup=False,
    params={"folder": Param("/tmp/koreai", type="string")},
):
    koreai_export_utterances(bot_id="st-e2e-backfill", path="{{ params.folder }}/", deferrable=True)
