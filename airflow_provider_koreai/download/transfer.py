"""
The HTTP side of a download: one request for a link, and its body as it arrives.

How an attempt ended is returned, not raised: an exception of the HTTP library names the link in its text, and
an exception that is raised while it is handled would carry it along as its context.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.api.calls import retry_after
from airflow_provider_koreai.api.client import USER_AGENT, new_session, trusted_cas
from airflow_provider_koreai.api.content_encoding import CHUNK, KNOWN, Inflate, content_encoding
from airflow_provider_koreai.api.transport_errors import explain
from airflow_provider_koreai.download.links import LinkPolicy, redirect_target
from airflow_provider_koreai.redaction import quiet_http_logs

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

    from airflow_provider_koreai.api.settings import ConnectionSettings

# Compressed bytes may stand for a thousand times as many.
_COMPRESSED_CHUNK = 64 << 10
MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class Trouble:
    """
    Why an attempt ended before the end of the file.

    :param reason: for the log and the error; holds no link.
    :param renew: the link was refused: another one is needed.
    :param restart: what was received so far cannot be continued.
    :param retry_after: seconds that the server asked to wait.
    """

    reason: str
    renew: bool = False
    restart: bool = False
    retry_after: float | None = None


@dataclass(frozen=True)
class Received:
    """
    What has been received of a file so far, as far as continuing needs it.

    :param offset: bytes.
    :param total: bytes of the whole file, None where no answer said.
    :param validator: a strong ``ETag`` or ``Last-Modified`` of the file; None: it cannot be continued.
    """

    offset: int = 0
    total: int | None = None
    validator: str | None = None


class Body:
    """
    The body of one answer.

    :param response: the answer.
    :param start: the offset in the file at which it starts.
    :param total: bytes of the whole file, None where the answer does not say.
    :param validator: as in :class:`Received`.
    :param timeout: seconds without a byte after which the reading gives up, for the message.
    :param rest: False if the answer says that there is nothing after ``start``; its body is no part of the file.
    """

    def __init__(
        self,
        response: requests.Response,
        *,
        start: int,
        total: int | None,
        validator: str | None,
        timeout: float,
        rest: bool = True,
    ) -> None:
        self._rest = rest
        self.start = start
        self.total = total
        self.validator = validator
        self._response = response
        self._raw: Any = response.raw
        self._timeout = timeout
        encoding = content_encoding(response.headers)
        self._inflate = Inflate(encoding) if encoding else None
        # Without a length and without chunks, the end of the connection looks like the end of the file.
        chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
        # A rest may end before the file does, and say nothing of how long that is (RFC 9110, 14.2).
        self.is_end_certain = not rest or (
            (not start or total is not None)
            and (chunked or self._raw.length_remaining is not None or self._inflate is not None)
        )

    def close(self) -> None:
        """Close the response."""
        self._response.close()

    def read(self) -> bytes | Trouble:
        """
        Read what has arrived.

        :return: at least a byte, or ``b""`` at the end of the body, or why there will be no more.
        """
        if not self._rest:
            return b""
        if self._inflate is None:
            return self._read_raw(CHUNK)
        while True:
            data = self._inflate.take()
            if data:
                return data
            if data is None:
                return Trouble("the compressed answer is damaged", restart=True)
            piece = self._read_raw(_COMPRESSED_CHUNK)
            if isinstance(piece, Trouble):
                return piece
            if not piece:
                return b"" if self._inflate.is_complete else Trouble("the compressed answer ended early")
            self._inflate.put(piece)

    def _read_raw(self, size: int) -> bytes | Trouble:
        import requests
        import urllib3

        left = self._raw.length_remaining
        try:
            if left is None:
                return bytes(self._raw.read1(size, decode_content=False) or b"")
            if left > 1:
                return bytes(self._raw.read1(min(size, left - 1), decode_content=False) or b"")
            if left == 1 and self._has_more_than(1):
                return Trouble("the server sent more than the length that it declared", restart=True)
            return bytes(self._raw.read1(1, decode_content=False) or b"") if left else b""
        except (OSError, requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            reason = explain(error, self._timeout)
        return Trouble(reason)

    def _has_more_than(self, count: int) -> bool:
        """Whether more bytes wait than the answer declared: then its length is a lie, and the file longer."""
        # Neither library offers this; where their insides are otherwise, the check falls away.
        reader = getattr(getattr(self._raw, "_fp", None), "fp", None)
        peek = getattr(reader, "peek", None)
        return peek is not None and len(peek(count + 1)) > count


class LinkClient:
    """
    Asks for the file behind a link.

    :param settings: the connection: which hosts are allowed, CAs, timeout.
    """

    def __init__(self, settings: ConnectionSettings) -> None:
        self._policy = LinkPolicy(settings)
        self._timeout = settings.timeout
        # As an argument of the call: on the session, requests would let REQUESTS_CA_BUNDLE overrule it.
        self._verify: str | bool = trusted_cas(settings) or True
        self._session = new_session()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def open(self, link: str, received: Received) -> Body | Trouble:
        """
        Ask for the file, or for the rest of it.

        :param link: the link.
        :param received: what there is already; without a validator the whole file is asked for.
        :return: the body, or why there is none.
        :raises KoreAIConfigurationError: the link, or a redirect, leads where files may not be fetched.
        """
        offset = received.offset if received.validator else 0
        headers = {
            "Accept": "*/*",
            # A compressed answer could not be continued: ranges count its bytes, not the file's.
            "Accept-Encoding": "identity",
            "User-Agent": USER_AGENT,
        }
        if offset and received.validator:
            headers |= {"Range": f"bytes={offset}-", "If-Range": received.validator}
        for hop in range(MAX_REDIRECTS + 1):
            self._policy.check(link, redirected=hop > 0)
            response = self._get(link, headers)
            if isinstance(response, Trouble):
                return response
            if response.status_code not in _REDIRECTS or not response.headers.get("Location"):
                break
            response.close()
            link = redirect_target(link, response.headers["Location"])
        else:
            return Trouble(f"more than {MAX_REDIRECTS} redirects", renew=True)
        result = self._judge(response, offset, received)
        if isinstance(result, Trouble):
            response.close()
        return result

    def _get(self, link: str, headers: dict[str, str]) -> requests.Response | Trouble:
        import requests
        import urllib3

        try:
            request = requests.Request("GET", link, headers=headers)
            prepared = self._session.prepare_request(request)
            how: Any = self._session.merge_environment_settings(link, {}, True, self._verify, None)
            with quiet_http_logs():
                # Not through the session, which would read a redirect's body, whatever its length.
                return self._session.get_adapter(link).send(
                    prepared, timeout=(self._timeout, self._timeout), **how
                )
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            reason = explain(error, self._timeout)
        return Trouble(reason)

    def _judge(self, response: requests.Response, offset: int, received: Received) -> Body | Trouble:
        status, headers = response.status_code, response.headers
        if status == 416 and offset:
            is_whole = headers.get("Content-Range", "").strip() == f"bytes */{offset}"
            is_same = validator_of(headers) in (None, received.validator)
            if is_whole and is_same and received.total in (None, offset):
                return Body(
                    response, start=offset, total=offset, validator=None, timeout=self._timeout, rest=False
                )
            return Trouble("the server cannot continue at this place", restart=True)
        if status in (408, 429) or status >= 500:
            return Trouble(f"the server answered {status}", retry_after=retry_after(headers))
        if 400 <= status < 500:
            return Trouble(f"the link was refused with {status}", renew=True)
        if status not in (200, 206) or (status == 206 and not offset):
            return Trouble(f"the server answered {status}, which is not a file", renew=True)
        encoding = content_encoding(headers)
        if encoding and encoding not in KNOWN:
            return Trouble(f"the answer is encoded as {encoding[:40]!r}, which was not asked for")
        if status == 206:
            return self._judge_rest(response, offset, received)
        return Body(
            response,
            start=0,
            total=None if encoding else response.raw.length_remaining,
            validator=None if encoding else validator_of(headers),
            timeout=self._timeout,
        )

    def _judge_rest(self, response: requests.Response, offset: int, received: Received) -> Body | Trouble:
        headers, length = response.headers, response.raw.length_remaining
        span = content_range(headers)
        if span is None or span[0] != offset or content_encoding(headers):
            return Trouble("the server continued at another place than asked for", restart=True)
        first, last, total = span
        if length not in (None, last - first + 1) or (total is not None and last >= total):
            return Trouble("the server contradicts itself on the length of the rest", restart=True)
        # A server that ignores If-Range would have the rest of one file joined to the beginning of another.
        if total is not None and received.total not in (None, total):
            return Trouble("the file has another length by now", restart=True)
        if validator_of(headers) not in (None, received.validator):
            return Trouble("the file has changed", restart=True)
        return Body(
            response,
            start=offset,
            total=total if total is not None else received.total,
            validator=received.validator,
            timeout=self._timeout,
        )


def content_range(headers: Mapping[str, str]) -> tuple[int, int, int | None] | None:
    """
    Read ``Content-Range``.

    :param headers: the answer's headers.
    :return: first byte, last byte, and bytes of the whole file (None for ``*``); None if it cannot be read.
    """
    match = re.fullmatch(
        r"bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", headers.get("Content-Range", "").strip()
    )
    if match is None or int(match[1]) > int(match[2]):
        return None
    return int(match[1]), int(match[2]), None if match[3] == "*" else int(match[3])


def validator_of(headers: Mapping[str, str]) -> str | None:
    """
    Return the value to send in ``If-Range`` (RFC 9110, 13.1.5): a strong ETag, or, without any ETag, a strong date.

    :param headers: the answer's headers.
    :return: None where the file cannot be continued safely.
    """
    etag = headers.get("ETag", "").strip()
    if etag:
        return etag if re.fullmatch(r'"[!#-~\x80-\xff]*"', etag) else None
    modified = headers.get("Last-Modified", "").strip()
    try:
        age = parsedate_to_datetime(headers.get("Date", "")) - parsedate_to_datetime(modified)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    # Within the second in which a file was written it may be written again (RFC 9110, 8.8.2.2).
    return modified if age >= timedelta(seconds=1) else None
