"""
What common-compat offers from 1.23 on only, which needs Python 3.11: the same for Python 3.10.

Remove this module together with Python 3.10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection, Context, ResumableJobMixin
else:
    try:
        from airflow.providers.common.compat.sdk import ResumableJobMixin
    except (ImportError, AttributeError):
        try:
            from airflow.sdk import ResumableJobMixin
        except (ImportError, AttributeError):

            class ResumableJobMixin:
                """Airflow before 3.3 keeps nothing to resume from: every try submits a new job."""

                external_id_key: str = "remote_job_id"

                def execute_resumable(self, context: Context) -> Any:
                    """
                    Submit a job and wait for it.

                    :param context: Airflow's.
                    """
                    external_id = self.submit_job(context)
                    self.poll_until_complete(external_id, context)
                    return self.get_job_result(external_id, context)


async def get_async_extra_dejson(connection: Connection) -> dict[str, Any]:
    """
    Give a connection's extra, without blocking the event loop.

    :param connection: the connection.
    """
    try:
        from airflow.providers.common.compat.connection import get_async_extra_dejson as from_compat
    except ImportError:
        from asgiref.sync import sync_to_async

        return await sync_to_async(lambda: connection.extra_dejson)()
    return await from_compat(connection)


__all__ = ["ResumableJobMixin", "get_async_extra_dejson"]


class Log(Protocol):
    """What is logged to: the standard library's logger, or Airflow's."""

    def info(self, event: str, /, *args: Any) -> Any: ...
    def warning(self, event: str, /, *args: Any) -> Any: ...
