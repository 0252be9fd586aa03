"""
HTML reports: pages that load nothing and run nothing. No I/O but reading the templates.

A report is a template that extends ``base.html.jinja`` and draws with the macros of ``parts.html.jinja``. Task names,
sentences and the like are data: jinja2 escapes them, and ``shown`` removes what would confuse the page.
"""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_koreai.exceptions import KoreAIConfigurationError

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
        "name": _name,
        "shown": shown,
        "number": "{:,}".format,
        "percent": "{:.2%}".format,
    }
    # A JSON export may hold halves of surrogate pairs, which UTF-8 cannot express.
    return environment.get_template(template).render(values).encode("utf-8", "replace")


def _name(entry: dict[str, Any]) -> str:
    """Name an entry that a ranking made, see ``compare.comparison.ranked``."""
    if "others" in entry:
        return f"({entry['others']:,} {'other' if entry['others'] == 1 else 'others'})"
    return str(entry.get("task_name") or entry.get("language") or "")


def shown(text: str, length: int = 320) -> str:
    """Cut a long text, and replace what is invisible or would turn the text around it."""
    text = _UNSEEN.sub(" ", text)
    return text if len(text) <= length else f"{text[: length - 1]}…"
