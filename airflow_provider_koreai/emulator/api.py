"""The vendor's calls that read: export, status, download, and the lists of bots."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.emulator.calls import Calls, Exchange, route
from airflow_provider_koreai.emulator.content import BytesContent
from airflow_provider_koreai.emulator.data import FILE_TYPES
from airflow_provider_koreai.emulator.downloads import file_reply
from airflow_provider_koreai.emulator.replies import Reply, ReplyResponse, error_reply, json_reply, with_fault
from airflow_provider_koreai.emulator.state import MEDIA_PATH, Bot, made_up_id

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Route

STATES = ("configured", "published")
_MAX_PAGE = 50


class Api(Calls):
    """Export, status, download, and the lists of bots."""

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
        return exchange.answer(self.carry_out(exchange, bot_id, self._start))

    async def status(self, request: Request) -> ReplyResponse:
        """Report the bot's latest export."""
        bot_id = request.path_params["bot_id"]
        exchange = Exchange(self._state, request, "status", bot_id)
        return exchange.answer(self.carry_out(exchange, bot_id, self._status))

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
        fault = self.take_fault(exchange, bot.faults)
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
            return self.with_faults(exchange, self._state.faults, lambda: self._bots(exchange))

        return exchange.answer(self.guarded(exchange, act))

    async def linked_apps(self, request: Request) -> ReplyResponse:
        """List the bots that a universal bot links."""
        bot_id = request.path_params["bot_id"]
        exchange = Exchange(self._state, request, "linked_apps", bot_id)
        return exchange.answer(self.carry_out(exchange, bot_id, self._linked_apps))

    def _start(self, exchange: Exchange, bot: Bot) -> Reply:
        settings = bot.settings
        self.limit_starts(bot)
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
        export, state = bot.export, self._state
        self.limit_status(bot, "export", export.record_id if export else "")
        if export is None:
            return error_reply(404, "No export found for this bot")
        now = state.now()
        if state.too_soon(bot, export, now):
            return error_reply(500, "Internal Server Error")
        return json_reply(
            state.status_document(bot, state.reported(bot, now) or export, now, exchange.base_url)
        )

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
