"""The vendor's calls."""

from __future__ import annotations

import base64
import logging
import math
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, cast

from starlette.requests import Request
from starlette.routing import Route

from airflow_provider_koreai.emulator.content import BytesContent
from airflow_provider_koreai.emulator.data import FILE_TYPES
from airflow_provider_koreai.emulator.downloads import file_reply
from airflow_provider_koreai.emulator.limits import HOUR, MINUTE
from airflow_provider_koreai.emulator.replies import (
    Reply,
    ReplyResponse,
    error_reply,
    json_reply,
    with_fault,
)
from airflow_provider_koreai.emulator.state import MEDIA_PATH, Bot, LogEntry, State, made_up_id
from airflow_provider_koreai.emulator.tokens import INVALID_CREDENTIALS, TokenRefusedError

if TYPE_CHECKING:
    from starlette.responses import Response

    from airflow_provider_koreai.emulator.faults import Fault, FaultList

logger = logging.getLogger("koreai.emulator")

RATE_LIMIT_MESSAGE = "Rate limit for this API has been reached. Please try again after some time."
STATES = ("configured", "published")
_MAX_PAGE = 50
#: Longer paths and headers are cut in the log.
_MAX_LOGGED = 300

Endpoint = Callable[[Request], Awaitable[ReplyResponse]]


class RefusedError(Exception):
    """Ends a call with an answer."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


class Exchange:
    """One request that is being answered, and its log entry."""

    def __init__(self, state: State, request: Request, call: str, bot_id: str | None) -> None:
        raw_path = request.scope.get("raw_path", b"").decode("latin-1")
        self.request = request
        self.entry = LogEntry(
            time=state.now(),
            call=call,
            bot=bot_id,
            method=request.method,
            path=raw_path[:_MAX_LOGGED],
            auth="auth" in request.headers or "authorization" in request.headers,
            range=request.headers.get("range", "")[:_MAX_LOGGED] or None,
            if_range=request.headers.get("if-range", "")[:_MAX_LOGGED] or None,
            user_agent=request.headers.get("user-agent", "")[:_MAX_LOGGED] or None,
        )
        if call != "control":
            state.log.append(self.entry)

    def answer(self, reply: Reply) -> ReplyResponse:
        """Send an answer, and log what came of it."""
        return ReplyResponse(reply, self._sent, self._done)

    def _sent(self, status: int | None, size: int) -> None:
        self.entry.status = status
        self.entry.sent += size

    def _done(self) -> None:
        entry = self.entry
        entry.done = True
        level = logging.DEBUG if entry.call == "control" else logging.INFO
        fault = f" fault={entry.fault}" if entry.fault else ""
        status = "no answer" if entry.status is None else entry.status
        logger.log(level, "%s %s -> %s, %d body bytes%s", entry.method, entry.path, status, entry.sent, fault)


class Api:
    """The vendor's calls.

    :param state: what they work on.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            route("/api/public/bot/{bot_id}/mlexport", self.start, "POST"),
            route("/api/public/bot/{bot_id}/mlexport/status", self.status, "GET"),
            route(MEDIA_PATH + "{name}", self.download, "GET", "HEAD"),
            route("/api/public/bots", self.bots, "GET"),
            route("/api/1.1/public/bot/{bot_id}/universalbot/link", self.linked_apps, "GET"),
        ]

    async def start(self, request: Request) -> ReplyResponse:
        """Start an export."""
        bot_id = request.path_params["bot_id"]
        exchange = Exchange(self._state, request, "start", bot_id)
        query = request.query_params
        exchange.entry.params = {key: query[key][:100] for key in ("state", "type") if key in query}
        return exchange.answer(self._carry_out(exchange, bot_id, self._start))

    async def status(self, request: Request) -> ReplyResponse:
        """Report the bot's latest export."""
        bot_id = request.path_params["bot_id"]
        exchange = Exchange(self._state, request, "status", bot_id)
        return exchange.answer(self._carry_out(exchange, bot_id, self._status))

    async def download(self, request: Request) -> ReplyResponse:
        """Serve a file to whoever has its link."""
        state, query = self._state, request.query_params
        known = state.file_at(request.scope["path"])
        exchange = Exchange(state, request, "download", known.bot_id if known else None)
        number, signature, expiry = (query.get(key, "") for key in "nse")
        expired = error_reply(403, "The link is invalid or has expired")
        if not (expiry.isascii() and expiry.isdigit()):
            return exchange.answer(expired)
        file = state.file_for(request.scope["path"], number, signature, expiry, state.now())
        bot = state.bots.get(file.bot_id) if file else None
        if file is None or bot is None:
            return exchange.answer(expired)
        fault = self._take_fault(exchange, bot.faults)
        if fault and fault.kind == "expired":
            return exchange.answer(expired)
        if fault and fault.kind == "changed":
            data = fault.params.get("content_b64")
            file.content = file.content.changed() if data is None else BytesContent(base64.b64decode(data))
            file.modified = max(state.now(), file.modified + 1)
        headers = request.headers
        gzip_fault = fault is not None and fault.kind == "gzip"
        reply = file_reply(
            file,
            bot.settings,
            request.method,
            None if gzip_fault else headers.get("range"),
            headers.get("if-range"),
            "" if gzip_fault else headers.get("accept-encoding", ""),
        )
        if fault and fault.kind != "changed":
            reply = with_fault(reply, fault)
        return exchange.answer(reply)

    async def bots(self, request: Request) -> ReplyResponse:
        """List the bots, page by page."""
        exchange = Exchange(self._state, request, "bots", None)
        query = request.query_params
        exchange.entry.params = {key: query[key][:100] for key in ("offset", "limit") if key in query}

        def act() -> Reply:
            return self._with_faults(exchange, self._state.faults, lambda: self._bots(exchange))

        return exchange.answer(self._guarded(exchange, act))

    async def linked_apps(self, request: Request) -> ReplyResponse:
        """List the bots that a universal bot links."""
        bot_id = request.path_params["bot_id"]
        exchange = Exchange(self._state, request, "linked_apps", bot_id)
        return exchange.answer(self._carry_out(exchange, bot_id, self._linked_apps))

    def _carry_out(self, exchange: Exchange, bot_id: str, act: Callable[[Exchange, Bot], Reply]) -> Reply:
        def act_with_faults() -> Reply:
            bot = self._bot(bot_id)
            return self._with_faults(exchange, bot.faults, lambda: act(exchange, bot))

        return self._guarded(exchange, act_with_faults)

    def _with_faults(self, exchange: Exchange, faults: FaultList, act: Callable[[], Reply]) -> Reply:
        fault = self._take_fault(exchange, faults)
        if fault is None:
            return act()
        return with_fault(act() if fault.carried_out else Reply(200), fault)

    def _guarded(self, exchange: Exchange, act: Callable[[], Reply]) -> Reply:
        """Check the token, act, and turn refusals into answers."""
        try:
            caller = self._state.tokens.check(exchange.request.headers.get("auth"), self._state.now())
            exchange.entry.jti = caller.jti[:_MAX_LOGGED] if caller.jti else None
            exchange.entry.claims = list(caller.claims)
            exchange.entry.expires_in = caller.expires_in
            return act()
        except TokenRefusedError as refused:
            return error_reply(401, refused.message, refused.code)
        except RefusedError as refused:
            return refused.reply

    def _bot(self, bot_id: str) -> Bot:
        bot = self._state.bots.get(bot_id)
        if bot is None or not bot.settings.linked:
            raise RefusedError(error_reply(401, *INVALID_CREDENTIALS))
        if not bot.settings.scope:
            raise RefusedError(
                error_reply(403, "Access denied: the app lacks the API scope Utterances Export")
            )
        return bot

    def _take_fault(self, exchange: Exchange, faults: FaultList) -> Fault | None:
        fault = faults.take(exchange.entry.call)
        exchange.entry.fault = fault.kind if fault else None
        return fault

    def _limit(self, bot: Bot, key: tuple[str, ...], per_minute: int, per_hour: int) -> None:
        now = self._state.now()
        wait = self._state.windows.admit(key, now, ((MINUTE, per_minute), (HOUR, per_hour)))
        if wait is None:
            return
        headers = {}
        if bot.settings.retry_after == "seconds":
            headers["retry-after"] = str(math.ceil(wait))
        elif bot.settings.retry_after == "date":
            headers["retry-after"] = formatdate(math.ceil(now + wait), usegmt=True)
        raise RefusedError(error_reply(429, RATE_LIMIT_MESSAGE, headers=headers))

    def _start(self, exchange: Exchange, bot: Bot) -> Reply:
        settings = bot.settings
        self._limit(bot, ("start", bot.id), settings.start_per_minute, settings.start_per_hour)
        query = exchange.request.query_params
        state, file_type = query.get("state"), query.get("type")
        if state not in STATES:
            return error_reply(400, f"state must be one of {', '.join(STATES)}")
        if file_type not in FILE_TYPES:
            return error_reply(400, f"type must be one of {', '.join(FILE_TYPES)}")
        export = self._state.start_export(bot, state, file_type)
        answer = json_reply(self._state.start_document(bot, export))
        if settings.overtaken_ms is not None:
            self._state.start_export(bot, state, file_type, later_ms=settings.overtaken_ms)
        return answer

    def _status(self, exchange: Exchange, bot: Bot) -> Reply:
        settings, export, state = bot.settings, bot.export, self._state
        record_id = export.record_id if export else ""
        self._limit(bot, ("status", bot.id, record_id), settings.status_per_minute, settings.status_per_hour)
        if export is None:
            return error_reply(404, "No export found for this bot")
        now = state.now()
        if state.too_soon(bot, export, now):
            return error_reply(500, "Internal Server Error")
        base_url = f"{exchange.request.url.scheme}://{exchange.request.url.netloc}"
        return json_reply(state.status_document(bot, state.reported(bot, now) or export, now, base_url))

    def _bots(self, exchange: Exchange) -> Reply:
        query = exchange.request.query_params
        try:
            offset, limit = int(query.get("offset", "0")), int(query.get("limit", "50"))
        except ValueError:
            return error_reply(400, "offset and limit must be whole numbers")
        if offset < 0 or not 0 < limit <= _MAX_PAGE:
            return error_reply(400, f"offset must be at least 0, and limit from 1 to {_MAX_PAGE}")
        bots = list(self._state.bots.values())
        page = [
            {
                "_id": bot.id,
                "type": "default",
                "defaultLanguage": "en",
                "status": "published",
                "name": bot.name,
                "jwtApps": [
                    {
                        "clientId": "cs-" + made_up_id("client", bot.id),
                        "clientSecret": made_up_id("secret", bot.id),
                        "jtiClaimEnforced": False,
                        "jweEncryptionEnforced": False,
                    }
                ],
            }
            for bot in bots[offset : offset + limit]
        ]
        return json_reply({"total": len(bots), "availableMore": offset + limit < len(bots), "bots": page})

    def _linked_apps(self, exchange: Exchange, bot: Bot) -> Reply:
        configured = bot.settings.linked_apps or []
        published = bot.settings.published_linked_apps
        return json_reply(
            {
                "configuredLinkedApps": [self._linked_app(app) for app in configured],
                "publishedLinkedApps": [
                    self._linked_app(app) for app in (configured if published is None else published)
                ],
            }
        )

    def _linked_app(self, bot_id: str) -> dict[str, Any]:
        bot = self._state.bots.get(bot_id)
        return {"_id": bot_id, "name": bot.name if bot else bot_id, "defaultLanguage": "en", "status": 1}


def route(path: str, endpoint: Endpoint, *methods: str) -> Route:
    """A route that accepts exactly these methods (Starlette would add HEAD to GET).

    :param path: where.
    :param endpoint: what answers.
    :param methods: by which methods.
    """

    async def handle(request: Request) -> Response:
        return cast("Response", await endpoint(request))

    result = Route(path, handle, methods=list(methods))
    result.methods = set(methods)
    return result
