"""
Sends the requests of :mod:`airflow_provider_koreai.api.calls` from an event loop, over ``httpx``.

A triggerer may hold thousands of waits: those on one event loop share their connections, which are closed when the
last wait ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_koreai.api.client import (
    TOO_SLOW,
    FileStamp,
    answer_of,
    check_cas,
    headers_with,
    no_answer,
    proxy_for,
    tls_context,
    trusted_cas,
)
from airflow_provider_koreai.api.transport_errors import explain, not_callable
from airflow_provider_koreai.exceptions import KoreAIError
from airflow_provider_koreai.redaction import quiet_http_logs

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

    import httpx

    from airflow_provider_koreai.api.calls import ApiAnswer, ApiRequest
    from airflow_provider_koreai.api.settings import ConnectionSettings

KEEPALIVE_SECONDS = 60.0
# Where Airflow's configuration does not say how many triggers a triggerer runs.
DEFAULT_CAPACITY = 1000


def most_connections() -> int:
    """Return how many calls may be under way at once: as many as a triggerer has triggers, if there are files for it."""
    from airflow.providers.common.compat.sdk import conf

    # ``default_capacity`` is what Airflow 2 calls it.
    capacity = next(
        (
            conf.getint("triggerer", name)
            for name in ("capacity", "default_capacity")
            if conf.has_option("triggerer", name)
        ),
        DEFAULT_CAPACITY,
    )
    return max(1, min(capacity, _open_files() // 2))


def _open_files() -> int:
    """Return how many files this process may have open; each connection is one."""
    try:
        import resource
    except ImportError:  # on Windows
        return 2 * DEFAULT_CAPACITY
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 2 * DEFAULT_CAPACITY if soft == resource.RLIM_INFINITY else soft


class SharedClient:
    """
    One event loop's connections to one host, each in a client of its own.

    The bookkeeping of one client with many connections grows with the square of their number; measured, twenty
    clients with one connection each take a fifth of the time. They share one TLS context, which is what is large.
    There are as many as calls are under way at once, up to :func:`most_connections`.
    """

    def __init__(self, context: ssl.SSLContext, proxy: str | None, most: int) -> None:
        self._context = context
        self._proxy = proxy
        self._places = asyncio.Semaphore(most)
        # Last in, first out: the first ones have been idle longest.
        self._idle: list[tuple[float, httpx.AsyncClient]] = [(time.monotonic(), self._new_client())]
        self.in_use = 0

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[httpx.AsyncClient]:
        """Borrow a client that nobody else uses."""
        self.in_use += 1
        try:
            async with self._places:
                client = self._idle.pop()[1] if self._idle else self._new_client()
                try:
                    yield client
                finally:
                    self._idle.append((time.monotonic(), client))
        finally:
            self.in_use -= 1
        await self._close_those_idle_since(time.monotonic() - KEEPALIVE_SECONDS)

    async def aclose(self) -> None:
        """Close all connections; nobody may be using one."""
        await self._close_those_idle_since(float("inf"))

    async def _close_those_idle_since(self, moment: float) -> None:
        while self._idle and self._idle[0][0] < moment:
            await self._idle.pop(0)[1].aclose()

    def _new_client(self) -> httpx.AsyncClient:
        import httpx

        limits = httpx.Limits(
            max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEPALIVE_SECONDS
        )
        return httpx.AsyncClient(
            verify=self._context, limits=limits, follow_redirects=False, proxy=self._proxy, trust_env=False
        )


_Key = tuple[str, "str | None", "FileStamp | None"]


@dataclass
class _Loop:
    """What the waits of one event loop share."""

    waits: int = 0
    clients: dict[_Key, SharedClient] = field(default_factory=dict)

    async def close_idle(self, connection: tuple[str, str | None] | None = None) -> None:
        """Close what is not in use, of one host and ``ca_bundle`` or of all."""
        keys = [key for key, client in self.clients.items() if not client.in_use]
        for client in [self.clients.pop(key) for key in keys if connection in (None, key[:2])]:
            await client.aclose()


_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = weakref.WeakKeyDictionary()


@contextlib.asynccontextmanager
async def connections_open() -> AsyncIterator[None]:
    """Keep the running event loop's connections open from one call to the next."""
    shared = _loops.setdefault(asyncio.get_running_loop(), _Loop())
    shared.waits += 1
    try:
        yield
    finally:
        shared.waits -= 1
        if not shared.waits:
            await shared.close_idle()


async def asend(
    settings: ConnectionSettings,
    request: ApiRequest,
    sign: Callable[[], str],
    ca_stamp: FileStamp | None = None,
) -> ApiAnswer:
    """
    Send one API call once, within :func:`connections_open`.

    :param ca_stamp: where it differs from the one before, the trusted CAs are read again.
    """
    shared = await _shared_client(settings, ca_stamp)
    async with shared.place() as client:
        answer = await _attempt(client, settings, request, sign())
    # Raised here, not where it was caught: the library's exception carries the request and its token.
    if isinstance(answer, KoreAIError):
        raise answer
    return answer


async def _shared_client(settings: ConnectionSettings, ca_stamp: FileStamp | None) -> SharedClient:
    mine = _loops[asyncio.get_running_loop()]
    key = settings.base_url, settings.ca_bundle, ca_stamp
    if key not in mine.clients:
        most, context, proxy = await asyncio.to_thread(_ingredients, settings)
        if key not in mine.clients:  # somebody may have been quicker
            await mine.close_idle(key[:2])  # those of CAs that were replaced
            mine.clients.setdefault(key, SharedClient(context, proxy, most))
    return mine.clients[key]


def _ingredients(settings: ConnectionSettings) -> tuple[int, ssl.SSLContext, str | None]:
    """Read files and import libraries, which takes tens of milliseconds the first time: not on the event loop."""
    import httpx

    check_cas(settings)
    try:
        context, proxy = tls_context(trusted_cas(settings)), proxy_for(settings.base_url)
        httpx.AsyncClient(verify=context, proxy=proxy, trust_env=False)  # refuses a proxy that it cannot use
    except (httpx.InvalidURL, ValueError, ImportError) as error:
        problem = not_callable(settings, error)
    else:
        return most_connections(), context, proxy
    # Without its cause, whose text may hold the proxy's password.
    raise problem


async def _attempt(
    client: httpx.AsyncClient, settings: ConnectionSettings, request: ApiRequest, token: str
) -> ApiAnswer | KoreAIError:
    import anyio  # httpx depends on it
    import httpx

    timeout = httpx.Timeout(settings.timeout, pool=None)
    try:
        # Not asyncio.wait_for, which before Python 3.12 may swallow a cancellation: the trigger would never end.
        with (
            quiet_http_logs(),
            anyio.fail_after(2 * settings.timeout),
        ):  # httpx logs a line at INFO for each call
            return await _exchange(client, request, token, timeout)
    except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError) as error:
        if isinstance(error, httpx.InvalidURL):
            return not_callable(settings, error)
        is_ours = isinstance(error, TimeoutError) and error.args == ()
        return no_answer(request, settings, TOO_SLOW if is_ours else explain(error, settings.timeout))


async def _exchange(
    client: httpx.AsyncClient, request: ApiRequest, token: str, timeout: httpx.Timeout
) -> ApiAnswer:
    async with client.stream(
        request.method,
        request.url,
        headers=headers_with(request, token),
        content=request.body,
        timeout=timeout,
    ) as response:
        body = bytearray()
        async for piece in response.aiter_raw(1 << 16):
            body += piece
            if len(body) > request.max_answer_bytes:
                break
        return answer_of(request, response.status_code, response.headers, bytes(body))
