"""The report task, on databases: what a DAG's author sees of it."""

from __future__ import annotations

import csv
import logging
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from sqlalchemy import event
from sqlalchemy.engine import Engine

from airflow_provider_koreai.exceptions import KoreAIConfigurationError
from airflow_provider_koreai.operators.compare_utterances import KoreAICompareUtterancesOperator
from airflow_provider_koreai.operators.load_utterances import KoreAILoadUtterancesOperator
from airflow_provider_koreai.operators.report_utterances import KoreAIReportUtterancesOperator
from tests.support.running import run_task

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from pathlib import Path

    from tests.support.warehouses import Warehouse

MONDAY, TUESDAY, WEDNESDAY = "2026-11-23", "2026-11-24", "2026-11-25"
FIRST = [("A", "one", "en"), ("A", "two", "en"), ("B", "three", "de"), ("B", "three", "de")]
SECOND = [("B", "one", "en"), ("A", "two", "en"), ("B", "three", "de"), ("", "four", "")]


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    """Each database, with two bots: three snapshots of the one, one of the other."""
    found: Warehouse = request.getfixturevalue(request.param)
    load(found, tmp_path, "st-1", MONDAY, [("A", "one", "en")])
    load(found, tmp_path, "st-1", TUESDAY, FIRST)
    load(found, tmp_path, "st-1", WEDNESDAY, SECOND)
    load(found, tmp_path, "ST-1", TUESDAY, [("Z", "alone", "en")])
    return found


def load(warehouse: Warehouse, folder: Path, bot_id: str, snapshot: str, rows: Iterable[Any]) -> None:
    path = folder / "utterances.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["taskName", "sentence", "type", "language"])
        writer.writerows((task, sentence, "DialogIntent", language) for task, sentence, language in rows)
    where = {"table": warehouse.table, "conn_id": warehouse.conn_id, "bot_id": bot_id, "snapshot": snapshot}
    run_task(KoreAILoadUtterancesOperator(task_id="load", path=str(path), **where))


def report(warehouse: Warehouse, path: Path, **more: Any) -> Any:
    arguments = {"table": warehouse.table, "conn_id": warehouse.conn_id, "report_path": str(path), **more}
    return run_task(KoreAIReportUtterancesOperator(task_id="report", **arguments))


def test_it_returns_the_numbers_of_the_latest_snapshots(warehouse, tmp_path):
    path = tmp_path / "report.html"
    assert report(warehouse, path) == {
        "report_path": str(path),
        "table": warehouse.table,
        "rows": 5,
        "added": 2,
        "removed": 1,
        "moved": 1,
        "bots": {
            "ST-1": {
                "snapshot": "2026-11-24T00:00:00+00:00",
                "previous": "",
                "snapshots": 1,
                "rows": 1,
                "tasks": 1,
                "languages": 1,
                "added": 1,
                "removed": 0,
                "moved": 0,
            },
            "st-1": {
                "snapshot": "2026-11-25T00:00:00+00:00",
                "previous": "2026-11-24T00:00:00+00:00",
                "snapshots": 3,
                "rows": 4,
                "tasks": 3,
                "languages": 3,
                "added": 1,
                "removed": 1,
                "moved": 1,
            },
        },
    }


def test_the_numbers_are_those_of_the_comparison(warehouse, tmp_path):
    where = {"table": warehouse.table, "conn_id": warehouse.conn_id, "bot_id": "st-1"}
    compared = run_task(KoreAICompareUtterancesOperator(task_id="compare", **where, after_snapshot=WEDNESDAY))
    numbers = report(warehouse, tmp_path / "report.html")["bots"]["st-1"]
    assert {key: numbers[key] for key in ("added", "removed", "moved")} == {
        key: compared[key] for key in ("added", "removed", "moved")
    }
    assert numbers["rows"] == compared["rows_after"]


def test_texts_that_differ_in_a_space_at_the_end_are_two(warehouse, tmp_path):
    load(warehouse, tmp_path, "st-2", TUESDAY, [("A", "one", "en"), ("A", "two", "en"), ("B ", "two", "en")])
    load(
        warehouse, tmp_path, "st-2", WEDNESDAY, [("A", "one ", "en"), ("B", "two", "en"), ("B ", "two", "en")]
    )
    numbers = report(warehouse, tmp_path / "report.html", bot_ids="st-2")["bots"]["st-2"]
    assert {key: numbers[key] for key in ("tasks", "added", "removed", "moved")} == {
        "tasks": 3,
        "added": 1,
        "removed": 1,
        "moved": 1,
    }


def test_the_page_shows_each_bot_with_its_tasks_and_languages(warehouse, tmp_path):
    path = tmp_path / "folder" / "report.html"
    report(warehouse, path)
    page = path.read_text()
    for shown in ("st-1", "ST-1", "2 tasks appeared since 2026-11-23", "<bdi>st-1</bdi>", "(none)", "de"):
        assert shown in page


def test_only_the_last_snapshots_count(warehouse, tmp_path):
    path = tmp_path / "report.html"
    assert report(warehouse, path, snapshots="2")["bots"]["st-1"]["snapshots"] == 2
    assert MONDAY not in path.read_text()


@pytest.mark.parametrize("bot_ids", [["st-1", "st-1"], "st-1, ", ("st-1",)])
def test_bots_can_be_chosen(warehouse, tmp_path, bot_ids):
    assert list(report(warehouse, tmp_path / "report.html", bot_ids=bot_ids)["bots"]) == ["st-1"]


def test_a_bot_without_a_snapshot_is_named_and_the_others_reported(warehouse, tmp_path, caplog):
    path = tmp_path / "report.html"
    with caplog.at_level(logging.WARNING):
        result = report(warehouse, path, bot_ids=["st-1", "st-typo"])
    assert list(result["bots"]) == ["st-1"]
    assert "st-typo" in path.read_text()


def test_a_table_without_rows_gives_a_page_without_bots(warehouse, tmp_path):
    warehouse.run(f"DELETE FROM {warehouse.table}")
    path = tmp_path / "report.html"
    assert report(warehouse, path)["bots"] == {}
    assert "Utterances of 0 bots" in path.read_text()


def test_a_table_that_does_not_exist_is_refused_and_the_earlier_page_stays(warehouse, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("yesterday's")
    with pytest.raises(KoreAIConfigurationError, match="table='nowhere' does not exist") as caught:
        report(warehouse, path, table="nowhere")
    assert isinstance(caught.value, AirflowFailException)
    assert path.read_text() == "yesterday's"


def test_a_table_of_something_else_is_refused(sqlite, tmp_path):
    sqlite.run("CREATE TABLE other (bot_id TEXT)")
    sqlite.run("INSERT INTO other VALUES ('st-1')")
    with pytest.raises(
        KoreAIConfigurationError, match="table='other' has no column language, sentence, snapshot"
    ):
        report(sqlite, tmp_path / "report.html", table="other")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"report_path": "/tmp/report.pdf"}, r"report_path='/tmp/report.pdf' does not end in .html"),
        ({"snapshots": 0}, "snapshots=0 is not accepted; use a whole number from 1 up"),
        ({"bot_ids": "['st-1', 'st-2']"}, "bot_ids=.* is not accepted; use a list of texts"),
        ({"bot_ids": 5}, "bot_ids=5 is not accepted"),
        ({"bot_ids": []}, r"bot_ids=\[\] names no bot"),
        ({"bot_ids": " , "}, "bot_ids=' , ' names no bot"),
        ({"table": "a b.c.d.e"}, "table='a b.c.d.e' is not a table name"),
    ],
)
def test_an_argument_is_refused_by_its_name(sqlite, tmp_path, arguments, said):
    with pytest.raises(KoreAIConfigurationError, match=said):
        report(sqlite, tmp_path / "report.html", **arguments)


def test_the_database_adds_up_and_sends_no_utterance_that_stayed(sqlite, tmp_path):
    stayed = [(f"Task {number % 5}", f"sentence {number}", "en") for number in range(2000)]
    for day, more in ((MONDAY, []), (TUESDAY, [("Task 1", "new", "en")])):
        load(sqlite, tmp_path, "st-1", day, [*stayed, *more])
    fetched = []

    def count(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> tuple[Any, ...]:
        fetched.append(row)
        return row

    def listen(connection: Any, _: Any) -> None:
        connection.row_factory = count

    event.listen(Engine, "connect", listen)
    try:
        report(sqlite, tmp_path / "report.html")
    finally:
        event.remove(Engine, "connect", listen)
    assert 10 < len(fetched) < 100


def test_all_queries_see_the_same_rows(postgresql, tmp_path, monkeypatch):
    """A load that ends between two queries changes neither half of a report."""
    from airflow_provider_koreai.warehouse.history import SnapshotHistory

    load(postgresql, tmp_path, "st-1", MONDAY, FIRST)
    load(postgresql, tmp_path, "st-1", TUESDAY, FIRST)
    counts = SnapshotHistory.counts

    def counts_and_then_a_load(self: SnapshotHistory, *arguments: Any) -> Any:
        yield from counts(self, *arguments)
        load(postgresql, tmp_path, "st-1", TUESDAY, SECOND)

    monkeypatch.setattr(SnapshotHistory, "counts", counts_and_then_a_load)
    numbers = report(postgresql, tmp_path / "report.html")
    assert (numbers["added"], numbers["removed"], numbers["moved"]) == (0, 0, 0)
