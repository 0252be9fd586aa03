"""Many waits for exports that somebody else has started."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_koreai.sensors.koreai import KoreAIExportStatusSensor

with DAG(
    dag_id="cluster_waits",
    schedule=None,
    params={"exports": []},
    default_args={"retries": 3, "retry_delay": timedelta(seconds=1)},
):

    @task
    def exports(params: dict | None = None) -> list[dict[str, Any]]:
        """The exports of this run."""
        return params["exports"]

    KoreAIExportStatusSensor.partial(task_id="wait", deferrable=True, timeout=1200).expand_kwargs(exports())
