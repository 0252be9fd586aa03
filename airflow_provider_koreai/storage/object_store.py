"""An object in a store: an upload becomes one when it is completed, so that is done at the very end, or never."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIDownloadError
from airflow_provider_koreai.redaction import scrub
from airflow_provider_koreai.storage.paths import file_system
from airflow_provider_koreai.storage.staging import digest, taken

if TYPE_CHECKING:
    from collections.abc import Callable

# Bytes of one part of an upload: the least that S3 takes, because several copies are in memory; of 10,000 parts at
# most, which is 48 GiB.
PART_SIZE = 5 << 20


# Where an upload becomes an object when it is completed, all at once, and not before. Azure's file system is not
# among them: it deletes the earlier blob when an upload begins.
_ATOMIC = frozenset({"s3", "s3a", "gs", "gcs"})


class ObjectDestination:
    """
    An object in a store that Airflow's ObjectStoragePath serves.

    :param url: its URL.
    :param storage_conn_id: the connection, None where the URL or the environment names it.
    :param overwrite: whether an existing object may be replaced.
    :raises KoreAIConfigurationError: nothing serves such a URL.
    :raises KoreAIDownloadError: what serves it could not be set up, such as for want of credentials.
    """

    def __init__(self, url: str, *, storage_conn_id: str | None, overwrite: bool) -> None:
        self.url = url
        self.overwrite = overwrite
        self.fs, self.key = self.attempt(
            f"setting up its storage (storage_conn_id={storage_conn_id!r})",
            lambda: file_system(url, storage_conn_id),
        )

    def refuse_if_taken(self) -> None:
        """Refuse early, see :meth:`Destination.refuse_if_taken`."""
        if self.overwrite:
            return
        if self.attempt("looking for the object", self._exists):
            raise taken(self.url)

    def stage(self) -> ObjectStaging:
        """Begin the object, see :meth:`Destination.stage`."""
        return ObjectStaging(self)

    @property
    def is_atomic(self) -> bool:
        """Whether an upload can go to its final name: it appears when it is complete."""
        protocols = self.fs.protocol
        return not _ATOMIC.isdisjoint((protocols,) if isinstance(protocols, str) else protocols)

    def temporary_key(self) -> str:
        """Give a name beside the final one."""
        folder, _, name = self.key.rpartition("/")
        return f"{folder}/.koreai-{digest(name)}-{secrets.token_hex(8)}.part"

    def move_here(self, key: str) -> None:
        """
        Rename.

        :param key: the temporary name.
        """
        self.fs.mv(key, self.key)

    def attempt(self, what: str, action: Callable[[], Any]) -> Any:
        """
        Do something with the store.

        :param what: for the message.
        :param action: does it.
        :raises KoreAIDownloadError: it failed.
        """
        try:
            return action()
        except KoreAIConfigurationError:
            raise
        except Exception as error:  # noqa: BLE001 - each store's library has errors of its own
            problem = f"{type(error).__name__}: {scrub(str(error))[:300]}"
        # Outside the handler: a store's error may carry signed URLs of its own along.
        raise KoreAIDownloadError(f"{self.url}: {what} failed ({problem}). Nothing was published.")

    def _exists(self) -> bool:
        self.fs.invalidate_cache()
        return bool(self.fs.exists(self.key))


class ObjectStaging:
    """An object in the making, see :class:`Staging`; made by :meth:`ObjectDestination.stage`."""

    def __init__(self, destination: ObjectDestination) -> None:
        self._destination = destination
        self._key = destination.key if destination.is_atomic else destination.temporary_key()
        self._file: Any = None
        self._open()

    def write(self, data: bytes) -> None:
        """Add bytes, see :meth:`Staging.write`."""
        self._destination.attempt("writing", lambda: self._file.write(data))

    def restart(self) -> None:
        """Begin again, see :meth:`Staging.restart`."""
        self.discard()
        self._open()

    def publish(self) -> None:
        """Let the object appear, see :meth:`Staging.publish`."""
        self._destination.refuse_if_taken()
        # Closing completes an upload. If that fails, discard() aborts it.
        self._destination.attempt("completing the upload", lambda: _close(self._file))
        if not self._destination.is_atomic:
            self._destination.attempt("renaming", lambda: self._destination.move_here(self._key))
        self._file = None

    def discard(self) -> None:
        """Drop everything, see :meth:`Staging.discard`."""
        file, self._file = self._file, None
        if file is None:
            return
        with suppress(Exception):  # the error that led here matters more
            if self._destination.is_atomic:
                file.discard()
            else:
                _close(file)
                self._destination.fs.rm_file(self._key)

    def _open(self) -> None:
        self._file = self._destination.attempt(
            "opening", lambda: self._destination.fs.open(self._key, "wb", block_size=PART_SIZE)
        )
        with suppress(AttributeError):
            # Closing completes an upload, and the garbage collector closes what nobody does, whatever went wrong.
            self._file.close = _not_closed


def _not_closed() -> None:
    pass


def _close(file: Any) -> None:
    type(file).close(file)
