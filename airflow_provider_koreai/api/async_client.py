"""
Sends the requests that :mod:`airflow_provider_koreai.api.calls` builds from an event loop, over ``httpx``.

A triggerer may hold thousands of waits: all those on one event loop share one connection pool for each host and set
of trusted CAs, which is closed when the last of them ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from typing import TYPE_CHECKING

from airflow_provider_koreai.api.calls import MAX_ANSWER_BYTES, ApiAnswer, ApiRequest
from airflow_provider_koreai.api.client import (
    answer_of,
    check_cas,
    headers_with,
    not_callable,
    proxy_for,
    reason,
    tls_context,
    trusted_cas,
    unreachable,
)
from airflow_provider_koreai.exceptions import KoreAIError

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

    import httpx

    from airflow_provider_koreai.api.settings import ConnectionSettings

# Calls that one event loop has under way at once; further ones queue for a place. Twenty calls of 100 ms each make
# 200 polls a second.
PLACES = 20
KEEPALIVE_SECONDS = 60.0


class SharedClient:
    """
    One event loop's connections to Kore.ai, each behind a client of its own.

    The bookkeeping of one client with many connections grows with the square of their number; measured, twenty
    clients with one connection each take a fifth of the time. They share one TLS context, which is what is large.

    :param context: the trusted CAs.
    :param proxy: URL of the proxy; None: no proxy.
    :raises ValueError: the proxy cannot be used; httpx has more errors for that.
    """

    def __init__(self, context: ssl.SSLContext, proxy: str | None) -> None:
        self._context = context
        self._proxy = proxy
        self._places = asyncio.Semaphore(PLACES)
        self._clients: list[httpx.AsyncClient] = []
        # Last in, first out: in quiet times few connections stay open.
        self._free = [self._new_client()]
        self.borrowers = 0

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[httpx.AsyncClient]:
        """Wait for a client that is free."""
        async with self._places:
            client = self._free.pop() if self._free else self._new_client()
            try:
                yield client
            finally:
                self._free.append(client)

    async def aclose(self) -> None:
        """Close all connections."""
        for client in self._clients:
            await client.aclose()

    def _new_client(self) -> httpx.AsyncClient:
        import httpx

        quiet_httpx()
        limits = httpx.Limits(
            max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEPALIVE_SECONDS
        )
        client = httpx.AsyncClient(
            verify=self._context, limits=limits, follow_redirects=False, proxy=self._proxy, trust_env=False
        )
        self._clients.append(client)
        return client


_shared: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str | None], SharedClient]] = (
    weakref.WeakKeyDictionary()
)


@contextlib.asynccontextmanager
async def shared_client(settings: ConnectionSettings) -> AsyncIterator[SharedClient]:
    """
    Borrow the running event loop's connections.

    :param settings: the connection; only its host and its ``ca_bundle`` make a difference.
    :raises KoreAIConfigurationError: ``ca_bundle`` cannot be loaded, or the environment's proxy cannot be used.
    """
    mine = _shared.setdefault(asyncio.get_running_loop(), {})
    key = settings.base_url, settings.ca_bundle
    if key not in mine:
        made = await asyncio.to_thread(_shared_client_for, settings)
        mine.setdefault(key, made)  # somebody may have been quicker
    shared = mine[key]
    shared.borrowers += 1
    try:
        yield shared
    finally:
        shared.borrowers -= 1
        if not shared.borrowers:
            del mine[key]
            await shared.aclose()


def _shared_client_for(settings: ConnectionSettings) -> SharedClient:
    """Read files and import libraries, which takes tens of milliseconds the first time: not for the loop."""
    import httpx

    check_cas(settings)
    try:
        return SharedClient(tls_context(trusted_cas(settings)), proxy_for(settings.base_url))
    except (httpx.InvalidURL, ValueError, ImportError) as error:  # of the proxy; its text may hold a password
        problem = not_callable(settings, error)
    raise problem


async def asend(
    shared: SharedClient, settings: ConnectionSettings, request: ApiRequest, sign: Callable[[], str]
) -> ApiAnswer:
    """
    Send one API call, once.

    :param shared: from :func:`shared_client`.
    :param settings: the connection.
    :param request: the call.
    :param sign: signs a token for this one sending.
    :raises KoreAIServerError: no whole answer came within the connection's ``timeout``.
    :raises KoreAIConfigurationError: the connection's host cannot be used.
    """
    async with shared.place() as client:
        answer = await _attempt(client, settings, request, sign())
    # Raised here, not where it was caught: the library's exception carries the request and its token.
    if isinstance(answer, KoreAIError):
        raise answer
    return answer


async def _attempt(
    client: httpx.AsyncClient, settings: ConnectionSettings, request: ApiRequest, token: str
) -> ApiAnswer | KoreAIError:
    import httpx

    # Waiting for a free connection is no fault of the service's: only the whole call's budget bounds it.
    timeout = httpx.Timeout(settings.timeout, pool=None)
    try:
        return await asyncio.wait_for(_exchange(client, request, token, timeout), 2 * settings.timeout)
    except (asyncio.TimeoutError, TimeoutError):
        return unreachable(request, settings, "the answer came too slowly")
    except httpx.InvalidURL as error:
        return not_callable(settings, error)
    except (httpx.HTTPError, httpx.StreamError, OSError) as error:
        return unreachable(request, settings, reason(error))


async def _exchange(
    client: httpx.AsyncClient, request: ApiRequest, token: str, timeout: httpx.Timeout
) -> ApiAnswer:
    async with client.stream(
        request.method, request.url, headers=headers_with(request, token), timeout=timeout
    ) as response:
        body = bytearray()
        async for piece in response.aiter_raw(1 << 16):
            body += piece
            if len(body) > MAX_ANSWER_BYTES:
                break
        return answer_of(response.status_code, response.headers, bytes(body))


def quiet_httpx() -> None:
    """Keep httpx from logging a line at INFO for each status call of this provider; other users keep theirs."""
    logger = logging.getLogger("httpx")
    if not any(isinstance(entry, _NotOurs) for entry in logger.filters):
        logger.addFilter(_NotOurs())


class _NotOurs(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        args = record.args if isinstance(record.args, tuple) else ()
        return not any("/mlexport" in str(arg) for arg in args[:2])
