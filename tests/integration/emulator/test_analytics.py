"""The call for analytics, as the vendor documents it."""

from __future__ import annotations

from typing import Any

import pytest

BOT = "st-demo-bank"
# Two hours, with four rows each by default, and the first row of the third.
FILTERS = {"from": "2026-11-25T00:00:00Z", "to": "2026-11-25T02:00:00Z"}


def ask(client: Any, **changes: Any) -> Any:
    body = {"type": "unhandledutterance", "filters": FILTERS, "skip": 0, "limit": 50, **changes}
    body = {key: value for key, value in body.items() if value is not None}
    return client.call("POST", f"{client.emulator.base_url}/api/public/bot/{BOT}/getAnalytics", json=body)


def test_a_page_says_whether_there_is_more(client):
    first, last = ask(client, limit=5).json(), ask(client, skip=5, limit=5).json()
    assert (len(first["result"]), first["moreAvailable"]) == (5, True)
    assert (len(last["result"]), last["moreAvailable"]) == (4, False)
    assert len({row["sessionId"] for row in first["result"] + last["result"]}) == 9


@pytest.mark.parametrize(
    "changes",
    [
        {"skip": None},
        {"limit": None},
        {"limit": 51},
        {"filters": None},
        {"type": "allutterances"},
        {"type": None},
    ],
)
def test_a_call_with_a_missing_or_wrong_argument_is_invalid(client, changes):
    assert ask(client, **changes).status_code == 412


@pytest.mark.parametrize(
    "kind", ["successintent", "failintent", "successtask", "failtask", "performance", "unhandledutterance"]
)
def test_each_documented_type_is_answered(client, kind):
    assert len(ask(client, type=kind).json()["result"]) == 9


def test_a_channel_is_a_filter(client):
    rows = ask(client, filters={**FILTERS, "channel": "rtm"}).json()["result"]
    assert {row["channel"] for row in rows} == {"rtm"}


def test_a_row_has_the_utterance_and_personal_data(client):
    row = ask(client).json()["result"][0]
    assert {"utterance", "language", "timestamp", "channel", "userId", "NLAnalysis"} <= row.keys()


def test_data_may_arrive_late(client):
    client.control.configure_bot(BOT, analytics_late_seconds=10**9)
    assert ask(client).json() == {"moreAvailable": False, "result": []}
