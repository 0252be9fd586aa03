"""Loading analytics on real databases: what is in the table after one load, and after the next."""

from __future__ import annotations

import gzip
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIFileError
from airflow_provider_koreai.operators.load_analytics import KoreAILoadAnalyticsOperator
from airflow_provider_koreai.utterances.analytics_file import COLUMNS
from airflow_provider_koreai.warehouse import analytics
from tests.support.running import prepare_thread, run_task

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.warehouses import Warehouse

BOT = "st-demo-travel"
MIDNIGHT = datetime(2026, 11, 24, tzinfo=timezone.utc)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def warehouse(request: pytest.FixtureRequest) -> Warehouse:
    found: Warehouse = request.getfixturevalue(request.param)
    return found


def at(hours: float) -> str:
    return (MIDNIGHT + timedelta(hours=hours)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event(hours: float, utterance: str, **more: Any) -> dict[str, Any]:
    return {"utterance": utterance, "timestamp": at(hours), "language": "en", "channel": "rtm", **more}


def write(path: Path, *events: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in events))
    return path


def load(warehouse: Warehouse, path: Path, start: float, end: float, **more: Any) -> Any:
    arguments = {"table": warehouse.table, "conn_id": warehouse.conn_id, "bot_id": BOT, **more}
    task = KoreAILoadAnalyticsOperator(
        task_id="load", path=str(path), start=at(start), end=at(end), **arguments
    )
    return run_task(task)


def sentences(warehouse: Warehouse) -> list[str]:
    found = warehouse.run(f"SELECT utterance FROM {warehouse.table} ORDER BY utterance")
    return [sentence for (sentence,) in found]


def test_it_returns_what_it_loaded(warehouse, tmp_path):
    path = write(tmp_path / "said.jsonl", event(0, "a"), event(0.5, "b"))
    assert load(warehouse, path, 0, 1) == {
        "path": str(path),
        "table": warehouse.table,
        "bot_id": BOT,
        "analytics_type": "unhandledutterance",
        "start": "2026-11-24T00:00:00+00:00",
        "end": "2026-11-24T01:00:00+00:00",
        "rows": 2,
        "replaced": 0,
    }


def test_a_row_has_the_known_fields_in_columns_and_the_others_as_json(warehouse, tmp_path):
    said = event(0.25, "fly me", intent="i", taskName="t", userId="u-1", NLAnalysis={"ml": ["Zürich"]})
    load(warehouse, write(tmp_path / "said.jsonl", said), 0, 1)
    names = "bot_id, analytics_type, utterance, intent, task_name, language, channel, user_id, details"
    ((*texts, details),) = warehouse.run(f"SELECT {names} FROM {warehouse.table}")
    assert texts == [BOT, "unhandledutterance", "fly me", "i", "t", "en", "rtm", "u-1"]
    assert json.loads(details) == {"NLAnalysis": {"ml": ["Zürich"]}}


def test_loading_an_interval_again_replaces_it(warehouse, tmp_path):
    load(warehouse, write(tmp_path / "first.jsonl", event(0, "a"), event(0.9, "gone")), 0, 1)
    again = load(warehouse, write(tmp_path / "again.jsonl", event(0, "a"), event(0.5, "late")), 0, 1)
    assert again["replaced"] == 2
    assert sentences(warehouse) == ["a", "late"]


def test_an_interval_does_not_have_its_end(warehouse, tmp_path):
    load(warehouse, write(tmp_path / "second.jsonl", event(1, "at one")), 1, 2)
    load(
        warehouse, write(tmp_path / "first.jsonl", event(0, "at midnight"), event(0.9999, "before one")), 0, 1
    )
    assert sentences(warehouse) == ["at midnight", "at one", "before one"]


def test_an_overlap_brings_late_rows_and_repeats_none(warehouse, tmp_path):
    load(warehouse, write(tmp_path / "first.jsonl", event(0, "a"), event(0.5, "b")), 0, 1)
    overlapping = [event(0.5, "b"), event(0.7, "late"), event(1.5, "c")]
    assert load(warehouse, write(tmp_path / "next.jsonl", *overlapping), 0.5, 2)["replaced"] == 1
    assert sentences(warehouse) == ["a", "b", "c", "late"]


def test_the_same_sentence_said_twice_is_two_rows(warehouse, tmp_path):
    load(warehouse, write(tmp_path / "said.jsonl", event(0, "hello"), event(0, "hello")), 0, 1)
    assert sentences(warehouse) == ["hello", "hello"]


@pytest.mark.parametrize("other", [{"bot_id": "ST-demo-travel"}, {"analytics_type": "failtask"}])
def test_other_bots_and_types_stay(warehouse, tmp_path, other):
    path = write(tmp_path / "said.jsonl", event(0, "a"))
    load(warehouse, path, 0, 1, **other)
    assert load(warehouse, path, 0, 1)["replaced"] == 0
    assert sentences(warehouse) == ["a", "a"]


def test_a_channel_replaces_its_own_rows_only(warehouse, tmp_path):
    load(warehouse, write(tmp_path / "all.jsonl", event(0, "a"), event(0, "b", channel="sms")), 0, 1)
    load(warehouse, write(tmp_path / "sms.jsonl", event(0, "c", channel="sms")), 0, 1, channel="SMS")
    assert sentences(warehouse) == ["a", "c"]


def test_a_row_of_another_channel_is_refused(warehouse, tmp_path):
    path = write(tmp_path / "said.jsonl", event(0, "a", channel="sms"), event(0, "b"))
    with pytest.raises(KoreAIFileError, match=r"Row 2 belongs to channel 'rtm', not to channel='sms'"):
        load(warehouse, path, 0, 1, channel="sms")
    assert warehouse.table not in warehouse.tables()


def test_a_row_outside_the_interval_is_refused_and_the_table_stays_as_it_is(warehouse, tmp_path, monkeypatch):
    monkeypatch.setattr(analytics, "_BATCH_SIZE", 1)
    load(warehouse, write(tmp_path / "first.jsonl", event(0, "a")), 0, 1)
    path = write(tmp_path / "next.jsonl", event(0.5, "b"), event(1, "c"))
    with pytest.raises(
        KoreAIFileError,
        match=r"Row 2 is from 2026-11-24T01:00:00\+00:00, outside the interval start=.*Nothing was loaded",
    ):
        load(warehouse, path, 0, 1)
    assert sentences(warehouse) == ["a"]


def test_rows_without_a_time_are_replaced_with_the_interval_that_they_came_with(warehouse, tmp_path):
    untimed = {"utterance": "when?", "timestamp": "yesterday"}
    first = write(tmp_path / "first.jsonl", untimed, event(0, "a"))
    load(warehouse, first, 0, 1)
    load(warehouse, write(tmp_path / "next.jsonl", untimed, event(1, "b")), 1, 2)
    assert load(warehouse, first, 0, 1)["replaced"] == 2
    found = warehouse.run(f"SELECT event_time, details FROM {warehouse.table} WHERE utterance = 'when?'")
    assert [(time, json.loads(details)) for time, details in found] == [
        (None, {"unreadable_timestamp": "yesterday"})
    ] * 2


def test_rows_whose_time_cannot_be_read_are_counted_in_a_warning(sqlite, tmp_path, caplog):
    path = write(tmp_path / "said.jsonl", event(0, "a"), {"utterance": "when?", "timestamp": "yesterday"})
    with caplog.at_level(logging.WARNING):
        load(sqlite, path, 0, 1)
    assert "1 of 2 rows have an unreadable timestamp, for example 'yesterday'" in caplog.text


def test_a_file_without_any_time_that_can_be_read_is_refused(warehouse, tmp_path):
    load(warehouse, write(tmp_path / "first.jsonl", event(0, "a")), 0, 1)
    path = write(tmp_path / "next.jsonl", *[{"utterance": "b", "timestamp": "24.11.2026"}] * 2)
    with pytest.raises(
        KoreAIFileError, match=r"the column timestamp has, for example, '24\.11\.2026'.*Nothing was loaded"
    ):
        load(warehouse, path, 0, 1)
    assert sentences(warehouse) == ["a"]


def test_whatever_a_user_wrote_is_data(warehouse, tmp_path):
    said = ["'; DROP TABLE x; --", "%s ? :name \\N \\", "🛫 العربية\n\t", "nul \0 half \ud83d"]
    path = write(tmp_path / "said.jsonl", *(event(0, text, more=[text]) for text in said))
    load(warehouse, path, 0, 1)
    assert sorted(sentences(warehouse)) == sorted([*said[:3], "nul \ufffd half \ufffd"])


def test_an_interval_without_rows_empties_it_and_min_rows_prevents_that(warehouse, tmp_path):
    load(warehouse, write(tmp_path / "said.jsonl", event(0, "a")), 0, 1)
    empty = write(tmp_path / "empty.jsonl")
    with pytest.raises(KoreAIFileError, match="0 rows are fewer than min_rows=1"):
        load(warehouse, empty, 0, 1, min_rows=1)
    assert sentences(warehouse) == ["a"]
    assert load(warehouse, empty, 0, 1)["replaced"] == 1
    assert sentences(warehouse) == []


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".jsonl.gz"])
def test_all_kinds_of_files_give_the_same_rows(sqlite, tmp_path, suffix):
    path = tmp_path / f"said{suffix}"
    if "csv" in suffix:
        content = f'{",".join(COLUMNS)}\n{at(0)},fly me,,,en,rtm,,"{{""session"": 1}}"\n'
    else:
        content = json.dumps(event(0, "fly me", session=1)) + "\n"
    path.write_bytes(gzip.compress(content.encode()) if suffix.endswith(".gz") else content.encode())
    load(sqlite, path, 0, 1)
    names = "event_time, utterance, intent, language, channel, user_id, details"
    assert sqlite.run(f"SELECT {names} FROM {sqlite.table}") == [
        ("2026-11-24 00:00:00.000000", "fly me", None, "en", "rtm", None, '{"session": 1}')
    ]


def test_loads_of_one_interval_at_once_leave_no_row_twice(warehouse, tmp_path):
    path = write(tmp_path / "said.jsonl", *(event(0, f"{number:04}") for number in range(1200)))
    with ThreadPoolExecutor(4, initializer=prepare_thread) as pool:
        for done in [pool.submit(load, warehouse, path, 0, 1) for _ in range(4)]:
            done.result()
    assert sentences(warehouse) == [f"{number:04}" for number in range(1200)]


def test_a_file_that_is_missing_is_named(sqlite, tmp_path):
    with pytest.raises(
        KoreAIFileError, match=r"path='.*x\.jsonl'.*there is no such file\. Nothing was loaded"
    ):
        load(sqlite, tmp_path / "x.jsonl", 0, 1)


def test_details_that_are_not_text_are_refused(postgresql, tmp_path):
    path = write(tmp_path / "said.jsonl", event(0, "a", session="s-1"))
    load(postgresql, path, 0, 1)
    postgresql.run(f"ALTER TABLE {postgresql.table} ALTER details TYPE jsonb USING details::jsonb")
    with pytest.raises(
        KoreAIConfigurationError, match="cannot hold analytics: details is JSONB instead of TEXT"
    ):
        load(postgresql, path, 0, 1)


def test_a_table_of_utterances_is_refused(warehouse, tmp_path):
    warehouse.run(f"CREATE TABLE {warehouse.table} (bot_id varchar(255), sentence text)")
    path = write(tmp_path / "said.jsonl", event(0, "a"))
    with pytest.raises(
        KoreAIConfigurationError, match="cannot hold analytics: it has no column analytics_type"
    ):
        load(warehouse, path, 0, 1)


def test_without_create_table_the_error_has_the_statement(sqlite, tmp_path):
    path = write(tmp_path / "said.jsonl", event(0, "a"))
    with pytest.raises(
        KoreAIConfigurationError, match=r"create_table=False. Create it: CREATE TABLE utterances_"
    ):
        load(sqlite, path, 0, 1, create_table=False)
