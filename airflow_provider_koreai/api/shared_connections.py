"""
What the waits of one triggerer know of their connections: looked up once for all of them, and again after a minute.

Without this, each wait would ask the secrets backend for itself, one after the other.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airflow_provider_koreai.api.client import FileStamp
    from airflow_provider_koreai.api.settings import ConnectionSettings
    from airflow_provider_koreai.api.tokens import TokenSigner
    from airflow_provider_koreai.version_compat import Log

# Seconds for which a look-up counts.
LIFETIME = 60.0


@dataclass(frozen=True)
class Known:
    """A connection's settings, what signs its tokens, and which content of its CA file was read."""

    settings: ConnectionSettings
    signer: TokenSigner
    ca_stamp: FileStamp | None


@dataclass
class _Entry:
    known: Known | None = None
    until: float = 0.0
    look_up: asyncio.Task[Known] | None = None


_entries: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Entry]] = (
    weakref.WeakKeyDictionary()
)


async def shared(
    conn_id: str, read: Callable[[], Awaitable[Known]], log: Log, *, refused: Known | None = None
) -> Known:
    """
    Return what the running event loop knows of a connection, or look it up; simultaneous look-ups are joined.

    :param read: makes one look-up.
    :param refused: what Kore.ai has just refused, so that something newer is wanted.
    """
    entry = _entries.setdefault(asyncio.get_running_loop(), {}).setdefault(conn_id, _Entry())
    is_wanted = entry.known is not refused
    if entry.known is not None and is_wanted and time.monotonic() < entry.until:
        return entry.known
    if entry.look_up is None:
        entry.look_up = asyncio.ensure_future(_look_up(entry, read))
        entry.look_up.add_done_callback(_mark_as_seen)
    try:
        # A wait that is cancelled must not cancel the look-up of the others.
        return await asyncio.shield(entry.look_up)
    except Exception as error:
        if entry.known is None or not is_wanted:
            raise
        # A running wait does not end because the secrets backend is away for a moment.
        log.warning(
            "Connection %r could not be read again (%s); going on with what was known of it.",
            conn_id,
            type(error).__name__,
        )
        entry.until = time.monotonic() + LIFETIME
        return entry.known


async def _look_up(entry: _Entry, read: Callable[[], Awaitable[Known]]) -> Known:
    try:
        entry.known = await read()
        entry.until = time.monotonic() + LIFETIME
        return entry.known
    finally:
        entry.look_up = None


def _mark_as_seen(task: asyncio.Task[Known]) -> None:
    # Otherwise asyncio complains about an error that nobody was left to hear of.
    if not task.cancelled():
        task.exception()
