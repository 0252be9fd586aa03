"""
From an export to its file: verified, and published whole or not at all.

One pass: this thread receives, counts and checks, a second one hashes and writes. What ends an attempt early is
met here: a dropped connection is continued where it broke off if the server can prove that the file is still
the same, an expired link is renewed if it is still the same export; else it begins again from the first byte.
"""

from __future__ import annotations

import logging
import random
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.arguments import file_type_argument, whole_number
from airflow_provider_koreai.download.storing import Storing
from airflow_provider_koreai.download.transfer import Body, LinkClient, Received, Trouble
from airflow_provider_koreai.exceptions import (
    KoreAIConfigurationError,
    KoreAIDownloadError,
    KoreAIError,
    KoreAIExportTimeoutError,
)
from airflow_provider_koreai.jobs.export import ExportIdentity, describe
from airflow_provider_koreai.jobs.waiting import Wait
from airflow_provider_koreai.redaction import without_locals
from airflow_provider_koreai.storage.compression import SUFFIXES, compression_argument, compressor_factory
from airflow_provider_koreai.storage.destination import destination_for
from airflow_provider_koreai.storage.paths import PathArgument
from airflow_provider_koreai.utterances.checks import ContentError, check_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_koreai.api.settings import ConnectionSettings
    from airflow_provider_koreai.jobs.export import Export, ExportWatch
    from airflow_provider_koreai.storage.staging import Destination, Staging
    from airflow_provider_koreai.version_compat import Log

# Attempts in a row that brought nothing new, and attempts in all.
MAX_VAIN_ATTEMPTS = 5
MAX_ATTEMPTS = 200
# Seconds.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 20.0
LONGEST_RETRY_AFTER = 120.0
LINK_POLL_INTERVAL = 10.0
EMPTY_LINK_PAUSE = 1.0
PROGRESS_INTERVAL = 10.0
_sleep = time.sleep
# Small reads (TLS gives 16 KiB at a time) are gathered up to this before they are written and handed over.
_GATHER = 1 << 20


@dataclass(frozen=True)
class DownloadResult:
    """
    What was downloaded.

    :param path: the file, as a task may open it: a path or a URL.
    :param bytes: its size as stored.
    :param rows: utterances in it.
    :param sha256: the hash of its bytes as stored.
    :param file_type: ``csv`` or ``json``.
    :param request_id: the export's request ID.
    :param requested_time: the export's requested time.
    :param bot_id: the bot.
    :param columns: the columns of a CSV file, in its order; empty for JSON.
    """

    path: str
    bytes: int
    rows: int
    sha256: str
    file_type: str
    request_id: str | None
    requested_time: str | None
    bot_id: str
    columns: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Give it as XCom carries it: an absent value is ``""``, because a None breaks rendering downstream."""
        values = asdict(self)
        del values["columns"]
        return {key: "" if value is None else value for key, value in values.items()}


def download_export(
    *,
    get_export: Callable[[], Export],
    watch: ExportWatch,
    settings: ConnectionSettings,
    path: str,
    file_type: str | None = None,
    storage_conn_id: str | None = None,
    min_rows: int | None = None,
    max_bytes: int | None = None,
    overwrite: bool = True,
    compression: str | None = None,
    link_wait: float = 60.0,
    log: Log | None = None,
) -> DownloadResult:
    """
    Download an export's file.

    :param get_export: makes one status call, with its own retries.
    :param watch: decides whether an answer speaks of the export that is wanted.
    :param settings: the connection: hosts that links may point at, CAs, timeout.
    :param path: a local path, or a URL that ObjectStoragePath understands. Ending in ``/`` it is a folder, and
        the file is named ``<bot_id>-<requested_time>.<csv|json>``.
    :param file_type: ``csv`` or ``json``; None: as the path's suffix says, else whatever the export is.
    :param storage_conn_id: the connection for an object store.
    :param min_rows: fewer utterances than this are an error. None: even none at all is right.
    :param max_bytes: a longer file, before compression, is an error.
    :param overwrite: whether a file that is there may be replaced; if not, that is found before downloading.
    :param compression: ``gzip`` or ``zstd``: store the file compressed. ``bytes`` and ``sha256`` of the result
        then describe the compressed file.
    :param link_wait: seconds to wait for the export to be done and to have a link.
    :param log: where progress and surprises are told.
    :raises KoreAIConfigurationError: an argument is wrong, the file exists and ``overwrite`` is False, the export
        has another file type, the link leads to a host that is not allowed. A retry would not help.
    :raises KoreAIExportFailedError: the export failed.
    :raises KoreAIExportSupersededError: a newer export took its place.
    :raises KoreAIDownloadError: anything else: no link in time, the file could not be fetched whole, is not what
        it claims to be or has too few rows, cannot be written. Nothing was published.
    """
    log = log or logging.getLogger(__name__)
    argument = PathArgument.parse(path)
    packing = compression_argument(compression)
    wanted = _wanted_type(argument, file_type_argument(file_type), packing)
    watch.expect_type(wanted)
    min_rows = whole_number("min_rows", min_rows)
    max_bytes = whole_number("max_bytes", max_bytes)

    def destination(name: str) -> Destination:
        place = destination_for(name, storage_conn_id=storage_conn_id, overwrite=overwrite, log=log)
        place.refuse_if_taken()
        return place

    # Before anything is asked for: a file that may not be overwritten, or a storage that is not there.
    early = None if argument.is_folder else destination(argument.text)
    links = _Links(get_export, watch, link_wait, log)
    client = LinkClient(settings)
    try:
        while True:
            export = links.first()
            kind = _type_of(export, wanted, watch)
            # What the status does not say, the start may have said.
            identity = ExportIdentity.of(**watch.result(export))
            name = argument.for_export(export.bot_id, identity, kind, packing)
            transfer = _Transfer(
                (early or destination(name)).stage(),
                file_type=kind,
                compression=packing,
                max_bytes=max_bytes,
                log=log,
            )
            try:
                if not _Fetch(client, links, export, transfer, log).run():
                    continue  # another export has taken the place of this one, and may have another name
                transfer.complete(name, min_rows)
                log.info(
                    "Downloaded the export of bot %s %s to %s: %d rows, %d bytes, SHA-256 %s",
                    export.bot_id,
                    describe(identity),
                    name,
                    transfer.rows,
                    transfer.stored,
                    transfer.sha256,
                )
                return DownloadResult(
                    path=name,
                    bytes=transfer.stored,
                    rows=transfer.rows,
                    sha256=transfer.sha256,
                    file_type=kind,
                    request_id=identity.request_id,
                    requested_time=identity.requested_time,
                    bot_id=export.bot_id,
                    columns=transfer.columns,
                )
            finally:
                transfer.discard()
    finally:
        client.close()


class _Links:
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
        """Give the export, done and with a link; after :meth:`renew` has found another one, that one."""
        known, self._known = self._known, None
        return known or self._await()

    def renew(self, export: Export) -> Export | None:
        """
        Ask for a fresh link.

        :param export: the export that is being downloaded.
        :return: the same export with its link of now; None if another one has taken its place.
        """
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
            _sleep(delay)
        raise KoreAIDownloadError(problem)


class _Fetch:
    """Gets one export's bytes into a transfer, through as many attempts as it takes."""

    def __init__(
        self, client: LinkClient, links: _Links, export: Export, transfer: _Transfer, log: Log
    ) -> None:
        self._client = client
        self._links = links
        self._export = export
        self._transfer = transfer
        self._log = log

    def run(self) -> bool:
        """
        Fetch.

        :return: False if another export has taken this one's place.
        :raises KoreAIDownloadError: too many attempts failed.
        """
        vain = attempt = 0
        while True:
            attempt += 1
            ground = self._transfer.farthest
            with without_locals():
                trouble = self._attempt()
            if trouble is None:
                return True
            vain = 0 if self._transfer.farthest > ground else vain + 1
            if vain >= MAX_VAIN_ATTEMPTS or attempt == MAX_ATTEMPTS:
                break
            pause = self._pause(trouble, vain)
            self._log.warning(
                "The download of the export of bot %s was interrupted after %s: %s. %s in %.1f s.",
                self._export.bot_id,
                _size(self._transfer.received.offset),
                trouble.reason,
                "Asking for a fresh link" if trouble.renew else "Trying again",
                pause,
            )
            if trouble.restart:
                self._transfer.restart()
            _sleep(pause)
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
        body = self._client.open(self._export.download_url or "", self._transfer.received)
        if isinstance(body, Trouble):
            return body
        try:
            return self._transfer.take(body)
        finally:
            body.close()

    def _pause(self, trouble: Trouble, vain: int) -> float:
        if trouble.retry_after is not None:
            return min(trouble.retry_after, LONGEST_RETRY_AFTER)
        longest = min(FIRST_PAUSE * 2.0 ** max(vain - 1, 0), LONGEST_PAUSE)
        return longest * (0.5 + 0.5 * random.random())  # noqa: S311 - spreads retries


class _Transfer:
    """The bytes on their way from an answer's body to the staged file."""

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
        self._storing = Storing(self._staging, self._make_compressor() if self._make_compressor else None)
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
        return self._storing.size

    @property
    def sha256(self) -> str:
        """Hash of the stored file."""
        return self._storing.sha256

    def restart(self) -> None:
        """Forget what was received."""
        self._storing.abandon()
        self._staging.restart()
        self._begin()

    def take(self, body: Body) -> Trouble | None:
        """
        Take a body in.

        :param body: the whole file, or its rest.
        :return: None when it has come to its end, else why not.
        :raises KoreAIDownloadError: it is not what it should be, or cannot be written.
        :raises KoreAIConfigurationError: it is longer than allowed.
        """
        if body.start == 0 and self.received.offset:
            self.restart()  # the server gave the whole file again: it has changed, or cannot be continued
        if not body.is_end_certain and not body.validator and self._file_type == "csv":
            # A JSON array shows its own end; a CSV that was cut between two rows looks whole. Perhaps it was the
            # answer's head that was cut, and the next one is better.
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
        """Check the whole file and publish it under ``name``; fewer rows than ``min_rows`` are an error."""
        self._checked(self._check.finish)
        self._storing.finish()
        if min_rows is not None and self.rows < min_rows:
            raise KoreAIDownloadError(
                f"{self.rows} utterances are fewer than min_rows={min_rows}, so {name!r} was not written."
            )
        self._staging.publish()

    def discard(self) -> None:
        """Leave nothing behind, unless it was published."""
        try:
            self._storing.abandon()
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
        self._storing.put(data)
        self._checked(lambda: self._check.feed(data))
        self.received = Received(offset, self.received.total, self.received.validator)
        self.farthest = max(self.farthest, offset)
        self._progress.tell(offset, self.received.total)

    def _checked(self, step: Callable[[], None]) -> None:
        try:
            step()
            return
        except ContentError as error:
            problem = str(error)
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
    """Tells how far a download has come, every :data:`PROGRESS_INTERVAL` seconds."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._time = time.monotonic()
        self._offset = 0

    def tell(self, offset: int, total: int | None) -> None:
        """
        Tell it if it is time.

        :param offset: bytes so far.
        :param total: bytes in all, None if unknown.
        """
        now = time.monotonic()
        if now - self._time < PROGRESS_INTERVAL:
            return
        rate = (offset - self._offset) / (now - self._time)
        self._log.info(
            "Downloaded %s%s, %s/s.", _size(offset), f" of {_size(total)}" if total else "", _size(int(rate))
        )
        self._time, self._offset = now, offset


def _wanted_type(argument: PathArgument, file_type: str | None, compression: str | None) -> str | None:
    if file_type and argument.file_type and file_type != argument.file_type:
        raise KoreAIConfigurationError(
            f"path={argument.text!r:.200} ends in .{argument.file_type}, but file_type={file_type!r}; make them agree."
        )
    if argument.compression and argument.compression != compression:
        raise KoreAIConfigurationError(
            f"path={argument.text!r:.200} ends in {SUFFIXES[argument.compression]}, but compression={compression!r}; "
            f"set compression={argument.compression!r}."
        )
    return file_type or argument.file_type


def _type_of(export: Export, wanted: str | None, watch: ExportWatch) -> str:
    theirs = export.file_type or watch.ours.file_type
    if wanted and theirs and wanted != theirs:
        raise KoreAIConfigurationError(
            f"The export of bot {export.bot_id} {describe(export.identity)} is a {theirs} file; {wanted} is wanted, "
            f"by file_type or the path's suffix. Export the bot as {wanted}, or ask for {theirs}."
        )
    # Where nobody says, it is what an export is by default; the check of the content has the last word.
    return theirs or wanted or "csv"


def _size(count: int) -> str:
    size, unit = float(count), "bytes"
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{count} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
