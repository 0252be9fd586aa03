"""
A comparison as a report to read: Markdown or HTML, with a chart of the tasks before and after. No I/O.

Task names and sentences are data: whatever they hold, they are shown and never taken for markup. A report loads nothing.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.compare.comparison import ADDED, KINDS, MOVED, SAMPLE_SIZE, Change, Comparison
from airflow_provider_koreai.exceptions import KoreAIConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    ReportWriter = Callable[[Comparison, int, Sequence[str]], str]

# Characters of a task name or sentence that are shown.
_SHOWN = 160
_LABEL = 26
_BAR = 20
# Control characters, and those that would turn the text around them the other way.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_MARKUP = re.compile(r"([!-/:-@\[-`{-~])")
_HARMLESS = re.compile(r"\\([,'?!;()%=/-])")
_FIGURES = ("before", "after", "added", "removed", "moved_in", "moved_out")
_HEADINGS = ("before", "after", "added", "removed", "moved in", "moved out")
_BEFORE_COLOR, _AFTER_COLOR, _TEXT_COLOR = "#9aa7b1", "#1f7a5c", "#6b7680"
_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:1rem 0}th,td{padding:.25rem .6rem;border-bottom:1px solid #ccc;"
    "text-align:left;overflow-wrap:anywhere}td.n,th.n{text-align:right;white-space:nowrap}"
    ".exceeded{border-left:4px solid #b3261e;padding-left:.8rem}"
)
# Nothing is loaded and nothing runs, also if a mistake were made elsewhere.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def report_writer(path: str) -> ReportWriter:
    """
    Give what writes a report.

    :param path: where it will go; its suffix says in which format.
    :return: takes the comparison, how many tasks and languages to name, and which limits it exceeds.
    :raises KoreAIConfigurationError: the suffix is another.
    """
    name = str(path).lower()
    if name.endswith((".md", ".markdown")):
        return markdown_report
    if name.endswith((".html", ".htm")):
        return html_report
    raise KoreAIConfigurationError(f"report_path={path!r:.200} ends neither in .md nor in .html.")


def markdown_report(comparison: Comparison, top: int, exceeded: Sequence[str] = ()) -> str:
    """
    Write a report as Markdown (GitHub's, for the tables).

    :param comparison: the comparison.
    :param top: how many tasks, and languages, to name.
    :param exceeded: the limits that it exceeds. Default none.
    """
    summary = comparison.summary(top)
    lines = ["# Changed utterances", "", *_markdown_sources(summary), ""]
    lines += [f"> **Too much has changed:** {_markdown(text)}" for text in exceeded]
    lines += [""] if exceeded else []
    lines += [_headline(summary), "", "## Tasks", ""]
    most = _most(summary["tasks"])
    lines += [f"| task | {' | '.join(_HEADINGS)} | before, after |", f"| --- |{' ---: |' * 6} --- |"]
    for entry in summary["tasks"]:
        bars = "<br>".join(f"`{_bar(entry[name], most)}`" for name in ("before", "after"))
        lines.append(f"| {_markdown(_name(entry))} | {_markdown_figures(entry)} | {bars} |")
    lines += ["", "## Languages", ""]
    lines += [f"| language | {' | '.join(_HEADINGS)} |", f"| --- |{' ---: |' * 6}"]
    lines += [f"| {_markdown(_name(entry))} | {_markdown_figures(entry)} |" for entry in summary["languages"]]
    for kind, changes in _samples(comparison):
        lines += ["", f"## {_sample_title(comparison, kind)}", "", "| task | sentence | language |"]
        lines.append("| --- | --- | --- |")
        lines += [f"| {' | '.join(map(_markdown, _sample_cells(change)))} |" for change in changes]
    return "\n".join(lines) + "\n"


def html_report(comparison: Comparison, top: int, exceeded: Sequence[str] = ()) -> str:
    """
    Write a report as one HTML page, with the chart as inline SVG.

    :param comparison: the comparison.
    :param top: how many tasks, and languages, to name.
    :param exceeded: the limits that it exceeds. Default none.
    """
    summary = comparison.summary(top)
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>Changed utterances</title><style>{_STYLE}</style></head><body>",
        "<h1>Changed utterances</h1>",
        f"<p>Before: {_html(summary['before'] or 'nothing')}<br>After: {_html(summary['after'])}</p>",
    ]
    parts += [f'<p class="exceeded"><b>Too much has changed:</b> {_html(text)}</p>' for text in exceeded]
    parts += [f"<p>{_html(_headline(summary))}</p>", "<h2>Tasks</h2>", chart(summary["tasks"])]
    parts += [_html_table("task", summary["tasks"]), "<h2>Languages</h2>"]
    parts.append(_html_table("language", summary["languages"]))
    for kind, changes in _samples(comparison):
        rows = ("".join(f"<td>{_html(cell)}</td>" for cell in _sample_cells(change)) for change in changes)
        parts.append(
            f"<h2>{_html(_sample_title(comparison, kind))}</h2><table><tr><th>task<th>sentence<th>language</tr>"
            f"{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"
        )
    return "\n".join([*parts, "</body></html>"]) + "\n"


def chart(entries: Sequence[dict[str, Any]]) -> str:
    """
    Draw how many utterances each task had before and has after, as SVG.

    :param entries: the ``tasks`` of a comparison's summary.
    """
    most = _most(entries)
    height = 40 + 34 * len(entries)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {height}" width="720" height="{height}" role="img" '
        'aria-label="Utterances of each task, before and after" font-family="system-ui,sans-serif" font-size="12">',
        _key(10, _BEFORE_COLOR, "before"),
        _key(90, _AFTER_COLOR, "after"),
    ]
    for index, entry in enumerate(entries):
        top = 34 + 34 * index
        label = _html(_cut(_name(entry), _LABEL))
        parts.append(f'<text x="190" y="{top + 17}" text-anchor="end" fill="{_TEXT_COLOR}">{label}</text>')
        for number, (name, color) in enumerate((("before", _BEFORE_COLOR), ("after", _AFTER_COLOR))):
            width = round(entry[name] / most * 430, 1)
            y = top + 13 * number
            parts.append(
                f'<rect x="200" y="{y}" width="{width}" height="11" fill="{color}"/>'
                f'<text x="{206 + width}" y="{y + 10}" fill="{_TEXT_COLOR}">{entry[name]:,}</text>'
            )
    return "".join([*parts, "</svg>"])


def _key(x: int, color: str, text: str) -> str:
    return (
        f'<rect x="{x}" y="8" width="11" height="11" fill="{color}"/>'
        f'<text x="{x + 17}" y="18" fill="{_TEXT_COLOR}">{text}</text>'
    )


def _html_table(label: str, entries: Sequence[dict[str, Any]]) -> str:
    head = "".join(f'<th class="n">{heading}</th>' for heading in _HEADINGS)
    rows = "".join(
        f"<tr><td>{_html(_name(entry))}</td>"
        + "".join(f'<td class="n">{entry[name]:,}</td>' for name in _FIGURES)
        + "</tr>"
        for entry in entries
    )
    return f"<table><tr><th>{label}</th>{head}</tr>{rows}</table>"


def _markdown_sources(summary: dict[str, Any]) -> list[str]:
    before = _markdown(summary["before"] or "nothing")
    return [f"- before: {before}", f"- after: {_markdown(summary['after'])}"]


def _markdown_figures(entry: dict[str, Any]) -> str:
    return " | ".join(f"{entry[name]:,}" for name in _FIGURES)


def _headline(summary: dict[str, Any]) -> str:
    return (
        f"{summary['rows_before']:,} utterances before, {summary['rows_after']:,} after: {summary['added']:,} added, "
        f"{summary['removed']:,} removed ({summary['removed_fraction']:.2%}), {summary['moved']:,} moved to another "
        f"task, {summary['unchanged']:,} unchanged."
    )


def _name(entry: dict[str, Any]) -> str:
    if "others" in entry:
        return f"({entry['others']:,} {'other' if entry['others'] == 1 else 'others'})"
    return entry.get("task_name") or entry.get("language") or "(none)"


def _most(entries: Sequence[dict[str, Any]]) -> int:
    return max((max(entry["before"], entry["after"]) for entry in entries), default=0) or 1


def _bar(number: int, most: int) -> str:
    eighths = round(number / most * _BAR * 8)
    return ("█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8]).strip() or "·"


def _samples(comparison: Comparison) -> list[tuple[str, list[Change]]]:
    return [(kind, comparison.sample[kind]) for kind in KINDS if comparison.sample[kind]]


def _sample_title(comparison: Comparison, kind: str) -> str:
    total = comparison.total
    number = total.moved_in if kind == MOVED else total.added if kind == ADDED else total.removed
    return f"{kind.capitalize()}" + (f": {SAMPLE_SIZE} of {number:,}" if number > SAMPLE_SIZE else "")


def _sample_cells(change: Change) -> tuple[str, str, str]:
    row = change.row
    task = row.task_name or "(none)"
    if change.kind == MOVED:
        task = f"{change.previous_task_name or '(none)'} → {task}"
    return task, row.sentence, row.language


def _cut(text: str, length: int = _SHOWN) -> str:
    text = _UNSEEN.sub(" ", text)
    return text if len(text) <= length else text[: length - 1] + "…"


def _html(text: str) -> str:
    return html.escape(_cut(text, 2 * _SHOWN))


def _markdown(text: str) -> str:
    return _HARMLESS.sub(r"\1", _MARKUP.sub(r"\\\1", _cut(text, 2 * _SHOWN)))
