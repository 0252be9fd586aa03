"""
A comparison as one HTML page, with a chart of the tasks before and after. No I/O but reading the template.

Task names and sentences are data: jinja2 escapes them, and the page loads nothing and runs nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.compare.comparison import ADDED, MOVED, REMOVED, Comparison
from airflow_provider_koreai.exceptions import KoreAIConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

_COLUMNS = ("before", "after", "added", "removed", "moved_in", "moved_out")
# Control characters, and those that would reverse the direction of the text around them.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def check_report_path(path: str) -> None:
    """Refuse a path that does not end in ``.html`` or ``.htm``."""
    if not str(path).lower().endswith((".html", ".htm")):
        raise KoreAIConfigurationError(
            f"report_path={path!r:.200} does not end in .html. The report is an HTML page."
        )


def html_report(comparison: Comparison, top: int, exceeded: Sequence[str] = (), bot_id: str = "") -> str:
    """
    Write the report.

    :param top: the number of tasks, and of languages, to name.
    :param exceeded: what exceeds a limit, in words.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("airflow_provider_koreai.compare", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"name": _name, "shown": _shown}
    summary, total = comparison.summary(top), comparison.total
    numbers = {ADDED: total.added, REMOVED: total.removed, MOVED: total.moved_in}
    return environment.get_template("report.html.jinja").render(
        summary=summary,
        bot_id=bot_id,
        exceeded=exceeded,
        columns=_COLUMNS,
        most=max((max(entry["before"], entry["after"]) for entry in summary["tasks"]), default=0) or 1,
        samples=[(kind, numbers[kind], found) for kind, found in comparison.sample.items() if found],
    )


def _name(entry: dict[str, Any]) -> str:
    if "others" in entry:
        return f"({entry['others']:,} {'other' if entry['others'] == 1 else 'others'})"
    return entry.get("task_name") or entry.get("language") or "(none)"


def _shown(text: str, length: int = 320) -> str:
    text = _UNSEEN.sub(" ", text)
    return text if len(text) <= length else f"{text[: length - 1]}…"
