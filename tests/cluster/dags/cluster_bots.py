"""Many bots, each from export to table."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, task, task_group

from airflow_provider_koreai.operators.load_utterances import KoreAILoadUtterancesOperator
from airflow_provider_koreai.task_groups import koreai_export_utterances

with DAG(
    dag_id="cluster_bots",
    schedule=None,
    params={"bots": [], "folder": "", "table": ""},
    default_args={"retries": 3, "retry_delay": timedelta(seconds=1)},
):

    @task
    def bots(params: dict | None = None) -> list[str]:
        """The bots of this run."""
        return params["bots"]

    @task_group
    def one_bot(bot_id: str) -> None:
        """All that is done for one bot."""
        exported = koreai_export_utterances(
            bot_id=bot_id,
            path="{{ params.folder }}/{{ ti.task.bot_id }}/",
            storage_conn_id="lake",
            deferrable=True,
            timeout=7200,
        )
        fetch = exported.get_child_by_label("fetch")
        KoreAILoadUtterancesOperator(
            task_id="load",
            bot_id=bot_id,
            path=fetch.output["path"],
            storage_conn_id="lake",
            table="{{ params.table }}",
            conn_id="warehouse",
            request_id=fetch.output["request_id"],
            requested_time=fetch.output["requested_time"],
            file_type=fetch.output["file_type"],
        )

    one_bot.expand(bot_id=bots())
