"""The vendor's call for analytics: what users said, made up for every hour, or as a setting says."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, TypeGuard

from airflow_provider_koreai.emulator.calls import Calls, Exchange, route
from airflow_provider_koreai.emulator.data import data_sets
from airflow_provider_koreai.emulator.replies import Reply, ReplyResponse, error_reply, json_reply
from airflow_provider_koreai.emulator.state import Bot, made_up_id

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Route

    from airflow_provider_koreai.emulator.settings import BotSettings

TYPES = ("successintent", "failintent", "successtask", "failtask", "performance", "unhandledutterance")
CHANNELS = ("rtm", "whatsapp", "sms")
_INVALID = (412, "Validation errors/ Invalid arguments")
#: Whether the vendor accepts more is not known: its samples ask for as many.
_LARGEST_LIMIT = 50
#: Rows are made up for at most so many hours of an interval.
_MOST_HOURS = 24 * 31


class Analytics(Calls):
    """What users said."""

    def routes(self) -> list[Route]:
        """Where it is."""
        return [route("/api/public/bot/{bot_id}/getAnalytics", self.get, "POST")]

    async def get(self, request: Request) -> ReplyResponse:
        """Return a page."""
        try:
            body = json.loads(await request.body())
        except ValueError:
            body = {}
        bot_id = request.path_params["bot_id"]
        exchange = Exchange(self._state, request, "analytics", bot_id)

        def act(exchange: Exchange, bot: Bot) -> Reply:
            return self._page(exchange, bot, body if isinstance(body, dict) else {})

        return exchange.answer(self.carry_out(exchange, bot_id, act, "metrics"))

    def _page(self, exchange: Exchange, bot: Bot, body: dict[str, Any]) -> Reply:
        self.limit_starts(bot)
        kind, skip, limit = (body.get(name) for name in ("type", "skip", "limit"))
        filters = body.get("filters") or {}
        try:
            interval = _time(filters["from"]), _time(filters["to"])
        except (KeyError, TypeError, ValueError):
            return error_reply(*_INVALID)
        if kind not in TYPES or not (_is_count(skip) and _is_count(limit) and limit <= _LARGEST_LIMIT):
            return error_reply(*_INVALID)
        exchange.entry.params = {"type": kind, "skip": str(skip), "limit": str(limit)}
        settings = bot.settings
        now = datetime.fromtimestamp(self._state.now() - settings.analytics_late_seconds, timezone.utc)
        rows = [
            row
            for row in _events(bot, kind, *interval)
            if interval[0] <= _time_of(row, interval[0]) <= min(interval[1], now)
            and filters.get("channel") in (None, row.get("channel"))
        ]
        rows.sort(key=lambda row: _time_of(row, interval[0]))
        bot.analytics_calls += 1
        if settings.analytics_paging == "shrinks" and bot.analytics_calls > 1:
            rows = rows[1:]
        elif settings.analytics_paging == "grows" and bot.analytics_calls > 1 and rows:
            rows = [{**rows[0], "utterance": "this one came late"}, *rows]
        if settings.analytics_paging == "repeats":
            skip = 0
        size = min(limit, settings.analytics_page or limit)
        found = rows[skip : skip + size]
        more = skip + len(found) < len(rows) or settings.analytics_paging in ("repeats", "endless")
        return json_reply({"moreAvailable": more, "result": found})


def _events(bot: Bot, kind: str, start: datetime, end: datetime) -> list[dict[str, Any]]:
    settings = bot.settings
    if settings.analytics_events is not None:
        events = (dict(event) for event in settings.analytics_events)
        return [event for event in events if event.pop("type", "unhandledutterance") == kind]
    hour = start.replace(minute=0, second=0, microsecond=0)
    rows: list[dict[str, Any]] = []
    for _ in range(_MOST_HOURS):
        if hour > end:
            break
        rows += (
            _made_up(bot.id, settings, kind, hour, number) for number in range(settings.analytics_per_hour)
        )
        hour += timedelta(hours=1)
    return rows


def _made_up(bot_id: str, settings: BotSettings, kind: str, hour: datetime, number: int) -> dict[str, Any]:
    """Make up a row that is the same whenever it is asked for."""
    said = data_sets()[settings.data] or data_sets()["travel"]
    each = said[(hour.toordinal() * 24 + hour.hour * 7 + number * 13) % len(said)]
    moment = hour + timedelta(seconds=3600 * number / max(settings.analytics_per_hour, 1))
    user = made_up_id(bot_id, "user", number % 5)
    row: dict[str, Any] = {
        "utterance": each.sentence,
        "language": each.language,
        "timestamp": f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z",
        "channel": CHANNELS[number % len(CHANNELS)],
        "sessionId": made_up_id(bot_id, "session", hour, number),
        "userId": f"u-{user}",
        "channelUserId": f"{user[:8]}@example.com",
    }
    if kind == "unhandledutterance":
        return {
            **row,
            "NLAnalysis": {"ml": {"definitive": [], "possible": [each.task]}, "userId": f"u-{user}"},
        }
    return {**row, "intent": each.task, "taskName": each.task}


def _time(text: str) -> datetime:
    parsed = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)


def _time_of(row: dict[str, Any], otherwise: datetime) -> datetime:
    """Return a row's time; one that cannot be read belongs to any interval."""
    try:
        return _time(row["timestamp"])
    except (AttributeError, KeyError, ValueError):
        return otherwise


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
