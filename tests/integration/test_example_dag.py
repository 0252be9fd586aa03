"""The example DAG as a user runs it: ``airflow dags test``, a real metadata database, the emulator over HTTP."""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_koreai.hooks.koreai import KoreAIHook

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAG_ID = "example_koreai_export_utterances"
BOT = "st-demo-travel"
DAYS = itertools.count(1)
# Airflow's own supervisor prints at debug level what it is told to mask; on 3.0 `dags test` shows that level.
AIRFLOWS_OWN = re.compile(r"^.*\[debug *\].*MaskSecret\(value=.*\n", re.MULTILINE)


@dataclass
class Run:
    """
    A run of the DAG.

    :param exit_code: of ``airflow dags test``.
    :param log: what it printed, but for what Airflow prints of its own masking.
    :param states: the state of each task.
    :param xcoms: all XComs, by task and key.
    :param folder: where its file belongs.
    """

    exit_code: int
    log: str
    states: dict[str, str]
    xcoms: dict[tuple[str, str], Any]
    folder: Path


@pytest.fixture
def run_dag(airflow_installation, koreai_conn, tmp_path) -> Callable[..., Run]:
    """Runs the DAG once, on a day of its own; ``before`` gets the folder first."""

    def run(before: Callable[[Path], None] = lambda folder: None, **conf: str) -> Run:
        day = f"2026-03-{next(DAYS):02d}"
        folder = tmp_path / BOT / day
        before(folder)
        conf = {"bot_id": BOT, "folder": str(tmp_path), **conf}
        answer = airflow_installation.run("dags", "test", DAG_ID, day, "--conf", json.dumps(conf))
        runs = airflow_installation.query(
            "select run_id from dag_run where dag_id = ? order by id desc limit 1", DAG_ID
        )
        assert runs, answer.stdout
        ((run_id,),) = runs
        return Run(
            answer.returncode,
            AIRFLOWS_OWN.sub("", answer.stdout),
            airflow_installation.task_states(DAG_ID, run_id),
            airflow_installation.xcoms(DAG_ID, run_id),
            folder,
        )

    return run


def read_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_json(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(path.read_bytes())
    return rows


@pytest.mark.parametrize(("file_type", "read"), [("csv", read_csv), ("json", read_json)])
def test_exports_a_bot(run_dag, emulator, airflow_installation, file_type, read):
    run = run_dag(file_type=file_type)
    assert run.exit_code == 0, run.log
    assert run.states == {"export": "success", "wait": "success", "fetch": "success"}

    path = run.folder / f"utterances.{file_type}"
    content, rows = path.read_bytes(), read(path)
    assert len(rows) >= 300
    assert {"taskName", "sentence", "type", "language"} <= set(rows[0])
    assert [entry.name for entry in run.folder.iterdir()] == [path.name]

    # What Kore.ai itself says of the bot's latest export.
    latest = KoreAIHook().get_export(BOT)
    assert latest.request_id
    assert latest.requested_time
    identity = {
        "request_id": latest.request_id,
        "requested_time": latest.requested_time,
        "file_type": file_type,
    }
    # Beside these there are the addresses of the links in Airflow's UI.
    contract = {key: value for key, value in run.xcoms.items() if not key[1].startswith("koreai_")}
    stored = {
        "path": str(path),
        "bytes": len(content),
        "rows": len(rows),
        "sha256": hashlib.sha256(content).hexdigest(),
        **identity,
        "bot_id": BOT,
    }
    assert contract == {
        ("export", "return_value"): identity["request_id"],
        ("export", "requested_time"): identity["requested_time"],
        ("export", "file_type"): identity["file_type"],
        ("wait", "return_value"): identity,
        ("fetch", "return_value"): stored,
        **{("fetch", key): value for key, value in stored.items()},
    }

    # The secret and the download link stay out of the log and of the database.
    assert len(emulator.control.requests(BOT, call="download")) == 1
    for place in (run.log.encode(), airflow_installation.database.read_bytes()):
        assert BOT.encode() in place
        assert emulator.client_secret.encode() not in place
        assert b"getMediaStream" not in place


def test_a_refused_token_fails_the_run_after_a_second_request_with_the_connection_read_anew(
    run_dag, emulator
):
    emulator.control.configure_bot(BOT, linked=False)
    run = run_dag()
    assert run.exit_code != 0
    assert run.states == {"export": "failed", "wait": "upstream_failed", "fetch": "upstream_failed"}
    assert [(entry["call"], entry["status"]) for entry in emulator.control.requests()] == [("start", 401)] * 2
    assert "Invalid SDK credentials (code 4002)" in run.log
    assert "Connection 'koreai_default' was refused" in run.log
    assert "Likely causes" in run.log
    assert emulator.client_secret not in run.log


def test_a_login_page_does_not_replace_the_file_that_is_there(run_dag, emulator):
    earlier = b"taskName,sentence,type,language\nHelp,help me,DialogIntent,en\n"

    def leave_earlier_file(folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "utterances.csv").write_bytes(earlier)

    emulator.control.add_fault(BOT, call="download", kind="html", times=-1)
    run = run_dag(leave_earlier_file)
    assert run.exit_code != 0
    assert run.states == {"export": "success", "wait": "success", "fetch": "failed"}
    assert {entry["fault"] for entry in emulator.control.requests(BOT, call="download")} == {"html"}
    assert "KoreAIDownloadError" in run.log
    assert "HTML" in run.log
    assert [entry.name for entry in run.folder.iterdir()] == ["utterances.csv"]
    assert (run.folder / "utterances.csv").read_bytes() == earlier


def test_a_failed_export_fails_the_wait_and_says_why(run_dag, emulator):
    emulator.control.configure_bot(BOT, fail_with=[{"msg": "The training data could not be read"}])
    run = run_dag()
    assert run.exit_code != 0
    assert run.states == {"export": "success", "wait": "failed", "fetch": "upstream_failed"}
    assert "The training data could not be read" in run.log
    assert emulator.control.requests(BOT, call="download") == []
