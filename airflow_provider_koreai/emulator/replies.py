"""Answers, and the ways to send them: correctly, or as a fault demands."""

from __future__ import annotations

import asyncio
import json
import zlib
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.emulator.wire import ClientGoneError, Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from starlette.types import Receive, Scope, Send

    from airflow_provider_koreai.emulator.faults import Fault

_HUGE_CHUNK = b" " * (256 * 1024)
#: A drip is sent in this many pieces per second, if it has as many bytes.
_DRIPS_PER_SECOND = 20
_LOGIN_PAGE = (
    "<!DOCTYPE html>\n<html><head><title>Sign in</title></head>"
    '<body><form action="/login" method="post"><input name="user"><input name="password" type="password">'
    "</form></body></html>\n"
)
#: Faults that only differ in how the answer is sent.
_DELIVERIES = frozenset({"drop", "reset", "stall", "drip", "lie_length"})


@dataclass
class Reply:
    """An HTTP answer.

    :param status: of it.
    :param headers: without Content-Length.
    :param body: makes the pieces of the body.
    :param length: bytes of the body; ``None``: unknown.
    :param delivery: a fault that says how it is sent.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: Callable[[], Iterable[bytes]] = tuple
    length: int | None = 0
    delivery: Fault | None = None


def bytes_reply(
    data: bytes, content_type: str, status: int = 200, headers: dict[str, str] | None = None
) -> Reply:
    """An answer out of memory."""
    return Reply(status, {"content-type": content_type, **(headers or {})}, lambda: (data,), len(data))


def json_reply(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    """An answer in JSON."""
    data = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return bytes_reply(data, "application/json; charset=utf-8", status, headers)


def error_reply(
    status: int, message: str, code: int | None = None, headers: dict[str, str] | None = None
) -> Reply:
    """An error in the vendor's form."""
    return json_reply(
        {"errors": [{"msg": message, "code": status if code is None else code}]}, status, headers
    )


def gzipped(reply: Reply) -> Reply:
    """Return the same answer, compressed on the fly."""

    def body() -> Iterator[bytes]:
        packer = zlib.compressobj(wbits=31)
        for piece in reply.body():
            if packed := packer.compress(piece):
                yield packed
        yield packer.flush()

    headers = {key: value for key, value in reply.headers.items() if key != "accept-ranges"}
    if etag := headers.get("etag"):
        headers["etag"] = etag if etag.startswith("W/") else "W/" + etag
    headers |= {"content-encoding": "gzip", "vary": "accept-encoding"}
    return Reply(reply.status, headers, body, None)


def with_fault(reply: Reply, fault: Fault) -> Reply:
    """Return the answer as the fault changes it."""
    params = fault.params
    if fault.kind in _DELIVERIES:
        reply.delivery = fault
        return reply
    if fault.kind == "http":
        status = params.get("status", 503)
        headers = {key.lower(): value for key, value in params.get("headers", {}).items()}
        if status in (204, 304):
            return Reply(status, headers, length=None)
        if "body" in params:
            return bytes_reply(params["body"].encode(), "text/plain; charset=utf-8", status, headers)
        phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Error"
        return error_reply(status, params.get("msg", phrase), params.get("code"), headers)
    if fault.kind == "html":
        return bytes_reply(params.get("body", _LOGIN_PAGE).encode(), "text/html; charset=utf-8")
    if fault.kind == "empty":
        return Reply(200, {"content-type": "application/json"})
    if fault.kind == "json_shape":
        return json_reply(params["value"])
    if fault.kind == "truncated_json":
        data = b"".join(reply.body())
        return bytes_reply(data[: len(data) // 2], "application/json; charset=utf-8", reply.status)
    if fault.kind == "huge":
        return Reply(
            200, {"content-type": "application/json"}, lambda: _spaces(params["size"]), params["size"]
        )
    if fault.kind == "redirect":
        return Reply(params.get("status", 302), {"location": params["location"]})
    if fault.kind == "gzip":
        return gzipped(reply)
    if fault.kind == "wrong_content_range":
        if reply.status == 206:
            value = reply.headers["content-range"]
            reply.headers["content-range"] = params.get("value") or _shifted(value, params.get("delta", 1))
        return reply
    raise ValueError(fault.kind)


def _spaces(size: int) -> Iterator[bytes]:
    for _ in range(size // len(_HUGE_CHUNK)):
        yield _HUGE_CHUNK
    yield b" " * (size % len(_HUGE_CHUNK))


def _shifted(content_range: str, delta: int) -> str:
    span, _, size = content_range.removeprefix("bytes ").partition("/")
    first, _, last = span.partition("-")
    return f"bytes {int(first) + delta}-{int(last) + delta}/{size}"


class ReplyResponse:
    """Sends a :class:`Reply`: an ASGI application, as Starlette's endpoints may return."""

    def __init__(
        self, reply: Reply, sent: Callable[[int | None, int], None], done: Callable[[], None]
    ) -> None:
        self._reply = reply
        self._sent = sent
        self._done = done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        wire: Wire = scope["state"]["wire"]
        reply = self._reply
        if scope["method"] == "HEAD":
            reply.body = tuple
        try:
            if reply.delivery is None:
                await self._deliver(wire, send)
            else:
                await self._misdeliver(wire, reply.delivery, head_only=scope["method"] == "HEAD")
        except ClientGoneError:
            pass
        finally:
            self._done()

    async def _deliver(self, wire: Wire, send: Send) -> None:
        reply = self._reply
        headers = dict(reply.headers)
        if reply.length is not None:
            headers["content-length"] = str(reply.length)
        raw = [(key.lower().encode("latin-1"), value.encode("latin-1")) for key, value in headers.items()]
        self._sent(reply.status, 0)
        await send({"type": "http.response.start", "status": reply.status, "headers": raw})
        for piece in reply.body():
            if wire.gone:
                raise ClientGoneError
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            self._sent(reply.status, len(piece))
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _misdeliver(self, wire: Wire, fault: Fault, *, head_only: bool) -> None:
        reply = self._reply
        if reply.length is None:
            data = b"".join(reply.body())
            reply.body, reply.length = (lambda: (data,)), len(data)
        length = 0 if head_only else reply.length
        params = fault.params
        place = params.get("at", "before_headers" if fault.kind in ("drop", "reset") else 0)
        stop = wire.reset if fault.kind == "reset" else wire.close

        if place == "before_headers":
            if fault.kind != "stall":
                self._sent(None, 0)
                return await stop()
            await wire.wait(params["seconds"])
            place = length
            if params.get("then") == "close":
                self._sent(None, 0)
                return await stop()
        head = self._head(params.get("delta", 0) if fault.kind == "lie_length" else 0)
        if place == "in_headers":
            self._sent(None, 0)
            await wire.write(head[: len(head) // 2])
            if fault.kind != "stall":
                return await stop()
            await wire.wait(params["seconds"])
            if params.get("then") == "close":
                return await stop()
            head, place = head[len(head) // 2 :], length
        self._sent(reply.status, 0)
        if params.get("of") == "headers":
            async for _ in _drip(wire, head, params["bytes_per_second"]):
                pass
            await self._write_body(wire, reply.body())
            return await stop()
        await wire.write(head)

        if fault.kind == "drip":
            for piece in reply.body():
                async for sent in _drip(wire, piece, params["bytes_per_second"]):
                    self._sent(reply.status, sent)
        elif fault.kind == "lie_length":
            await self._write_body(wire, reply.body())
        else:
            limit = min(length, place if place >= 0 else max(0, length + place))
            pieces = iter(reply.body())
            rest = await self._write_body(wire, pieces, limit)
            if fault.kind == "stall" and limit < length:
                await wire.wait(params["seconds"])
                if params.get("then") != "close":
                    await self._write_body(wire, (rest,))
                    await self._write_body(wire, pieces)
        await stop()
        return None

    async def _write_body(self, wire: Wire, pieces: Iterable[bytes], limit: int | None = None) -> bytes:
        """Write pieces, at most ``limit`` bytes; return what is left of the piece that was cut."""
        if limit == 0:
            return b""
        for piece in pieces:
            part = piece if limit is None else piece[:limit]
            await wire.write(part)
            self._sent(self._reply.status, len(part))
            if limit is not None:
                limit -= len(part)
                if limit == 0:
                    return piece[len(part) :]
        return b""

    def _head(self, delta: int) -> bytes:
        reply = self._reply
        phrase = HTTPStatus(reply.status).phrase if reply.status in HTTPStatus._value2member_map_ else ""
        headers = {
            "date": formatdate(usegmt=True),
            **reply.headers,
            "content-length": str(max(0, (reply.length or 0) + delta)),
        }
        if self._reply.delivery is not None and self._reply.delivery.kind in ("stall", "drip"):
            headers["connection"] = "close"
        lines = [f"HTTP/1.1 {reply.status} {phrase}", *(f"{key}: {value}" for key, value in headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _drip(wire: Wire, data: bytes, bytes_per_second: float) -> AsyncIterator[int]:
    """Send slowly, and yield the number of bytes each time."""
    step = max(1, int(bytes_per_second / _DRIPS_PER_SECOND))
    for at in range(0, len(data), step):
        part = data[at : at + step]
        await wire.write(part)
        yield len(part)
        await wire.wait(len(part) / bytes_per_second)
