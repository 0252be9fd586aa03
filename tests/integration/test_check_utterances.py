"""The check task on files: what a DAG's author sees of it."""

# ruff: noqa: RUF001 - full-width letters are what this is about

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_koreai.exceptions import (
    KoreAIConfigurationError,
    KoreAIFileError,
    KoreAIQualityError,
)
from airflow_provider_koreai.operators.check_utterances import KoreAICheckUtterancesOperator
from tests.support.running import new_context, run_task

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_koreai.emulator.process import EmulatorProcess
    from tests.support.installation import AirflowInstallation

COLUMNS = [
    "finding",
    "task_name",
    "sentence",
    "other_task_name",
    "other_sentence",
    "language",
    "similarity",
    "note",
]
#: A conflict, a near conflict, a duplicate and an unusable sentence, in tasks that are thin; one has German, too.
ROWS = [
    ("Book", "Book a flight", "x", "en"),
    ("Book", "Ｂｏｏｋ  a flight!", "x", "en"),
    ("Cancel", "book a flight?", "x", "en"),
    ("Book", "I want to cancel my booking", "x", "en"),
    ("Cancel", "I want to cancel my bookings", "x", "en"),
    ("Cancel", "Buchung stornieren", "x", "de"),
    ("Cancel", " ", "x", "en"),
    ("", "trains nothing", "x", "en"),
]
NUMBERS = {
    "rows": 8,
    "tasks": 2,
    "languages": 2,
    "conflicts": 1,
    "near_conflicts": 1,
    "duplicates": 1,
    "thin_tasks": 2,
    "missing_languages": 1,
    "unusable": 1,
}


def export(path: Path, rows: Iterable[tuple[str, ...]]) -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["taskName", "sentence", "type", "language"])
        writer.writerows(rows)
    return str(path)


def check(context: dict[str, Any] | None = None, **arguments: Any) -> Any:
    return run_task(KoreAICheckUtterancesOperator(task_id="check", **arguments), context)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return export(tmp_path / "utterances.csv", ROWS)


def read_detail(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == COLUMNS
    return sorted(rows)


FINDINGS = [
    ["conflict", "Book", "Book a flight", "Cancel", "book a flight?", "en", "", ""],
    ["duplicate", "Book", "Ｂｏｏｋ  a flight!", "Book", "Book a flight", "en", "", ""],
    ["missing_language", "Book", "", "", "", "de", "", ""],
    [
        *("near_conflict", "Book", "I want to cancel my booking"),
        *("Cancel", "I want to cancel my bookings", "en", "0.9818", ""),
    ],
    ["thin_task", "Book", "", "", "", "en", "", "2 in en; at least 5 are wanted"],
    ["thin_task", "Cancel", "", "", "", "de, en", "", "1 in de, 2 in en; at least 5 are wanted"],
    ["unusable", "Cancel", " ", "", "", "en", "", "empty"],
]


def test_it_returns_the_numbers_and_writes_each_finding(path: str, tmp_path: Path) -> None:
    assert check(path=path, detail_path=str(tmp_path / "detail.csv")) == NUMBERS
    assert read_detail(tmp_path / "detail.csv") == FINDINGS


def test_json_and_parquet_are_checked_alike(path: str, tmp_path: Path) -> None:
    from airflow_provider_koreai.operators.convert_utterances import KoreAIConvertUtterancesOperator

    data = [{"taskName": task, "sentence": text, "language": code} for task, text, _, code in ROWS]
    with gzip.open(tmp_path / "utterances.json.gz", "wt") as file:
        json.dump(data, file)
    assert check(path=str(tmp_path / "utterances.json.gz")) == NUMBERS
    parquet = str(tmp_path / "utterances.parquet")
    run_task(KoreAIConvertUtterancesOperator(task_id="convert", path=path, target=parquet))
    assert check(path=parquet) == NUMBERS


def test_the_content_may_be_of_another_type_than_the_name_says(tmp_path: Path) -> None:
    (tmp_path / "utterances").write_text('[{"taskName": "A", "sentence": "hi"}]')
    assert check(path=str(tmp_path / "utterances"), file_type="json")["rows"] == 1
    with pytest.raises(KoreAIFileError, match=r"^path='.*utterances': The CSV file is broken"):
        check(path=str(tmp_path / "utterances"), file_type="csv")


def test_what_json_can_hold_and_files_cannot_is_unusable(tmp_path: Path) -> None:
    rows = [
        {"taskName": "A\ud83d", "sentence": each, "language": "en"}
        for each in ("half \ud83d", "nul \0", "ok")
    ]
    (tmp_path / "utterances.json").write_text(json.dumps(rows))
    arguments = {"detail_path": str(tmp_path / "detail.csv"), "report_path": str(tmp_path / "report.html")}
    assert check(path=str(tmp_path / "utterances.json"), **arguments)["unusable"] == 2
    notes = [row[-1] for row in read_detail(tmp_path / "detail.csv") if row[0] == "unusable"]
    assert notes == ["contains an unpaired surrogate", "contains the control character U+0000"]


@pytest.mark.parametrize("suffix", ["csv.gz", "csv.zst", "parquet"])
def test_the_detail_can_be_compressed_or_parquet(path: str, tmp_path: Path, suffix: str) -> None:
    import pandas

    detail = tmp_path / f"detail.{suffix}"
    check(path=path, detail_path=str(detail))
    frame = pandas.read_parquet(detail) if suffix == "parquet" else pandas.read_csv(detail)
    assert list(frame.columns) == COLUMNS
    assert sorted(frame["finding"]) == [row[0] for row in FINDINGS]


def test_an_utterance_without_a_task_counts_only_as_a_row(tmp_path: Path) -> None:
    result = check(path=export(tmp_path / "some.csv", [("", "", "", "en")]))
    assert (result["rows"], result["unusable"]) == (1, 0)


def test_the_path_may_be_a_path_object(path: str, tmp_path: Path) -> None:
    check(path=Path(path), report_path=tmp_path / "report.html")
    assert path in (tmp_path / "report.html").read_text("utf-8")


def test_a_report_is_written_on_request(path: str, tmp_path: Path) -> None:
    report = tmp_path / "folder" / "report.html"
    check(path=path, report_path=str(report))
    page = report.read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert "I want to cancel my bookings" in page


LIMITS = [
    ({"max_conflicts": "0"}, "1 sentences in several tasks, more than max_conflicts=0"),
    ({"max_near_conflicts": "0"}, "1 pairs of nearly the same sentence .*, more than max_near_conflicts=0"),
    ({"max_duplicates": 0}, "1 duplicates, more than max_duplicates=0"),
    ({"max_thin_tasks": 1}, "2 tasks with too few sentences, more than max_thin_tasks=1"),
    ({"max_unusable": 0}, "1 unusable sentences, more than max_unusable=0"),
]


@pytest.mark.parametrize(("limit", "said"), LIMITS)
def test_beyond_a_limit_it_fails_for_good_with_the_numbers(
    path: str, tmp_path: Path, limit: dict[str, Any], said: str
) -> None:
    detail, report, context = tmp_path / "detail.csv", tmp_path / "report.html", new_context()
    with pytest.raises(KoreAIQualityError, match=f"{said}.*All numbers: rows 8, tasks 2, .*") as caught:
        check(context, path=path, detail_path=str(detail), report_path=str(report), **limit)
    assert isinstance(caught.value, AirflowFailException)
    assert read_detail(detail) == FINDINGS
    assert "Beyond a limit" in report.read_text("utf-8")
    assert context["ti"].xcoms["return_value"] == NUMBERS
    assert context["ti"].xcoms["unusable"] == 1
    assert len(context["ti"].xcoms["violations"]) == 1


def test_within_the_limits_it_passes(path: str) -> None:
    limits = {"conflicts": 1, "near_conflicts": 1, "duplicates": 1, "thin_tasks": 2, "unusable": 1}
    assert check(path=path, **{f"max_{name}": limit for name, limit in limits.items()}) == NUMBERS


def test_beyond_a_limit_it_can_skip_or_warn(path: str) -> None:
    with pytest.raises(AirflowSkipException, match="more than max_conflicts=0"):
        check(path=path, max_conflicts=0, on_violation="skip")
    assert check(path=path, max_conflicts=0, on_violation="warn") == NUMBERS


def test_min_per_task_and_similarity_are_heeded(path: str) -> None:
    result = check(path=path, min_per_task="2", similarity="0.99")
    # Cancel has one German sentence.
    assert (result["thin_tasks"], result["near_conflicts"]) == (1, 0)
    assert check(path=path, min_per_task=1)["thin_tasks"] == 0


def test_empty_arguments_mean_the_defaults(path: str) -> None:
    empty = dict.fromkeys(KoreAICheckUtterancesOperator.template_fields, "")
    assert check(**{**empty, "path": path, "on_violation": "fail"}) == NUMBERS


def test_without_rapidfuzz_the_rest_is_checked(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidfuzz.distance", None)
    assert check(path=path) == {**NUMBERS, "near_conflicts": None}


def test_without_rapidfuzz_a_limit_on_near_conflicts_is_refused(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rapidfuzz.distance", None)
    with pytest.raises(KoreAIConfigurationError, match=r"airflow-provider-koreai\[quality\]"):
        check(path=path, max_near_conflicts=0)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KoreAIFileError, match=r"path='.*no.csv' does not exist"):
        check(path=str(tmp_path / "no.csv"))


def test_a_broken_file_leaves_the_earlier_detail_and_report(tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("taskName,sentence,type,language\nA,b,c\n")
    detail, report = tmp_path / "detail.csv", tmp_path / "report.html"
    detail.write_text("yesterday's")
    report.write_text("yesterday's")
    with pytest.raises(
        KoreAIFileError, match=r"^path='.*new.csv': The CSV file is broken: line 2: 3 columns"
    ):
        check(path=str(tmp_path / "new.csv"), detail_path=str(detail), report_path=str(report))
    assert (detail.read_text(), report.read_text()) == ("yesterday's", "yesterday's")
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"path": "/tmp/"}, "path='/tmp/' is a folder"),
        ({"path": None}, "path=None"),
        ({"file_type": "xml"}, "file_type='xml'"),
        ({"min_per_task": -1}, "min_per_task=-1"),
        ({"max_conflicts": "many"}, "max_conflicts='many'"),
        ({"max_near_conflicts": 0.5}, "max_near_conflicts=0.5"),
        ({"max_duplicates": -1}, "max_duplicates=-1"),
        ({"max_thin_tasks": True}, "max_thin_tasks=True"),
        ({"max_unusable": [1]}, "max_unusable="),
        ({"similarity": 90}, "similarity=90"),
        ({"on_violation": "ignore"}, "on_violation='ignore'"),
        ({"detail_path": "/tmp/detail.xlsx"}, "detail_path='/tmp/detail.xlsx'"),
        ({"report_path": "/tmp/report.pdf"}, "report_path='/tmp/report.pdf'"),
    ],
)
def test_a_wrong_argument_is_named(path: str, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(KoreAIConfigurationError, match=said):
        check(**{"path": path, **arguments})


def test_no_utterances_at_all_are_no_finding(tmp_path: Path) -> None:
    result = check(path=export(tmp_path / "empty.csv", []), report_path=str(tmp_path / "report.html"))
    assert set(result.values()) == {0}


MEMORY = """
import resource, sys
from airflow_provider_koreai.utterances.examining import examine
from airflow_provider_koreai.utterances.quality import Quality

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10

small, large = Quality(sys.argv[1]), Quality(sys.argv[2])
examine(small, None, None, 5, None)
before = peak()
examine(large, None, None, 5, None)
print(large.found["conflict"], large.found["duplicate"], peak() - before)
"""


def test_a_large_file_does_not_stay_in_memory(tmp_path: Path) -> None:
    tail = "and a long tail " * 15
    rows = ((f"Task {n % 2}", f"{n // 3} {tail}", "x", "en") for n in range(200_000))
    large = export(tmp_path / "large.csv", rows)
    small = export(tmp_path / "small.csv", ROWS)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, small, large],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    conflicts, duplicates, grown = map(int, done.stdout.split())
    # Each sentence is three times in a row, in tasks that take turns.
    assert (conflicts, duplicates) == (66_667, 66_666)
    # The file has 48 MiB; the database's caches have 32.
    assert grown < 40
    assert not [each.name for each in tmp_path.iterdir() if each.suffix != ".csv"]


DAG = """
from airflow_provider_koreai.operators.check_utterances import KoreAICheckUtterancesOperator
from airflow_provider_koreai.operators.koreai import (
    KoreAIDownloadUtterancesOperator,
    KoreAIExportUtterancesOperator,
)
from airflow.providers.common.compat.sdk import DAG

try:
    from airflow.sdk import task
except ImportError:
    from airflow.decorators import task

with DAG("checking", schedule=None) as dag:
    export = KoreAIExportUtterancesOperator(task_id="export", bot_id="st-demo-travel", wait_for_completion=True)
    fetch = KoreAIDownloadUtterancesOperator(
        task_id="fetch", bot_id="st-demo-travel", path="FOLDER/", request_id=export.output
    )
    check = KoreAICheckUtterancesOperator(
        task_id="check",
        path=fetch.output["path"],
        min_per_task="{{ 3 }}",
        max_thin_tasks="{{ 1000 }}",
        report_path="FOLDER/report.html",
    )
    guard = KoreAICheckUtterancesOperator(
        task_id="guard", path=fetch.output["path"], min_per_task=100, max_thin_tasks=0, trigger_rule="all_done"
    )

    @task
    def note(thin):
        print(f"thin: {thin!r}")

    note(check.output["thin_tasks"])
    check >> guard
"""


def test_a_dag_checks_an_export_and_fails_beyond_a_limit(
    airflow_installation: AirflowInstallation, koreai_conn: str, emulator: EmulatorProcess, tmp_path: Path
) -> None:
    dags, files = tmp_path / "dags", tmp_path / "files"
    dags.mkdir()
    (dags / "checking.py").write_text(DAG.replace("FOLDER", str(files)))
    answer = airflow_installation.run(
        "dags", "test", "checking", "2026-03-01", AIRFLOW__CORE__DAGS_FOLDER=str(dags)
    )
    assert "more than max_thin_tasks=0" in answer.stdout
    ((run_id, state),) = airflow_installation.query(
        "select run_id, state from dag_run where dag_id = ?", "checking"
    )
    states = airflow_installation.task_states("checking", run_id)
    assert (states["check"], states["note"], states["guard"], state) == (
        *("success", "success", "failed", "failed"),
    )
    xcoms = airflow_installation.xcoms("checking", run_id)
    result = xcoms["check", "return_value"]
    assert (result["rows"], result["unusable"]) == (364, 0)
    assert f"thin: {result['thin_tasks']}" in answer.stdout
    # What failed has its numbers, too.
    assert xcoms["guard", "return_value"]["rows"] == xcoms["guard", "rows"] == 364
    assert "<bdi>" in (files / "report.html").read_text("utf-8")
