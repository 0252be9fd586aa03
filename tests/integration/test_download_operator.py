"""The download task, over real HTTP: what a DAG's author sees of it."""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_koreai.arguments import parse_time
from airflow_provider_koreai.exceptions import (
    KoreAIConfigurationError,
    KoreAIDownloadError,
    KoreAIExportFailedError,
    KoreAIExportSupersededError,
)
from airflow_provider_koreai.hooks.koreai import KoreAIHook
from airflow_provider_koreai.operators.koreai import KoreAIDownloadUtterancesOperator
from tests.support.running import new_context, run_task

BOT = "st-demo-travel"


@pytest.fixture(autouse=True)
def done_at_once(emulator, koreai_conn):
    emulator.control.configure_bot(BOT, seconds=0, too_soon_seconds=0)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "utterances.csv"


def fetch(path, **more):
    return run_task(KoreAIDownloadUtterancesOperator(task_id="fetch", bot_id=BOT, path=str(path), **more))


def identity_of(started) -> dict[str, str]:
    return {"request_id": started.request_id, "requested_time": started.requested_time, "file_type": "csv"}


def test_it_returns_what_it_stored(file):
    started = KoreAIHook().start_export(BOT)
    result = fetch(file, **identity_of(started))
    content = file.read_bytes()
    assert result == {
        "path": str(file),
        "bytes": len(content),
        "rows": 364,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bot_id": BOT,
        **identity_of(started),
    }


def test_without_a_request_id_it_fetches_the_latest_export_of_the_paths_type(tmp_path):
    started = KoreAIHook().start_export(BOT, file_type="json")
    result = fetch(tmp_path / "utterances.json", request_id="", requested_time="", file_type="")
    assert (result["file_type"], result["request_id"]) == ("json", started.request_id)


def test_a_latest_export_of_another_type_than_the_path_is_refused(file):
    KoreAIHook().start_export(BOT, file_type="json")
    with pytest.raises(KoreAIConfigurationError, match="json file; csv is wanted"):
        fetch(file)
    assert not file.exists()


def test_a_folder_gets_a_file_named_after_bot_and_time(tmp_path):
    started = KoreAIHook().start_export(BOT)
    result = fetch(f"{tmp_path}/", **identity_of(started))
    assert result["path"] == f"{tmp_path}/{BOT}-{started.requested_time}.csv"


def test_a_folder_gets_a_file_named_after_the_time_that_the_start_told_where_the_status_tells_none(
    tmp_path, emulator
):
    emulator.control.configure_bot(BOT, legacy=True)
    started = KoreAIHook().start_export(BOT)
    ours = {**identity_of(started), "requested_time": "2026-11-25T06:00:00.000Z"}
    result = fetch(f"{tmp_path}/", **ours)
    assert result["path"] == f"{tmp_path}/{BOT}-2026-11-25T06:00:00.000Z.csv"
    assert result["requested_time"] == ours["requested_time"]


def test_an_export_of_another_type_than_the_paths_at_about_the_same_time_is_anothers(file, emulator):
    ours = KoreAIHook().start_export(BOT)
    KoreAIHook().start_export(BOT, file_type="json")
    with pytest.raises(KoreAIExportSupersededError, match="A newer export"):
        fetch(file, **{**identity_of(ours), "file_type": ""})


def test_a_path_of_another_type_than_the_export_is_refused_before_anything_is_asked(tmp_path, emulator):
    identity = identity_of(KoreAIHook().start_export(BOT))
    asked = len(emulator.control.requests(BOT))
    with pytest.raises(KoreAIConfigurationError, match=r"utterances\.json"):
        fetch(tmp_path / "utterances.json", **identity)
    assert len(emulator.control.requests(BOT)) == asked


def test_our_export_in_another_type_than_the_paths_is_told_as_that(file):
    ours = KoreAIHook().start_export(BOT, file_type="json")
    with pytest.raises(KoreAIConfigurationError, match="is a json export, but this task wants csv") as caught:
        fetch(file, **{**identity_of(ours), "file_type": ""})
    assert "newer" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("html", {}),
        ("empty", {}),
        ("changed", {"content_b64": base64.b64encode(b'{"errors": []}').decode()}),
        ("changed", {"content_b64": base64.b64encode(b"a,b\n1,2\n").decode()}),
    ],
)
def test_what_is_no_export_is_refused_and_yesterdays_file_stays(file, emulator, kind, params):
    file.write_text("yesterday's")
    started = KoreAIHook().start_export(BOT)
    emulator.control.add_fault(BOT, "download", kind, times=-1, **params)
    with pytest.raises(KoreAIDownloadError, match="Nothing was published"):
        fetch(file, **identity_of(started))
    assert file.read_text() == "yesterday's"
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_fewer_rows_than_min_rows_are_refused_also_as_a_rendered_text(file):
    file.write_text("yesterday's")
    started = KoreAIHook().start_export(BOT)
    with pytest.raises(KoreAIDownloadError, match="min_rows=365"):
        fetch(file, min_rows="365", **identity_of(started))
    assert file.read_text() == "yesterday's"


@pytest.mark.parametrize("value", ["many", -1, 1.5, True])
def test_a_min_rows_that_is_no_number_is_refused(file, value):
    with pytest.raises(KoreAIConfigurationError, match="min_rows"):
        fetch(file, min_rows=value)


def test_a_superseded_export_is_refused_for_good(file, emulator):
    ours = KoreAIHook().start_export(BOT)
    KoreAIHook().start_export(BOT, file_type="json")
    with pytest.raises(KoreAIExportSupersededError) as caught:
        fetch(file, **identity_of(ours))
    assert isinstance(caught.value, AirflowFailException)
    assert not file.exists()


def test_a_newer_export_is_followed_when_that_is_asked_for(file, emulator):
    ours = KoreAIHook().start_export(BOT)
    emulator.control.configure_bot(BOT, requested_time_offset_ms=60_000)
    result = fetch(file, on_superseded="follow", **identity_of(ours))
    assert result["requested_time"] > ours.requested_time


def test_an_older_export_than_newer_than_is_not_fetched(file, koreai_conn):
    started = KoreAIHook().start_export(BOT)
    later = parse_time(started.requested_time) + timedelta(milliseconds=1)
    with pytest.raises(KoreAIDownloadError, match="latest of those requested since") as caught:
        KoreAIHook().download_export(BOT, str(file), newer_than=later, link_wait=0.1)
    assert not isinstance(caught.value, AirflowFailException)
    assert not file.exists()


def test_an_export_that_is_as_new_as_newer_than_says_is_fetched(file):
    started = KoreAIHook().start_export(BOT)
    assert fetch(file, newer_than=started.requested_time)["request_id"] == started.request_id


@pytest.mark.parametrize("argument", ["file_type", "on_superseded"])
def test_a_literal_that_is_not_accepted_is_refused_when_the_dag_is_parsed(file, argument):
    with pytest.raises(KoreAIConfigurationError, match=f"{argument}='xlsx'"):
        KoreAIDownloadUtterancesOperator(task_id="fetch", bot_id=BOT, path=str(file), **{argument: "xlsx"})


def test_a_failed_export_is_refused_for_good(file, emulator):
    emulator.control.configure_bot(BOT, fail_with=["Broken"])
    started = KoreAIHook().start_export(BOT)
    with pytest.raises(KoreAIExportFailedError, match="Broken") as caught:
        fetch(file, **identity_of(started))
    assert isinstance(caught.value, AirflowFailException)


def test_the_download_carries_no_auth_header(file, emulator):
    fetch(file, **identity_of(KoreAIHook().start_export(BOT)))
    assert [request["auth"] for request in emulator.control.requests(BOT, call="download")] == [False]


def test_an_export_that_is_still_running_is_a_retryable_error(file, emulator):
    emulator.control.configure_bot(BOT, seconds=3600)
    started = KoreAIHook().start_export(BOT)
    with pytest.raises(KoreAIDownloadError) as caught:
        KoreAIHook().download_export(BOT, str(file), link_wait=0.2, **identity_of(started))
    assert not isinstance(caught.value, AirflowFailException)


def test_a_retry_accepts_the_file_that_its_first_try_has_published(file):
    identity = identity_of(KoreAIHook().start_export(BOT))
    context = new_context()
    context["ti"].try_number = 1
    task = KoreAIDownloadUtterancesOperator(
        task_id="fetch", bot_id=BOT, path=str(file), overwrite=False, **identity
    )
    first = run_task(task, context)
    with pytest.raises(KoreAIConfigurationError, match="overwrite=False"):
        run_task(task, context)
    context["ti"].try_number = 2
    assert run_task(task, context) == first
