"""An HTTP proxy on loopback that notes what goes through it."""

from __future__ import annotations

import contextlib
import re
import socket
import threading


class LoopbackProxy:
    """
    Forwards plain requests and CONNECT tunnels to one server, by whatever name that is asked for.

    :param port: the server's, on loopback.
    :param refuse: answer 407 to everything.
    """

    def __init__(self, port: int, *, refuse: bool = False) -> None:
        self._target = ("127.0.0.1", port)
        self._refuse = refuse
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        #: First lines of what was asked, without queries.
        self.asked: list[str] = []
        #: Their Proxy-Authorization.
        self.credentials: list[str | None] = []
        self._spawn(self._listen)

    @property
    def address(self) -> str:
        host, port = self._listener.getsockname()
        return f"{host}:{port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def stop(self) -> None:
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join()

    def _spawn(self, target, *args) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                self._sockets.append(client)
                self._spawn(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = client.recv(65536)
                if not piece:
                    return
                head += piece
            first, _, rest = head.partition(b"\r\n")
            self.asked.append(re.sub(r"(\?\S*)? HTTP/1\.[01]$", "", first.decode()))
            found = re.search(rb"(?im)^proxy-authorization: *(\S.*?)\r$", rest)
            self.credentials.append(found[1].decode() if found else None)
            if self._refuse:
                client.sendall(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            with socket.create_connection(self._target) as server:
                self._sockets.append(server)
                if first.startswith(b"CONNECT "):
                    client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                else:
                    # One request a connection, so that each is noted.
                    rest = re.sub(rb"(?im)^(proxy-)?connection:.*\r\n", b"", rest)
                    first = re.sub(rb" http://[^/]+", b" ", first)
                    server.sendall(first + b"\r\nConnection: close\r\n" + rest)
                self._spawn(_pump, client, server)
                _pump(server, client)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
