"""The control endpoints under ``/_emulator/``: for this machine only."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.emulator import faults, settings
from airflow_provider_koreai.emulator.calls import Endpoint, Exchange, RefusedError, route
from airflow_provider_koreai.emulator.checks import ControlError
from airflow_provider_koreai.emulator.replies import Reply, ReplyResponse, error_reply, json_reply

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Route

    from airflow_provider_koreai.emulator.faults import Fault, FaultList
    from airflow_provider_koreai.emulator.state import Bot, State

_MAX_BODY = 64 * 1024 * 1024


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


class Control:
    """Set bots up, order faults, see what was asked."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            self._route("/_emulator/health", GET=self._health),
            self._route("/_emulator/bots", GET=self._bots),
            self._route("/_emulator/bots/{bot_id}", GET=self._show, PUT=self._configure),
            self._route(
                "/_emulator/bots/{bot_id}/faults", GET=self._faults, POST=self._order, DELETE=self._forget
            ),
            self._route(
                "/_emulator/faults",
                GET=self._account_faults,
                POST=self._order_for_account,
                DELETE=self._forget_for_account,
            ),
            self._route("/_emulator/account", GET=self._account, PUT=self._configure_account),
            self._route("/_emulator/requests", GET=self._requests),
            self._route("/_emulator/reset", POST=self._reset),
        ]

    def _route(self, path: str, **actions: Any) -> Route:
        async def endpoint(request: Request) -> ReplyResponse:
            exchange = Exchange(self._state, request, "control", None)
            try:
                self._check_loopback(request)
                body = await self._body(request) if request.method in ("PUT", "POST") else None
                reply: Reply = actions[request.method](request, body)
            except RefusedError as refused:
                reply = refused.reply
            except ControlError as error:
                reply = error_reply(400, str(error))
            return exchange.answer(reply)

        typed: Endpoint = endpoint
        return route(path, typed, *actions)

    @staticmethod
    def _check_loopback(request: Request) -> None:
        client = request.client.host if request.client else ""
        if not _is_loopback(client):
            raise RefusedError(
                error_reply(403, "the control endpoints only answer requests from this machine")
            )
        if not _is_loopback((request.url.hostname or "").lower()):
            raise RefusedError(
                error_reply(403, "the Host header must name this machine, for example localhost")
            )

    @staticmethod
    async def _body(request: Request) -> Any:
        data = bytearray()
        async for piece in request.stream():
            data += piece
            if len(data) > _MAX_BODY:
                raise RefusedError(
                    error_reply(413, f"at most {_MAX_BODY} bytes; use the setting file for larger content")
                )
        if not data:
            return {}
        try:
            return json.loads(data)
        except ValueError:
            raise ControlError("the body must be JSON") from None

    def _bot(self, request: Request) -> Bot:
        bot = self._state.bots.get(request.path_params["bot_id"])
        if bot is None:
            raise RefusedError(error_reply(404, "unknown bot; PUT its settings to create it"))
        return bot

    def _health(self, request: Request, body: Any) -> Reply:
        config = self._state.config
        return json_reply(
            {
                "status": "ok",
                "client_id": config.client_id,
                "admin_client_id": config.admin_client_id,
                "algorithm": config.algorithm,
                "enforce_jti": config.enforce_jti,
                "jwe_public_key": config.jwe_key.public_jwk if config.jwe_key else None,
            }
        )

    def _bots(self, request: Request, body: Any) -> Reply:
        return json_reply({"bots": [_describe(bot) for bot in self._state.bots.values()]})

    def _show(self, request: Request, body: Any) -> Reply:
        return json_reply(_describe(self._bot(request)))

    def _configure(self, request: Request, body: Any) -> Reply:
        return json_reply(_describe(self._state.configure(request.path_params["bot_id"], body)))

    def _account(self, request: Request, body: Any) -> Reply:
        return json_reply(dataclasses.asdict(self._state.account))

    def _configure_account(self, request: Request, body: Any) -> Reply:
        self._state.account = settings.change_account(self._state.account, body)
        return self._account(request, body)

    def _faults(self, request: Request, body: Any) -> Reply:
        return _shown(self._bot(request).faults)

    def _order(self, request: Request, body: Any) -> Reply:
        return _ordered(self._bot(request).faults, faults.parse(body))

    def _forget(self, request: Request, body: Any) -> Reply:
        return _forgotten(self._bot(request).faults)

    def _account_faults(self, request: Request, body: Any) -> Reply:
        return _shown(self._state.faults)

    def _order_for_account(self, request: Request, body: Any) -> Reply:
        return _ordered(self._state.faults, faults.parse(body, faults.ACCOUNT_CALLS))

    def _forget_for_account(self, request: Request, body: Any) -> Reply:
        return _forgotten(self._state.faults)

    def _requests(self, request: Request, body: Any) -> Reply:
        query = request.query_params
        entries = [
            entry.as_json()
            for entry in self._state.log
            if query.get("bot", entry.bot) == entry.bot and query.get("call", entry.call) == entry.call
        ]
        return json_reply({"requests": entries})

    def _reset(self, request: Request, body: Any) -> Reply:
        self._state.reset()
        return json_reply({"status": "ok"})


def _shown(orders: FaultList) -> Reply:
    return json_reply({"faults": [fault.as_json() for fault in orders.faults]})


def _ordered(orders: FaultList, fault: Fault) -> Reply:
    orders.faults.append(fault)
    return json_reply(fault.as_json(), 201)


def _forgotten(orders: FaultList) -> Reply:
    orders.faults.clear()
    return _shown(orders)


def _describe(bot: Bot) -> dict[str, Any]:
    shown = dataclasses.asdict(bot.settings)
    if shown["content_b64"] is not None:
        shown["content_b64"] = f"({len(shown['content_b64'])} characters)"
    trained = {language: training.utterances for language, training in bot.trainings.items()}
    return {"id": bot.id, "exports": bot.exports, "trained": trained, "settings": shown}
