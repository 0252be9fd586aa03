"""
HTML reports: pages that load nothing and run nothing. No I/O but reading the templates.

A report is a template that extends ``base.html.jinja`` and draws with the macros of ``parts.html.jinja``. Task names,
sentences and the like are data: jinja2 escapes them, and ``shown`` removes what would confuse the page.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.exceptions import KoreAIConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

# Control characters, and those that would reverse the direction of the text around them.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def check_report_path(path: str) -> None:
    """Refuse a path that does not end in ``.html`` or ``.htm``."""
    if not str(path).lower().endswith((".html", ".htm")):
        raise KoreAIConfigurationError(
            f"report_path={path!r:.200} does not end in .html. The report is an HTML page."
        )


def html_page(template: str, **values: Any) -> bytes:
    """Fill a template of this wing, by its name."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("airflow_provider_koreai.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "moment": _moment,
        "name": _name,
        "number": "{:,}".format,
        "percent": "{:.2%}".format,
        "points": points,
        "shown": shown,
        "signed": _signed,
    }
    # A JSON export may hold unpaired surrogates, which UTF-8 cannot express.
    return environment.get_template(template).render(values).encode("utf-8", "replace")


def points(values: Sequence[int], times: Sequence[datetime]) -> list[tuple[int, int]]:
    """Place values on a field of 300 by 60, the highest on top; a change of a few in a hundred stays a small one."""
    low, high = min(values), max(values)
    room = max(high - low, high * 0.05, 1)
    began, span = times[0], (times[-1] - times[0]).total_seconds() or 1
    return [
        (round((time - began).total_seconds() / span * 300), round(60 - (value - low) / room * 60))
        for value, time in zip(values, times, strict=True)
    ]


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d}" if (time.hour, time.minute) == (0, 0) else f"{time:%Y-%m-%d %H:%M}"


def _signed(number: int) -> str:
    return f"{number:+,}".replace("-", "\N{MINUS SIGN}") if number else "0"


def _name(entry: dict[str, Any]) -> str:
    """Name an entry that a ranking made, see ``compare.comparison.ranked``."""
    if "others" in entry:
        return f"({entry['others']:,} {'other' if entry['others'] == 1 else 'others'})"
    return str(entry.get("task_name") or entry.get("language") or "")


def shown(text: str, length: int = 320) -> str:
    """Cut a long text, and replace what is invisible or would turn the text around it."""
    text = _UNSEEN.sub(" ", text)
    return text if len(text) <= length else f"{text[: length - 1]}…"
