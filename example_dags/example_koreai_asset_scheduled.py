"""
Two DAGs, joined by an asset: one exports a bot's utterances every night, the other runs whenever new ones are there.

They need a connection ``koreai_default`` of type Kore.ai. The asset is named when this file is read, so the bot is
chosen here, or in the environment variable ``KOREAI_BOT_ID`` of the whole deployment.

Airflow 2.11 calls assets datasets.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_koreai.assets.koreai import koreai_asset
from airflow_provider_koreai.task_groups import koreai_export_utterances

BOT = os.environ.get("KOREAI_BOT_ID", "st-demo-travel")
# koreai://bots.kore.ai/<bot_id>. For another host, such as your own: koreai_asset(BOT, host="https://kore.example.com")
UTTERANCES = koreai_asset(BOT)
START = datetime(2026, 1, 1, tzinfo=timezone.utc)

with DAG(
    dag_id="example_koreai_asset_producer",
    schedule="@daily",
    start_date=START,
    catchup=False,
    # Two exports of one bot at the same time supersede each other. Backfills of Airflow 3 do not heed this limit: start
    # them with `airflow backfill create --max-active-runs 1`.
    max_active_runs=1,
    # For a lost worker or a store that is down; when Kore.ai is out of reach for a while, the tasks themselves try again.
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "folder": Param(
            "/tmp/koreai",
            type="string",
            title="Folder",
            description="A local folder, or a URL such as s3://lake/koreai",
        ),
    },
    tags=["koreai", "example"],
    doc_md=__doc__,
):
    # Once the file is there, the asset's event carries path, rows, sha256, requested_time, file_type and more.
    koreai_export_utterances(
        bot_id=BOT, path="{{ params.folder }}/{{ ti.task.bot_id }}/", deferrable=True, outlets=[UTTERANCES]
    )

with DAG(
    dag_id="example_koreai_asset_consumer",
    schedule=[UTTERANCES],
    start_date=START,
    catchup=False,
    tags=["koreai", "example"],
    doc_md=__doc__,
):

    @task(inlets=[UTTERANCES])
    def count_languages(inlet_events: dict | None = None) -> dict[str, int]:
        """Count the utterances of each language in the newest file."""
        from collections import Counter

        from airflow_provider_koreai.utterances import read_utterances

        stored = inlet_events[UTTERANCES][-1].extra
        return dict(Counter(one.language or "unknown" for one in read_utterances(stored["path"])))

    count_languages()
