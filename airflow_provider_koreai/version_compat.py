"""
What common-compat has only since 1.23, which needs Python 3.11: the same for Python 3.10.

To be removed when Python 3.10 is no longer supported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection, ResumableJobMixin
else:
    try:
        from airflow.providers.common.compat.sdk import ResumableJobMixin
    except (ImportError, AttributeError):
        try:
            from airflow.sdk import ResumableJobMixin
        except (ImportError, AttributeError):

            class ResumableJobMixin:
                """Before 3.3, Airflow stores nothing to resume a job from, so this is never called."""


async def get_async_extra_dejson(connection: Connection) -> dict[str, Any]:
    """Return a connection's extra without blocking the event loop."""
    try:
        from airflow.providers.common.compat.connection import get_async_extra_dejson as from_compat
    except ImportError:
        from asgiref.sync import sync_to_async

        return await sync_to_async(lambda: connection.extra_dejson)()
    return await from_compat(connection)


__all__ = ["ResumableJobMixin", "get_async_extra_dejson"]


class Log(Protocol):
    """A logger of the standard library or of Airflow."""

    def info(self, event: str, /, *args: Any) -> Any: ...
    def warning(self, event: str, /, *args: Any) -> Any: ...
