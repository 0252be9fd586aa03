"""An object in a store: an upload becomes one when it is committed, so that is done at the very end, or never."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIDownloadError
from airflow_provider_koreai.redaction import scrub
from airflow_provider_koreai.storage.paths import file_system
from airflow_provider_koreai.storage.staging import is_part, new_part, taken

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_koreai.version_compat import Log

# Bytes of one part of an upload: the least that S3 accepts, because several copies are in memory. With at most 10,000
# parts that allows 48 GiB.
PART_SIZE = 5 << 20
# Where an upload appears when it is committed, all at once, and not before. Azure's file system is not among them: it
# deletes the earlier blob when an upload starts.
_ATOMIC = frozenset({"s3", "s3a", "gs", "gcs"})
# These stores have no locks, so a part that nobody has written to for this long is taken for a killed task's.
ABANDONED_AFTER = timedelta(days=2)


class ObjectDestination:
    """An object in a store that Airflow's ObjectStoragePath serves, see :class:`Destination`."""

    def __init__(
        self, url: str, *, name: str, storage_conn_id: str | None, overwrite: bool, log: Log
    ) -> None:
        self.url = url
        self.overwrite = overwrite
        self._log = log
        self.fs, self.key = self.attempt(
            f"setting up its storage (storage_conn_id={storage_conn_id!r})",
            lambda: file_system(url, storage_conn_id, name),
        )

    def refuse_if_taken(self) -> None:
        """See :meth:`Destination.refuse_if_taken`."""
        if not self.overwrite and self.attempt("looking for the object", self._exists):
            raise taken(self.url)

    def holds(self, sha256: str) -> bool:
        """See :meth:`Destination.holds`."""
        return bool(self.attempt("reading the object", lambda: self._exists() and self._hash() == sha256))

    def stage(self) -> ObjectStaging:
        """See :meth:`Destination.stage`."""
        if not self.is_atomic:
            with suppress(Exception):  # what is left over must not keep a download from its work
                self._remove_leftovers()
        return ObjectStaging(self)

    @property
    def is_atomic(self) -> bool:
        """Whether an upload can go to its final name, because it appears only when it is committed."""
        protocols = self.fs.protocol
        return not _ATOMIC.isdisjoint((protocols,) if isinstance(protocols, str) else protocols)

    def temporary_key(self) -> str:
        """Return a name beside the final one."""
        return f"{self._folder}/{new_part()}"

    def attempt(self, what: str, action: Callable[[], Any]) -> Any:
        """Do something with the store; ``what`` names it in the error if it fails."""
        try:
            return action()
        except KoreAIConfigurationError:
            raise
        except Exception as error:  # noqa: BLE001 - each store's library has errors of its own
            problem = f"{type(error).__name__}: {scrub(str(error))[:300]}"
        # Without its cause: a store's error may carry signed URLs.
        raise KoreAIDownloadError(f"{self.url}: {what} failed ({problem}). Nothing was published.")

    @property
    def _folder(self) -> str:
        return str(self.key).rpartition("/")[0]

    def _exists(self) -> bool:
        self.fs.invalidate_cache()
        return bool(self.fs.exists(self.key))

    def _hash(self) -> str:
        hasher = hashlib.sha256()
        with self.fs.open(self.key, "rb", block_size=PART_SIZE) as file:
            while data := file.read(PART_SIZE):
                hasher.update(data)
        return hasher.hexdigest()

    def _remove_leftovers(self) -> None:
        self.fs.invalidate_cache()
        for key in self.fs.ls(self._folder, detail=False):
            if is_part(key.rpartition("/")[2]) and self._age(key) > ABANDONED_AFTER:
                self.fs.rm_file(key)
                self._log.info("Removed %s, which a killed task left behind.", key)

    def _age(self, key: str) -> timedelta:
        modified: datetime = self.fs.modified(key)
        if modified.tzinfo is None:
            modified = modified.replace(tzinfo=timezone.utc)
        return datetime.now(timezone.utc) - modified


class ObjectStaging:
    """An object in the making, see :class:`Staging`; made by :meth:`ObjectDestination.stage`."""

    def __init__(self, destination: ObjectDestination) -> None:
        self._destination = destination
        self._key = destination.key if destination.is_atomic else destination.temporary_key()
        self._file: Any = None
        self._open()

    def write(self, data: bytes) -> None:
        """See :meth:`Staging.write`."""
        self._destination.attempt("writing", lambda: self._file.write(data))

    def restart(self) -> None:
        """See :meth:`Staging.restart`."""
        self.discard()
        self._open()

    def publish(self) -> None:
        """See :meth:`Staging.publish`."""
        destination, file = self._destination, self._file
        destination.refuse_if_taken()
        destination.attempt("completing the upload", file.close)
        if destination.is_atomic:
            destination.attempt("completing the upload", file.commit)
        else:
            destination.attempt("renaming", lambda: destination.fs.mv(self._key, destination.key))
        self._file = None

    def discard(self) -> None:
        """See :meth:`Staging.discard`."""
        file, self._file = self._file, None
        if file is None:
            return
        with suppress(Exception):  # the error that led here matters more
            if self._destination.is_atomic:
                file.discard()
                file.closed = (
                    True  # the garbage collector would start another upload with what is still buffered
                )
            else:
                file.close()
                self._destination.fs.rm_file(self._key)

    def _open(self) -> None:
        fs, commits_itself = self._destination.fs, not self._destination.is_atomic
        self._file = self._destination.attempt(
            "opening", lambda: fs.open(self._key, "wb", block_size=PART_SIZE, autocommit=commits_itself)
        )
