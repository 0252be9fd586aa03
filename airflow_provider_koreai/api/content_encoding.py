"""``Content-Encoding``: undone within bounds, as a few bytes may stand for very many. No I/O."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# The most that one read of a download takes, or that is given at a time. For each, that much is allocated; with larger
# ones, most of it in vain.
CHUNK = 256 << 10
KNOWN = frozenset({"gzip", "x-gzip", "deflate"})


def content_encoding(headers: Mapping[str, str]) -> str:
    """
    Read ``Content-Encoding``.

    :param headers: the answer's headers.
    :return: in lower case; ``""`` for none.
    """
    value = headers.get("Content-Encoding", "").strip().lower()
    return "" if value == "identity" else value


def decoded(body: bytes, headers: Mapping[str, str], limit: int) -> bytes:
    """
    Undo an answer's encoding.

    :param body: what was received.
    :param headers: the answer's headers.
    :param limit: bytes that are of interest.
    :return: at most this much and a byte more; as it was received, if the encoding is not known or damaged.
    """
    encoding = content_encoding(headers)
    if encoding not in KNOWN:
        return body
    try:
        # Whatever follows its end is ignored: very many small members would take very long.
        return zlib.decompressobj(_bits(encoding)).decompress(body, limit + 1)
    except zlib.error:
        return body


def _bits(encoding: str) -> int:
    return zlib.MAX_WBITS | 16 if encoding.endswith("gzip") else zlib.MAX_WBITS


class Inflate:
    """
    Undoes an encoding that the server applied although it was not asked to.

    :param encoding: one of :data:`KNOWN`.
    """

    def __init__(self, encoding: str) -> None:
        self._bits = _bits(encoding)
        self._inflater = zlib.decompressobj(self._bits)
        self._piece = b""

    @property
    def is_complete(self) -> bool:
        """Whether the compressed data has come to its own end, checksum included."""
        return self._inflater.eof

    def put(self, piece: bytes) -> None:
        """
        Hand over what was received.

        :param piece: compressed.
        """
        self._piece = piece

    def take(self) -> bytes | None:
        """
        Take out what that gives, at most :data:`CHUNK` bytes at a time.

        :return: ``b""`` when more has to be put in; None if the data is damaged.
        """
        while self._piece:
            if self._inflater.eof:  # gzip allows several members, one after the other
                self._inflater = zlib.decompressobj(self._bits)
            try:
                data = self._inflater.decompress(self._piece, CHUNK)
            except zlib.error:
                return None
            self._piece = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
            if data:
                return data
        return b""
