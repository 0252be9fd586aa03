"""Three bots, each with its own three tasks: a mapped task group."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, task, task_group

from airflow_provider_koreai.operators.koreai import (
    KoreAIDownloadUtterancesOperator,
    KoreAIExportUtterancesOperator,
)
from airflow_provider_koreai.sensors.koreai import KoreAIExportStatusSensor

with DAG(
    dag_id="e2e_many_bots",
    schedule=None,
    params={"bots": [], "folder": ""},
    default_args={"retries": 2, "retry_delay": timedelta(seconds=1)},
):

    @task
    def bots(params: dict | None = None) -> list[str]:
        """The bots of this run."""
        return params["bots"]

    @task_group
    def one_bot(bot_id: str) -> None:
        """All that is done for one bot."""
        export = KoreAIExportUtterancesOperator(task_id="export", bot_id=bot_id)
        wait = KoreAIExportStatusSensor(
            task_id="wait",
            bot_id=bot_id,
            request_id=export.output,
            requested_time=export.output["requested_time"],
            file_type=export.output["file_type"],
            deferrable=True,
            timeout=300,
        )
        fetch = KoreAIDownloadUtterancesOperator(
            task_id="fetch",
            bot_id=bot_id,
            request_id=export.output,
            requested_time=export.output["requested_time"],
            file_type=export.output["file_type"],
            path="{{ params.folder }}/",
        )
        export >> wait >> fetch

    one_bot.expand(bot_id=bots())
