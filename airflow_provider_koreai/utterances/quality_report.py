"""A check of utterances as one HTML page: a bar for each task, the worst findings of each kind, languages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_koreai.reports.page import html_page
from airflow_provider_koreai.utterances.quality import (
    CONFLICT,
    DUPLICATE,
    MISSING_LANGUAGE,
    NEAR_CONFLICT,
    NUMBERS,
    THIN_TASK,
    UNUSABLE,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_koreai.utterances.quality import Quality

# Tasks that have a bar of their own; thin ones are also listed.
_MOST_BARS = 60
# What each kind is called, what it means, and what is shown of it.
_SECTIONS = (
    (CONFLICT, "Conflicts", "The same sentence in several tasks of one language.", "pair"),
    (
        NEAR_CONFLICT,
        "Near conflicts",
        "Sentences of different tasks that are at least {similarity:g} % alike.",
        "pair",
    ),
    (THIN_TASK, "Thin tasks", "Fewer than {min_per_task:,} different sentences in a language.", "task"),
    (MISSING_LANGUAGE, "Tasks that lack a language", "Other tasks have it.", "task"),
    (DUPLICATE, "Duplicates", "The same sentence again in its task and language.", "repeat"),
    (UNUSABLE, "Unusable sentences", "Kore.ai cannot train with them.", "sentence"),
)


def html_report(
    quality: Quality,
    min_per_task: int,
    similarity: float,
    exceeded: Sequence[str] = (),
    bot_id: str = "",
) -> bytes:
    """Draw the report; ``exceeded`` are the limits that are, in words."""
    sizes = {task: sum(counts.values()) for task, counts in quality.tasks.items()}
    order = sorted(sizes, key=lambda task: (-sizes[task], task))
    thin = {task for task, counts in quality.tasks.items() if any(n < min_per_task for n in counts.values())}
    named = {language for counts in quality.tasks.values() for language in counts}
    values = {"similarity": 100 * similarity, "min_per_task": min_per_task}
    return html_page(
        "quality.html.jinja",
        path=quality.path,
        bot_id=bot_id,
        numbers=quality.summary(),
        without_task=quality.without_task,
        exceeded=exceeded,
        left_out=quality.left_out,
        compared=quality.compared,
        min_per_task=min_per_task,
        bars=[(task, sizes[task], task in thin) for task in order[:_MOST_BARS]],
        others=len(order[_MOST_BARS:]),
        most=max(sizes.values(), default=0),
        languages=[
            (
                language,
                sum(counts[language] for counts in quality.tasks.values()),
                sum(language in counts for counts in quality.tasks.values()),
                quality.found_in[language],
            )
            for language in sorted(named)
        ],
        sections=[
            (kind, title, text.format_map(values), form, quality.found[kind], quality.worst(kind))
            for kind, title, text, form in _SECTIONS
            if quality.found[kind]
        ],
        kinds=[
            (kind, f"#{name.replace('_', ' ')}")
            for kind, name in NUMBERS.items()
            if kind != NEAR_CONFLICT or quality.is_compared
        ],
    )
