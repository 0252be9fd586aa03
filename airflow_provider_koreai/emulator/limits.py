"""Rolling windows, as the vendor's rate limits have them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

MINUTE = 60.0
HOUR = 3600.0


class RollingWindows:
    """Counts calls per key; keys that were quiet for an hour are forgotten."""

    def __init__(self) -> None:
        self._calls: dict[Hashable, deque[float]] = {}
        self._swept = 0.0

    def admit(self, key: Hashable, now: float, limits: Iterable[tuple[float, int]]) -> float | None:
        """Count a call and return None, or return the seconds that it must wait. Refused calls are not counted."""
        self._sweep(now)
        calls = self._calls.setdefault(key, deque())
        while calls and calls[0] <= now - HOUR:
            calls.popleft()
        wait = 0.0
        for seconds, allowed in limits:
            if allowed <= 0:
                wait = max(wait, seconds)
                continue
            if len(calls) >= allowed and calls[-allowed] > now - seconds:
                wait = max(wait, calls[-allowed] + seconds - now)
        if wait > 0:
            return wait
        calls.append(now)
        return None

    def _sweep(self, now: float) -> None:
        if 0 <= now - self._swept < MINUTE:
            return
        self._swept = now
        quiet = [key for key, calls in self._calls.items() if not calls or calls[-1] <= now - HOUR]
        for key in quiet:
            del self._calls[key]
