"""
Every night: the utterances of many bots into a table, unless an export has lost too many of them since the last one.

It needs a connection ``koreai_default`` of type Kore.ai, and one of a database, ``warehouse_default``: PostgreSQL, or any
other whose hook is a ``DbApiHook``, with ``pip install 'airflow-provider-koreai[sql]'`` and that database's provider.
Name the bots in the trigger form, or change the default below; none named means all bots of the account, which takes
the connection of an Admin app.

Each run is one snapshot of each bot. A run that is cleared replaces its own snapshots and no others, and only within a
day: an export always reflects the bot's current state, not that of the run's day. One bot that fails does not stop the
others.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG, Param, task, task_group

from airflow_provider_koreai.operators.check_utterances import KoreAICheckUtterancesOperator
from airflow_provider_koreai.operators.compare_utterances import KoreAICompareUtterancesOperator
from airflow_provider_koreai.operators.load_utterances import KoreAILoadUtterancesOperator
from airflow_provider_koreai.task_groups import koreai_export_utterances

with DAG(
    dag_id="example_koreai_to_warehouse",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    # Two exports of one bot at the same time supersede each other. Backfills of Airflow 3 do not heed this limit: start
    # them with `airflow backfill create --max-active-runs 1`.
    max_active_runs=1,
    # For a lost worker or a store that is down; when Kore.ai is out of reach for a while, the tasks themselves try again.
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
        """Return the bots to export."""
        # Imported here, the hook costs nothing when the DAG file is parsed.
        from airflow_provider_koreai.hooks.koreai import KoreAIHook

        return params["bot_ids"] or [bot.bot_id for bot in KoreAIHook().list_bots()]

    @task_group
    def one_bot(bot_id: str) -> None:
        """From export to table, for one bot."""
        exported = koreai_export_utterances(
            bot_id=bot_id, path="{{ params.folder }}/{{ ti.task.bot_id }}/", deferrable=True
        )
        fetch = exported.get_child_by_label("fetch")
        # For all three tasks; map_index_template makes the UI show the bot's name, as for the tasks of the group.
        of_bot = {"bot_id": bot_id, "map_index_template": "{{ ti.task.bot_id }}"}
        common = {**of_bot, "table": "{{ params.table }}", "conn_id": "{{ params.conn_id }}"}
        # Only warns, in its log: what is in the bot belongs in the table, good or bad.
        KoreAICheckUtterancesOperator(
            task_id="check",
            path=fetch.output["path"],
            max_conflicts=0,
            max_unusable=0,
            on_violation="warn",
            **of_bot,
        )
        # Compares with the bot's last snapshot in the table. The first run has nothing to compare with, and passes.
        compare = KoreAICompareUtterancesOperator(
            task_id="compare", after=fetch.output["path"], min_rows=1, max_removed_fraction=0.2, **common
        )
        load = KoreAILoadUtterancesOperator(
            task_id="load",
            path=fetch.output["path"],
            request_id=fetch.output["request_id"],
            requested_time=fetch.output["requested_time"],
            file_type=fetch.output["file_type"],
            **common,
        )
        compare >> load

    one_bot.expand(bot_id=bots())
