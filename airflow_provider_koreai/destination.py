"""
Where the file goes: on a local disk or in an object store, and under its name only when it is whole.

Local: written beside its final name under a hidden, locked, unique one, synced, renamed. Object stores: an
upload becomes an object when it is completed, so it is completed at the very end, or aborted.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_koreai.api import scrub
from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIDownloadError
from airflow_provider_koreai.paths import file_system, local_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_koreai.exports import Log

# Bytes of one part of an upload: the least that S3 takes, because several copies are in memory; of 10,000 parts at
# most, which is 48 GiB.
PART_SIZE = 5 << 20
# Bytes after which a local disk is told to begin writing.
WRITE_BACK_SIZE = 16 << 20
# Where an upload becomes an object when it is completed, all at once, and not before. Azure's file system is not
# among them: it deletes the earlier blob when an upload begins.
_ATOMIC = frozenset({"s3", "s3a", "gs", "gcs"})


class Staging(Protocol):
    """A file in the making."""

    def write(self, data: bytes) -> None:
        """
        Add bytes.

        :param data: the bytes.
        :raises KoreAIDownloadError: they could not be written.
        """

    def restart(self) -> None:
        """
        Drop what was written, and begin again.

        :raises KoreAIDownloadError: that failed.
        """

    def publish(self) -> None:
        """
        Let the file appear under its name.

        :raises KoreAIDownloadError: that failed; the earlier file, if any, is still there.
        :raises KoreAIConfigurationError: there is a file by now, and it is not to be overwritten.
        """

    def discard(self) -> None:
        """Drop everything, unless it was published. Never raises."""


class Destination(Protocol):
    """A place for one file."""

    def refuse_if_taken(self) -> None:
        """
        Refuse early what :meth:`Staging.publish` would refuse.

        :raises KoreAIConfigurationError: there is a file and it is not to be overwritten, or what is there is no file.
        """

    def stage(self) -> Staging:
        """
        Begin the file.

        :raises KoreAIDownloadError: nothing can be written there.
        """


def destination_for(path: str, *, storage_conn_id: str | None, overwrite: bool, log: Log) -> Destination:
    """
    Give the destination that a path means.

    :param path: a local path or a URL, naming a file.
    :param storage_conn_id: the connection for an object store.
    :param overwrite: whether an existing file may be replaced.
    :param log: for what is worth knowing.
    :raises KoreAIConfigurationError: nothing serves such a URL.
    """
    local = local_path(path)
    if local is not None:
        return LocalDestination(local, overwrite=overwrite, log=log)
    return ObjectDestination(path, storage_conn_id=storage_conn_id, overwrite=overwrite)


class LocalDestination:
    """
    A file on a local (or mounted) file system.

    :param path: where, without symbolic links.
    :param overwrite: whether an existing file may be replaced.
    :param log: for what is worth knowing.
    """

    def __init__(self, path: str, *, overwrite: bool, log: Log) -> None:
        self.path = path
        self.folder = os.path.dirname(path)
        self.overwrite = overwrite
        self._log = log
        # A hash of the name, because a prefix added to a long name may exceed what the file system allows.
        self._prefix = f".koreai-{_digest(os.path.basename(path))}-"

    def refuse_if_taken(self) -> None:
        """Refuse early, see :meth:`Destination.refuse_if_taken`."""
        try:
            mode = os.stat(self.path).st_mode
        except OSError:
            return
        if not stat.S_ISREG(mode):
            kind = (
                "a folder; end the path in / to name the file after the export"
                if stat.S_ISDIR(mode)
                else "no file"
            )
            raise KoreAIConfigurationError(f"path={self.path!r} is {kind}.")
        if not self.overwrite:
            raise _taken(self.path)

    def stage(self) -> LocalStaging:
        """Begin the file, see :meth:`Destination.stage`."""
        try:
            os.makedirs(self.folder, exist_ok=True)
            self._remove_leftovers()
            return self._create()
        except OSError as error:
            problem = _text_of(error)
        raise KoreAIDownloadError(f"No file can be written in {self.folder!r}: {problem}.")

    def _create(self) -> LocalStaging:
        while True:
            part = os.path.join(self.folder, f"{self._prefix}{secrets.token_hex(8)}.part")
            # Mode 0666 less the umask, as any program's new file.
            descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o666)
            try:
                _lock(descriptor, wait=True)
                # Between creation and lock, another download may have taken it for a leftover.
                if os.fstat(descriptor).st_nlink:
                    return LocalStaging(self, part, descriptor)
            except BaseException:
                os.close(descriptor)
                with suppress(OSError):
                    os.unlink(part)
                raise
            os.close(descriptor)

    def _remove_leftovers(self) -> None:
        """Remove parts of earlier attempts whose owner is gone: nobody holds their lock."""
        for name in os.listdir(self.folder):
            if not (name.startswith(self._prefix) and name.endswith(".part")):
                continue
            part = os.path.join(self.folder, name)
            try:
                descriptor = os.open(part, os.O_RDWR | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                if _lock(descriptor, wait=False):
                    os.unlink(part)
                    self._log.info("Removed %s, left by an attempt that was killed.", part)
            except OSError:
                pass
            finally:
                os.close(descriptor)


class LocalStaging:
    """A local file in the making, see :class:`Staging`; made by :meth:`LocalDestination.stage`."""

    def __init__(self, destination: LocalDestination, part: str, descriptor: int) -> None:
        self._destination = destination
        self._part = part
        self._descriptor = descriptor
        self._size = self._flushed = 0

    def write(self, data: bytes) -> None:
        """Add bytes, see :meth:`Staging.write`."""
        try:
            written = os.write(self._descriptor, data)
            if written < len(data):
                view = memoryview(data)
                while written < len(data):
                    written += os.write(self._descriptor, view[written:])
            self._size += len(data)
            if self._size - self._flushed >= WRITE_BACK_SIZE:
                self._write_back()
            return
        except OSError as error:
            problem = _text_of(error)
        raise self._failed(problem)

    def _write_back(self) -> None:
        """Let the disk begin with what was written, so that there is little left to sync at the end."""
        advise = getattr(os, "posix_fadvise", None)
        if advise is not None:
            with suppress(OSError):
                # On Linux this starts writing dirty pages, without waiting, and drops only clean ones.
                advise(self._descriptor, self._flushed, self._size - self._flushed, os.POSIX_FADV_DONTNEED)
        self._flushed = self._size

    def restart(self) -> None:
        """Begin again, see :meth:`Staging.restart`."""
        try:
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            self._size = self._flushed = 0
            return
        except OSError as error:
            problem = _text_of(error)
        raise self._failed(problem)

    def publish(self) -> None:
        """Let the file appear, see :meth:`Staging.publish`."""
        path = self._destination.path
        self._destination.refuse_if_taken()
        problem = ""
        taken = False
        try:
            os.fsync(self._descriptor)
            if self._destination.overwrite:
                os.replace(self._part, path)
            else:
                taken = not self._rename_if_free(path)
            if not taken:
                _sync_folder(self._destination.folder)
        except OSError as error:
            problem = _text_of(error)
        if problem:
            raise self._failed(problem)
        if taken:
            raise _taken(path)
        self._close()

    def discard(self) -> None:
        """Drop everything, see :meth:`Staging.discard`."""
        if self._descriptor >= 0:
            with suppress(OSError):
                os.unlink(self._part)
            self._close()

    def _rename_if_free(self, path: str) -> bool:
        """Rename without replacing: a hard link is refused where the name is taken."""
        try:
            os.link(self._part, path)
        except FileExistsError:
            return False
        except OSError:
            # A file system without hard links: refuse_if_taken has just looked.
            os.rename(self._part, path)
            return True
        os.unlink(self._part)
        return True

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        with suppress(OSError):
            os.close(descriptor)

    def _failed(self, problem: str) -> KoreAIDownloadError:
        return KoreAIDownloadError(
            f"Writing {self._destination.path!r} failed: {problem}. Nothing was published."
        )


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
            raise _taken(self.url)

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
        return f"{folder}/.koreai-{_digest(name)}-{secrets.token_hex(8)}.part"

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


def _digest(name: str) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:16]


def _taken(path: str) -> KoreAIConfigurationError:
    return KoreAIConfigurationError(
        f"There is a file at {path!r} already, and overwrite=False. Set overwrite=True, or put something of the "
        "run into the path, such as {{ ds }}."
    )


def _lock(descriptor: int, *, wait: bool) -> bool:
    """
    Lock a file for as long as its descriptor is open.

    :return: whether it is locked now; False too where the file system has no locks.
    """
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _sync_folder(folder: str) -> None:
    """Make the rename itself last through a power failure, where the file system knows how."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _text_of(error: OSError) -> str:
    return error.strerror or type(error).__name__
