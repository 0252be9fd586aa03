"""
Where a download link may point, without I/O.

A link comes from the service, and each redirect from whoever answered; whoever has a link has the data. So
every hop is checked before anything is sent there, and no error text repeats a link.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIDownloadError

if TYPE_CHECKING:
    from airflow_provider_koreai.api.settings import ConnectionSettings

VENDOR_DOMAIN = "kore.ai"
_MAX_LENGTH = 16 << 10
# A backslash, a space or a control character is where two parsers of URLs disagree on the host.
_PLAIN = re.compile(r"[!-\[\]-~]+")
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?|[0-9a-f:.]+")
_PORTS = {"http": 80, "https": 443}


class LinkPolicy:
    """Decides whether a link may be followed, by the connection's scheme, host and ``download_hosts``."""

    def __init__(self, settings: ConnectionSettings) -> None:
        self._conn_id = settings.conn_id
        self._https_only = settings.base_url.startswith("https:")
        self._api_host = settings.host.lower()
        self._at_vendor = _is_within(self._api_host, VENDOR_DOMAIN)
        self._further = settings.download_hosts

    def check(self, link: str, *, redirected: bool = False) -> None:
        """Raise an error unless this hop may be followed; only one that a retry cannot change is final."""
        what = "A redirect of the download link" if redirected else "The download link"
        scheme, host, port = split_link(link, what)
        if scheme == "http" and self._https_only:
            raise KoreAIConfigurationError(
                f"{what} leads to http://{host}; connection {self._conn_id!r} uses https, so its download "
                "links must, too. The link was not followed."
            )
        if not self._allows(host, port):
            raise KoreAIConfigurationError(
                f"{what} leads to host {host!r}, which is not the host of connection {self._conn_id!r} "
                f"({self._api_host}){' or under ' + VENDOR_DOMAIN if self._at_vendor else ''}. It was not followed. "
                f"If your Kore.ai stores its files there, add {host!r} to download_hosts in the connection's extra."
            )

    def _allows(self, host: str, port: int) -> bool:
        if host == self._api_host or (self._at_vendor and _is_within(host, VENDOR_DOMAIN)):
            return True
        return any(_matches(entry, host, port) for entry in self._further)


def split_link(link: str, what: str = "The download link") -> tuple[str, str, int]:
    """Return a link's scheme, host and port; refuse what is not plainly an http(s) URL, or carries a user name."""
    parts = None
    if len(link) <= _MAX_LENGTH and _PLAIN.fullmatch(link):
        try:
            parts = urlsplit(link)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            parts = None
    if parts is None or parts.scheme not in _PORTS or not _HOST.fullmatch(host) or "@" in parts.netloc:
        raise KoreAIDownloadError(f"{what} is not a plain http or https URL, so it was not followed.")
    return parts.scheme, host, port or _PORTS[parts.scheme]


def redirect_target(link: str, location: str) -> str:
    """Return where the ``Location`` of a link's answer leads; it is not checked yet."""
    try:
        return urljoin(link, location)
    except ValueError:
        return ""


def _is_within(host: str, domain: str) -> bool:
    return host == domain or host.endswith("." + domain)


def _matches(entry: str, host: str, port: int) -> bool:
    """Whether an entry of ``download_hosts`` (``host``, ``*.domain``, either with ``:port``) means this host."""
    match = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::(\d+))?", entry.lower())
    if match is None or (match[2] and int(match[2]) != port):
        return False
    entry_host = match[1].strip("[]")
    if entry_host.startswith("*."):
        return host.endswith(entry_host[1:])
    return host == entry_host
