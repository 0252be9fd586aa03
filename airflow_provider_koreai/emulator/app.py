"""The application: all routes, and errors in the vendor's form."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from airflow_provider_koreai.emulator.analytics import Analytics
from airflow_provider_koreai.emulator.api import Api
from airflow_provider_koreai.emulator.calls import Exchange
from airflow_provider_koreai.emulator.control import Control
from airflow_provider_koreai.emulator.replies import error_reply
from airflow_provider_koreai.emulator.way_back import WayBack

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from airflow_provider_koreai.emulator.state import State


def create_app(state: State) -> Starlette:
    """Return the ASGI application. It has to be served with ``WireProtocol``."""

    async def refuse(request: Request, error: Exception) -> Response:
        refusal = cast("HTTPException", error)
        exchange = Exchange(state, request, "other", None)
        return cast("Response", exchange.answer(error_reply(refusal.status_code, refusal.detail)))

    app = Starlette(
        routes=[
            *Api(state).routes(),
            *WayBack(state).routes(),
            *Analytics(state).routes(),
            *Control(state).routes(),
        ],
        exception_handlers={HTTPException: refuse},
    )
    app.router.redirect_slashes = False
    return app
