"""
Read a task's arguments after rendering. Each is refused by its own name.

None and ``""`` both mean that an argument was not given, as a template cannot render to None; :func:`names` alone tells
them apart.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.exceptions import KoreAIConfigurationError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

FILE_TYPES = ("csv", "json")


def choice(name: str, value: object, accepted: tuple[str, ...]) -> str:
    """Return the accepted value that an argument names, in any case."""
    if isinstance(value, str) and value.strip().lower() in accepted:
        return value.strip().lower()
    raise KoreAIConfigurationError(f"{name}={value!r:.80} is not accepted; use one of {', '.join(accepted)}.")


def refuse_literals(**arguments: tuple[object, tuple[str, ...]]) -> None:
    """
    Check, while the DAG is parsed, the arguments that are already known: plain strings without a template.

    :param arguments: for each name its value and the accepted values.
    """
    for name, (value, accepted) in arguments.items():
        if isinstance(value, str) and value.strip() and "{{" not in value and "{%" not in value:
            choice(name, value, accepted)


def file_type_argument(value: object) -> str | None:
    """Return ``csv``, ``json``, or None for any."""
    return None if value is None or value == "" else choice("file_type", value, FILE_TYPES)


def names(name: str, value: object) -> list[str] | None:
    """
    Return the names in a list, or in a text with commas between them, each once; None if the argument was not given.

    An empty list or text, such as the output of a task that found none, names none: not all, as None may.
    """
    if value is None:
        return None
    parts = value.split(",") if isinstance(value, str) else value
    # A list that a template rendered to text has brackets and quotes.
    if not isinstance(parts, Iterable) or not all(
        isinstance(p, str) and not re.search(r"[\[\]'\"]", p) for p in parts
    ):
        raise KoreAIConfigurationError(
            f"{name}={value!r:.80} is not accepted; use a list of texts, or one text with commas between them."
        )
    return list(dict.fromkeys(part.strip() for part in parts if part.strip()))


def language_code(value: object) -> str:
    """Return a language code."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z]{2,3}([_-][A-Za-z0-9]{1,8})*", value.strip()):
        return value.strip()
    raise KoreAIConfigurationError(f"language={value!r:.40} is not accepted; use a code such as en.")


def whole_number(name: str, value: Any, least: int = 0) -> int | None:
    """Return a whole number from ``least`` up, which a template may have rendered as text."""
    if value is None or value == "":
        return None
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = least - 1
    if isinstance(value, (bool, float)) or number < least:
        raise KoreAIConfigurationError(
            f"{name}={value!r:.40} is not accepted; use a whole number from {least} up."
        )
    return number


def fraction(name: str, value: Any) -> float | None:
    """Return a number from 0 to 1."""
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not 0 <= number <= 1:
        raise KoreAIConfigurationError(f"{name}={value!r:.40} is not accepted; use a number from 0 to 1.")
    return number


def seconds(name: str, value: Any) -> float:
    """Return seconds above 0, given as a number or a timedelta."""
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 < number < math.inf:
        raise KoreAIConfigurationError(
            f"{name}={value!r:.40} is not accepted; use seconds above 0, or a timedelta."
        )
    return float(number)


def parse_time(value: str | None) -> datetime | None:
    """Read a time in ISO 8601, in UTC where it names no offset; None where there is none that can be read."""
    if not value:
        return None
    if not re.match(r"\s*\d{4}-\d\d-\d\d", value):
        return None
    # Python 3.10's fromisoformat knows neither Z nor +0000, and fractions of three or six digits only.
    text = re.sub(r"[Zz]", "+00:00", value.strip())
    text = re.sub(r"(?<=:\d\d)[.,](\d+)", lambda found: f".{found[1]:0<6.6}", text)
    text = re.sub(r"(:\d\d(?:\.\d+)?[+-]\d\d)(\d\d)?$", lambda found: f"{found[1]}:{found[2] or '00'}", text)
    try:
        parsed = datetime.fromisoformat(text)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def point_in_time(name: str, value: object) -> datetime:
    """Return a time in UTC, given as a date, a time, or a text of one in ISO 8601."""
    text = as_text(value)
    found = parse_time(text) if isinstance(text, str) else None
    if found is None:
        raise KoreAIConfigurationError(
            f"{name}={value!r:.80} is not accepted; use a date or a time, for example 2026-11-25, "
            "2026-11-25T06:00:00+00:00 or '{{ ts }}'."
        )
    return found


def as_text(value: object) -> object:
    """Write a date or a time in ISO 8601, for a trigger's row, and leave anything else as it is."""
    return value.isoformat() if isinstance(value, date) else value


def time_of_run(context: Context) -> Any:
    """Return the logical date of a run or, where it has none, the time from which it may run."""
    run = context["dag_run"]
    # A run that was triggered by hand, or by an asset, may have no logical date on Airflow 3.
    return getattr(run, "logical_date", None) or getattr(run, "run_after", None)
