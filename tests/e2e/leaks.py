"""What must stay secret, as it was on the wire, and a search of all that Airflow has written for it."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import socketserver
import threading
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import TracebackType

_TOKEN = re.compile(rb"(?m)^auth: (\S+)\r$", re.IGNORECASE)
_SIGNATURE = re.compile(rb"[?&]s=([0-9a-f]{64})")
# A JWT of three parts, a JWE of five.
_COMPACT = re.compile(rb"eyJ[\w-]{8,}(?:\.[\w-]*){2,4}")


class Relay:
    """
    Stands between Airflow and Kore.ai, and keeps every byte that passes. A context manager.

    :param port: Kore.ai's, on loopback.
    """

    url: str

    def __init__(self, port: int) -> None:
        self._recordings: list[bytearray] = []
        relay = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with socket.create_connection(("127.0.0.1", port)) as upstream:
                    back = threading.Thread(target=relay._pump, args=(upstream, self.request), daemon=True)
                    back.start()
                    relay._pump(self.request, upstream)
                    back.join()

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False

    def __enter__(self) -> Relay:
        """Begin to accept connections."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Accept no more."""
        self._server.shutdown()
        self._server.server_close()

    def tokens(self) -> set[bytes]:
        """All tokens that were sent."""
        return self._found(_TOKEN)

    def signatures(self) -> set[bytes]:
        """The signatures of all download links that were given out or used."""
        return self._found(_SIGNATURE)

    def _found(self, what: re.Pattern[bytes]) -> set[bytes]:
        return {match for recording in list(self._recordings) for match in what.findall(recording)}

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        recording = bytearray()
        self._recordings.append(recording)
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                recording += data
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


class Needles:
    """
    Secrets to search for.

    :param named: secrets by a name that may be shown.
    """

    def __init__(self, named: dict[str, bytes]) -> None:
        self._named = dict(named)
        # What base64 makes of them, as in a basic Authorization header.
        self._named |= {f"{name} in base64": base64.b64encode(value) for name, value in named.items()}

    def __len__(self) -> int:
        return len(self._named)

    def one_of_each(self) -> dict[str, bytes]:
        """A few of them: one for each first word of a name that is followed by a number, and all others."""
        kinds = {re.sub(r"\d+", "", name): name for name in self._named}
        return {name: self._named[name] for name in kinds.values()}

    def found_in(self, text: bytes) -> list[str]:
        """Name the secrets that a text holds, and any token for Kore.ai in it, whoever made it."""
        found = [name for name, value in self._named.items() if value in text]
        return found + ["a token for Kore.ai" for token in _COMPACT.findall(text) if is_for_koreai(token)]


def is_for_koreai(token: bytes) -> bool:
    """Whether a token is one of ours, or encrypted; Airflow has tokens of its own, for its workers."""
    parts = token.split(b".")
    if len(parts) == 5:
        return True
    with contextlib.suppress(ValueError):
        return b"appId" in base64.urlsafe_b64decode(parts[1] + b"=" * (-len(parts[1]) % 4))
    return False


def pem_needles(name: str, pem: str) -> dict[str, bytes]:
    """Every line of a key but its first and last, because a log may break or escape the line ends."""
    lines = [line for line in pem.splitlines() if line and not line.startswith("-----")]
    return {f"line {number} of {name}": line.encode() for number, line in enumerate(lines, start=1)}


def token_needles(tokens: Iterable[bytes]) -> dict[str, bytes]:
    """The signature, or the tag and what is before it, of each token: without it, the rest is of no use."""
    return {f"token {number}": token[-40:] for number, token in enumerate(sorted(tokens), start=1)}


def files_in(folder: Path) -> Iterator[tuple[str, bytes]]:
    """All files, by name."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with contextlib.suppress(FileNotFoundError):
                yield f"{path.relative_to(folder)}", path.read_bytes()


def rows_of(url: str) -> Iterator[tuple[str, bytes]]:
    """Every row of every table of a database, by table and number, all its columns together."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(url)
    try:
        tables = sqlalchemy.MetaData()
        tables.reflect(engine)
        with engine.connect() as connection:
            for table in tables.sorted_tables:
                for number, row in enumerate(connection.execute(sqlalchemy.select(table)), start=1):
                    yield f"{table.name} {number}", b"\n".join(map(_as_bytes, row))
    finally:
        engine.dispose()


def _as_bytes(value: Any) -> bytes:
    if isinstance(value, (bytes, memoryview)):
        with contextlib.suppress(zlib.error):
            return bytes(value) + zlib.decompress(value)
        return bytes(value)
    # With and without what JSON does to a text: a quotation mark, say, reads otherwise in each.
    return f"{value}\n{json.dumps(value, default=str)}".encode()
