"""
One export's file in as many attempts as it takes.

A dropped connection is continued where it broke off if the server can prove that the file is still the same, and an
expired link is renewed if it is still the same export; otherwise the download starts again from the first byte.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from airflow_provider_koreai import metrics
from airflow_provider_koreai.download.staged_file import size_text
from airflow_provider_koreai.download.transfer import Trouble
from airflow_provider_koreai.exceptions import KoreAIDownloadError
from airflow_provider_koreai.jobs.export import describe
from airflow_provider_koreai.redaction import without_locals

if TYPE_CHECKING:
    from airflow_provider_koreai.download.fresh_link import FreshLinks
    from airflow_provider_koreai.download.staged_file import StagedFile
    from airflow_provider_koreai.download.transfer import LinkClient
    from airflow_provider_koreai.jobs.export import Export
    from airflow_provider_koreai.version_compat import Log

# Attempts in a row that brought nothing new, and attempts in all.
MAX_VAIN_ATTEMPTS = 5
MAX_ATTEMPTS = 200
# Seconds. The last one is for a server that asks for a pause: the task holds a worker slot meanwhile.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 20.0
LONGEST_ASKED_PAUSE = 120.0


class Attempts:
    """Gets one export's bytes into a staged file, in as many attempts as it takes."""

    def __init__(
        self, client: LinkClient, links: FreshLinks, export: Export, file: StagedFile, log: Log
    ) -> None:
        self._client = client
        self._links = links
        self._export = export
        self._file = file
        self._log = log

    def run(self) -> bool:
        """Return False if another export has taken this one's place; raise KoreAIDownloadError when it is no use."""
        vain = attempt = 0
        while True:
            attempt += 1
            ground = self._file.farthest
            with without_locals():
                trouble = self._attempt()
            if trouble is None:
                return True
            vain = 0 if self._file.farthest > ground else vain + 1
            if vain >= MAX_VAIN_ATTEMPTS or attempt == MAX_ATTEMPTS:
                break
            pause = self._pause(trouble, vain)
            metrics.retried(self._export.bot_id, "download")
            self._log.warning(
                "The download of the export of bot %s was interrupted after %s: %s. %s in %.1f s.",
                self._export.bot_id,
                size_text(self._file.received.offset),
                trouble.reason,
                "Asking for a fresh link" if trouble.renew else "Trying again",
                pause,
            )
            if trouble.restart:
                self._file.restart()
            time.sleep(pause)
            if trouble.renew:
                fresh = self._links.renew(self._export)
                if fresh is None:
                    return False
                self._export = fresh
        raise KoreAIDownloadError(
            f"The file of the export of bot {self._export.bot_id} {describe(self._export.identity)} could not be "
            f"downloaded: {trouble.reason}, after {attempt} attempts. Nothing was published."
        )

    def _attempt(self) -> Trouble | None:
        body = self._client.open(self._export.download_url or "", self._file.received)
        if isinstance(body, Trouble):
            return body
        try:
            return self._file.take(body)
        finally:
            body.close()

    def _pause(self, trouble: Trouble, vain: int) -> float:
        longest = min(FIRST_PAUSE * 2.0 ** max(vain - 1, 0), LONGEST_PAUSE)
        backoff = longest * (0.5 + 0.5 * random.random())  # noqa: S311 - spreads retries
        return max(backoff, min(trouble.retry_after or 0.0, LONGEST_ASKED_PAUSE))
