"""
The settings of a connection of type ``koreai``, checked field by field.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_koreai.exceptions import KoreAIConfigurationError
from airflow_provider_koreai.text import encodable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFAULT_HOST = "https://bots.kore.ai"
DEFAULT_AUDIENCE = "https://idproxy.kore.ai/authorize"
DEFAULT_SUBJECT = "airflow-provider-koreai"
ALGORITHMS = ("HS256", "HS512", "RS256", "RS512")
JWE_ALGORITHMS = ("RSA-OAEP", "RSA1_5")
JWE_ENCRYPTIONS = ("A128CBC-HS256", "A128GCM", "A256GCM")
# For a token with a jti, the platform accepts an exp at most one hour ahead of its own clock. Half of that leaves
# room for a worker whose clock is a few minutes fast or slow.
DEFAULT_TOKEN_TTL = 1800
MAX_TOKEN_TTL = 3600
DEFAULT_TIMEOUT = 30.0
HTTPS_PORT = 443

EXTRA_FIELDS = (
    "bot_id",
    "algorithm",
    "subject",
    "audience",
    "token_ttl",
    "jwe_public_key",
    "jwe_alg",
    "jwe_enc",
    "ca_bundle",
    "timeout",
    "download_hosts",
)


@dataclass(frozen=True)
class ConnectionSettings:
    """
    A connection of type ``koreai``, checked.

    :param conn_id: the connection's ID, for messages.
    :param base_url: scheme, host and port, without a trailing slash.
    :param client_id: the app's Client ID.
    :param secret: the app's Client Secret, or an RSA private key in PEM.
    :param algorithm: one of :data:`ALGORITHMS`.
    :param subject: the ``sub`` claim; Kore.ai accepts any string.
    :param audience: the ``aud`` claim.
    :param token_ttl: seconds from a token's signing to its ``exp``.
    :param jwe_public_key: the platform's public key as a JWK, for apps with "Enforce JWE".
    :param jwe_alg: one of :data:`JWE_ALGORITHMS`.
    :param jwe_enc: one of :data:`JWE_ENCRYPTIONS`.
    :param ca_bundle: path of a PEM file with the CAs to trust instead of the default ones.
    :param timeout: seconds that one HTTP request may take to connect, and to wait for each piece of its answer.
    :param download_hosts: further hosts that a download link may lead to.
    :param bot_id: the bot that the connection's Test button asks about.
    """

    conn_id: str
    base_url: str
    client_id: str
    secret: str = field(repr=False)
    algorithm: str = "HS256"
    subject: str = DEFAULT_SUBJECT
    audience: str = DEFAULT_AUDIENCE
    token_ttl: int = DEFAULT_TOKEN_TTL
    jwe_public_key: Mapping[str, Any] | None = field(default=None, repr=False)
    jwe_alg: str = "RSA-OAEP"
    jwe_enc: str = "A128CBC-HS256"
    ca_bundle: str | None = None
    timeout: float = DEFAULT_TIMEOUT
    download_hosts: tuple[str, ...] = ()
    bot_id: str | None = None

    @property
    def host(self) -> str:
        """The API's host name, without port."""
        return urlsplit(self.base_url).hostname or ""

    @property
    def is_plain_http_to_elsewhere(self) -> bool:
        """Whether tokens would cross a network unencrypted."""
        return self.base_url.startswith("http://") and not is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Return whether a host name or IP address means this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def settings_from_connection(
    conn_id: str,
    *,
    host: str | None,
    login: str | None,
    password: str | None,
    schema: str | None = None,
    port: int | None = None,
    extra: Mapping[str, Any] | None = None,
) -> ConnectionSettings:
    """
    Check a connection's fields. The error names all that are missing or wrong.

    ``schema`` and ``port`` count where ``host`` does not contain them.
    """
    check = _Checker(extra or {})
    base_url = check.take("host", lambda: _base_url(host, schema, port), DEFAULT_HOST)
    client_id = (login or "").strip()
    if not client_id:
        check.problem("login", "is empty; enter the app's Client ID")
    secret = _normalise_pem(password or "")
    if not secret.strip():
        check.problem("password", "is empty; enter the app's Client Secret, or its RSA private key in PEM")
    elif encodable(secret) != secret:
        check.problem(
            "password", "contains an unpaired surrogate, so it was not copied correctly; enter it again"
        )
    algorithm = check.choice("algorithm", ALGORITHMS, "HS256")
    jwe_public_key = check.extra("jwe_public_key", _jwk, None)
    settings = ConnectionSettings(
        conn_id=conn_id,
        base_url=base_url,
        client_id=client_id,
        secret=secret,
        algorithm=algorithm,
        subject=check.extra("subject", _string, DEFAULT_SUBJECT),
        audience=check.extra("audience", _string, DEFAULT_AUDIENCE),
        token_ttl=check.extra("token_ttl", _token_ttl, DEFAULT_TOKEN_TTL),
        jwe_public_key=jwe_public_key,
        jwe_alg=check.choice("jwe_alg", JWE_ALGORITHMS, "RSA-OAEP"),
        jwe_enc=check.choice("jwe_enc", JWE_ENCRYPTIONS, "A128CBC-HS256"),
        ca_bundle=check.extra("ca_bundle", _ca_bundle, None),
        timeout=check.extra("timeout", _timeout, DEFAULT_TIMEOUT),
        download_hosts=check.extra("download_hosts", _hosts, ()),
        bot_id=check.extra("bot_id", _string, None),
    )
    check.finish(conn_id)
    return settings


class _Checker:
    """Collects all problems, so that one error names every wrong field."""

    def __init__(self, extra: Mapping[str, Any]) -> None:
        self._extra = extra
        self._problems: list[str] = []

    def problem(self, name: str, text: str) -> None:
        self._problems.append(f"{name} {text}")

    def take(self, name: str, read: Callable[[], Any], default: Any) -> Any:
        try:
            return read()
        except ValueError as error:
            self.problem(name, str(error))
            return default

    def extra(self, name: str, read: Callable[[Any], Any], default: Any) -> Any:
        value = self._extra.get(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            return default
        return self.take(name, lambda: read(value), default)

    def choice(self, name: str, accepted: tuple[str, ...], default: str) -> str:
        def read(value: Any) -> str:
            for word in accepted:
                if str(value).strip().upper() == word.upper():
                    return word
            raise ValueError(f"is {value!r:.40}; use one of {', '.join(accepted)}")

        return str(self.extra(name, read, default))

    def finish(self, conn_id: str) -> None:
        if self._problems:
            raise KoreAIConfigurationError(
                f"Connection {conn_id!r} (type koreai) cannot be used: {'; '.join(self._problems)}."
            )


def wrong_setting(settings: ConnectionSettings, name: str, text: str) -> KoreAIConfigurationError:
    return KoreAIConfigurationError(
        f"Connection {settings.conn_id!r} (type koreai) cannot be used: {name} {text}."
    )


def _base_url(host: str | None, schema: str | None, port: int | None) -> str:
    scheme_field = (schema or "").strip().lower().rstrip(":/")
    if scheme_field not in ("", "http", "https"):
        raise ValueError(f"has schema {schema!r:.40}; use http or https, or leave the schema empty")
    text = (host or "").strip()
    if not text:
        text = DEFAULT_HOST
    if "://" not in text:
        if text.count(":") > 1 and not text.startswith("["):
            text = f"[{text}]"  # a bare IPv6 address
        text = f"{scheme_field or 'https'}://{text}"
    if "@" in re.split(r"[/?#]", text.split("://", 1)[-1])[0]:
        raise ValueError("contains a user name or password; enter them as Login and Password")
    if port is not None and not 1 <= port <= 65535:
        raise ValueError(f"has port {port}; use a port from 1 to 65535, or leave it empty")
    try:
        parts = urlsplit(text)
        host_name, url_port = parts.hostname, parts.port
        if "[" in parts.netloc:
            # Python 3.10 does not check this itself.
            ipaddress.IPv6Address((host_name or "").partition("%")[0])
    except ValueError:
        raise ValueError(f"is {text!r:.120}, which is not a host name or URL") from None
    # The user info itself is not repeated: it may be a secret.
    if "@" in parts.netloc:
        raise ValueError("contains a user name or password; enter them as Login and Password")
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"is {text!r:.120}; use https://<host>, or http:// for a test server")
    if scheme_field and scheme_field != parts.scheme:
        raise ValueError(f"is {text!r:.120}, but schema is {scheme_field!r}; leave one of them empty")
    if parts.path not in ("", "/") or parts.query or parts.fragment or "?" in text or "#" in text:
        raise ValueError(
            f"is {text.split('?')[0]!r:.120} with a path or a query; enter only the host, "
            "for example https://bots.kore.ai"
        )
    if not host_name or not re.fullmatch(r"[A-Za-z0-9._\-]+|[0-9A-Fa-f:.]+(%[\w.]+)?", host_name):
        raise ValueError(f"is {text!r:.120}, which is not a host name or URL")
    # Airflow 3.3.1 and 3.3.2 do not test a connection without a Port, so 443 may be there for that reason only.
    if port and url_port and port not in (url_port, HTTPS_PORT):
        raise ValueError(f"contains port {url_port}, but port is {port}; enter it in one of them only")
    name = f"[{host_name}]" if ":" in host_name else host_name
    number = url_port or port
    return f"{parts.scheme}://{name}" + (f":{number}" if number else "")


def _normalise_pem(secret: str) -> str:
    # In a PEM from an environment variable or a one-line form field, newlines are escaped.
    if "-----BEGIN" in secret and "\\n" in secret:
        return secret.replace("\\r", "").replace("\\n", "\n")
    return secret


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"is {value!r:.40}; use a string")
    return value.strip()


def _token_ttl(value: Any) -> int:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if isinstance(value, bool) or not number.is_integer() or not 1 <= number <= MAX_TOKEN_TTL:
        raise ValueError(f"is {value!r:.40}; use whole seconds from 1 to {MAX_TOKEN_TTL}")
    return int(number)


def _timeout(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if isinstance(value, bool) or not 0 < number <= 3600:
        raise ValueError(f"is {value!r:.40}; use seconds above 0 and at most 3600")
    return number


def _ca_bundle(value: Any) -> str:
    path = os.path.expanduser(_string(value))
    if not os.path.exists(path):
        raise ValueError(f"is {path!r}, which does not exist on this machine; use the path of a PEM file")
    return path


def _hosts(value: Any) -> tuple[str, ...]:
    names = re.split(r"[,\s]+", value.strip(" ,\t\r\n")) if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"is {value!r:.80}; use a list of host names, or one string with the names separated by commas"
        )
    for name in names:
        if not re.fullmatch(
            r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9._\-]*[A-Za-z0-9])?(:\d+)?|\[[0-9A-Fa-f:]+\](:\d+)?", name
        ):
            raise ValueError(
                f"contains {name!r:.80}; use host names, for example files.example.com, without https:// or a path"
            )
    return tuple(name.lower() for name in names)


def _jwk(value: Any) -> Mapping[str, Any]:
    try:
        jwk = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        jwk = None
    if not isinstance(jwk, dict) or jwk.get("kty") != "RSA" or not jwk.get("n") or not jwk.get("e"):
        raise ValueError(
            "is not an RSA public key as a JWK (an object with kty, n, e and kid); copy it from the app"
        )
    if "d" in jwk:
        raise ValueError("contains a private key; enter only the platform's public key")
    return jwk
