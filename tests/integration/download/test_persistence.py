"""Dropped connections, refused links, files that change meanwhile, exports that are not there yet."""

from __future__ import annotations

import logging
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_koreai.download import attempts, staged_file
from airflow_provider_koreai.exceptions import (
    KoreAIDownloadError,
    KoreAIExportFailedError,
    KoreAIExportSupersededError,
    KoreAIServerError,
)
from airflow_provider_koreai.jobs.export import ExportIdentity, ExportStatus

from .conftest import csv_bytes, json_bytes

if TYPE_CHECKING:
    from .conftest import Bot, ScriptedServer

OLD = "Tue, 14 Nov 2023 22:13:10 GMT"  # ten seconds before the scripted server's Date

CONTENT = csv_bytes()
PLACES = {
    "byte 0": 0,
    "the first byte": 1,
    "the header": 12,
    "mid-row": CONTENT.index(b"einfach 1501") + 4,
    "between rows": CONTENT.index("Flüge,einfach 1502".encode()),
    "mid-quote": CONTENT.index('1500: ""São'.encode()) + 4,
    "between doubled quotes": CONTENT.index(b'1500: ""') + len(b'1500: "'),
    "mid-multibyte": CONTENT.index("東京".encode(), 50_000) + 1,
    "before the last byte": len(CONTENT) - 1,
}


@pytest.mark.parametrize("kind", ["drop", "reset"])
@pytest.mark.parametrize("place", PLACES.values(), ids=list(PLACES))
def test_a_dropped_connection_is_continued_where_it_broke_off(bot: Bot, kind: str, place: int) -> None:
    bot.fault(kind, at=place)
    assert bot.download().rows == 3000
    assert bot.file.read_bytes() == bot.content
    first, second = bot.requests()
    assert first["range"] is None
    # A reset may discard what was still on its way.
    if kind == "drop" and place:
        assert second["range"] == f"bytes={place}-"
    if second["range"] is not None:
        assert (second["status"], second["if_range"][0]) == (206, '"')


@pytest.mark.parametrize("at", ["before_headers", "in_headers"])
def test_a_connection_that_ends_before_the_body_is_tried_again(bot: Bot, at: str) -> None:
    bot.fault("drop", at=at, times=3)
    assert bot.download().rows == 3000


def test_many_drops_are_no_reason_to_give_up_while_there_is_progress(bot: Bot) -> None:
    bot.fault("drop", at=10_000, times=15)
    assert bot.download().rows == 3000
    assert bot.file.read_bytes() == bot.content
    assert len(bot.requests()) > 2 * attempts.MAX_VAIN_ATTEMPTS


def test_drops_without_progress_are(bot: Bot) -> None:
    bot.fault("drop", at=0, times=-1)
    with pytest.raises(KoreAIDownloadError, match="ended early, after 5 attempts") as caught:
        bot.download()
    assert not isinstance(caught.value, AirflowFailException)
    assert not bot.file.exists()
    assert bot.leftovers() == []


def test_json_is_continued_too(bot: Bot) -> None:
    bot.configure(content=json_bytes())
    bot.start("json")
    bot.fault("drop", at=50_001)
    assert bot.download(bot.folder / "x.json").rows == 3000


def test_without_ranges_it_starts_over(bot: Bot) -> None:
    bot.configure(ranges=False)
    bot.fault("drop", at=50_000)
    assert bot.download().rows == 3000
    assert bot.file.read_bytes() == bot.content
    assert [each["status"] for each in bot.requests()] == [200, 200]


def test_a_weak_etag_proves_nothing_so_it_starts_over(bot: Bot) -> None:
    bot.configure(etag="weak")
    bot.fault("drop", at=50_000)
    assert bot.download().rows == 3000
    assert [each["range"] for each in bot.requests()] == [None, None]


def test_without_an_etag_the_date_proves_that_it_is_the_same_file(bot: Bot, server: ScriptedServer) -> None:
    server.whole(bot.content, sent=5000, Last_Modified=OLD)
    server.rest(bot.content, 5000, Last_Modified=OLD)
    assert bot.download().rows == 3000
    assert f"If-Range: {OLD}" in server.asked[1]


def test_a_changed_file_is_not_spliced(bot: Bot) -> None:
    bot.fault("drop", at=50_000)
    other = csv_bytes(100)
    bot.fault("changed", content_b64=_base64(other))
    result = bot.download()
    assert bot.file.read_bytes() == other
    assert result.rows == 100


@pytest.mark.parametrize(
    ("start", "total", "headers"),
    [
        (5001, None, {"ETag": '"1"'}),
        (4999, None, {"ETag": '"1"'}),
        (5000, None, {"ETag": '"2"'}),
        (5000, 999_999, {"ETag": '"1"'}),
        (5000, 10, {"ETag": '"1"'}),
    ],
    ids=["behind", "before", "other etag", "other length", "impossible length"],
)
def test_a_rest_that_does_not_fit_is_not_taken(
    bot: Bot, server: ScriptedServer, start: int, total: int | None, headers: dict[str, str]
) -> None:
    server.whole(bot.content, sent=5000, ETag='"1"')
    server.rest(bot.content, start, total, **headers)
    server.whole(bot.content, ETag='"2"')
    assert bot.download().rows == 3000
    assert bot.file.read_bytes() == bot.content
    assert "Range" not in server.asked[2]


def test_a_wrong_content_range_is_not_taken(bot: Bot) -> None:
    bot.fault("drop", at=50_000)
    bot.fault("wrong_content_range", delta=1)
    bot.download()
    assert bot.file.read_bytes() == bot.content


def test_a_stalled_connection_is_given_up_and_continued(bot: Bot) -> None:
    bot.fault("stall", at=50_000, seconds=60)
    bot.download(settings={"timeout": 1.0})
    assert bot.file.read_bytes() == bot.content
    assert [each["status"] for each in bot.requests()] == [200, 206]


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_trouble_of_the_server_is_tried_again(bot: Bot, status: int) -> None:
    bot.fault("http", status=status, times=2)
    assert bot.download().rows == 3000


def test_retry_after_is_honoured(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(attempts, "time", SimpleNamespace(sleep=pauses.append))
    bot.fault("http", status=503, headers={"Retry-After": "7"})
    bot.download()
    assert pauses == [7.0]


def test_a_retry_after_of_nothing_shortens_no_pause(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(attempts, "time", SimpleNamespace(sleep=pauses.append))
    bot.fault("http", status=503, headers={"Retry-After": "0"})
    bot.download()
    assert pauses[0] > 0


def test_an_expired_link_is_renewed(bot: Bot) -> None:
    bot.fault("expired")
    assert bot.download().rows == 3000
    assert bot.asked == 2


def test_a_link_that_expires_mid_way_is_renewed_and_the_file_continued(bot: Bot) -> None:
    bot.fault("drop", at=50_000)
    bot.fault("expired")
    bot.download()
    assert bot.file.read_bytes() == bot.content
    assert [each["range"] for each in bot.requests()] == [None, "bytes=50000-", "bytes=50000-"]
    assert bot.asked == 2


def test_a_link_that_is_always_refused_is_given_up(bot: Bot) -> None:
    bot.fault("http", status=403, times=-1)
    with pytest.raises(KoreAIDownloadError, match="refused with 403, after 5 attempts"):
        bot.download()


def test_a_link_of_a_newer_export_is_not_taken_for_a_fresh_one(bot: Bot) -> None:
    ours = bot.start()
    bot.fault("drop", at=50_000)
    bot.fault("expired")
    bot.mutate = lambda export: (
        replace(export, requested_time="2999-01-01T00:00:00.000Z") if bot.asked > 1 else export
    )
    with pytest.raises(KoreAIExportSupersededError):
        bot.download(ours=ours)
    assert not bot.file.exists()
    assert bot.leftovers() == []


def test_following_a_newer_export_mid_way_downloads_the_newer_one_whole(bot: Bot) -> None:
    ours = bot.start()
    newer = "2999-01-01T00:00:00.000Z"
    bot.fault("drop", at=50_000)
    bot.fault("expired")
    bot.mutate = lambda export: replace(export, requested_time=newer) if bot.asked > 1 else export
    result = bot.download(f"{bot.folder}/", ours=ours, on_superseded="follow")
    assert result.requested_time == newer
    assert result.path == f"{bot.folder}/{bot.id}-2999-01-01T00:00:00.000Z.csv"
    assert [each["range"] for each in bot.requests()] == [None, "bytes=50000-", None]
    assert len(list(bot.folder.iterdir())) == 1


def test_the_latest_export_may_become_another_one_mid_way(bot: Bot) -> None:
    bot.fault("drop", at=50_000)
    bot.fault("expired")
    bot.mutate = lambda export: replace(export, request_id=f"ds-{min(bot.asked, 2)}")
    assert bot.download().request_id == "ds-2"
    assert [each["range"] for each in bot.requests()] == [None, "bytes=50000-", None]


def test_an_export_that_still_runs_is_waited_for(bot: Bot) -> None:
    running = {"status": ExportStatus.IN_PROGRESS, "download_url": None}
    bot.mutate = lambda export: replace(export, **running) if bot.asked < 3 else export  # type: ignore[arg-type]
    assert bot.download().rows == 3000
    assert bot.asked == 3


def test_an_empty_link_is_waited_for(bot: Bot) -> None:
    bot.mutate = lambda export: replace(export, download_url=None) if bot.asked < 3 else export
    assert bot.download().rows == 3000
    assert bot.asked == 3


def test_a_status_that_still_speaks_of_an_earlier_export_is_waited_out(bot: Bot) -> None:
    ours = bot.start()
    bot.mutate = lambda export: (
        replace(export, requested_time="2001-01-01T00:00:00Z") if bot.asked < 3 else export
    )
    assert bot.download(ours=ours).requested_time == ours.requested_time


def test_trouble_with_the_status_call_is_waited_out(bot: Bot) -> None:
    bot.fault("http", call="status", status=500, times=2)
    assert bot.download().rows == 3000


@pytest.mark.parametrize(
    "state",
    [
        {"status": ExportStatus.IN_PROGRESS},
        {"download_url": None},
        {"requested_time": "2001-01-01T00:00:00Z"},
    ],
    ids=["running", "no link", "stale"],
)
def test_what_is_not_there_in_time_may_be_there_at_a_retry(bot: Bot, state: dict[str, object]) -> None:
    ours = bot.start()
    bot.mutate = lambda export: replace(export, **state)  # type: ignore[arg-type]
    with pytest.raises(KoreAIDownloadError, match=r"within 0\.05 seconds") as caught:
        bot.download(ours=ours, link_wait=0.05)
    assert not isinstance(caught.value, AirflowFailException)


def test_without_any_wait_the_status_is_asked_once(bot: Bot) -> None:
    bot.configure(seconds=60)
    bot.start()
    with pytest.raises(KoreAIDownloadError):
        bot.download(link_wait=0)
    assert bot.asked == 1


def test_trouble_with_the_status_call_to_the_end_is_told(bot: Bot) -> None:
    def fail(export: object) -> None:
        raise KoreAIServerError("no route to Kore.ai")

    bot.mutate = fail  # type: ignore[assignment]
    with pytest.raises(KoreAIDownloadError, match="no route to Kore"):
        bot.download(link_wait=0.05)


def test_a_failed_export_ends_the_wait(bot: Bot) -> None:
    bot.configure(fail_with=["disk full"])
    bot.start()
    with pytest.raises(KoreAIExportFailedError, match="disk full"):
        bot.download()


def test_a_superseded_export_ends_the_wait(bot: Bot) -> None:
    ours = ExportIdentity("ds-0", "2001-01-01T00:00:00Z", "csv")
    with pytest.raises(KoreAIExportSupersededError):
        bot.download(ours=ours)


def test_progress_is_told_with_its_rate(
    bot: Bot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(staged_file, "PROGRESS_INTERVAL", 0.0)
    with caplog.at_level(logging.INFO):
        bot.download()
    assert any("KiB of " in text and "/s." in text for text in caplog.messages)


def test_a_short_download_is_told_in_one_line(bot: Bot, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="tests.download"):
        bot.download()
    assert len([each for each in caplog.records if each.name == "tests.download"]) == 1


def _base64(data: bytes) -> str:
    import base64

    return base64.b64encode(data).decode()
