"""One DAG for each way to wait for an export that somebody else has started, and for each way that it can end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_koreai.sensors.koreai import KoreAIExportStatusSensor

MODES: dict[str, dict[str, Any]] = {
    "poke": {"mode": "poke", "deferrable": False, "poke_interval": 2},
    # Where a task comes back before the scheduler has heard that its worker let go of it, Airflow counts a failure.
    "reschedule": {"mode": "reschedule", "deferrable": False, "poke_interval": 10},
    "deferrable": {"deferrable": True, "poke_interval": 2},
}
ENDINGS: dict[str, dict[str, Any]] = {
    "": {"timeout": 300},
    "_timeout": {"timeout": 10},
    "_soft_fail": {"timeout": 10, "soft_fail": True},
    "_late_timeout": {"timeout": 60},
    "_execution_timeout": {"timeout": 300, "execution_timeout": timedelta(seconds=10), "retries": 1},
}

for mode, how in MODES.items():
    for ending, what in ENDINGS.items():
        with DAG(
            dag_id=f"e2e_wait_{mode}{ending}",
            schedule=None,
            params={"bot_id": "", "request_id": "", "requested_time": "", "on_superseded": "fail"},
            # A failure that a retry cannot mend must not use these.
            default_args={"retries": 2, "retry_delay": timedelta(seconds=1)},
        ) as dag:
            KoreAIExportStatusSensor(
                task_id="wait",
                bot_id="{{ params.bot_id }}",
                request_id="{{ params.request_id }}",
                requested_time="{{ params.requested_time }}",
                on_superseded="{{ params.on_superseded }}",
                file_type="csv",
                **how,
                **what,
            )
        globals()[dag.dag_id] = dag
