"""The histories of bots as one HTML page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.reports.page import html_page

if TYPE_CHECKING:
    from collections.abc import Sequence


def history_report(
    table: str, bots: Sequence[dict[str, Any]], missing: Sequence[str], snapshots: int
) -> bytes:
    """
    Draw the report.

    :param bots: the pages of their histories.
    :param missing: bots that the table has no snapshot of.
    :param snapshots: how many of each bot were asked for.
    """
    return html_page("history.html.jinja", table=table, bots=bots, missing=missing, snapshots=snapshots)
