"""Many short exports at once, each waited for in the triggerer, and no task is retried."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, task_group

from airflow_provider_koreai.operators.koreai import KoreAIExportUtterancesOperator
from airflow_provider_koreai.sensors.koreai import KoreAIExportStatusSensor

BOTS = [f"st-e2e-short-{number}" for number in range(32)]

with DAG(dag_id="e2e_short_waits_one_task", schedule=None):
    KoreAIExportUtterancesOperator.partial(
        task_id="wait", wait_for_completion=True, deferrable=True, timeout=300
    ).expand(bot_id=[f"{bot}-one-task" for bot in BOTS])

with DAG(dag_id="e2e_short_waits", schedule=None):

    @task_group
    def one_bot(bot_id: str) -> None:
        """Start an export, and wait for it in a task of its own."""
        export = KoreAIExportUtterancesOperator(task_id="export", bot_id=bot_id)
        KoreAIExportStatusSensor(
            task_id="wait",
            bot_id=bot_id,
            request_id=export.output,
            requested_time=export.output["requested_time"],
            deferrable=True,
            timeout=300,
        )

    one_bot.expand(bot_id=BOTS)
