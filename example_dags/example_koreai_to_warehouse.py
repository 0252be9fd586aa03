"""
Every night: the utterances of many bots into a table, unless an export has lost too many of them since the last one.

It needs a connection ``koreai_default`` of type Kore.ai, and one of a database, ``warehouse_default``: PostgreSQL, or any
other whose hook is a ``DbApiHook``, with ``pip install 'airflow-provider-koreai[sql]'`` and that database's provider.
Name the bots in the trigger form, or change the default below; none named means all bots of the account, which takes
the connection of an Admin app.

Each run is one snapshot of each bot. A run that is cleared replaces its own snapshots and no others. One bot that
fails does not stop the others.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG, Param, task, task_group

from airflow_provider_koreai.operators.compare_utterances import KoreAICompareUtterancesOperator
from airflow_provider_koreai.operators.koreai import (
    KoreAIDownloadUtterancesOperator,
    KoreAIExportUtterancesOperator,
)
from airflow_provider_koreai.operators.load_utterances import KoreAILoadUtterancesOperator
from airflow_provider_koreai.sensors.koreai import KoreAIExportStatusSensor

TABLE, CONNECTION = "{{ params.table }}", "{{ params.conn_id }}"
# What the fetch of the same bot has stored.
FILE = "{{ ti.xcom_pull(task_ids='one_bot.fetch', map_indexes=ti.map_index)['path'] }}"

with DAG(
    dag_id="example_koreai_to_warehouse",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    # The status call reports a bot's latest export: two runs at once would get into each other's way.
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "bot_ids": Param(
            [],
            type="array",
            items={"type": "string"},
            title="Bot IDs",
            description="Empty: all bots of the account",
        ),
        "folder": Param(
            "/tmp/koreai",
            type="string",
            title="Folder",
            description="A local folder, or a URL such as s3://lake/koreai",
        ),
        "conn_id": Param("warehouse_default", type="string", title="Connection of the database"),
        "table": Param(
            "koreai_utterances", type="string", title="Table", description="table or schema.table"
        ),
    },
    tags=["koreai", "example"],
    doc_md=__doc__,
):

    @task
    def bots(params: dict) -> list[str]:
        """Say which bots are exported."""
        # Imported here, the hook costs nothing when the DAG file is parsed.
        from airflow_provider_koreai.hooks.koreai import KoreAIHook

        return params["bot_ids"] or [bot.bot_id for bot in KoreAIHook().list_bots()]

    @task_group
    def one_bot(bot_id: str) -> None:
        """From export to table, for one bot."""
        export = KoreAIExportUtterancesOperator(task_id="export", bot_id=bot_id)
        which = {
            "request_id": export.output,
            "requested_time": export.output["requested_time"],
            "file_type": export.output["file_type"],
        }
        wait = KoreAIExportStatusSensor(task_id="wait", bot_id=bot_id, deferrable=True, **which)
        fetch = KoreAIDownloadUtterancesOperator(
            task_id="fetch", bot_id=bot_id, path="{{ params.folder }}/{{ ti.task.bot_id }}/", **which
        )
        # With what the table has of the bot before this run; the first run has nothing to compare with, and passes.
        compare = KoreAICompareUtterancesOperator(
            task_id="compare",
            after=FILE,
            table=TABLE,
            conn_id=CONNECTION,
            bot_id=bot_id,
            min_rows=1,
            max_removed_fraction=0.2,
        )
        load = KoreAILoadUtterancesOperator(
            task_id="load",
            path=FILE,
            table=TABLE,
            conn_id=CONNECTION,
            bot_id=bot_id,
            **which,
        )
        wait >> fetch >> compare >> load

    one_bot.expand(bot_id=bots())
