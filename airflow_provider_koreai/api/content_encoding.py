"""Decodes ``Content-Encoding`` within limits, because a few bytes may expand to very many. No I/O."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Bytes that a download reads or decodes at most at a time.
CHUNK = 2 << 20
KNOWN = frozenset({"gzip", "x-gzip", "deflate"})


def content_encoding(headers: Mapping[str, str]) -> str:
    """Return the answer's ``Content-Encoding`` in lower case, or ``""``."""
    value = headers.get("Content-Encoding", "").strip().lower()
    return "" if value == "identity" else value


def decoded(body: bytes, headers: Mapping[str, str], limit: int) -> bytes:
    """
    Decode an answer's body, up to one byte more than ``limit``.

    A body that is damaged, or whose encoding is unknown, is returned as it was received.
    """
    encoding = content_encoding(headers)
    if encoding not in KNOWN:
        return body
    try:
        # Whatever follows the first member is ignored: very many small members would take very long.
        return zlib.decompressobj(_bits(encoding)).decompress(body, limit + 1)
    except zlib.error:
        return body


def _bits(encoding: str) -> int:
    return zlib.MAX_WBITS | 16 if encoding.endswith("gzip") else zlib.MAX_WBITS


class Inflate:
    """Decodes a file that the server encoded without being asked to. ``encoding`` is one of :data:`KNOWN`."""

    def __init__(self, encoding: str) -> None:
        self._bits = _bits(encoding)
        self._inflater = zlib.decompressobj(self._bits)
        self._piece = b""

    @property
    def is_complete(self) -> bool:
        """Whether the compressed data is complete, including its checksum."""
        return self._inflater.eof

    def put(self, piece: bytes) -> None:
        """Pass in compressed data, once :meth:`take` has returned ``b""``."""
        self._piece = piece

    def take(self) -> bytes | None:
        """Return at most :data:`CHUNK` decoded bytes, ``b""`` if more input is needed, None if it is damaged."""
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
