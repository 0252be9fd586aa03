"""
Sends the requests of :mod:`airflow_provider_koreai.api.calls`, blocking, over ``requests``.

Nothing is retried here: Kore.ai refuses a token that it has seen, so whoever retries signs anew.
"""

from __future__ import annotations

import functools
import os
import ssl
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_koreai import __version__
from airflow_provider_koreai.api.calls import ApiAnswer, ApiRequest
from airflow_provider_koreai.api.content_encoding import decoded
from airflow_provider_koreai.api.multipart import FormWithFile
from airflow_provider_koreai.api.transport_errors import (
    explain,
    failed_before_sending,
    not_callable,
    unreachable,
)
from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

    from airflow_provider_koreai.api.settings import ConnectionSettings


USER_AGENT = f"airflow-provider-koreai/{__version__}"
# Where requests and Python look for trusted CAs; the first that is set counts.
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
TOO_SLOW = "the answer came too slowly"
# What tells one content of a CA file from another: modification time, size and inode.
FileStamp = tuple[int, int, int]


def headers_with(request: ApiRequest, token: str) -> dict[str, str]:
    """Return the headers of an API call that carries this token."""
    return {
        **request.headers,
        "auth": token,
        "content-type": request.content_type,
        "accept": "application/json",
        # The libraries would undo an encoding before anybody could see how much that gives.
        "accept-encoding": "identity",
        "user-agent": USER_AGENT,
    }


def new_session() -> requests.Session:
    """Return a session that honours the environment's proxies but adds no credentials of its own."""
    import requests

    session = requests.Session()
    # Otherwise requests sends what ~/.netrc has for the host.
    session.auth = _unchanged
    return session


def send(
    session: requests.Session, settings: ConnectionSettings, request: ApiRequest, token: str
) -> ApiAnswer:
    """Send one API call once, with a token signed for this one sending."""
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
            data=request.body,
            timeout=(settings.timeout, settings.timeout),
            verify=trusted_cas(settings) or True,
            allow_redirects=False,
            stream=True,
        ) as response:
            if isinstance(request.body, FormWithFile):
                began = time.monotonic()  # sending a file may take longer than any answer
            body = bytearray()
            while len(body) <= request.max_answer_bytes:
                piece = response.raw.read1(1 << 16, decode_content=False)
                if not piece:
                    break
                body += piece
                if time.monotonic() - began > 2 * settings.timeout:
                    return no_answer(request, settings, TOO_SLOW)
            if (
                response.ok
                and not body
                and response.raw.length_remaining is None
                and not response.raw.chunked
            ):
                # Python takes headers that were cut off for complete ones; without a length, nothing else shows it.
                return no_answer(request, settings, "the connection ended before the answer did")
            return answer_of(request, response.status_code, response.headers, bytes(body))
    except (
        requests.exceptions.InvalidURL,  # and of a proxy
        requests.exceptions.InvalidSchema,
        urllib3.exceptions.ProxySchemeUnknown,
    ) as error:
        return not_callable(settings, error)
    except KoreAIError as error:
        return error
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        return no_answer(
            request, settings, explain(error, settings.timeout), was_sent=not failed_before_sending(error)
        )


def answer_of(request: ApiRequest, status: int, headers: Mapping[str, str], body: bytes) -> ApiAnswer:
    """Return the answer that was received; its body may be compressed although that was not asked for."""
    return ApiAnswer(status, headers, decoded(body, headers, request.max_answer_bytes))


def no_answer(
    request: ApiRequest, settings: ConnectionSettings, why: str, *, was_sent: bool = True
) -> KoreAIError:
    """Return the error of a call that got no complete answer, with the proxy that it went through."""
    proxy = proxy_for(settings.base_url)
    # Without the user name and password that may come before the proxy's host.
    shown = urlsplit(proxy).netloc.rpartition("@")[2] if proxy else None
    return unreachable(request, settings, why, shown, was_sent=was_sent)


def proxy_for(url: str) -> str | None:
    """
    Return the URL, password included, of the proxy that the environment sets for a URL.

    ``httpx`` reads the environment differently from ``requests`` (it ignores networks in ``NO_PROXY``), so both
    clients use what ``requests`` makes of it.
    """
    from requests.utils import get_environ_proxies, prepend_scheme_if_needed, select_proxy

    proxy = select_proxy(url, get_environ_proxies(url))
    if not proxy:
        return None
    return str(prepend_scheme_if_needed(proxy, "http"))  # type: ignore[no-untyped-call]


def trusted_cas(settings: ConnectionSettings) -> str | None:
    """Return the path of the CAs to trust: ``ca_bundle``, or what the environment names; None: those of ``certifi``."""
    return settings.ca_bundle or next(filter(None, map(os.environ.get, CA_VARIABLES)), None)


def ca_stamp(settings: ConnectionSettings) -> FileStamp | None:
    """Return a value that changes whenever the CA file is replaced, or None if there is no such file."""
    cas = trusted_cas(settings)
    return None if cas is None else _stamp(cas)


def tls_context(cas: str | None) -> ssl.SSLContext:
    """Load a file, or a folder of hashed certificates, of trusted CAs; again only once it was replaced."""
    return _load_cas(cas, None if cas is None else _stamp(cas))


def _stamp(path: str) -> FileStamp | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


@functools.lru_cache(maxsize=16)
def _load_cas(cas: str | None, stamp: FileStamp | None) -> ssl.SSLContext:
    if cas is None:
        import certifi

        cas = certifi.where()
    if os.path.isdir(cas):
        return ssl.create_default_context(capath=cas)
    return ssl.create_default_context(cafile=cas)


def check_cas(settings: ConnectionSettings) -> None:
    """Raise KoreAIConfigurationError if the trusted CAs cannot be loaded; the libraries say so less clearly."""
    cas = trusted_cas(settings)
    if cas is None:
        return
    try:
        tls_context(cas)
    except OSError as error:
        name = (
            "ca_bundle" if settings.ca_bundle else f"the environment's CA bundle ({', '.join(CA_VARIABLES)})"
        )
        raise KoreAIConfigurationError(
            f"Connection {settings.conn_id!r} (type koreai) cannot be used: {name} {cas!r} cannot "
            f"be loaded ({error.strerror or type(error).__name__}); use a PEM file of CA certificates that exists on "
            "every worker and triggerer."
        ) from error


def _unchanged(prepared: Any) -> Any:
    return prepared
