"""A file on a local disk: written beside its final name under a hidden, locked, unique one, synced, renamed."""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIDownloadError
from airflow_provider_koreai.storage.staging import is_part, new_part, taken

if TYPE_CHECKING:
    from airflow_provider_koreai.version_compat import Log

# Bytes written at a time: for larger writes Linux takes larger pages, which a virtual machine may first have to ask for.
WRITE_SIZE = 64 << 10
# Bytes after which a local disk is told to begin writing.
WRITE_BACK_SIZE = 16 << 20


class LocalDestination:
    """A file on a local (or mounted) file system, at a path without symbolic links, see :class:`Destination`."""

    def __init__(self, path: str, *, name: str, overwrite: bool, log: Log) -> None:
        self.path = path
        self.folder = os.path.dirname(path)
        self.overwrite = overwrite
        self._name = name
        self._log = log

    def refuse_if_taken(self) -> None:
        """See :meth:`Destination.refuse_if_taken`."""
        try:
            mode = os.stat(self.path).st_mode
        except OSError:
            return
        if stat.S_ISDIR(mode):
            raise KoreAIConfigurationError(
                f"{self._name}={self.path!r} is a folder."
                + (" End it in / to name the file after the export." if self._name == "path" else "")
            )
        if not stat.S_ISREG(mode):
            raise KoreAIConfigurationError(f"{self._name}={self.path!r} is not a regular file.")
        if not self.overwrite:
            raise taken(self.path)

    def holds(self, sha256: str) -> bool:
        """See :meth:`Destination.holds`."""
        hasher = hashlib.sha256()
        try:
            with open(self.path, "rb") as file:
                while data := file.read(1 << 20):
                    hasher.update(data)
        except OSError:
            return False
        return hasher.hexdigest() == sha256

    def stage(self) -> LocalStaging:
        """See :meth:`Destination.stage`."""
        try:
            os.makedirs(self.folder, exist_ok=True)
            self._remove_leftovers()
            return self._create()
        except OSError as error:
            raise KoreAIDownloadError(
                f"No file can be written in {self.folder!r}: {_text_of(error)}."
            ) from error

    def _create(self) -> LocalStaging:
        while True:
            part = os.path.join(self.folder, new_part())
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
        """Remove the parts whose owner is gone: nobody holds their lock."""
        for part in (os.path.join(self.folder, name) for name in os.listdir(self.folder) if is_part(name)):
            try:
                descriptor = os.open(part, os.O_RDWR | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                if _lock(descriptor, wait=False):
                    os.unlink(part)
                    self._log.info("Removed %s, which a killed task left behind.", part)
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
        """See :meth:`Staging.write`."""
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view[:WRITE_SIZE]) :]
            self._size += len(data)
            if self._size - self._flushed >= WRITE_BACK_SIZE:
                self._write_back()
        except OSError as error:
            raise self._failed(error) from error

    def _write_back(self) -> None:
        """Make the disk start on what was written, so that little is left to sync at the end."""
        advise = getattr(os, "posix_fadvise", None)
        if advise is not None:
            with suppress(OSError):
                # On Linux this starts writing dirty pages, without waiting, and drops only clean ones.
                advise(self._descriptor, self._flushed, self._size - self._flushed, os.POSIX_FADV_DONTNEED)
        self._flushed = self._size

    def restart(self) -> None:
        """See :meth:`Staging.restart`."""
        try:
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            self._size = self._flushed = 0
        except OSError as error:
            raise self._failed(error) from error

    def publish(self) -> None:
        """See :meth:`Staging.publish`."""
        path = self._destination.path
        self._destination.refuse_if_taken()
        try:
            os.fsync(self._descriptor)
            if self._destination.overwrite:
                os.replace(self._part, path)
            elif not self._rename_if_free(path):
                raise taken(path)
            _sync_folder(self._destination.folder)
        except OSError as error:
            raise self._failed(error) from error
        self._close()

    def discard(self) -> None:
        """See :meth:`Staging.discard`."""
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

    def _failed(self, error: OSError) -> KoreAIDownloadError:
        return KoreAIDownloadError(
            f"Writing {self._destination.path!r} failed: {_text_of(error)}. Nothing was published."
        )


def _lock(descriptor: int, *, wait: bool) -> bool:
    """Lock a file for as long as its descriptor is open; False if it is not locked, or cannot be."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _sync_folder(folder: str) -> None:
    """Make the rename itself survive a power failure, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _text_of(error: OSError) -> str:
    return error.strerror or type(error).__name__
