"""
Whenever somebody has exported a bot, in Kore.ai's own pages or from another system: fetch that very export.

It needs Airflow 3 with a triggerer, and a connection ``koreai_default`` of type Kore.ai. The bot is named when this file
is read, so choose it here, or in the environment variable ``KOREAI_BOT_ID`` of the whole deployment.

Started by hand, it fetches the bot's latest export.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG, Param
from airflow.sdk import Asset, AssetWatcher

from airflow_provider_koreai.operators.koreai import KoreAIDownloadUtterancesOperator
from airflow_provider_koreai.triggers.koreai import KoreAIExportEventTrigger

BOT = os.environ.get("KOREAI_BOT_ID", "st-demo-travel")
# An asset of its own: if the DAG that fetches an export also had this one among its outlets, it would start itself again.
EXPORTED = Asset(
    name=f"koreai_exported_{BOT}",
    watchers=[
        # The triggerer asks for the bot's latest export every five minutes.
        AssetWatcher(name="exports", trigger=KoreAIExportEventTrigger(bot_id=BOT, poll_interval=300))
    ],
)


def of_the_event(key: str) -> str:
    """Return a template for what the newest event says of the export; "" in a run that was started by hand."""
    newest = "events[-1].extra.payload." + key
    return "{% for events in triggering_asset_events.values() %}{{ " + newest + " }}{% endfor %}"


with DAG(
    dag_id="example_koreai_on_export",
    schedule=[EXPORTED],
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    # For a lost worker or a store that is down; when Kore.ai is out of reach for a while, the task itself tries again.
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
    # If somebody exports the bot again meanwhile, this fails and says so, and the newer export starts a run of its own.
    KoreAIDownloadUtterancesOperator(
        task_id="fetch",
        bot_id=BOT,
        request_id=of_the_event("request_id"),
        requested_time=of_the_event("requested_time"),
        file_type=of_the_event("file_type"),
        # <bot_id>-<requested_time>.csv
        path="{{ params.folder }}/",
    )
