"""
Every week: count a bot's utterances by language and task, with the hook in a task of one's own. No file is kept.

It needs a connection ``koreai_default`` of type Kore.ai. Choose the bot in the trigger form, or change the default
below.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_koreai.operators.koreai import KoreAIExportUtterancesOperator

with DAG(
    dag_id="example_koreai_hook",
    schedule="@weekly",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    # Two exports of one bot at the same time supersede each other. Backfills of Airflow 3 do not heed this limit: start
    # them with `airflow backfill create --max-active-runs 1`.
    max_active_runs=1,
    # For a lost worker or a store that is down; when Kore.ai is out of reach for a while, the tasks themselves try again.
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "bot_id": Param(
            os.environ.get("KOREAI_BOT_ID", "st-demo-travel"),
            type="string",
            title="Bot ID",
            description="Bot Settings > Config Settings > General Settings in Kore.ai",
        ),
    },
    tags=["koreai", "example"],
    doc_md=__doc__,
):
    export = KoreAIExportUtterancesOperator(
        task_id="export", bot_id="{{ params.bot_id }}", wait_for_completion=True, deferrable=True
    )

    @task
    def count(request_id: str, requested_time: str, params: dict) -> dict[str, dict[str, int]]:
        """Count the utterances of each task, by language."""
        # Imported here, they cost nothing when the DAG file is parsed.
        from collections import Counter, defaultdict
        from tempfile import TemporaryDirectory

        from airflow_provider_koreai.hooks.koreai import KoreAIHook
        from airflow_provider_koreai.utterances import read_utterances

        counts: dict[str, Counter[str]] = defaultdict(Counter)
        with TemporaryDirectory() as folder:
            stored = KoreAIHook().download_export(
                params["bot_id"], f"{folder}/", request_id=request_id, requested_time=requested_time
            )
            # One by one: even a file of a million utterances takes little memory.
            for utterance in read_utterances(stored.path):
                counts[utterance.language or "unknown"][utterance.task_name or "no task"] += 1
        return {language: dict(tasks) for language, tasks in counts.items()}

    # Both values say which export is ours: Kore.ai may use a request ID again.
    count(export.output, export.output["requested_time"])
