"""A link that works now: asked for just before it is used, and again when it has expired."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from airflow_provider_koreai.exceptions import KoreAIDownloadError, KoreAIError, KoreAIExportTimeoutError
from airflow_provider_koreai.jobs.export import describe
from airflow_provider_koreai.jobs.waiting import Wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_koreai.jobs.export import Export, ExportWatch
    from airflow_provider_koreai.version_compat import Log

# Seconds.
LINK_POLL_INTERVAL = 10.0
EMPTY_LINK_PAUSE = 1.0


class FreshLinks:
    """Asks the status call for the export and its link."""

    def __init__(
        self, get_export: Callable[[], Export], watch: ExportWatch, link_wait: float, log: Log
    ) -> None:
        self._get_export = get_export
        self._watch = watch
        self._link_wait = link_wait
        self._log = log
        self._known: Export | None = None

    def first(self) -> Export:
        """Return the finished export with its link; once :meth:`renew` has found another export, that one."""
        known, self._known = self._known, None
        return known or self._await()

    def renew(self, export: Export) -> Export | None:
        """Return the same export with a new link, or None if another export has taken its place."""
        fresh = self._await()
        if (fresh.request_id, fresh.requested_time, fresh.file_type) == (
            export.request_id,
            export.requested_time,
            export.file_type,
        ):
            return fresh
        self._known = fresh
        return None

    def _await(self) -> Export:
        deadline = time.time() + self._link_wait
        wait = Wait(self._watch, poll_interval=LINK_POLL_INTERVAL, deadline=deadline, timeout=self._link_wait)
        problem = ""
        while not problem:
            try:
                export = self._get_export()
                error: KoreAIError | None = None
            except KoreAIError as caught:
                error = caught
            try:
                done, delay = wait.answered(export) if error is None else (None, wait.failed(error))
            except KoreAIExportTimeoutError as timeout:
                problem = str(timeout)
                continue
            if done is not None:
                if done.download_url:
                    return done
                delay = min(EMPTY_LINK_PAUSE, deadline - time.time())
                if delay <= 0:
                    problem = (
                        f"The export of bot {self._watch.bot_id} {describe(done.identity)} is done, but the status "
                        f"call gave no download link within {self._link_wait:g} seconds."
                    )
                    continue
            time.sleep(delay)
        raise KoreAIDownloadError(problem)
