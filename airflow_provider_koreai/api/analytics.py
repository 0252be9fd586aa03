"""
What a bot's analytics are: the call, its pages, and which of their fields are personal. Without I/O.

Kore.ai's documentation describes the call. That data may arrive hours late, and how large a page may be, is not
documented.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.api.calls import (
    ApiAnswer,
    ApiRequest,
    bot_id_argument,
    by_folded_name,
    read_document,
    refusal,
    unreadable,
)
from airflow_provider_koreai.arguments import choice, parse_time, point_in_time
from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

TYPES = ("successintent", "failintent", "successtask", "failtask", "performance", "unhandledutterance")
# Rows of a page: as many as in Kore.ai's samples. Whether it accepts more is not documented.
PAGE_SIZE = 50
# A row holds the whole analysis of its sentence, so a page may be much larger than any other answer.
MOST_BYTES = 32 << 20
# Pages of an interval: what has more does not end.
MOST_PAGES = 20_000
# Readings in all, before giving up because rows come or go meanwhile.
MOST_READINGS = 4
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
# Names of fields, without case, underscores and hyphens, that say who a user is, at any depth.
PERSONAL = frozenset(
    {
        "userid",
        "uid",
        "kuid",
        "botuserid",
        "channeluserid",
        "channeluserids",
        "identity",
        "identities",
        "username",
        "firstname",
        "lastname",
        "fullname",
        "displayname",
        "email",
        "emailid",
        "emailaddress",
        "useremail",
        "phone",
        "phoneno",
        "phonenumber",
        "mobile",
        "mobilenumber",
        "ip",
        "ipaddress",
        "useragent",
        "address",
        "customerid",
        "usercontext",
        "userinfo",
        "userdetails",
        "userprofile",
    }
)


@dataclass(frozen=True)
class Query:
    """
    Which rows are wanted: those of one type, in ``start <= timestamp < end``.

    :param channel: of one channel only; None: of all.
    """

    bot_id: str
    analytics_type: str
    start: datetime
    end: datetime
    channel: str | None = None

    @classmethod
    def of(
        cls, bot_id: str, analytics_type: str, start: object, end: object, channel: str | None = None
    ) -> Query:
        """
        Build a query from a task's arguments.

        :raises KoreAIConfigurationError: one is not accepted, or ``start`` comes after ``end``.
        """
        bot_id_argument(bot_id)
        first, last = point_in_time("start", start), point_in_time("end", end)
        if first > last:
            raise KoreAIConfigurationError(
                f"start={first.isoformat()} comes after end={last.isoformat()}. The interval goes from start, included, to "
                "end, not included."
            )
        kind = choice("analytics_type", analytics_type, TYPES)
        return cls(bot_id.strip(), kind, first, last, (channel or "").strip() or None)


@dataclass(frozen=True)
class Page:
    """A page of the answer."""

    rows: list[dict[str, Any]]
    more: bool


def page_request(base_url: str, query: Query, skip: int) -> ApiRequest:
    """Build the call for one page."""
    filters = {"from": _iso(query.start), "to": _iso(query.end)}
    if query.channel:
        filters["channel"] = query.channel
    body = {
        "type": query.analytics_type,
        "filters": filters,
        # The oldest first: what arrives meanwhile then mostly comes after what was read.
        "sort": {"order": "asc", "by": "timestamp"},
        "skip": skip,
        "limit": PAGE_SIZE,
    }
    return ApiRequest(
        "analytics",
        "POST",
        f"{base_url}/api/public/bot/{bot_id_argument(query.bot_id)}/getAnalytics",
        query.bot_id,
        refusal=refusal("Metrics", query.bot_id),
        body=json.dumps(body).encode(),
        to_check="analytics_type, channel",
        max_answer_bytes=MOST_BYTES,
    )


def read_page(request: ApiRequest, answer: ApiAnswer, conn_id: str) -> Page:
    """Turn an answer into a page."""
    by_name = by_folded_name(read_document(request, answer, conn_id))
    rows = by_name.get("result", [])
    if "result" not in by_name and "moreavailable" not in by_name:
        raise unreadable(request, answer, conn_id, "has no result field")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise unreadable(request, answer, conn_id, "has a field 'result' that is not a list of objects")
    more = by_name.get("moreavailable", by_name.get("availablemore"))
    if more is None and len(rows) >= PAGE_SIZE:
        raise unreadable(request, answer, conn_id, "does not say whether there is more (moreAvailable)")
    return Page(rows, more in (True, "true"))


class Reading:
    """
    One reading of all pages, from the first to the last.

    Each page but the first begins with the last row of the page before. If it does not, rows came or went in between, and
    some would be missing or twice: then the reading is of no use and begins anew.
    """

    def __init__(self) -> None:
        self.skip = 0
        self.is_over = False
        self._last: dict[str, Any] | None = None

    def take(self, page: Page) -> list[dict[str, Any]] | None:
        """Return the new rows of a page; None if the rows have changed since the page before."""
        rows = page.rows
        if self._last is not None:
            if not rows or rows[0] != self._last:
                return None
            rows = rows[1:]
        if not rows and page.more:
            # Said to have more, and has none: to be asked again from the beginning.
            return None
        self.is_over = not page.more
        if rows:
            # One row less than was read.
            self.skip += len(rows) - (self._last is None)
            self._last = rows[-1]
        return rows


def changed_too_often(query: Query) -> KoreAIRequestError:
    """Return the error of an interval that cannot be read whole."""
    return KoreAIRequestError(
        f"The analytics of bot {query.bot_id} from {query.start.isoformat()} to {query.end.isoformat()} could not be read "
        f"whole: their rows changed during each of {MOST_READINGS} readings, or Kore.ai's pages do not end. Nothing was kept; "
        "a later try, or a shorter interval, may succeed."
    )


def in_interval(query: Query, rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Drop the rows outside the interval; those without a time that can be read stay."""
    for row in rows:
        moment = time_of(row)
        if moment is None or query.start <= moment < query.end:
            yield row


def time_of(row: dict[str, Any]) -> datetime | None:
    """Return a row's time: a text in ISO 8601, or seconds or milliseconds since the epoch, also as a text."""
    value = timestamp_of(row)
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            return parse_time(value)
        # CSV and Parquet have texts only.
        value = float(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        # Milliseconds of now have thirteen digits.
        seconds = value / 1000 if abs(value) > 1e11 else value
        try:
            return datetime.fromtimestamp(seconds, timezone.utc)
        except (OverflowError, OSError, ValueError):
            return None
    return None


def timestamp_of(row: dict[str, Any]) -> Any:
    """Return a row's time as Kore.ai writes it."""
    return next((row[key] for key in row if key.casefold() == "timestamp"), None)


class Untimed:
    """Counts the rows of a file, and those among them whose time cannot be read."""

    def __init__(self) -> None:
        self.rows = self.number = 0
        self.example: Any = None

    def time_of(self, row: dict[str, Any]) -> datetime | None:
        """Return a row's time, and count it."""
        moment = time_of(row)
        self.rows += 1
        if moment is None:
            self.number += 1
            if self.example is None:
                self.example = timestamp_of(row)
        return moment

    def summary(self) -> str:
        """Return how many there are, in messages."""
        return f"{self.number:,} of {self.rows:,} rows have an unreadable timestamp, for example {self.example!r:.80}"


def without_personal(value: Any) -> Any:
    """Return a value without the fields that say who a user is."""
    if isinstance(value, dict):
        return {key: without_personal(each) for key, each in value.items() if not _is_personal(key)}
    if isinstance(value, list):
        return [without_personal(each) for each in value]
    return value


def _is_personal(name: str) -> bool:
    return name.casefold().replace("_", "").replace("-", "").replace(" ", "") in PERSONAL


def _iso(moment: datetime) -> str:
    return (
        moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
    )
