"""
A second thread that compresses, hashes and writes, while the first one receives and checks.

This way round, because hashing, compressing and writing let the other thread run, and checking does not.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_koreai.storage.compression import Compressor
    from airflow_provider_koreai.storage.staging import Staging

# Pieces that may wait, each of at most two mebibytes and a bit: they bridge a stall of either side.
_DEPTH = 3


class Writer:
    """Takes pieces in order and stores them. An error comes out with a later piece, or at the end."""

    def __init__(self, staging: Staging, compressor: Compressor | None) -> None:
        self.size = 0
        self._staging = staging
        self._compressor = compressor
        self._hasher = hashlib.sha256()
        self._queue: queue.Queue[bytes | None] = queue.Queue(_DEPTH)
        self._error: BaseException | None = None
        self._is_abandoned = False
        self._thread = threading.Thread(target=self._run, name="koreai-download", daemon=True)
        self._thread.start()

    @property
    def sha256(self) -> str:
        """Hash of what is stored; final after :meth:`finish`."""
        return self._hasher.hexdigest()

    def put(self, data: bytes) -> None:
        """Hand over a piece."""
        self._raise()
        self._queue.put(data)

    def finish(self) -> None:
        """Wait until everything is stored."""
        self._end()
        self._raise()
        if self._compressor is not None:
            self._store(self._compressor.flush())

    def abandon(self, timeout: float | None = None) -> None:
        """Drop what is still to be stored and end the thread, also if this is interrupted; wait ``timeout`` seconds at most."""
        self._is_abandoned = True
        with suppress(queue.Empty):
            while True:
                self._queue.get_nowait()
        self._end(timeout)

    def _end(self, timeout: float | None = None) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join(timeout)

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        # After an error the queue is still emptied, so that the other thread never waits for room in vain.
        while (data := self._queue.get()) is not None:
            if self._error is not None or self._is_abandoned:
                continue
            try:
                self._store(data if self._compressor is None else self._compressor.compress(data))
            except BaseException as error:  # noqa: BLE001 - handed to the other thread, which raises it
                self._error = error

    def _store(self, data: bytes) -> None:
        if data:
            self._hasher.update(data)
            self._staging.write(data)
            self.size += len(data)
