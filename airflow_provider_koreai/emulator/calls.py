"""What all calls have in common: the log, token, scope, faults and rate limits."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import TYPE_CHECKING, cast

from starlette.requests import Request
from starlette.routing import Route

from airflow_provider_koreai.emulator.limits import HOUR, MINUTE
from airflow_provider_koreai.emulator.replies import Reply, ReplyResponse, error_reply, with_fault
from airflow_provider_koreai.emulator.settings import BotSettings
from airflow_provider_koreai.emulator.state import Bot, LogEntry, State
from airflow_provider_koreai.emulator.tokens import INVALID_CREDENTIALS, TokenRefusedError

if TYPE_CHECKING:
    from starlette.responses import Response

    from airflow_provider_koreai.emulator.faults import Fault, FaultList

logger = logging.getLogger("koreai.emulator")

RATE_LIMIT_MESSAGE = "Rate limit for this API has been reached. Please try again after some time."
MINUTE_LIMIT_MESSAGE = (
    "Per-minute rate limit for this API has been reached. Please try again after some time."
)
HOURLY_LIMIT_MESSAGE = "Hourly rate limit for this API has been reached. Please try again after some time."
WRONG_SCOPE = (401, "Permission denied. Scope is incorrect!", 4002)
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
        self.is_admin = False
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

    @property
    def base_url(self) -> str:
        """Where the request was sent to."""
        return f"{self.request.url.scheme}://{self.request.url.netloc}"

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


class Calls:
    """Some of the vendor's calls."""

    def __init__(self, state: State) -> None:
        self._state = state

    def carry_out(
        self, exchange: Exchange, bot_id: str, act: Callable[[Exchange, Bot], Reply], scope: str = "export"
    ) -> Reply:
        """Answer a call about a bot: token, bot, scope, fault, then the call itself."""

        def act_with_faults() -> Reply:
            bot = self._bot(exchange, bot_id, scope)
            return self.with_faults(exchange, bot.faults, lambda: act(exchange, bot))

        return self.guarded(exchange, act_with_faults)

    def with_faults(self, exchange: Exchange, faults: FaultList, act: Callable[[], Reply]) -> Reply:
        """Carry a call out, unless the fault that is due prevents it, and return the answer."""
        fault = self.take_fault(exchange, faults)
        if fault is None:
            return act()
        return with_fault(act() if fault.carried_out else Reply(200), fault)

    def guarded(self, exchange: Exchange, act: Callable[[], Reply]) -> Reply:
        """Check the token, act, and turn refusals into answers."""
        try:
            caller = self._state.tokens.check(exchange.request.headers.get("auth"), self._state.now())
            exchange.entry.jti = caller.jti[:_MAX_LOGGED] if caller.jti else None
            exchange.entry.claims = list(caller.claims)
            exchange.entry.client = caller.client_id[:_MAX_LOGGED]
            exchange.is_admin = caller.client_id == self._state.config.admin_client_id
            exchange.entry.expires_in = caller.expires_in
            self._limit_account()
            return act()
        except TokenRefusedError as refused:
            return error_reply(401, refused.message, refused.code)
        except RefusedError as refused:
            return refused.reply

    def _bot(self, exchange: Exchange, bot_id: str, scope: str) -> Bot:
        bot = self._state.bots.get(bot_id)
        if bot is None and exchange.is_admin:
            raise RefusedError(error_reply(400, "Invalid StreamId"))
        if bot is None or not bot.settings.linked:
            raise RefusedError(error_reply(401, *INVALID_CREDENTIALS))
        if scope == "export" and not bot.settings.scope:
            raise RefusedError(
                error_reply(403, "Access denied: the app lacks the API scope Utterances Export")
            )
        if scope in bot.settings.missing_scopes:
            raise RefusedError(error_reply(*WRONG_SCOPE))
        return bot

    def take_fault(self, exchange: Exchange, faults: FaultList) -> Fault | None:
        """Return the fault that is due, and log it."""
        fault = faults.take(exchange.entry.call)
        exchange.entry.fault = fault.kind if fault else None
        return fault

    def limit_starts(self, bot: Bot) -> None:
        """Count a call in the bot's one bucket, which holds all calls that start something."""
        settings = bot.settings
        self._limit(settings, ("start", bot.id), settings.start_per_minute, settings.start_per_hour)

    def limit_status(self, bot: Bot, what: str, id_: str) -> None:
        """Count a status call, by what it asks about."""
        settings = bot.settings
        key = ("status", bot.id, what, id_)
        self._limit(settings, key, settings.status_per_minute, settings.status_per_hour)

    def limit_uploads(self, exchange: Exchange) -> None:
        """Count an upload, which names no bot, in the app's bucket."""
        account = self._state.account
        key = ("upload", exchange.entry.client or "")
        self._limit(BotSettings(), key, account.upload_per_minute, account.upload_per_hour)

    def _limit_account(self) -> None:
        """Count a call in the bucket that the whole account shares, if there is one."""
        account = self._state.account
        if account.shared_limit is not None:
            window = (account.shared_seconds, account.shared_limit)
            self._admit(BotSettings(), ("account",), window)

    def _limit(self, settings: BotSettings, key: tuple[str, ...], per_minute: int, per_hour: int) -> None:
        self._admit(settings, key, (MINUTE, per_minute), (HOUR, per_hour))

    def _admit(self, settings: BotSettings, key: tuple[str, ...], *limits: tuple[float, int]) -> None:
        now = self._state.now()
        wait = self._state.windows.admit(key, now, limits)
        if wait is None:
            return
        headers = {}
        if settings.retry_after == "seconds":
            headers["retry-after"] = str(math.ceil(wait))
        elif settings.retry_after == "date":
            headers["retry-after"] = formatdate(math.ceil(now + wait), usegmt=True)
        text = RATE_LIMIT_MESSAGE
        if settings.rate_limit_texts == "new":
            text = HOURLY_LIMIT_MESSAGE if wait > MINUTE else MINUTE_LIMIT_MESSAGE
        raise RefusedError(error_reply(settings.rate_limit_status, text, headers=headers))


def route(path: str, endpoint: Endpoint, *methods: str) -> Route:
    """Return a route that accepts exactly these methods (Starlette would add HEAD to GET)."""

    async def handle(request: Request) -> Response:
        return cast("Response", await endpoint(request))

    result = Route(path, handle, methods=list(methods))
    result.methods = set(methods)
    return result
