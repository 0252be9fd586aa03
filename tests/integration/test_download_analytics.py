"""What users said, fetched over real HTTP into files of every kind."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import jinja2
import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_koreai.api.calls import MAX_ANSWER_BYTES
from airflow_provider_koreai.exceptions import KoreAIAuthError, KoreAIConfigurationError, KoreAIRequestError
from airflow_provider_koreai.hooks import analytics
from airflow_provider_koreai.hooks.koreai import KoreAIHook
from airflow_provider_koreai.operators.download_analytics import KoreAIDownloadAnalyticsOperator
from airflow_provider_koreai.utterances.analytics_file import COLUMNS, read_analytics
from tests.support.logs import everything_logged
from tests.support.running import run_task

BOT = "st-demo-travel"
START, END = "2026-11-01T00:00:00+00:00", "2026-11-02T12:00:00+00:00"
ROWS = 36 * 4


@pytest.fixture(autouse=True)
def quick(monkeypatch, koreai_conn):
    monkeypatch.setattr(analytics, "_PAUSE", 0.0)


def fetch(path, **more):
    arguments = {"start": START, "end": END, **more}
    return run_task(KoreAIDownloadAnalyticsOperator(task_id="fetch", bot_id=BOT, path=str(path), **arguments))


def lines(path) -> list[dict]:
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def test_it_returns_what_was_stored(tmp_path):
    path = tmp_path / "said.jsonl"
    result = fetch(path)
    content = path.read_bytes()
    assert result == {
        "path": str(path),
        "rows": ROWS,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "start": START,
        "end": END,
    }
    assert len(lines(path)) == ROWS


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "jsonl.zst", "csv", "csv.gz", "csv.zst", "parquet"])
def test_each_kind_of_file_holds_the_same(tmp_path, suffix):
    pytest.importorskip("pyarrow")
    path = tmp_path / f"said.{suffix}"
    assert fetch(path)["rows"] == ROWS
    assert list(read_analytics(str(path))) == list(
        KoreAIHook().iter_analytics(BOT, "unhandledutterance", START, END)
    )


def test_csv_has_a_column_for_each_main_field(tmp_path):
    fetch(tmp_path / "said.csv", analytics_type="successintent")
    with (tmp_path / "said.csv").open(encoding="utf-8", newline="") as file:
        first = next(iter(csv.DictReader(file)))
    assert tuple(first) == COLUMNS
    assert first["timestamp"] == "2026-11-01T00:00:00.000Z"
    assert first["intent"] == first["task_name"] != ""
    assert first["user_id"] == ""
    assert json.loads(first["details"]).keys() == {"sessionId"}


def test_personal_fields_are_kept_only_on_request(tmp_path):
    fetch(tmp_path / "without.jsonl")
    assert "userId" not in (tmp_path / "without.jsonl").read_text("utf-8")
    assert "example.com" not in (tmp_path / "without.jsonl").read_text("utf-8")
    fetch(tmp_path / "with.jsonl", include_user_ids=True)
    assert all(row["userId"] and row["channelUserId"] for row in lines(tmp_path / "with.jsonl"))


def test_the_end_is_not_included(tmp_path, emulator):
    events = [{"utterance": text, "timestamp": text} for text in (START, "2026-11-02T11:59:59.999Z", END)]
    emulator.control.configure_bot(BOT, analytics_events=events)
    fetch(tmp_path / "said.jsonl")
    assert lines(tmp_path / "said.jsonl") == events[:2]


def test_an_interval_without_rows_gives_a_file_without_rows(tmp_path, emulator):
    emulator.control.configure_bot(BOT, analytics_events=[])
    assert fetch(tmp_path / "said.jsonl")["rows"] == 0
    assert (tmp_path / "said.jsonl").read_bytes() == b""
    fetch(tmp_path / "said.csv")
    assert (tmp_path / "said.csv").read_text() == ",".join(COLUMNS) + "\n"
    fetch(tmp_path / "said.jsonl.gz")
    assert gzip.decompress((tmp_path / "said.jsonl.gz").read_bytes()) == b""


def test_the_overlap_begins_earlier(tmp_path):
    result = fetch(tmp_path / "said.jsonl", overlap=timedelta(hours=2))
    assert result["start"] == "2026-10-31T22:00:00+00:00"
    assert result["rows"] == ROWS + 8


def test_a_channel_is_one_of_three(tmp_path):
    fetch(tmp_path / "said.jsonl", channel="sms")
    assert {row["channel"] for row in lines(tmp_path / "said.jsonl")} == {"sms"}


@pytest.mark.parametrize("page", [2, 7, 49, 50, 0])
def test_pages_may_be_of_any_size(tmp_path, emulator, page):
    emulator.control.configure_bot(BOT, analytics_page=page, start_per_minute=1000)
    assert fetch(tmp_path / "said.jsonl")["rows"] == ROWS


@pytest.mark.parametrize(("paging", "rows"), [("shrinks", ROWS - 1), ("grows", ROWS + 1)])
def test_rows_that_come_or_go_meanwhile_are_noticed(tmp_path, emulator, paging, rows):
    emulator.control.configure_bot(BOT, analytics_paging=paging)
    assert fetch(tmp_path / "said.jsonl")["rows"] == rows


@pytest.mark.parametrize("paging", ["endless", "repeats"])
def test_pages_that_do_not_end_are_an_error_and_the_earlier_file_stays(tmp_path, emulator, paging):
    (tmp_path / "said.jsonl").write_text("earlier")
    emulator.control.configure_bot(BOT, analytics_paging=paging, start_per_minute=1000)
    with pytest.raises(KoreAIRequestError, match="could not be read whole") as caught:
        fetch(tmp_path / "said.jsonl")
    assert not isinstance(caught.value, AirflowFailException)
    assert (tmp_path / "said.jsonl").read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["said.jsonl"]


def test_a_missing_scope_is_named(tmp_path, emulator):
    emulator.control.configure_bot(BOT, missing_scopes=["metrics"])
    with pytest.raises(KoreAIAuthError, match="'Metrics'"):
        fetch(tmp_path / "said.jsonl")


@pytest.mark.parametrize("name", ["said.txt", "said.json", "said", "said.parquet.gz"])
def test_a_path_of_another_kind_is_refused_unsent(tmp_path, emulator, name):
    with pytest.raises(KoreAIConfigurationError, match=r"must end in \.jsonl"):
        fetch(tmp_path / name)
    assert emulator.control.requests() == []


def test_rows_whose_time_cannot_be_read_are_counted_in_a_warning(tmp_path, emulator):
    events = [{"utterance": "a", "timestamp": START}, {"utterance": "b", "timestamp": "yesterday"}]
    emulator.control.configure_bot(BOT, analytics_events=events)
    with everything_logged() as lines:
        assert fetch(tmp_path / "said.jsonl")["rows"] == 2
    assert "1 of 2 rows have an unreadable timestamp, for example 'yesterday'" in "".join(lines)


def test_an_empty_interval_is_warned_of(tmp_path):
    with everything_logged() as lines:
        assert fetch(tmp_path / "said.jsonl", end=START)["rows"] == 0
    assert "the interval is empty" in "".join(lines)


def test_an_interval_that_the_overlap_fills_is_not_called_empty(tmp_path):
    with everything_logged() as lines:
        assert fetch(tmp_path / "said.jsonl", end=START, overlap=timedelta(hours=6))["rows"] == 24
    assert "empty" not in "".join(lines)


def test_a_page_larger_than_any_other_answer_is_read(tmp_path, emulator):
    event = {"utterance": "hi", "timestamp": START, "NLAnalysis": "x" * MAX_ANSWER_BYTES}
    emulator.control.configure_bot(BOT, analytics_events=[event])
    assert fetch(tmp_path / "said.jsonl")["rows"] == 1


@pytest.mark.parametrize("interval", [{"start": ""}, {"end": ""}, {"start": None}])
def test_a_run_without_an_interval_is_told_to_name_it(tmp_path, interval):
    with pytest.raises(KoreAIConfigurationError, match="start and end are missing"):
        fetch(tmp_path / "said.jsonl", **interval)


def test_a_run_without_an_interval_cannot_render_the_default():
    task = KoreAIDownloadAnalyticsOperator(task_id="fetch", bot_id=BOT, path="/data/said.jsonl")
    with pytest.raises(KoreAIConfigurationError, match="start and end are missing"):
        task.render_template_fields({}, jinja2.Environment(undefined=jinja2.StrictUndefined))


def test_a_mapped_task_without_an_interval_is_told_the_same():
    with DAG("mapped", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)) as dag:
        task = KoreAIDownloadAnalyticsOperator.partial(task_id="fetch", path="/data/said.jsonl").expand(
            bot_id=[BOT]
        )
    context = {
        "ti": SimpleNamespace(map_index=0, task=task),
        "dag": dag,
        "dag_run": SimpleNamespace(conf={}),
        "run_id": "r",
    }
    with pytest.raises(KoreAIConfigurationError, match="start and end are missing"):
        task.render_template_fields(context, jinja2.Environment(undefined=jinja2.StrictUndefined))
