"""
From an export to its file: verified, and published whole or not at all.

One pass: this thread receives, counts and checks, a second one hashes and writes.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.arguments import file_type_argument, whole_number
from airflow_provider_koreai.download.attempts import Attempts
from airflow_provider_koreai.download.fresh_link import FreshLinks
from airflow_provider_koreai.download.staged_file import StagedFile
from airflow_provider_koreai.download.transfer import LinkClient
from airflow_provider_koreai.exceptions import KoreAIConfigurationError
from airflow_provider_koreai.jobs.export import ExportIdentity, describe
from airflow_provider_koreai.storage.compression import SUFFIXES, compression_argument
from airflow_provider_koreai.storage.destination import destination_for
from airflow_provider_koreai.storage.paths import PathArgument

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_koreai.api.settings import ConnectionSettings
    from airflow_provider_koreai.jobs.export import Export, ExportWatch
    from airflow_provider_koreai.storage.staging import Destination
    from airflow_provider_koreai.version_compat import Log


@dataclass(frozen=True)
class DownloadResult:
    """
    What was downloaded.

    :param path: the file as a task may open it, a path or a URL.
    :param bytes: its size as stored.
    :param rows: the number of utterances in it.
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
        """Return it as XCom carries it: an absent value is ``""``, because a None breaks rendering downstream."""
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
    is_retry: bool = False,
    compression: str | None = None,
    link_wait: float = 60.0,
    log: Log | None = None,
) -> DownloadResult:
    """
    Download an export's file; the arguments are those of :meth:`KoreAIHook.download_export`.

    :param get_export: makes one status call, with its own retries.
    :param watch: decides whether an answer is about the export that is wanted.
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
        if overwrite or not is_retry:
            place.refuse_if_taken()
        return place

    # Before any call: a file that must not be overwritten, or a storage that does not exist.
    early = None if argument.is_folder else destination(argument.text)
    links = FreshLinks(get_export, watch, link_wait, log)
    client = LinkClient(settings)
    try:
        while True:
            export = links.first()
            kind = _type_of(export, wanted, watch)
            # What the status does not say, the start may have said.
            identity = ExportIdentity.of(**watch.result(export))
            name = argument.for_export(export.bot_id, identity, kind, packing)
            place = early or destination(name)
            file = StagedFile(
                place.stage(), file_type=kind, compression=packing, max_bytes=max_bytes, log=log
            )
            try:
                if not Attempts(client, links, export, file, log).run():
                    continue  # another export has taken this one's place, and may have another name
                file.complete(name, min_rows)
                if is_retry and not overwrite and place.holds(file.sha256):
                    log.info(
                        "An earlier try of this task has already published %s with the same content.", name
                    )
                else:
                    file.publish()
                log.info(
                    "Downloaded the export of bot %s %s to %s: %d rows, %d bytes, SHA-256 %s",
                    export.bot_id,
                    describe(identity),
                    name,
                    file.rows,
                    file.stored,
                    file.sha256,
                )
                return DownloadResult(
                    path=name,
                    bytes=file.stored,
                    rows=file.rows,
                    sha256=file.sha256,
                    file_type=kind,
                    request_id=identity.request_id,
                    requested_time=identity.requested_time,
                    bot_id=export.bot_id,
                    columns=file.columns,
                )
            finally:
                file.discard()
    finally:
        client.close()


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
