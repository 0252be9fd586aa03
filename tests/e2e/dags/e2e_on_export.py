"""Runs whenever somebody has exported the bot, and fetches that very export."""

from __future__ import annotations

import tempfile

from airflow.providers.common.compat.sdk import DAG
from airflow.sdk import AssetWatcher

from airflow_provider_koreai.assets.koreai import koreai_asset
from airflow_provider_koreai.operators.koreai import KoreAIDownloadUtterancesOperator
from airflow_provider_koreai.triggers.koreai import KoreAIExportEventTrigger

BOT = "st-e2e-on-export"
EXPORTED = koreai_asset(
    BOT,
    watchers=[AssetWatcher(name="exports", trigger=KoreAIExportEventTrigger(bot_id=BOT, poll_interval=1))],
)


def of_the_event(key: str) -> str:
    """A template for what the newest event says of the export."""
    return (
        "{% for events in triggering_asset_events.values() %}"
        "{{ events[-1].extra.payload." + key + " }}"
        "{% endfor %}"
    )


with DAG(dag_id="e2e_on_export", schedule=[EXPORTED]):
    KoreAIDownloadUtterancesOperator(
        task_id="fetch",
        bot_id=BOT,
        request_id=of_the_event("request_id"),
        requested_time=of_the_event("requested_time"),
        file_type=of_the_event("file_type"),
        path=f"{tempfile.gettempdir()}/on-export/",
    )
