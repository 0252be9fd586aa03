"""Start an export and wait for it in one task."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_koreai.operators.koreai import KoreAIExportUtterancesOperator

for deferrable in (False, True):
    with DAG(
        dag_id="e2e_one_task_deferrable" if deferrable else "e2e_one_task",
        schedule=None,
        params={"bot_id": ""},
    ) as dag:
        KoreAIExportUtterancesOperator(
            task_id="export",
            bot_id="{{ params.bot_id }}",
            wait_for_completion=True,
            deferrable=deferrable,
            timeout=300,
            retries=1,
            retry_delay=timedelta(seconds=1),
        )
    globals()[dag.dag_id] = dag
