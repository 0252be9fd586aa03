"""A second thread that hashes and checks what the first one has received, while that one receives more."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.content import ContentError

if TYPE_CHECKING:
    from airflow_provider_koreai.content import Check

# Pieces that may wait, each at most a mebibyte: what a stall of either side is bridged with.
_DEPTH = 6
# Hashing lets the other thread run, checking does not: by turns in small steps, neither waits long for the other.
SLICE = 128 << 10


class Digestion:
    """
    Takes pieces in order; what it finds comes out with a later piece, or at the end.

    :param check: looks at the content.
    :param hasher: hashes the same bytes; None if what is stored is hashed elsewhere.
    """

    def __init__(self, check: Check, hasher: Any | None) -> None:
        self.check = check
        self._hasher = hasher
        self._queue: queue.Queue[bytes | None] = queue.Queue(_DEPTH)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="koreai-download-check", daemon=True)
        self._thread.start()

    def feed(self, data: bytes) -> None:
        """
        Hand over a piece.

        :param data: the piece.
        :raises ContentError: an earlier piece was wrong.
        """
        self._raise()
        self._queue.put(data)

    def finish(self) -> None:
        """
        Wait until all was looked at.

        :raises ContentError: the content is wrong.
        """
        self._end()
        self._raise()
        self.check.finish()

    def abandon(self) -> None:
        """End the thread, whatever it has still to look at."""
        self._error = self._error or ContentError("abandoned")
        self._end()

    def _end(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        # After an error the queue is still emptied, so that the other thread never waits for room in vain.
        while (data := self._queue.get()) is not None:
            if self._error is not None:
                continue
            try:
                for start in range(0, len(data), SLICE):
                    piece = data[start : start + SLICE]
                    if self._hasher is not None:
                        self._hasher.update(piece)
                    self.check.feed(piece)
            except BaseException as error:  # noqa: BLE001 - handed to the other thread, which raises it
                self._error = error
