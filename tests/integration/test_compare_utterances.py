"""The compare task on files and on the tables that the load task makes: what a DAG's author sees of it."""

from __future__ import annotations

import csv
import json
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_koreai.exceptions import (
    KoreAIComparisonError,
    KoreAIConfigurationError,
    KoreAIFileError,
)
from airflow_provider_koreai.operators.compare_utterances import KoreAICompareUtterancesOperator
from airflow_provider_koreai.operators.load_utterances import KoreAILoadUtterancesOperator
from tests.support.running import new_context, run_task

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.warehouses import Warehouse

BOT = "st-demo-travel"
MONDAY, TUESDAY, WEDNESDAY = "2026-11-23", "2026-11-24", "2026-11-25"
COLUMNS = ["change", "task_name", "previous_task_name", "sentence", "type", "language"]
OLD = [("Book", "to rome", "x", "en"), ("Book", "nach rom", "x", "de"), ("Help", "help", "x", "en")]
NEW = [("Book", "to rome", "x", "en"), ("Book", "help", "x", "en"), ("Book", 'say "hi"', "x", "en")]
CHANGES = [
    ["added", "Book", "", 'say "hi"', "x", "en"],
    ["moved", "Book", "Help", "help", "x", "en"],
    ["removed", "Book", "", "nach rom", "x", "de"],
]


def export(path: Path, rows: list[tuple[str, ...]]) -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["taskName", "sentence", "type", "language"])
        writer.writerows(rows)
    return str(path)


def compare(context: dict[str, Any] | None = None, **arguments: Any) -> Any:
    return run_task(KoreAICompareUtterancesOperator(task_id="compare", **arguments), context)


@pytest.fixture
def old(tmp_path: Path) -> str:
    return export(tmp_path / "old.csv", OLD)


@pytest.fixture
def new(tmp_path: Path) -> str:
    return export(tmp_path / "new.csv", NEW)


def read_detail(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == COLUMNS
    return sorted(rows)


def test_it_returns_what_changed_between_two_files(old: str, new: str) -> None:
    result = compare(before=old, after=new)
    tasks, languages = result.pop("tasks"), result.pop("languages")
    assert result == {
        "before": old,
        "after": new,
        "rows_before": 3,
        "rows_after": 3,
        "added": 1,
        "removed": 1,
        "moved": 1,
        "unchanged": 1,
        "removed_fraction": pytest.approx(1 / 3),
        "detail_path": "",
        "report_path": "",
    }
    assert [(each["task_name"], each["before"], each["after"]) for each in tasks] == [
        ("Book", 2, 3),
        ("Help", 1, 0),
    ]
    assert [(each["language"], each["before"], each["after"]) for each in languages] == [
        ("en", 2, 3),
        ("de", 1, 0),
    ]
    json.dumps(result)


def test_the_detail_has_each_change_as_csv(old: str, new: str, tmp_path: Path) -> None:
    detail = tmp_path / "detail.csv"
    assert compare(before=old, after=new, detail_path=str(detail))["detail_path"] == str(detail)
    assert read_detail(detail) == CHANGES


def test_a_detail_whose_sentences_have_line_ends_can_be_read(old: str, tmp_path: Path) -> None:
    sentences = ["a\rb", "a\nb", "a\r\nb", 'a"b', "a,b"]
    data = [{"taskName": "A", "sentence": each, "language": "en"} for each in sentences]
    (tmp_path / "new.json").write_text(json.dumps(data))
    compare(before=old, after=str(tmp_path / "new.json"), detail_path=str(tmp_path / "detail.csv"))
    added = [row[3] for row in read_detail(tmp_path / "detail.csv") if row[0] == "added"]
    assert sorted(added) == sorted(sentences)


@pytest.mark.parametrize(("suffix", "module"), [("gz", "gzip"), ("zst", "zstandard")])
def test_the_detail_can_be_compressed(old: str, new: str, tmp_path: Path, suffix: str, module: str) -> None:
    library = pytest.importorskip(module)
    detail = tmp_path / f"detail.csv.{suffix}"
    compare(before=old, after=new, detail_path=str(detail))
    with library.open(detail, "rt", encoding="utf-8", newline="") as file:
        assert sorted(list(csv.reader(file))[1:]) == CHANGES


def test_the_detail_can_be_parquet(old: str, new: str, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    detail = tmp_path / "detail.parquet"
    compare(before=old, after=new, detail_path=str(detail))
    rows = parquet.read_table(detail).to_pylist()
    assert sorted([each[name] or "" for name in COLUMNS] for each in rows) == CHANGES
    assert rows[0]["previous_task_name"] is None or rows[0]["change"] == "moved"


def test_a_report_is_written_on_request(old: str, new: str, tmp_path: Path) -> None:
    report = tmp_path / "folder" / "report.html"
    assert compare(before=old, after=new, report_path=str(report), bot_id=BOT)["report_path"] == str(report)
    assert report.read_text().startswith("<!doctype html>")
    assert f"of bot {BOT}" in report.read_text()


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ({"max_removed_fraction": "0.3"}, "1 of 3 utterances were removed, a fraction of 0.333333: .*=0.3"),
        ({"max_removed": "0"}, "1 utterances were removed, more than max_removed=0"),
        ({"min_rows": "4"}, "^3 utterances, fewer than min_rows=4"),
    ],
)
def test_beyond_a_limit_it_fails_for_good_with_the_numbers(
    old: str, new: str, tmp_path: Path, limit: dict[str, str], said: str
) -> None:
    detail, report = tmp_path / "detail.csv", tmp_path / "report.html"
    with pytest.raises(KoreAIComparisonError, match=said) as caught:
        compare(before=old, after=new, detail_path=str(detail), report_path=str(report), **limit)
    assert isinstance(caught.value, AirflowFailException)
    # What is wrong can be looked up.
    assert read_detail(detail) == CHANGES
    assert "Too much has changed" in report.read_text()


@pytest.mark.parametrize("on_violation", ["fail", "skip", "warn"])
def test_beyond_a_limit_xcom_has_the_numbers_however_it_ends(
    old: str, new: str, tmp_path: Path, on_violation: str
) -> None:
    report = tmp_path / "report.html"
    context = new_context()
    arguments = {"max_removed": 0, "report_path": str(report), "on_violation": on_violation}
    try:
        result = compare(context, before=old, after=new, **arguments)
    except (KoreAIComparisonError, AirflowSkipException):
        result = context["ti"].xcoms["return_value"]
        assert context["ti"].xcoms["removed"] == 1
    assert (result["removed"], result["report_path"]) == (1, str(report))
    assert context["ti"].xcoms["violations"] == ["1 utterances were removed, more than max_removed=0"]
    assert "Too much has changed" in report.read_text()


def test_beyond_a_limit_it_can_skip(old: str, new: str) -> None:
    with pytest.raises(AirflowSkipException, match=r"more than max_removed=0.* because on_violation='skip'"):
        compare(before=old, after=new, max_removed=0, on_violation="skip")


def test_within_the_limits_nothing_is_skipped(old: str, new: str) -> None:
    context = new_context()
    assert compare(context, before=old, after=new, max_removed=1, on_violation="skip")["removed"] == 1
    assert "violations" not in context["ti"].xcoms


def test_within_the_limits_it_passes(old: str, new: str) -> None:
    assert (
        compare(before=old, after=new, max_removed_fraction=0.34, max_removed=1, min_rows=3)["removed"] == 1
    )


def test_an_emptied_bot_does_not_pass(old: str, tmp_path: Path) -> None:
    with pytest.raises(KoreAIComparisonError, match="3 of 3"):
        compare(before=old, after=export(tmp_path / "new.csv", []), max_removed_fraction=0.5)


def test_a_missing_file_before_is_nothing_and_limits_on_what_was_removed_do_not_apply(
    new: str, tmp_path: Path
) -> None:
    result = compare(before=str(tmp_path / "no.csv"), after=new, max_removed_fraction=0, max_removed=0)
    assert (result["before"], result["rows_before"], result["added"]) == ("", 0, 3)


def test_without_a_file_before_min_rows_applies_all_the_same(new: str, tmp_path: Path) -> None:
    with pytest.raises(KoreAIComparisonError, match="min_rows=4"):
        compare(before=str(tmp_path / "no.csv"), after=new, min_rows=4)


def test_a_missing_file_before_can_be_refused(new: str, tmp_path: Path) -> None:
    with pytest.raises(KoreAIFileError, match=r"before='.*no.csv' does not exist"):
        compare(before=str(tmp_path / "no.csv"), after=new, missing_before="fail")


def test_a_missing_file_after_is_refused(old: str, tmp_path: Path) -> None:
    with pytest.raises(KoreAIFileError, match=r"after='.*no.csv' does not exist"):
        compare(before=old, after=str(tmp_path / "no.csv"))


def test_a_broken_file_leaves_the_earlier_detail_and_report(old: str, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("taskName,sentence,type,language\nA,b,c\n")
    detail, report = tmp_path / "detail.csv", tmp_path / "report.html"
    detail.write_text("yesterday's")
    report.write_text("yesterday's")
    with pytest.raises(
        KoreAIFileError, match=r"^after='.*new.csv': The CSV file is broken: line 2: 3 columns"
    ):
        compare(before=old, after=str(tmp_path / "new.csv"), detail_path=str(detail), report_path=str(report))
    assert (detail.read_text(), report.read_text()) == ("yesterday's", "yesterday's")
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"max_removed_fraction": 1.5}, "max_removed_fraction=1.5"),
        ({"max_removed_fraction": "20 %"}, "max_removed_fraction='20 %'"),
        ({"max_removed_fraction": True}, "max_removed_fraction=True"),
        ({"max_removed": -1}, "max_removed=-1"),
        ({"min_rows": "many"}, "min_rows='many'"),
        ({"missing_before": "skip"}, "missing_before='skip'"),
        ({"on_violation": "ignore"}, "on_violation='ignore' is not accepted; use one of fail, skip, warn"),
        ({"detail_path": "/tmp/detail.xlsx"}, "detail_path='/tmp/detail.xlsx'"),
        ({"detail_path": "/tmp/"}, "detail_path='/tmp/' is a folder"),
        ({"report_path": "/tmp/report.pdf"}, "report_path='/tmp/report.pdf'"),
        ({"before": "/tmp/"}, "before='/tmp/' is a folder"),
        ({"after": "file://server/x.csv"}, "after='file://server/x.csv'"),
        ({"report_path": "/tmp/.html/"}, "report_path='/tmp/.html/'"),
        ({"before": None}, "table=None"),
        ({"after": None, "table": "t", "conn_id": "c"}, "bot_id=None"),
        ({"before_snapshot": MONDAY}, "are mutually exclusive"),
    ],
)
def test_a_wrong_argument_is_named(old: str, new: str, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(KoreAIConfigurationError, match=said):
        compare(**{"before": old, "after": new, **arguments})


@pytest.fixture(params=["sqlite", "postgresql"])
def warehouse(request: pytest.FixtureRequest) -> Warehouse:
    found: Warehouse = request.getfixturevalue(request.param)
    return found


def load(warehouse: Warehouse, path: str, snapshot: str, bot_id: str = BOT, **more: Any) -> None:
    arguments = {"table": warehouse.table, "conn_id": warehouse.conn_id, "bot_id": bot_id, **more}
    run_task(KoreAILoadUtterancesOperator(task_id="load", path=path, snapshot=snapshot, **arguments))


def compare_with(warehouse: Warehouse, context: dict[str, Any] | None = None, **arguments: Any) -> Any:
    where = {"table": warehouse.table, "conn_id": warehouse.conn_id, "bot_id": BOT}
    return compare(context, **{**where, **arguments})


def test_two_snapshots_of_a_table(warehouse: Warehouse, old: str, new: str, tmp_path: Path) -> None:
    load(warehouse, old, MONDAY)
    load(warehouse, new, TUESDAY)
    detail = tmp_path / "detail.csv"
    result = compare_with(warehouse, before_snapshot=MONDAY, after_snapshot=TUESDAY, detail_path=str(detail))
    assert (result["added"], result["removed"], result["moved"]) == (1, 1, 1)
    assert result["before"] == f"{warehouse.table}, snapshot of 2026-11-23T00:00:00+00:00"
    assert read_detail(detail) == CHANGES


def test_a_file_with_the_latest_snapshot_before_it(warehouse: Warehouse, old: str, new: str) -> None:
    load(warehouse, new, MONDAY)
    load(warehouse, old, TUESDAY)
    load(warehouse, new, "2026-11-26")
    load(warehouse, new, TUESDAY + "T12:00:00Z", bot_id="st-another")
    result = compare_with(warehouse, after=new, after_snapshot=WEDNESDAY)
    assert "2026-11-24T00:00:00+00:00" in result["before"]
    assert (result["added"], result["removed"], result["moved"]) == (1, 1, 1)


def test_a_task_that_is_cleared_does_not_compare_with_what_it_loaded_itself(
    warehouse: Warehouse, old: str, new: str
) -> None:
    load(warehouse, old, TUESDAY)
    run = SimpleNamespace(logical_date=datetime(2026, 11, 25, tzinfo=timezone.utc), run_after=None)
    first = compare_with(warehouse, new_context(dag_run=run), after=new)
    load(warehouse, new, WEDNESDAY)
    assert compare_with(warehouse, new_context(dag_run=run), after=new) == first
    assert first["removed"] == 1


def test_the_first_run_has_neither_table_nor_snapshot_and_passes(warehouse: Warehouse, new: str) -> None:
    limits = {"max_removed_fraction": 0, "min_rows": 1, "after_snapshot": MONDAY}
    assert compare_with(warehouse, after=new, **limits)["before"] == ""
    assert warehouse.table not in warehouse.tables()


@pytest.mark.parametrize("keep", ["all", "latest"])
def test_a_run_that_is_repeated_without_a_snapshot_before_it_does_not_lose_what_it_has_loaded(
    warehouse: Warehouse, new: str, tmp_path: Path, keep: str
) -> None:
    load(warehouse, new, MONDAY, keep=keep)
    limits = {"max_removed_fraction": 0.2, "after_snapshot": MONDAY}
    assert compare_with(warehouse, after=new, **limits)["unchanged"] == 3
    with pytest.raises(KoreAIComparisonError, match="3 of 3 utterances were removed"):
        compare_with(warehouse, after=export(tmp_path / "empty.csv", []), **limits)
    # Of what is in the table already nothing is before it.
    assert compare_with(warehouse, **limits)["before"] == ""


def test_a_table_whose_name_is_too_long_is_not_taken_for_a_missing_one(
    postgresql: Warehouse, new: str
) -> None:
    with pytest.raises(KoreAIConfigurationError, match="is too long"):
        compare(after=new, table="y" * 64, conn_id=postgresql.conn_id, bot_id=BOT, after_snapshot=MONDAY)


def test_a_missing_snapshot_can_be_refused(warehouse: Warehouse, new: str) -> None:
    with pytest.raises(KoreAIFileError, match=f"no snapshot of bot {BOT} before 2026-11-23"):
        compare_with(warehouse, after=new, after_snapshot=MONDAY, missing_before="fail")


def test_a_snapshot_that_is_not_there_is_refused_as_the_later_one(warehouse: Warehouse, old: str) -> None:
    load(warehouse, old, MONDAY)
    with pytest.raises(KoreAIConfigurationError, match=r"no utterances .* after_snapshot=2026-11-25"):
        compare_with(warehouse, after_snapshot=WEDNESDAY)


def test_what_was_loaded_equals_its_file_whatever_the_order(warehouse: Warehouse, tmp_path: Path) -> None:
    rows = [("Book", f'sentence, "{number}"\n東京', "x", "en") for number in range(20_000)]
    load(warehouse, export(tmp_path / "old.csv", rows), MONDAY)
    result = compare_with(warehouse, after=export(tmp_path / "new.csv", rows[::-1]), after_snapshot=TUESDAY)
    assert (result["unchanged"], result["added"], result["removed"], result["moved"]) == (20_000, 0, 0, 0)


def test_nobody_is_kept_from_writing_while_a_snapshot_is_read(
    postgresql: Warehouse, old: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_koreai.warehouse.snapshots import TableSource

    load(postgresql, old, MONDAY)
    read = TableSource.rows

    def read_while_another_writes(source: TableSource) -> Any:
        for number, row in enumerate(read(source)):
            if number == 0:
                load(postgresql, new, TUESDAY, bot_id="st-another")
            yield row

    monkeypatch.setattr(TableSource, "rows", read_while_another_writes)
    assert compare_with(postgresql, after=new, after_snapshot=TUESDAY)["removed"] == 1
    assert postgresql.sentences("st-another")
