"""A form with a file, as it is sent: a piece at a time, with its length known beforehand."""

from __future__ import annotations

import io
import uuid
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PIECE = 1 << 16


class FormWithFile:
    """
    The body of a ``multipart/form-data`` request. Each iteration reads the file from its beginning.

    :param file: can be rewound; it stays open.
    :param file_name: without quotes and line breaks, like the fields.
    """

    def __init__(self, fields: Mapping[str, str], file: BinaryIO, file_name: str) -> None:
        boundary = uuid.uuid4().hex
        self.content_type = f"multipart/form-data; boundary={boundary}"
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ]
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{file_name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        self._head = "".join(parts).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._file = file
        file.seek(0, io.SEEK_END)  # its return value: Python 3.10's SpooledTemporaryFile has none
        self._length = len(self._head) + file.tell() + len(self._tail)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        self._file.seek(0)
        while piece := self._file.read(_PIECE):
            yield piece
        yield self._tail
