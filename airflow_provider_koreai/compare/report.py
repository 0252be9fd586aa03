"""A comparison as one HTML page, with a chart of the tasks before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_koreai.compare.comparison import ADDED, MOVED, REMOVED, Comparison
from airflow_provider_koreai.reports.page import html_page

if TYPE_CHECKING:
    from collections.abc import Sequence


def html_report(comparison: Comparison, exceeded: Sequence[str] = (), bot_id: str = "") -> bytes:
    """Draw the report; ``exceeded`` are the limits that are, in words."""
    summary, total = comparison.summary(), comparison.total
    numbers = {ADDED: total.added, REMOVED: total.removed, MOVED: total.moved_in}
    return html_page(
        "comparison.html.jinja",
        summary=summary,
        bot_id=bot_id,
        exceeded=exceeded,
        most=max((max(entry["before"], entry["after"]) for entry in summary["tasks"]), default=0),
        samples=[(kind, numbers[kind], found) for kind, found in comparison.sample.items() if found],
    )
