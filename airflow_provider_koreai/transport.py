"""
Sends the requests that :mod:`airflow_provider_koreai.api` builds, blocking, over ``requests``.

Nothing is retried here: Kore.ai refuses a token that it has seen, so a retry must sign anew, above this layer.
"""

from __future__ import annotations

import functools
import ssl
import time
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai import __version__
from airflow_provider_koreai.api import MAX_ANSWER_BYTES, ApiAnswer, ApiRequest
from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIError, KoreAIServerError

if TYPE_CHECKING:
    import requests

    from airflow_provider_koreai.auth import ConnectionSettings


USER_AGENT = f"airflow-provider-koreai/{__version__}"


def headers_with(token: str) -> dict[str, str]:
    """
    Give the headers of an API call.

    :param token: the freshly signed token of this one request.
    """
    return {
        "auth": token,
        "content-type": "application/json",
        "accept": "application/json",
        "user-agent": USER_AGENT,
    }


def new_session() -> requests.Session:
    """Make a session that honours the environment's proxies but adds no credentials of its own."""
    import requests

    session = requests.Session()
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
        check_ca_bundle(settings)
        with session.request(
            request.method,
            request.url,
            headers=headers_with(token),
            timeout=(settings.timeout, settings.timeout),
            verify=settings.ca_bundle or True,
            allow_redirects=False,
            stream=True,
        ) as response:
            body = bytearray()
            while len(body) <= MAX_ANSWER_BYTES:
                piece = response.raw.read1(1 << 16, decode_content=True)
                if not piece:
                    break
                body += piece
                if time.monotonic() - began > 2 * settings.timeout:
                    return unreachable(request, settings, "the answer came too slowly")
            return ApiAnswer(response.status_code, response.headers, bytes(body))
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidProxyURL) as error:
        return KoreAIConfigurationError(
            f"Connection {settings.conn_id!r}: host {settings.base_url} or the environment's proxy is not a "
            f"URL that can be called ({type(error).__name__})."
        )
    except KoreAIError as error:
        return error
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        return unreachable(request, settings, reason(error))


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
        f"The {request.call} of bot {request.bot_id} got no answer from {settings.base_url} "
        f"(connection {settings.conn_id!r}): {why}.{hint}"
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
    if isinstance(innermost, OSError) and innermost.strerror:
        return f"{name}: {innermost.strerror}"
    inner_name = type(innermost).__name__
    return name if inner_name == name else f"{name}: {inner_name}"


@functools.lru_cache(maxsize=16)
def tls_context(ca_bundle: str | None) -> ssl.SSLContext:
    """
    Load trusted CAs, once per process: loading takes tens of milliseconds.

    :param ca_bundle: path of a PEM file or a folder of hashed certificates; None for the default CAs.
    :raises OSError: it cannot be read (``ssl.SSLError`` among them).
    """
    import os

    if ca_bundle is None:
        import certifi

        return ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE") or certifi.where())
    if os.path.isdir(ca_bundle):
        return ssl.create_default_context(capath=ca_bundle)
    return ssl.create_default_context(cafile=ca_bundle)


def check_ca_bundle(settings: ConnectionSettings) -> None:
    """
    Refuse a ``ca_bundle`` that holds no certificates, before a library does it less clearly.

    :param settings: the connection.
    :raises KoreAIConfigurationError: it cannot be read.
    """
    if settings.ca_bundle is None:
        return
    try:
        tls_context(settings.ca_bundle)
        return
    except OSError as error:
        problem = error.strerror or type(error).__name__
    raise KoreAIConfigurationError(
        f"Connection {settings.conn_id!r} (type koreai) cannot be used: ca_bundle {settings.ca_bundle!r} cannot "
        f"be loaded ({problem}); use a PEM file of CA certificates that exists on each worker and triggerer."
    )


def _unchanged(prepared: Any) -> Any:
    return prepared
