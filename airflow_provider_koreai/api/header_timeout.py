"""
Headers within the timeout as a whole.

Python's sockets begin their timeout anew with each byte, so a server that sends one now and then would be waited for
without end. Bodies have budgets of their own, where they are read.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import requests


def mount(session: requests.Session) -> None:
    """
    Let a session give up on headers that are not whole within a request's read timeout.

    :param session: raises its ``Timeout`` then, as if nothing had come.
    """
    adapter = _adapter()
    session.mount("https://", adapter)
    session.mount("http://", adapter)


def _adapter() -> Any:
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            self.poolmanager.pool_classes_by_scheme = _pools()

        def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
            manager = super().proxy_manager_for(proxy, **kwargs)
            if not str(proxy).lower().startswith("socks"):  # which have connections of their own
                manager.pool_classes_by_scheme = _pools()
            return manager

    return Adapter()


@functools.cache
def _pools() -> dict[str, Any]:
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    class Connection(_InTime, HTTPConnection):
        pass

    class SecureConnection(_InTime, HTTPSConnection):
        pass

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    return {"http": Pool, "https": SecurePool}


class _InTime:
    """For a connection of urllib3: ends it when the headers are late."""

    sock: Any
    timeout: Any

    def getresponse(self) -> Any:
        """
        Read the headers.

        :raises TimeoutError: they did not come within the read timeout.
        """
        read: Any = super().getresponse  # type: ignore[misc]
        if not isinstance(self.timeout, (int, float)):
            return read()
        # Within TLS to a proxy the socket is wrapped once more.
        sock = getattr(self.sock, "socket", self.sock)
        is_late = threading.Event()

        def end() -> None:
            is_late.set()
            with contextlib.suppress(OSError):
                # Not the method of a TLS socket, which would pull its state away from under the reading thread.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

        timer = threading.Timer(self.timeout, end)
        timer.daemon = True
        timer.start()
        try:
            response = read()
        except Exception:
            if not is_late.is_set():
                raise
        else:
            # Python takes headers that are cut for whole ones.
            if not is_late.is_set():
                return response
        finally:
            timer.cancel()
            timer.join()
        raise TimeoutError("timed out")
