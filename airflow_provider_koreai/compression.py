"""How a file may be stored smaller. The libraries are imported when used."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Protocol, cast

from airflow_provider_koreai.exceptions import KoreAIConfigurationError
from airflow_provider_koreai.exports import choice

if TYPE_CHECKING:
    from collections.abc import Callable

SUFFIXES = {"gzip": ".gz", "zstd": ".zst"}
# gzip's level 6 costs three times the time of 4 for files that are hardly smaller; zstd's default is 3.
_GZIP_LEVEL = 4
_ZSTD_LEVEL = 3


class Compressor(Protocol):
    """What zlib's and zstandard's compressors have in common."""

    def compress(self, data: bytes, /) -> bytes:
        """
        Take bytes in.

        :param data: the bytes.
        :return: what is compressed by now.
        """

    def flush(self) -> bytes:
        """Give the rest."""


def compression_argument(value: object) -> str | None:
    """
    Check a task's ``compression``.

    :param value: ``gzip`` or ``zstd`` in any case; None and ``""`` mean none.
    :raises KoreAIConfigurationError: it is something else, or zstd's library is not installed.
    """
    if value is None or value == "":
        return None
    name = choice("compression", value, tuple(SUFFIXES))
    compressor_factory(name)
    return name


def compressor_factory(name: str) -> Callable[[], Compressor]:
    """
    Give what makes compressors.

    :param name: ``gzip`` or ``zstd``.
    :raises KoreAIConfigurationError: zstd's library is not installed.
    """
    if name == "gzip":
        return lambda: zlib.compressobj(_GZIP_LEVEL, wbits=zlib.MAX_WBITS | 16)
    zstandard = zstandard_library()
    # A checksum, so that a reader notices damage, as gzip's does.
    made = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)
    return lambda: cast("Compressor", made.compressobj())


def zstandard_library() -> Any:
    """
    Import zstd's library.

    :raises KoreAIConfigurationError: it is not installed.
    """
    try:
        import zstandard
    except ImportError:
        pass
    else:
        return zstandard
    raise KoreAIConfigurationError(
        "zstd needs a library that is not installed: pip install 'airflow-provider-koreai[zstd]'"
    )
