"""The bytes of an export on their way from an answer's body to the staged file."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from airflow_provider_koreai.download.transfer import Body, Received, Trouble
from airflow_provider_koreai.download.writer import Writer
from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIDownloadError
from airflow_provider_koreai.storage.compression import compressor_factory
from airflow_provider_koreai.utterances.checks import ContentError, check_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_koreai.storage.staging import Staging
    from airflow_provider_koreai.version_compat import Log

# Seconds.
PROGRESS_INTERVAL = 10.0
# How long a download that ends early waits for a write that is under way: a task that is stopped has little time.
LONGEST_FAREWELL = 0.5
# Small reads (TLS gives 16 KiB at a time) are gathered up to this before they are written and checked.
_GATHER = 256 << 10


class StagedFile:
    """What an answer's body becomes: counted and checked in this thread, hashed and written in another."""

    def __init__(
        self,
        staging: Staging,
        *,
        file_type: str,
        compression: str | None,
        max_bytes: int | None,
        log: Log,
    ) -> None:
        self._staging = staging
        self._file_type = file_type
        self._make_compressor = compressor_factory(compression) if compression else None
        self._max_bytes = max_bytes
        self._log = log
        self.farthest = 0
        self._begin()

    def _begin(self) -> None:
        self.received = Received()
        self._check = check_for(self._file_type)
        self._writer = Writer(self._staging, self._make_compressor() if self._make_compressor else None)
        self._progress = _Progress(self._log)

    @property
    def rows(self) -> int:
        """Utterances so far."""
        return self._check.rows

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of a CSV file."""
        return getattr(self._check, "header", None) or ()

    @property
    def stored(self) -> int:
        """Bytes of the stored file."""
        return self._writer.size

    @property
    def sha256(self) -> str:
        """Hash of the stored file."""
        return self._writer.sha256

    def restart(self) -> None:
        """Forget what was received."""
        self._writer.abandon()
        self._staging.restart()
        self._begin()

    def take(self, body: Body) -> Trouble | None:
        """
        Take in the whole file or its rest; return None once it has come to its end, otherwise why it has not.

        Content that is not what it should be, or too much of it, raises an error at once.
        """
        if body.start == 0 and self.received.offset:
            self.restart()  # the server sent the whole file again: it has changed, or cannot be continued
        if not body.is_end_certain and not body.validator and self._file_type == "csv":
            # A JSON array shows its own end; a CSV file that was cut between two rows looks whole. Perhaps the answer's
            # head was cut, and the next one is better.
            return Trouble("the server does not say how long the file is, so a part of it would look whole")
        self.received = Received(self.received.offset, body.total, body.validator)
        self._refuse_if_too_long(body.total or 0)
        pieces: list[bytes] = []
        gathered = 0
        while True:
            piece = body.read()
            if isinstance(piece, bytes) and piece:
                pieces.append(piece)
                gathered += len(piece)
                if gathered < _GATHER:
                    continue
            if gathered:
                self._add(pieces[0] if len(pieces) == 1 else b"".join(pieces))
                pieces, gathered = [], 0
            if isinstance(piece, Trouble):
                return piece
            if not piece:
                return self._end_of(body)

    def complete(self, name: str, min_rows: int | None) -> None:
        """Check the end, and that there are at least ``min_rows``; ``name`` is the file's, for the message."""
        self._checked(self._check.finish)
        self._writer.finish()
        if min_rows is not None and self.rows < min_rows:
            raise KoreAIDownloadError(
                f"{self.rows} utterances are fewer than min_rows={min_rows}, so {name!r} was not written."
            )

    def publish(self) -> None:
        """Make the file appear under its name."""
        self._staging.publish()

    def discard(self) -> None:
        """Leave nothing behind, unless it was published."""
        try:
            self._writer.abandon(LONGEST_FAREWELL)
        finally:
            self._staging.discard()

    def _end_of(self, body: Body) -> Trouble | None:
        total = self.received.total
        if total is not None and self.received.offset != total:
            return Trouble("the connection ended early")
        if not body.is_end_certain and (self._file_type == "csv" or not self.received.offset):
            return Trouble("the server did not say whether that was all")  # the next attempt asks for more
        return None

    def _add(self, data: bytes) -> None:
        offset = self.received.offset + len(data)
        self._refuse_if_too_long(offset)
        self._writer.put(data)
        self._checked(lambda: self._check.feed(data))
        self.received = Received(offset, self.received.total, self.received.validator)
        self.farthest = max(self.farthest, offset)
        self._progress.log(offset, self.received.total)

    def _checked(self, step: Callable[[], None]) -> None:
        try:
            step()
            return
        except ContentError as error:
            problem = str(error)
        # Without its cause: the variables of that traceback hold the content, which may be a page with a link.
        raise KoreAIDownloadError(
            f"What was downloaded is not the {self._file_type.upper()} file of an export: {problem}. "
            "Nothing was published."
        )

    def _refuse_if_too_long(self, size: int) -> None:
        if self._max_bytes is not None and size > self._max_bytes:
            raise KoreAIConfigurationError(
                f"The export's file has at least {size} bytes; max_bytes={self._max_bytes}. Nothing was published."
            )


class _Progress:
    """Logs how far a download has come, every :data:`PROGRESS_INTERVAL` seconds."""

    def __init__(self, log: Log) -> None:
        self._logger = log
        self._time = time.monotonic()
        self._offset = 0

    def log(self, offset: int, total: int | None) -> None:
        """Log it if it is time; ``total`` is None if unknown."""
        now = time.monotonic()
        if now - self._time < PROGRESS_INTERVAL:
            return
        rate = (offset - self._offset) / (now - self._time)
        self._logger.info(
            "Downloaded %s%s, %s/s.",
            size_text(offset),
            f" of {size_text(total)}" if total else "",
            size_text(int(rate)),
        )
        self._time, self._offset = now, offset


def size_text(count: int) -> str:
    """Return a number of bytes in a unit that suits it."""
    size, unit = float(count), "bytes"
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{count} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
