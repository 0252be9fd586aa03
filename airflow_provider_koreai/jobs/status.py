"""What the documents of all jobs have in common: the words for a status, percentages, status logs."""

from __future__ import annotations

import json
import math
from enum import Enum
from typing import Any

from airflow_provider_koreai.redaction import scrub


class JobStatus(str, Enum):
    """The status of a job. A word that this provider does not know is ``UNKNOWN``, and is waited on."""

    IN_PROGRESS = "IN_PROGRESS"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"

    @classmethod
    def parse(cls, word: str) -> JobStatus:
        """Read the service's word for a status, in any case."""
        return _WORDS.get(word.strip().casefold().replace(" ", "_"), cls.UNKNOWN)


# Outside the enum, or it would be one of its members. Each API has words of its own for the same things.
_WORDS = {
    **dict.fromkeys(
        ("in_progress", "inprogress", "pending", "queued", "accepted", "running"), JobStatus.IN_PROGRESS
    ),
    **dict.fromkeys(("success", "finished", "completed"), JobStatus.SUCCESS),
    **dict.fromkeys(("failed", "failure"), JobStatus.FAILED),
}


def number(value: Any) -> float | None:
    """Return a finite number that an answer may have written as a string."""
    try:
        read = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if isinstance(value, bool) or not math.isfinite(read) else read


def count(value: Any) -> int | None:
    """Return a whole number from 0 up that an answer may have written as a string."""
    read = number(value)
    return int(read) if read is not None and read >= 0 and read.is_integer() else None


def percent(value: Any) -> float | None:
    """Return a percentage."""
    read = number(value)
    return None if read is None or not 0 <= read <= 100 else read


def status_logs(value: Any) -> tuple[str, ...]:
    """Return ``statusLogs`` without secrets."""
    return tuple(_scrubbed(entry) for entry in value) if isinstance(value, list) else ()


def _scrubbed(entry: Any) -> str:
    return scrub(entry if isinstance(entry, str) else json.dumps(entry, ensure_ascii=False, default=str))
