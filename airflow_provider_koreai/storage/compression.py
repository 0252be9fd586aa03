"""Compressed files, written and read. The libraries are imported when used."""

from __future__ import annotations

import io
import zlib
from typing import TYPE_CHECKING, Any, Protocol, cast

from airflow_provider_koreai.arguments import choice
from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIFileError

if TYPE_CHECKING:
    from collections.abc import Callable

SUFFIXES = {"gzip": ".gz", "zstd": ".zst"}
# gzip's level 6 takes three times as long as 4 for files that are hardly smaller; zstd's default is 3.
_GZIP_LEVEL = 4
_ZSTD_LEVEL = 3
MAGIC = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}
# Bytes unpacked at once: they may stand for some thousand times as many.
_PACKED = 4 << 10


class Compressor(Protocol):
    """What zlib's and zstandard's compressors have in common."""

    def compress(self, data: bytes, /) -> bytes:
        """Take bytes in, and return what is compressed by now."""

    def flush(self) -> bytes:
        """Return the rest."""


def compression_argument(value: object) -> str | None:
    """Read a task's ``compression``: ``gzip`` or ``zstd``, for which its library must be installed, or none."""
    if value is None or value == "":
        return None
    name = choice("compression", value, tuple(SUFFIXES))
    compressor_factory(name)
    return name


def compressor_factory(name: str) -> Callable[[], Compressor]:
    """Return what makes new compressors of this kind."""
    if name == "gzip":
        return lambda: zlib.compressobj(_GZIP_LEVEL, wbits=zlib.MAX_WBITS | 16)
    zstandard = zstandard_library()
    # A checksum, so that a reader notices damage, as gzip's does.
    made = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)
    return lambda: cast("Compressor", made.compressobj())


class Unpacked(io.RawIOBase):
    """
    The content of a compressed file; a damaged one raises KoreAIFileError.

    The libraries' own readers differ in what they raise, and zstd's takes a file that was cut off for a whole one.
    """

    def __init__(self, stored: io.BufferedReader, name: str) -> None:
        self._stored = stored
        self._error: type[Exception] = zlib.error
        self._new: Callable[[], Any] = lambda: zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        if name == "zstd":
            zstandard = zstandard_library()
            self._error = zstandard.ZstdError
            self._new = lambda: zstandard.ZstdDecompressor().decompressobj()
        self._unpacker = self._new()
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Read into a buffer, and return how many bytes; 0 at the end."""
        while not self._ready:
            packed = self._stored.read1(_PACKED)
            if not packed:
                if not self._unpacker.eof:
                    raise KoreAIFileError("The compressed file is damaged: its end is missing.")
                return 0
            self._ready = memoryview(self._unpack(packed))
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _unpack(self, packed: bytes) -> bytes:
        pieces = []
        try:
            while packed:
                if self._unpacker.eof:
                    # Compressed files may follow one another; some programs pad with zeros.
                    packed = packed.lstrip(b"\0")
                    if not packed:
                        break
                    self._unpacker = self._new()
                pieces.append(self._unpacker.decompress(packed))
                packed = self._unpacker.unused_data if self._unpacker.eof else b""
            return b"".join(pieces)
        except self._error as error:
            raise KoreAIFileError(f"The compressed file is damaged: {error}.") from error


def zstandard_library() -> Any:
    """Import zstd's library."""
    try:
        import zstandard
    except ImportError as error:
        raise KoreAIConfigurationError(
            "zstd needs a library that is not installed: pip install 'airflow-provider-koreai[zstd]'"
        ) from error
    return zstandard
