"""Counts and durations for Airflow's own metrics, which it sends to StatsD, Datadog or OpenTelemetry."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from airflow_provider_koreai.arguments import parse_time
from airflow_provider_koreai.exceptions import KoreAIExportSupersededError


def export_started(bot_id: str) -> None:
    """Count an export that Kore.ai has accepted."""
    _stats().incr("koreai.exports_started", tags={"bot_id": bot_id})


def export_ended(bot_id: str, requested_time: str | None) -> None:
    """Take the time from an export's request until a task that waited for it saw its end."""
    if requested := parse_time(requested_time):
        waited = max(datetime.now(timezone.utc) - requested, timedelta())
        _stats().timing("koreai.export_waited", waited, tags={"bot_id": bot_id})


def export_lost(bot_id: str, error: BaseException) -> None:
    """Count an export that another one superseded; any other error is not counted."""
    if isinstance(error, KoreAIExportSupersededError):
        _stats().incr("koreai.exports_superseded", tags={"bot_id": bot_id})


def downloaded(bot_id: str, size: int, rows: int) -> None:
    """Count a file that was published, its bytes as stored and its rows."""
    tags = {"bot_id": bot_id}
    _stats().incr("koreai.downloads", tags=tags)
    _stats().incr("koreai.downloaded_bytes", size, tags=tags)
    _stats().incr("koreai.downloaded_rows", rows, tags=tags)


def retried(bot_id: str, call: str) -> None:
    """Count a call that is sent again, or a download that is continued or started again."""
    # Tags with spaces are not safe everywhere.
    _stats().incr("koreai.retries", tags={"bot_id": bot_id, "call": call.replace(" ", "_")})


def _stats() -> Any:
    # Not at the head: DAG files are parsed without it.
    try:
        from airflow.providers.common.compat.sdk import Stats
    except (ImportError, AttributeError):
        from airflow.stats import Stats  # type: ignore[no-redef, attr-defined, unused-ignore]
    return Stats
