"""Keeps secrets out of texts, logs and tracebacks."""

from __future__ import annotations

import logging
import re
import traceback
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# The loggers of the HTTP libraries that print URLs.
_LOGGERS = (
    "httpx",
    "requests",
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.poolmanager",
    "urllib3.response",
    "urllib3.util.retry",
)
# Of this thread or asyncio task.
_is_quiet: ContextVar[bool] = ContextVar("koreai_is_quiet", default=False)


def scrub(text: str) -> str:
    """Return somebody else's text without tokens, URL queries (a link's signature) and IDs of uploaded files."""
    # A token may have been cut off in the middle.
    text = re.sub(r"eyJ[\w-]{12,}(?:\.[\w-]*)*", "<token>", text)
    text = re.sub(r"\b[0-9a-f]{24}\b", "<file ID>", text)
    return re.sub(r"\?[^\s\"'<>=]*=[^\s\"'<>]*", "?...", text)


@contextmanager
def without_locals() -> Iterator[None]:
    """Empty the variables of the functions that an error comes from: error trackers send them, tokens and keys included."""
    try:
        yield
    except BaseException as error:
        seen: list[BaseException] = []
        current: BaseException | None = error
        while current is not None and current not in seen:
            seen.append(current)
            traceback.clear_frames(current.__traceback__)
            current = current.__cause__ or current.__context__
        raise


@contextmanager
def quiet_http_logs() -> Iterator[None]:
    """Keep the HTTP libraries from logging what this thread or task asks for: they print URLs, at INFO and DEBUG."""
    for name in _LOGGERS:
        # The filters stay: removing one may let another thread's logger skip the filter after it.
        logging.getLogger(name).addFilter(_is_not_quiet)
    token = _is_quiet.set(True)
    try:
        yield
    finally:
        _is_quiet.reset(token)


def _is_not_quiet(_: logging.LogRecord) -> bool:
    return not _is_quiet.get()
