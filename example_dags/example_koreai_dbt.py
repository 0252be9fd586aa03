"""
Two DAGs, joined by an asset: one loads a bot's utterances into a table every night, the other runs dbt whenever the table
has new ones.

They need a connection ``koreai_default`` of type Kore.ai, one of a PostgreSQL database, ``warehouse_default``, and for
the second DAG a ``dbt`` that the worker can run, with its PostgreSQL adapter, and a dbt project such as ``example_dbt/``
beside this folder. dbt may well have a virtual environment of its own: name its program in the environment variable
``KOREAI_DBT`` (default ``dbt``), and the project's folder in ``KOREAI_DBT_PROJECT`` (default ``/opt/dbt/koreai``).

Airflow 2.11 calls assets datasets.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG, Asset, Param, task

from airflow_provider_koreai.operators.load_utterances import KoreAILoadUtterancesOperator
from airflow_provider_koreai.task_groups import koreai_export_utterances

DBT = os.environ.get("KOREAI_DBT", "dbt")
PROJECT = os.environ.get("KOREAI_DBT_PROJECT", "/opt/dbt/koreai")
# The name is yours; both DAGs have to use the same one.
TABLE = Asset(uri="x-warehouse://koreai_utterances")
START = datetime(2026, 1, 1, tzinfo=timezone.utc)

with DAG(
    dag_id="example_koreai_dbt_load",
    schedule="@daily",
    start_date=START,
    catchup=False,
    # Two exports of one bot at the same time supersede each other.
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "bot_id": Param("st-demo-travel", type="string", title="Bot ID"),
        "folder": Param("/tmp/koreai", type="string", title="Folder"),
    },
    tags=["koreai", "example"],
    doc_md=__doc__,
):
    exported = koreai_export_utterances(
        bot_id="{{ params.bot_id }}", path="{{ params.folder }}/{{ params.bot_id }}/", deferrable=True
    )
    fetch = exported.get_child_by_label("fetch")
    KoreAILoadUtterancesOperator(
        task_id="load",
        path=fetch.output["path"],
        bot_id="{{ params.bot_id }}",
        table="koreai_utterances",
        conn_id="warehouse_default",
        request_id=fetch.output["request_id"],
        requested_time=fetch.output["requested_time"],
        outlets=[TABLE],
    )

with DAG(
    dag_id="example_koreai_dbt_build",
    schedule=[TABLE],
    start_date=START,
    catchup=False,
    # dbt replaces its views: one run at a time.
    max_active_runs=1,
    tags=["koreai", "example"],
    doc_md=__doc__,
):

    @task.bash(
        # For profiles.yml. Airflow masks the password in its logs and in its UI.
        env={
            "WAREHOUSE_HOST": "{{ conn.warehouse_default.host }}",
            "WAREHOUSE_PORT": "{{ conn.warehouse_default.port or 5432 }}",
            "WAREHOUSE_USER": "{{ conn.warehouse_default.login }}",
            "WAREHOUSE_PASSWORD": "{{ conn.warehouse_default.password }}",
            "WAREHOUSE_DATABASE": "{{ conn.warehouse_default.schema }}",
        },
        append_env=True,
    )
    def build() -> str:
        """Make the views and run their tests."""
        return f"{DBT} build --project-dir {PROJECT} --profiles-dir {PROJECT} --target-path /tmp/dbt-koreai --log-path /tmp/dbt-koreai"

    build()
