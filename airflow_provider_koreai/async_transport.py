"""
Sends the requests that :mod:`airflow_provider_koreai.api` builds from an event loop, over ``httpx``.

A triggerer may hold thousands of waits: all those on one event loop share one connection pool for each set of
trusted CAs, which is closed when the last of them ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_koreai.api import MAX_ANSWER_BYTES, ApiAnswer, ApiRequest
from airflow_provider_koreai.exceptions import KoreAIError
from airflow_provider_koreai.transport import (
    check_ca_bundle,
    headers_with,
    reason,
    tls_context,
    unreachable,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    import httpx

    from airflow_provider_koreai.auth import ConnectionSettings

# Connections that one event loop keeps open to Kore.ai; further calls queue for one.
MAX_CONNECTIONS = 50
KEEPALIVE_SECONDS = 60.0


@dataclass
class _Shared:
    client: httpx.AsyncClient
    users: int = 0


_pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str | None, _Shared]] = (
    weakref.WeakKeyDictionary()
)


@contextlib.asynccontextmanager
async def shared_client(settings: ConnectionSettings) -> AsyncIterator[httpx.AsyncClient]:
    """
    Borrow the running event loop's client.

    :param settings: the connection; only its ``ca_bundle`` makes a difference.
    :raises KoreAIConfigurationError: ``ca_bundle`` cannot be loaded.
    """
    pool = _pools.setdefault(asyncio.get_running_loop(), {})
    if settings.ca_bundle not in pool:
        # Both read files and take tens of milliseconds the first time: not on the loop.
        await asyncio.to_thread(check_ca_bundle, settings)
        context = await asyncio.to_thread(tls_context, settings.ca_bundle)
        if settings.ca_bundle not in pool:  # nobody was quicker
            pool[settings.ca_bundle] = _Shared(_new_client(context))
    shared = pool[settings.ca_bundle]
    shared.users += 1
    try:
        yield shared.client
    finally:
        shared.users -= 1
        if not shared.users:
            pool.pop(settings.ca_bundle, None)
            await shared.client.aclose()


def _new_client(context: ssl.SSLContext) -> httpx.AsyncClient:
    import httpx

    quiet_httpx()
    limits = httpx.Limits(
        max_connections=MAX_CONNECTIONS,
        max_keepalive_connections=MAX_CONNECTIONS,
        keepalive_expiry=KEEPALIVE_SECONDS,
    )
    return httpx.AsyncClient(verify=context, limits=limits, follow_redirects=False)


async def asend(
    client: httpx.AsyncClient, settings: ConnectionSettings, request: ApiRequest, token: str
) -> ApiAnswer:
    """
    Send one API call, once.

    :param client: from :func:`shared_client`.
    :param settings: the connection.
    :param request: the call.
    :param token: a token that was signed for this one sending.
    :raises KoreAIServerError: no whole answer came within the connection's ``timeout``.
    """
    answer = await _attempt(client, settings, request, token)
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
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
        return unreachable(request, settings, reason(error))


async def _exchange(
    client: httpx.AsyncClient, request: ApiRequest, token: str, timeout: httpx.Timeout
) -> ApiAnswer:
    async with client.stream(
        request.method, request.url, headers=headers_with(token), timeout=timeout
    ) as response:
        body = bytearray()
        async for piece in response.aiter_bytes(1 << 16):
            body += piece
            if len(body) > MAX_ANSWER_BYTES:
                break
        return ApiAnswer(response.status_code, response.headers, bytes(body))


def quiet_httpx() -> None:
    """Keep httpx from logging a line at INFO for each status call of this provider; other users keep theirs."""
    logger = logging.getLogger("httpx")
    if not any(isinstance(entry, _NotOurs) for entry in logger.filters):
        logger.addFilter(_NotOurs())


class _NotOurs(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        args = record.args if isinstance(record.args, tuple) else ()
        return not any("/mlexport" in str(arg) for arg in args[:2])
