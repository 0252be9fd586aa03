"""
Sends the requests that :mod:`airflow_provider_koreai.api.calls` builds, blocking, over ``requests``.

Nothing is retried here: Kore.ai refuses a token that it has seen, so a retry must sign anew, above this layer.
"""

from __future__ import annotations

import functools
import os
import ssl
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_koreai import __version__
from airflow_provider_koreai.api.calls import MAX_ANSWER_BYTES, ApiAnswer, ApiRequest
from airflow_provider_koreai.api.content_encoding import decoded
from airflow_provider_koreai.api.header_timeout import mount as mount_header_timeout
from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIError, KoreAIServerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

    from airflow_provider_koreai.api.settings import ConnectionSettings


USER_AGENT = f"airflow-provider-koreai/{__version__}"
# Where requests and Python look for trusted CAs, the first that is set.
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


def headers_with(request: ApiRequest, token: str) -> dict[str, str]:
    """
    Give the headers of an API call.

    :param request: the call.
    :param token: the freshly signed token of this one request.
    """
    return {
        **request.headers,
        "auth": token,
        "content-type": "application/json",
        "accept": "application/json",
        # The libraries would undo an encoding, layer by layer, before anybody could see how much that gives.
        "accept-encoding": "identity",
        "user-agent": USER_AGENT,
    }


def new_session() -> requests.Session:
    """Make a session that honours the environment's proxies but adds no credentials of its own."""
    import requests

    session = requests.Session()
    mount_header_timeout(session)
    # Otherwise requests looks into ~/.netrc and sends what it finds there for the host.
    session.auth = _unchanged
    return session


def send(
    session: requests.Session, settings: ConnectionSettings, request: ApiRequest, token: str
) -> ApiAnswer:
    """
    Send one API call, once.

    :param session: from :func:`new_session`.
    :param settings: the connection.
    :param request: the call.
    :param token: a token that was signed for this one sending.
    :raises KoreAIServerError: no whole answer came within the connection's ``timeout``.
    :raises KoreAIConfigurationError: the connection's host or ``ca_bundle`` cannot be used.
    """
    answer = _attempt(session, settings, request, token)
    # Raised here, not where it was caught: the library's exception carries the request and its token.
    if isinstance(answer, KoreAIError):
        raise answer
    return answer


def _attempt(
    session: requests.Session, settings: ConnectionSettings, request: ApiRequest, token: str
) -> ApiAnswer | KoreAIError:
    import requests
    import urllib3

    began = time.monotonic()
    try:
        check_cas(settings)
        with session.request(
            request.method,
            request.url,
            headers=headers_with(request, token),
            timeout=(settings.timeout, settings.timeout),
            verify=trusted_cas(settings) or True,
            allow_redirects=False,
            stream=True,
        ) as response:
            body = bytearray()
            while len(body) <= MAX_ANSWER_BYTES:
                piece = response.raw.read1(1 << 16, decode_content=False)
                if not piece:
                    break
                body += piece
                if time.monotonic() - began > 2 * settings.timeout:
                    return unreachable(request, settings, "the answer came too slowly")
            if (
                response.ok
                and not body
                and response.raw.length_remaining is None
                and not response.raw.chunked
            ):
                # Python takes headers that are cut for whole ones; without a length, nothing else tells.
                return unreachable(request, settings, "the connection ended before the answer did")
            return answer_of(response.status_code, response.headers, bytes(body))
    except (
        requests.exceptions.InvalidURL,  # and of a proxy
        requests.exceptions.InvalidSchema,
        urllib3.exceptions.ProxySchemeUnknown,
    ) as error:
        return not_callable(settings, error)
    except KoreAIError as error:
        return error
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        return unreachable(request, settings, reason(error))


def answer_of(status: int, headers: Mapping[str, str], body: bytes) -> ApiAnswer:
    """
    Make an answer of what was received.

    :param status: its status.
    :param headers: its headers.
    :param body: its body, perhaps encoded although that was not asked for.
    """
    return ApiAnswer(status, headers, decoded(body, headers, MAX_ANSWER_BYTES))


def not_callable(settings: ConnectionSettings, error: BaseException) -> KoreAIConfigurationError:
    """
    Make the error of a host, or of a proxy on the way to it, that an HTTP library cannot use.

    :param settings: the connection.
    :param error: the library's; its text may hold a proxy's password.
    """
    return KoreAIConfigurationError(
        f"Connection {settings.conn_id!r}: host {settings.base_url} or the environment's proxy for it is not a URL "
        f"that can be called ({type(error).__name__}). A proxy is http://<host>:<port>; one of SOCKS needs "
        "requests[socks] and httpx[socks] to be installed."
    )


def unreachable(request: ApiRequest, settings: ConnectionSettings, why: str) -> KoreAIServerError:
    """
    Make the error of a call that got no whole answer.

    :param request: the call.
    :param settings: the connection.
    :param why: what happened, without secrets.
    """
    hint = ""
    if "certificate" in why.lower():
        hint = " For a private CA, set ca_bundle in the connection's extra."
    return KoreAIServerError(
        f"The {request.subject} got no answer from {settings.base_url} "
        f"(connection {settings.conn_id!r}){_through_proxy(settings.base_url)}: {why}.{hint}"
    )


def reason(error: BaseException) -> str:
    """
    Say what a transport error was, without its URL: the innermost cause says most.

    :param error: an exception of an HTTP library.
    """
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        inner = getattr(current, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((arg for arg in current.args if isinstance(arg, BaseException)), None)
        current = inner or current.__cause__ or current.__context__
    innermost = seen[-1]
    name = type(seen[0]).__name__
    if isinstance(innermost, ssl.SSLCertVerificationError):
        return f"{name}: certificate verification failed, {innermost.verify_message}"
    if isinstance(innermost, (ConnectionError, TimeoutError)) and innermost.errno:
        return f"{name}: {os.strerror(innermost.errno)}"  # asyncio has texts of its own
    if isinstance(innermost, OSError) and innermost.strerror:
        return f"{name}: {innermost.strerror}"
    inner_name = type(innermost).__name__
    return name if inner_name == name else f"{name}: {inner_name}"


def proxy_for(url: str) -> str | None:
    """
    Give the proxy that the environment wants for a URL (``HTTPS_PROXY``, ``NO_PROXY`` and so on).

    ``httpx`` reads the environment otherwise than ``requests`` (it knows no networks in ``NO_PROXY``), so both
    clients go by what ``requests`` makes of it.

    :param url: where to.
    :return: the proxy's URL, password included; None: no proxy.
    """
    from requests.utils import get_environ_proxies, prepend_scheme_if_needed, select_proxy

    proxy = select_proxy(url, get_environ_proxies(url))
    if not proxy:
        return None
    return str(prepend_scheme_if_needed(proxy, "http"))  # type: ignore[no-untyped-call]


def _through_proxy(url: str) -> str:
    proxy = proxy_for(url)
    # Without the user name and password that may stand before the host.
    return f" through the proxy {urlsplit(proxy).netloc.rpartition('@')[2]}" if proxy else ""


def trusted_cas(settings: ConnectionSettings) -> str | None:
    """
    Give the path of the CAs to trust, for every client alike.

    :param settings: the connection.
    :return: its ``ca_bundle``, or what the environment names; None: those of ``certifi``.
    """
    return settings.ca_bundle or next(filter(None, map(os.environ.get, CA_VARIABLES)), None)


@functools.lru_cache(maxsize=16)
def tls_context(cas: str | None) -> ssl.SSLContext:
    """
    Load trusted CAs, once per process: loading takes tens of milliseconds.

    :param cas: path of a PEM file or a folder of hashed certificates; None for the default CAs.
    :raises OSError: it cannot be read (``ssl.SSLError`` among them).
    """
    if cas is None:
        import certifi

        cas = certifi.where()
    if os.path.isdir(cas):
        return ssl.create_default_context(capath=cas)
    return ssl.create_default_context(cafile=cas)


def check_cas(settings: ConnectionSettings) -> None:
    """
    Refuse a ``ca_bundle`` that holds no certificates, before a library does it less clearly.

    :param settings: the connection.
    :raises KoreAIConfigurationError: it, or what the environment names in its place, cannot be read.
    """
    cas = trusted_cas(settings)
    if cas is None:
        return
    try:
        tls_context(cas)
        return
    except OSError as error:
        problem = error.strerror or type(error).__name__
    name = "ca_bundle" if settings.ca_bundle else f"the environment's CA bundle ({', '.join(CA_VARIABLES)})"
    raise KoreAIConfigurationError(
        f"Connection {settings.conn_id!r} (type koreai) cannot be used: {name} {cas!r} cannot "
        f"be loaded ({problem}); use a PEM file of CA certificates that exists on each worker and triggerer."
    )


def _unchanged(prepared: Any) -> Any:
    return prepared
