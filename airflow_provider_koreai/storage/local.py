"""A file on a local disk: written beside its final name under a hidden, locked, unique one, synced, renamed."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIDownloadError
from airflow_provider_koreai.storage.staging import digest, taken

if TYPE_CHECKING:
    from airflow_provider_koreai.version_compat import Log

# Bytes after which a local disk is told to begin writing.
WRITE_BACK_SIZE = 16 << 20


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
        self._prefix = f".koreai-{digest(os.path.basename(path))}-"

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
            raise taken(self.path)

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
        is_taken = False
        try:
            os.fsync(self._descriptor)
            if self._destination.overwrite:
                os.replace(self._part, path)
            else:
                is_taken = not self._rename_if_free(path)
            if not is_taken:
                _sync_folder(self._destination.folder)
        except OSError as error:
            problem = _text_of(error)
        if problem:
            raise self._failed(problem)
        if is_taken:
            raise taken(path)
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
