"""Import a file from the object store."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_koreai.operators.import_utterances import KoreAIImportUtterancesOperator

with DAG(
    dag_id="cluster_import",
    schedule=None,
    params={"bot_id": "", "path": ""},
    default_args={"retries": 3, "retry_delay": timedelta(seconds=1)},
):
    KoreAIImportUtterancesOperator(
        task_id="import",
        bot_id="{{ params.bot_id }}",
        path="{{ params.path }}",
        storage_conn_id="lake",
        timeout=1200,
    )
