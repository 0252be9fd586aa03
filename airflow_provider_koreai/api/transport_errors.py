"""What went wrong between us and Kore.ai, in words that hold no URL, token or password. No I/O."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIServerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_koreai.api.calls import ApiRequest
    from airflow_provider_koreai.api.settings import ConnectionSettings

# OpenSSL's names for the first bytes of a plain http answer, which differ between its versions.
_NOT_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "UNKNOWN_PROTOCOL"}
)


def explain(error: BaseException, timeout: float) -> str:
    """Return what an HTTP library's error means, from the kinds of its causes: their texts may name a link."""
    import httpx
    import requests
    import urllib3

    # Waiting for the other side is not an error, but the cause of many a timeout.
    waiting = (ssl.SSLWantReadError, ssl.SSLWantWriteError)
    causes = [each for each in _causes(error) if not isinstance(each, waiting)]
    for each in causes:
        if isinstance(each, ssl.SSLCertVerificationError):
            return (
                f"the server's certificate was not accepted ({each.verify_message}); "
                "for a private CA, set ca_bundle in the connection's extra"
            )
    if any(isinstance(each, (urllib3.exceptions.ProxyError, httpx.ProxyError)) for each in causes):
        return "the proxy could not be used"
    if any(isinstance(each, ssl.SSLError) and each.reason in _NOT_TLS for each in causes):
        return "the server does not speak https on this port; for a server that speaks plain http, write http://<host>:<port>"
    # Before the timeouts: urllib3 counts a refused connection among them.
    for each in causes:
        if isinstance(each, OSError) and each.errno is not None and isinstance(each.strerror, str):
            # asyncio has texts of its own for the system's errors.
            is_systems = isinstance(each, (ConnectionError, TimeoutError)) and each.errno > 0
            return f"the connection failed ({os.strerror(each.errno) if is_systems else each.strerror})"
    late = (TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError, httpx.TimeoutException)
    if any(isinstance(each, late) for each in causes):
        return f"nothing arrived for {timeout:g} seconds"
    cut = (
        ConnectionResetError,
        urllib3.exceptions.IncompleteRead,
        httpx.RemoteProtocolError,
        httpx.ReadError,
    )
    if any(isinstance(each, cut) for each in causes):
        return "the connection ended early"
    kinds = " <- ".join(dict.fromkeys(type(each).__name__ for each in causes))
    return f"the connection failed ({kinds})"


def failed_before_sending(error: BaseException) -> bool:
    """Return whether an error of ``requests`` is one of connecting, so that nothing of the request was sent."""
    import urllib3

    kinds = (
        urllib3.exceptions.NewConnectionError,
        urllib3.exceptions.ConnectTimeoutError,
        ssl.SSLCertVerificationError,
    )
    # Not its context: that may be an error which the caller was handling.
    return any(isinstance(each, kinds) for each in _causes(error, with_contexts=False))


def _causes(error: BaseException, *, with_contexts: bool = True) -> Iterator[BaseException]:
    seen: set[int] = set()
    todo: list[object] = [error]
    while todo:
        each = todo.pop(0)
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            # requests and urllib3 pass the cause as an argument or as ``reason`` as well; anyio groups causes.
            todo += [*each.args, getattr(each, "reason", None), each.__cause__]
            todo += [each.__context__] if with_contexts else []
            todo += getattr(each, "exceptions", ())


def unreachable(
    request: ApiRequest, settings: ConnectionSettings, why: str, proxy: str | None, *, was_sent: bool = True
) -> KoreAIServerError:
    """Return the error of a call that got no complete answer."""
    through = f" through the proxy {proxy}" if proxy else ""
    return KoreAIServerError(
        f"The {request.subject} got no answer from {settings.base_url} "
        f"(connection {settings.conn_id!r}){through}: {why}.",
        was_sent=was_sent,
    )


def not_callable(settings: ConnectionSettings, error: BaseException) -> KoreAIConfigurationError:
    """Return the error of a host, or of a proxy on the way to it, that an HTTP library cannot use."""
    # Only the kind of the library's error: its text may hold the proxy's password.
    return KoreAIConfigurationError(
        f"Connection {settings.conn_id!r}: host {settings.base_url}, or the proxy that the environment sets for it, "
        f"is not a URL that can be called ({type(error).__name__}). Write a proxy as http://<host>:<port>; "
        "a SOCKS proxy needs requests[socks] and httpx[socks]."
    )
