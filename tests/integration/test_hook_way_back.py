"""The hook's calls that change a bot, over real HTTP against the emulator: upload, import, train, batch test."""

from __future__ import annotations

import asyncio
import csv
import gzip
import http.server
import io
import json
import logging
import socket
import threading
import tracemalloc
from typing import TYPE_CHECKING

import pytest
import zstandard

from airflow_provider_koreai.exceptions import (
    KoreAIAuthError,
    KoreAIBatchTestError,
    KoreAIConfigurationError,
    KoreAIFileError,
    KoreAIGatewayError,
    KoreAIImportFailedError,
    KoreAIImportUncertainError,
    KoreAIRateLimitError,
    KoreAIRefusedError,
    KoreAIRequestError,
    KoreAIServerError,
    KoreAITrainingFailedError,
)
from airflow_provider_koreai.hooks.koreai import KoreAIHook
from airflow_provider_koreai.jobs.status import JobStatus
from airflow_provider_koreai.jobs.training import TrainingWatch
from tests.support.running import Lines

if TYPE_CHECKING:
    from collections.abc import Iterator

BOT = "st-demo-travel"
NEW = [
    {
        "taskName": "Book Flight",
        "sentence": f"fly me to {place}",
        "type": "DialogIntent",
        "entities": [],
        "language": "en",
    }
    for place in ("Oslo", "Zürich", 'the "moon",\nplease')
]


def as_csv(entries) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["taskName", "sentence", "type", "language"], extrasaction="ignore")
    writer.writeheader()
    writer.writerows(entries)
    return text.getvalue().encode()


@pytest.fixture
def hook(koreai_conn):
    return KoreAIHook(max_retry_wait=0.01)


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """All that is logged, by anybody, at every level."""
    lines, root = Lines(), logging.getLogger()
    level = root.level
    root.addHandler(lines)
    root.setLevel(logging.DEBUG)
    yield lines.lines
    root.setLevel(level)
    root.removeHandler(lines)


@pytest.fixture
def a_task(hook, tmp_path) -> str:
    """The name of one of the bot's tasks."""
    hook.start_export(BOT, file_type="json")
    path = tmp_path / "before.json"
    hook.download_export(BOT, str(path))
    return str(json.loads(path.read_text())[0]["taskName"])


@pytest.fixture
def entries(a_task):
    return [{**entry, "taskName": a_task} for entry in NEW]


def upload(hook: KoreAIHook, data: bytes, file_type: str = "json"):
    return hook.upload_file(io.BytesIO(data), file_type=file_type)


def start(hook: KoreAIHook, data: bytes = b"[]"):
    uploaded = upload(hook, data)
    return hook.start_import(BOT, uploaded.file_id, uploaded.file_name)


def calls(emulator, call: str) -> int:
    """How many calls of a kind arrived."""
    return len(emulator.control.requests(call=call))


def get_import(hook, way, import_id):
    return hook.get_import(BOT, import_id) if way == "sync" else asyncio.run(hook.aget_import(BOT, import_id))


def get_training(hook, way, language="en"):
    return (
        hook.get_training(BOT, language) if way == "sync" else asyncio.run(hook.aget_training(BOT, language))
    )


def get_batch_test(hook, way, request_id):
    if way == "sync":
        return hook.get_batch_test(BOT, request_id)
    return asyncio.run(hook.aget_batch_test(BOT, request_id))


both_clients = pytest.mark.parametrize("way", ["sync", "async"])


@pytest.fixture
def closing_server() -> Iterator[str]:
    """The URL of a server that closes a connection unanswered when it is used a second time."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        asked = 0

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.asked += 1
            if self.asked > 1:
                self.close_connection = True
                return
            body = b'{"_id": "bir-1", "status": "pending"}'
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class TestUpload:
    @pytest.mark.parametrize("suffix", ["csv", "csv.gz", "csv.zst", "json"])
    def test_a_file_is_imported_as_it_was_stored(self, hook, entries, tmp_path, suffix):
        data = json.dumps(entries).encode() if suffix == "json" else as_csv(entries)
        pack = {"csv.gz": gzip.compress, "csv.zst": zstandard.compress}.get(suffix, bytes)
        (tmp_path / f"new.{suffix}").write_bytes(pack(data))
        uploaded = hook.upload_file(tmp_path / f"new.{suffix}")
        started = hook.start_import(BOT, uploaded.file_id, uploaded.file_name)
        assert hook.get_import(BOT, started.import_id).copied == len(entries)
        hook.start_export(BOT, file_type="json")
        hook.download_export(BOT, str(tmp_path / "after.json"))
        after = json.loads((tmp_path / "after.json").read_text())
        assert {entry["sentence"] for entry in entries} <= {entry["sentence"] for entry in after}

    def test_a_url_is_uploaded(self, hook, tmp_path):
        (tmp_path / "new.json").write_bytes(b"[]")
        assert hook.upload_file(f"file://{tmp_path}/new.json").file_name == "utterances.json"

    @pytest.mark.parametrize(
        ("kind", "params"),
        [("http", {"status": 503}), ("http", {"status": 429}), ("drop", {}), ("reset", {"at": "in_headers"})],
    )
    def test_trouble_is_retried_and_the_file_sent_anew(self, hook, emulator, kind, params):
        emulator.control.add_fault(None, "upload", kind, **params)
        data = json.dumps([{"taskName": "none", "sentence": "x" * 200_000}]).encode()
        assert start(hook, data).import_id
        assert calls(emulator, "upload") == 2

    def test_each_try_carries_a_token_of_its_own(self, hook, emulator):
        emulator.control.add_fault(None, "upload", "http", status=503, times=2)
        upload(hook, b"[]")
        assert len({request["jti"] for request in emulator.control.requests(call="upload")}) == 3

    def test_a_missing_scope_names_the_admin_app(self, hook, emulator):
        emulator.control.configure_account(upload_by="admin")
        with pytest.raises(KoreAIAuthError, match=r"Scope is incorrect.*'Bot Import'.*Admin app"):
            upload(hook, b"[]")

    def test_another_connection_may_upload(self, hook, emulator, monkeypatch):
        emulator.control.configure_account(upload_by="admin")
        admin = {**emulator.connection(), "login": "cs-emulator-admin"}
        monkeypatch.setenv("AIRFLOW_CONN_KOREAI_ADMIN", json.dumps(admin))
        uploaded = upload(KoreAIHook("koreai_admin"), b"[]")
        assert hook.start_import(BOT, uploaded.file_id, uploaded.file_name).import_id

    @pytest.mark.parametrize("kind", ["html", "empty", "truncated_json"])
    def test_an_answer_that_is_not_the_apis_is_an_error(self, hook, emulator, kind):
        emulator.control.add_fault(None, "upload", kind)
        with pytest.raises(KoreAIRequestError, match="upload of a file"):
            upload(hook, b"[]")

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("empty.csv", b"", "is empty"),
            ("new.parquet", b"PAR1....PAR1", "Parquet"),
            ("cut.csv.gz", gzip.compress(b"x" * 1000)[:-9], "damaged"),
            (None, b"", "does not exist"),
        ],
    )
    def test_a_file_that_cannot_be_imported_is_refused_unsent(
        self, hook, emulator, tmp_path, name, content, said
    ):
        if name:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(KoreAIFileError, match=said):
            hook.upload_file(tmp_path / (name or "missing.csv"))
        assert calls(emulator, "upload") == 0

    @pytest.mark.parametrize(
        ("source", "file_type", "said"),
        [
            (io.BytesIO(b"x"), None, "file_type"),
            (io.StringIO("x"), "csv", "binary"),
            (7, "csv", "path_or_stream"),
        ],
    )
    def test_an_argument_that_cannot_be_used_is_named(self, hook, emulator, source, file_type, said):
        with pytest.raises(KoreAIConfigurationError, match=said):
            hook.upload_file(source, file_type=file_type)
        assert calls(emulator, "upload") == 0

    def test_a_large_file_needs_little_memory(self, hook, tmp_path):
        path = tmp_path / "large.csv"
        with path.open("wb") as file:
            file.writelines(b"x" * (1 << 20) for _ in range(32))
        upload(hook, b"[]")  # what the first call imports and caches is not the file's
        tracemalloc.start()
        try:
            hook.upload_file(path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 8 << 20


class TestImport:
    @both_clients
    def test_its_status_is_asked_for_by_its_id(self, hook, emulator, entries, way):
        emulator.control.configure_bot(BOT, import_seconds=3600)
        first = start(hook, json.dumps(entries).encode())
        assert first.status is JobStatus.IN_PROGRESS
        assert get_import(hook, way, first.import_id).is_done() is False
        emulator.control.configure_bot(BOT, import_seconds=0)
        start(hook, b"[]")
        done = get_import(hook, way, first.import_id)
        assert (done.import_id, done.is_done(), done.copied) == (first.import_id, True, len(entries))

    @both_clients
    @pytest.mark.parametrize("word", ["failure", "failed"])
    def test_a_failure_is_an_error_with_the_logs(self, hook, emulator, way, word):
        emulator.control.configure_bot(BOT, import_fail_with=["row 7 is odd"], import_final_status=word)
        found = get_import(hook, way, start(hook).import_id)
        with pytest.raises(KoreAIImportFailedError, match="row 7 is odd") as caught:
            found.is_done()
        assert caught.value.status_logs == ("row 7 is odd",)

    @both_clients
    @pytest.mark.parametrize(("kind", "params"), [("http", {"status": 500}), ("html", {}), ("drop", {})])
    def test_trouble_with_the_status_is_retried(self, hook, emulator, way, kind, params):
        started = start(hook)
        emulator.control.add_fault(BOT, "import_status", kind, **params)
        assert get_import(hook, way, started.import_id).is_done()
        assert calls(emulator, "import_status") == 2

    @both_clients
    def test_an_unknown_id_is_refused(self, hook, way):
        with pytest.raises(KoreAIRefusedError, match=r"Invalid request ID.*import_id"):
            get_import(hook, way, "bir-unknown")

    @pytest.mark.parametrize(
        ("kind", "params"),
        [
            ("drop", {}),
            ("drop", {"at": 20}),
            ("reset", {}),
            ("http", {"status": 500, "carried_out": True}),
            ("http", {"status": 502, "body": "<html>Bad gateway</html>"}),
            ("http", {"status": 408}),
            ("html", {"carried_out": True}),
            ("empty", {}),
            ("truncated_json", {}),
            ("json_shape", {"value": {"status": "pending"}}),
            ("stall", {"seconds": 30, "at": "before_headers", "then": "close"}),
        ],
    )
    def test_a_start_whose_answer_is_lost_is_not_repeated(self, emulator, monkeypatch, kind, params):
        monkeypatch.setenv("AIRFLOW_CONN_KOREAI_DEFAULT", emulator.connection_json(timeout=1))
        hook = KoreAIHook(max_retry_wait=0.01)
        uploaded = upload(hook, b"[]")
        emulator.control.add_fault(BOT, "import", kind, **params)
        with pytest.raises(KoreAIImportUncertainError, match=rf"bot {BOT}.*export the bot") as caught:
            hook.start_import(BOT, uploaded.file_id, uploaded.file_name)
        assert calls(emulator, "import") == 1
        assert uploaded.file_id not in f"{caught.value} {caught.value.__cause__}"

    def test_a_rate_limit_is_waited_out(self, hook, emulator):
        emulator.control.add_fault(BOT, "import", "http", status=429, headers={"Retry-After": "0"})
        assert start(hook).import_id
        assert calls(emulator, "import") == 2

    def test_the_hourly_limit_is_not_asked_again_within_seconds(self, hook, emulator):
        uploaded = upload(hook, b"[]")
        emulator.control.configure_bot(BOT, start_per_hour=0, rate_limit_texts="new", retry_after="none")
        with pytest.raises(KoreAIRateLimitError) as caught:
            hook.start_import(BOT, uploaded.file_id, uploaded.file_name)
        assert caught.value.retry_after >= 60
        assert calls(emulator, "import") == 1

    def test_a_connection_that_cannot_be_made_is_tried_again_and_leaves_no_doubt(
        self, monkeypatch, emulator, logged
    ):
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        connection = {**emulator.connection(), "host": f"http://127.0.0.1:{port}"}
        monkeypatch.setenv("AIRFLOW_CONN_KOREAI_DEFAULT", json.dumps(connection))
        with pytest.raises(KoreAIServerError, match="start of the import"):
            KoreAIHook(max_tries=3, max_retry_wait=0.01).start_import(
                BOT, "64c1f00dc0ffee64c1f00dca", "u.csv"
            )
        assert len([line for line in logged if "Starting new HTTP connection" in line]) == 3

    def test_a_connection_that_was_kept_open_is_not_used_for_it(self, closing_server, emulator, monkeypatch):
        connection = {**emulator.connection(), "host": closing_server}
        monkeypatch.setenv("AIRFLOW_CONN_KOREAI_DEFAULT", json.dumps(connection))
        hook = KoreAIHook()
        hook.get_import(BOT, "bir-1")
        assert hook.start_import(BOT, "64c1f00dc0ffee64c1f00dca", "u.csv").import_id == "bir-1"

    @pytest.mark.parametrize(
        ("fault", "error", "said"),
        [
            (
                {"status": 412, "msg": "Validation errors/ Invalid arguments"},
                KoreAIRefusedError,
                "Validation errors",
            ),
            ({"status": 404, "body": "<html>Not here</html>"}, KoreAIGatewayError, "gateway"),
        ],
    )
    def test_a_refusal_leaves_no_doubt(self, hook, emulator, fault, error, said):
        emulator.control.add_fault(BOT, "import", "http", **fault)
        with pytest.raises(error, match=said):
            start(hook)
        assert calls(emulator, "import") == 1

    def test_an_unknown_file_is_refused_without_repeating_its_id(self, hook):
        with pytest.raises(KoreAIRefusedError, match=r"Invalid file id.*uploaded just before") as caught:
            hook.start_import(BOT, "64c1f00dc0ffee64c1f00dca", "u.csv")
        assert "64c1f00d" not in str(caught.value)

    def test_a_csv_with_another_header_is_refused(self, hook):
        uploaded = upload(hook, b"a,b\n1,2\n", "csv")
        with pytest.raises(KoreAIRefusedError, match=r"CSV format is incorrect.*taskName,sentence"):
            hook.start_import(BOT, uploaded.file_id, uploaded.file_name)

    def test_a_missing_scope_is_named(self, hook, emulator):
        emulator.control.configure_bot(BOT, missing_scopes=["import"])
        with pytest.raises(KoreAIAuthError, match="'Utterances Import'"):
            start(hook)

    def test_the_file_id_is_logged_by_nobody(self, hook, emulator, logged, capsys):
        uploaded = upload(hook, b"[]")
        said = f"Rate limit reached for {uploaded.file_id}"
        emulator.control.add_fault(BOT, "import", "http", status=429, msg=said, headers={"Retry-After": "0"})
        started = hook.start_import(BOT, uploaded.file_id, uploaded.file_name)
        shown = "\n".join([*logged, capsys.readouterr().out, repr(uploaded), repr(started)])
        assert "Rate limit reached for <file ID>" in shown
        assert uploaded.file_id not in shown


class TestTraining:
    @both_clients
    @pytest.mark.parametrize("form", ["list", "object"])
    def test_it_trains_the_language_that_is_named(self, hook, emulator, way, form):
        emulator.control.configure_bot(BOT, train_answer=form)
        before = get_training(hook, way, "de")
        started = hook.start_training(BOT, "de")
        assert (len(started.training_id), started.language) == (24, "de")
        after = get_training(hook, way, "de")
        assert (after.status, after.train_version) == (JobStatus.SUCCESS, before.train_version + 1)
        assert get_training(hook, way, "en").train_version == before.train_version
        assert TrainingWatch(BOT, "de", before=before).observe(after) is after

    @both_clients
    def test_the_answer_before_ours_is_waited_out(self, hook, emulator, way):
        emulator.control.configure_bot(BOT, train_stale_seconds=3600)
        watch = TrainingWatch(BOT, before=get_training(hook, way))
        hook.start_training(BOT)
        stale = get_training(hook, way)
        assert stale.status is JobStatus.SUCCESS
        assert watch.observe(stale) is None
        emulator.control.configure_bot(BOT, train_stale_seconds=0)
        assert watch.observe(get_training(hook, way)) is not None

    @both_clients
    def test_an_older_platform_without_versions_shows_it_by_running(self, hook, emulator, way):
        emulator.control.configure_bot(BOT, train_versions="absent", train_seconds=3600)
        watch = TrainingWatch(BOT, before=get_training(hook, way))
        hook.start_training(BOT)
        assert watch.observe(get_training(hook, way)) is None
        emulator.control.configure_bot(BOT, train_seconds=0)
        assert watch.observe(get_training(hook, way)) is not None

    @both_clients
    def test_a_failure_is_an_error(self, hook, emulator, way):
        emulator.control.configure_bot(BOT, train_fail=True, train_seconds=3600)
        watch = TrainingWatch(BOT, before=get_training(hook, way))
        hook.start_training(BOT)
        watch.observe(get_training(hook, way))
        emulator.control.configure_bot(BOT, train_seconds=0)
        with pytest.raises(KoreAITrainingFailedError, match=BOT):
            watch.observe(get_training(hook, way))

    @pytest.mark.parametrize(("kind", "params"), [("http", {"status": 503}), ("drop", {})])
    def test_trouble_with_the_start_is_retried(self, hook, emulator, kind, params):
        emulator.control.add_fault(BOT, "train", kind, **params)
        assert hook.start_training(BOT).training_id
        assert calls(emulator, "train") == 2

    @both_clients
    def test_trouble_with_the_status_is_retried(self, hook, emulator, way):
        emulator.control.add_fault(BOT, "train_status", "html")
        assert get_training(hook, way).status is JobStatus.SUCCESS

    def test_a_missing_scope_is_named(self, hook, emulator):
        emulator.control.configure_bot(BOT, missing_scopes=["train"])
        with pytest.raises(KoreAIAuthError, match="'Train ML'"):
            hook.start_training(BOT)


class TestBatchTest:
    @both_clients
    def test_its_numbers_are_numbers(self, hook, emulator, way):
        emulator.control.configure_bot(BOT, test_f1=0.5, test_precision=0.25, test_recall=1.0)
        started = hook.start_batch_test(BOT, version="published", language="de")
        test = get_batch_test(hook, way, started.request_id)
        assert (test.is_done(), test.f1, test.precision, test.recall) == (True, 0.5, 0.25, 1.0)
        assert test.utterances > 0
        assert (test.passed, test.failed) == (test.utterances, 0)
        (request,) = emulator.control.requests(call="test")
        assert request["params"] == {"language": "de", "version": "published"}

    @both_clients
    def test_one_that_runs_is_waited_on(self, hook, emulator, way):
        emulator.control.configure_bot(BOT, test_seconds=3600)
        started = hook.start_batch_test(BOT)
        assert get_batch_test(hook, way, started.request_id).is_done() is False

    @both_clients
    def test_a_failed_run_is_an_error(self, hook, emulator, way):
        emulator.control.configure_bot(BOT, test_fail=True)
        test = get_batch_test(hook, way, hook.start_batch_test(BOT).request_id)
        with pytest.raises(KoreAIBatchTestError, match=BOT):
            test.is_done()

    def test_an_unknown_suite_is_named(self, hook):
        with pytest.raises(KoreAIRefusedError, match=r"Test Suite not found.*test_suite='regression'"):
            hook.start_batch_test(BOT, test_suite="regression")

    def test_a_suite_of_the_bots_own_is_run(self, hook, emulator):
        emulator.control.configure_bot(BOT, test_suites=["Über alles 100%"])
        started = hook.start_batch_test(BOT, test_suite="Über alles 100%")
        assert hook.get_batch_test(BOT, started.request_id, test_suite="Über alles 100%").is_done()

    @pytest.mark.parametrize(("kind", "params"), [("http", {"status": 503}), ("drop", {})])
    def test_trouble_with_the_start_is_retried(self, hook, emulator, kind, params):
        emulator.control.add_fault(BOT, "test", kind, **params)
        assert hook.start_batch_test(BOT).request_id
        assert calls(emulator, "test") == 2

    @both_clients
    def test_trouble_with_the_status_is_retried(self, hook, emulator, way):
        started = hook.start_batch_test(BOT)
        emulator.control.add_fault(BOT, "test_status", "http", status=500)
        assert get_batch_test(hook, way, started.request_id).is_done()

    def test_a_missing_scope_is_named(self, hook, emulator):
        emulator.control.configure_bot(BOT, missing_scopes=["test"])
        with pytest.raises(KoreAIAuthError, match="'Batch Tests Execution'"):
            hook.start_batch_test(BOT)

    def test_the_link_to_the_result_is_shown_nowhere(self, hook, logged):
        test = hook.get_batch_test(BOT, hook.start_batch_test(BOT).request_id)
        assert not any("getMediaStream" in text for text in [*logged, repr(vars(test))])
