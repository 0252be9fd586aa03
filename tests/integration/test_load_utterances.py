"""The load task on real databases: what a DAG's author sees of it, and what is in the table afterwards."""

from __future__ import annotations

import csv
import gzip
import json
import os
import sys
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, BaseHook

from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIDatabaseError, KoreAIFileError
from airflow_provider_koreai.operators.load_utterances import KoreAILoadUtterancesOperator
from airflow_provider_koreai.warehouse import rows as rows_module
from tests.support.running import new_context, run_task
from tests.support.warehouses import mariadb_hook

if TYPE_CHECKING:
    from tests.support.warehouses import Warehouse

ROOT = Path(__file__).parents[2]
BOT = "st-demo-travel"
MONDAY, TUESDAY, WEDNESDAY = "2026-11-23", "2026-11-24", "2026-11-25"
HOSTILE = [
    "'; DROP TABLE utterances; --",
    "\"quoted\" and 'quoted' and `quoted`",
    "back\\slash \\N \\. \\t \\x41 \\",
    "\\N",
    "\\.",
    "a\ttab, a\nnewline, a\r\ncarriage return, a\rbare one",
    "%s %(name)s ? :name $1 {}",
    "emoji 🛫👨‍👩‍👧, العربية, עברית, 東京, e\u0301, \u202ertl\u202c, \ufeff",
    "\x01\x1f\x7f\u2028",
    " spaces at both ends ",
    "",
]


@pytest.fixture(params=["sqlite", "postgresql", "postgresql with psycopg2", "mariadb"])
def warehouse(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """Each database, and PostgreSQL with both drivers that Airflow's hook may choose."""
    name, _, driver = request.param.partition(" with ")
    found: Warehouse = request.getfixturevalue(name)
    if driver:
        from airflow.providers.postgres.hooks import postgres

        if not getattr(postgres, "USE_PSYCOPG3", False):
            pytest.skip("this Airflow's hook uses psycopg2 anyway")
        monkeypatch.setattr(postgres, "USE_PSYCOPG3", False)
    return found


def write_csv(path: Path, rows: list[tuple[str | None, ...]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["taskName", "sentence", "type", "language"])
        writer.writerows(rows)
    return path


def export(path: Path, *sentences: str) -> Path:
    return write_csv(path, [("Book Flight", sentence, "DialogIntent", "en") for sentence in sentences])


def load(warehouse: Warehouse, path: Path, snapshot: Any = TUESDAY, **more: Any) -> Any:
    arguments = {"table": warehouse.table, "conn_id": warehouse.conn_id, "bot_id": BOT, **more}
    task = KoreAILoadUtterancesOperator(task_id="load", path=str(path), snapshot=snapshot, **arguments)
    return run_task(task)


def test_it_returns_what_it_loaded(warehouse, tmp_path):
    rows = [("A", "one", "DialogIntent", "en"), ("A", "two", "DialogIntent", "de"), ("", "three", "", "")]
    path = write_csv(tmp_path / "utterances.csv", rows)
    assert load(warehouse, path) == {
        "path": str(path),
        "table": warehouse.table,
        "bot_id": BOT,
        "snapshot": "2026-11-24T00:00:00+00:00",
        "rows": 3,
        "inserted": 3,
        "replaced": 0,
        "languages": {"en": 1, "de": 1, "": 1},
        "types": {"DialogIntent": 2, "": 1},
    }


def test_a_row_says_whose_utterance_it_is_of_when_and_from_which_export(warehouse, tmp_path):
    entities = [{"name": "City", "value": "São Paulo"}]
    element = {"taskName": "A", "sentence": "b", "type": "c", "language": "en", "entities": entities}
    path = tmp_path / "utterances.json"
    path.write_text(json.dumps([element]))
    began = datetime.now(timezone.utc)
    load(warehouse, path, request_id="r-1", requested_time="2026-11-24T05:06:07.089Z")
    (row,) = warehouse.rows()
    assert row[:-1] == (
        BOT,
        "2026-11-24T00:00:00+00:00",
        "A",
        "b",
        "c",
        "en",
        '[{"name":"City","value":"São Paulo"}]',
        "r-1",
        "2026-11-24T05:06:07.089000+00:00",
    )
    assert began <= datetime.fromisoformat(row.loaded_at) <= datetime.now(timezone.utc)


def test_what_the_file_and_the_task_do_not_say_is_null(warehouse, tmp_path):
    load(warehouse, write_csv(tmp_path / "x.csv", [("", "b", "", "")]), request_id="", requested_time="")
    (row,) = warehouse.rows()
    assert (row.task_name, row.type, row.language, row.entities) == (None, None, None, "[]")
    assert (row.export_request_id, row.requested_time) == (None, None)


@pytest.mark.parametrize("batch_size", [1, 200])
def test_whatever_a_sentence_holds_is_data(warehouse, tmp_path, batch_size, monkeypatch):
    monkeypatch.setattr(rows_module, "BATCH_SIZE", batch_size)
    rows = [(text or "-", text, text or "-", text or "-") for text in HOSTILE]
    load(warehouse, write_csv(tmp_path / "x.csv", rows))
    found = warehouse.rows()
    assert sorted((row.task_name, row.sentence, row.type, row.language) for row in found) == sorted(rows)


def test_entities_are_stored_as_json_whatever_they_hold(warehouse, tmp_path):
    entities = [{"value": text} for text in [*HOSTILE, "\0", "\ud83d"]]
    path = tmp_path / "x.json"
    path.write_text(json.dumps([{"sentence": "b", "entities": entities}]))
    load(warehouse, path)
    (row,) = warehouse.rows()
    assert json.loads(row.entities) == entities


@pytest.mark.parametrize("name", ["x.csv.gz", "x.csv.zst"])
def test_a_file_may_be_compressed(warehouse, tmp_path, name):
    content = export(tmp_path / "x.csv", "one", "two").read_bytes()
    path = tmp_path / name
    path.write_bytes(
        gzip.compress(content) if name.endswith("gz") else zstandard.ZstdCompressor().compress(content)
    )
    assert load(warehouse, path)["rows"] == 2


def test_more_rows_than_a_batch_holds_are_all_loaded(warehouse, tmp_path):
    path = export(tmp_path / "x.csv", *(f"{number:04}" for number in range(1001)))
    assert load(warehouse, path)["inserted"] == 1001
    assert [sentence for _, sentence in warehouse.sentences()] == [f"{number:04}" for number in range(1001)]


def test_an_utterance_that_the_file_has_twice_is_loaded_twice(warehouse, tmp_path):
    assert load(warehouse, export(tmp_path / "x.csv", "one", "one"))["inserted"] == 2
    assert [row.sentence for row in warehouse.rows()] == ["one", "one"]


# -- snapshots --------------------------------------------------------------------------------------------------------


def test_loading_a_snapshot_again_replaces_exactly_that_one(warehouse, tmp_path):
    load(warehouse, export(tmp_path / "x.csv", "monday"), MONDAY)
    load(warehouse, export(tmp_path / "x.csv", "tuesday", "wrong"), TUESDAY)
    load(warehouse, export(tmp_path / "x.csv", "other"), TUESDAY, bot_id="st-other")
    result = load(warehouse, export(tmp_path / "x.csv", "tuesday"), TUESDAY)
    assert (result["inserted"], result["replaced"]) == (1, 2)
    assert warehouse.sentences() == [(MONDAY, "monday"), (TUESDAY, "other"), (TUESDAY, "tuesday")]


def test_a_snapshot_is_the_same_in_whatever_form_its_time_is_given(warehouse, tmp_path):
    path = export(tmp_path / "x.csv", "one")
    forms = [
        "2026-11-24",
        "2026-11-24T00:00:00Z",
        "2026-11-24 01:00:00+01:00",
        datetime(2026, 11, 24, tzinfo=timezone.utc),
    ]
    assert [load(warehouse, path, form)["replaced"] for form in forms] == [0, 1, 1, 1]


def test_snapshots_a_microsecond_apart_are_two(warehouse, tmp_path):
    path = export(tmp_path / "x.csv", "one")
    load(warehouse, path, "2026-11-24T10:00:00.000001+00:00")
    load(warehouse, path, "2026-11-24T10:00:00.000002+00:00")
    assert len(warehouse.rows()) == 2


@pytest.mark.parametrize("snapshot", [None, ""])
@pytest.mark.parametrize(
    ("run", "day"),
    [
        ({"logical_date": datetime(2026, 11, 23, tzinfo=timezone.utc), "run_after": None}, MONDAY),
        ({"logical_date": None, "run_after": datetime(2026, 11, 25, tzinfo=timezone.utc)}, WEDNESDAY),
    ],
)
def test_without_a_snapshot_it_is_the_runs_time(sqlite, tmp_path, snapshot, run, day):
    task = KoreAILoadUtterancesOperator(
        task_id="load",
        path=str(export(tmp_path / "x.csv", "one")),
        table=sqlite.table,
        conn_id=sqlite.conn_id,
        bot_id=BOT,
        snapshot=snapshot,
    )
    run_task(task, new_context(dag_run=SimpleNamespace(**run)))
    assert sqlite.sentences() == [(day, "one")]


def test_latest_replaces_the_bots_earlier_snapshots_only(warehouse, tmp_path):
    load(warehouse, export(tmp_path / "x.csv", "old"), MONDAY)
    load(warehouse, export(tmp_path / "x.csv", "other"), MONDAY, bot_id="st-other")
    result = load(warehouse, export(tmp_path / "x.csv", "new"), TUESDAY, keep="latest")
    assert (result["inserted"], result["replaced"]) == (1, 1)
    assert warehouse.sentences() == [(MONDAY, "other"), (TUESDAY, "new")]


def test_latest_may_be_loaded_again(warehouse, tmp_path):
    for sentence in ("wrong", "right"):
        load(warehouse, export(tmp_path / "x.csv", sentence), keep="latest")
    assert warehouse.sentences() == [(TUESDAY, "right")]


def test_latest_skips_a_snapshot_that_is_older_than_the_tables(warehouse, tmp_path):
    load(warehouse, export(tmp_path / "x.csv", "new"), TUESDAY, keep="latest")
    with pytest.raises(AirflowSkipException, match="snapshot of 2026-11-24T00:00:00"):
        load(warehouse, export(tmp_path / "x.csv", "backfilled"), MONDAY, keep="latest")
    assert warehouse.sentences() == [(TUESDAY, "new")]


# -- history: an export is always of now ------------------------------------------------------------------------------


def test_a_snapshot_is_not_replaced_by_an_export_more_than_a_day_younger(warehouse, tmp_path):
    path = export(tmp_path / "x.csv", "of that day")
    load(warehouse, path, requested_time="2026-11-24T05:00:00.000Z")
    later = export(tmp_path / "later.csv", "of now")
    with pytest.raises(
        KoreAIConfigurationError,
        match=r"export of 2026-11-24T05:00:00\+00:00, and this export is of 2026-11-25T05:00:01\+00:00",
    ) as caught:
        load(warehouse, later, requested_time="2026-11-25T05:00:01.000Z")
    assert isinstance(caught.value, AirflowFailException)
    assert "rewrite_history=True" in str(caught.value)
    assert warehouse.sentences() == [(TUESDAY, "of that day")]


@pytest.mark.parametrize(
    ("requested_time", "more"),
    [
        ("2026-11-25T05:00:00.000Z", {}),
        ("2026-11-20T05:00:00.000Z", {}),
        ("2026-12-25T05:00:00.000Z", {"rewrite_history": True}),
        ("2026-12-25T05:00:00.000Z", {"rewrite_history": "True"}),
    ],
)
def test_it_is_replaced_within_a_day_by_an_older_export_or_where_that_is_allowed(
    warehouse, tmp_path, requested_time, more
):
    load(warehouse, export(tmp_path / "x.csv", "first"), requested_time="2026-11-24T05:00:00.000Z")
    load(warehouse, export(tmp_path / "x.csv", "second"), requested_time=requested_time, **more)
    assert warehouse.sentences() == [(TUESDAY, "second")]


def test_an_export_of_an_unknown_time_counts_as_one_of_now(warehouse, tmp_path):
    load(warehouse, export(tmp_path / "x.csv", "earlier"), requested_time="2020-11-24T05:00:00.000Z")
    with pytest.raises(KoreAIConfigurationError, match="more than a day younger"):
        load(warehouse, export(tmp_path / "x.csv", "now"))
    assert warehouse.sentences() == [(TUESDAY, "earlier")]


def test_latest_does_not_rewrite_the_same_snapshot_either(sqlite, tmp_path):
    path = export(tmp_path / "x.csv", "one")
    load(sqlite, path, keep="latest", requested_time="2026-11-24T05:00:00.000Z")
    with pytest.raises(KoreAIConfigurationError, match="more than a day younger"):
        load(sqlite, path, keep="latest", requested_time="2026-11-26T05:00:00.000Z")
    # Of the next day it is no history.
    assert load(sqlite, path, WEDNESDAY, keep="latest", requested_time="2026-11-26T05:00:00.000Z")["replaced"]


def load_in_run(warehouse: Warehouse, path: Path, *, logical: int, end: int, **more: Any) -> Any:
    """Load in a run whose logical date and whose interval's end are these days of November."""
    run = SimpleNamespace(
        logical_date=datetime(2026, 11, logical, tzinfo=timezone.utc),
        data_interval_end=datetime(2026, 11, end, tzinfo=timezone.utc),
        run_after=None,
    )
    arguments = {"table": warehouse.table, "conn_id": warehouse.conn_id, "bot_id": BOT, **more}
    task = KoreAILoadUtterancesOperator(task_id="load", path=str(path), **arguments)
    return run_task(task, new_context(dag_run=run))


def test_a_backfill_does_not_make_a_past_of_todays_utterances(sqlite, tmp_path):
    path = export(tmp_path / "x.csv", "of now")
    times = {"logical": 2, "end": 3, "requested_time": "2026-11-27T05:00:00.000Z"}
    with pytest.raises(
        KoreAIConfigurationError,
        match=r"ended at 2026-11-03T00:00:00\+00:00, and the export is of 2026-11-27T05:00:00\+00:00",
    ):
        load_in_run(sqlite, path, **times)
    assert sqlite.table not in sqlite.tables()
    load_in_run(sqlite, path, rewrite_history=True, **times)
    assert sqlite.sentences() == [("2026-11-02", "of now")]


@pytest.mark.parametrize(
    "times",
    [
        {"logical": 16, "end": 23},  # a weekly run on its day
        {"logical": 23, "end": 16},  # started by hand between two intervals
    ],
)
def test_a_run_on_its_day_is_not_taken_for_a_backfill(sqlite, tmp_path, times):
    path = export(tmp_path / "x.csv", "one")
    load_in_run(sqlite, path, **times, requested_time="2026-11-23T05:00:00.000Z")
    assert len(sqlite.rows()) == 1


# -- the table --------------------------------------------------------------------------------------------------------


def test_a_table_that_is_not_there_is_not_made_where_that_is_forbidden(warehouse, tmp_path):
    with pytest.raises(KoreAIConfigurationError, match=f"Create it: CREATE TABLE {warehouse.table} "):
        load(warehouse, export(tmp_path / "x.csv", "one"), create_table=False)
    assert warehouse.table not in warehouse.tables()


def test_the_statement_of_the_error_makes_a_table_that_fits(warehouse, tmp_path):
    path = export(tmp_path / "x.csv", "one")
    with pytest.raises(KoreAIConfigurationError) as caught:
        load(warehouse, path, create_table=False)
    for statement in str(caught.value).partition("Create it: ")[2].split("; "):
        warehouse.run(statement)
    assert load(warehouse, path, create_table=False)["inserted"] == 1


def test_a_table_may_be_partitioned_by_snapshot(postgresql, tmp_path):
    # As docs/scaling.md shows it.
    statements = (
        (ROOT / "docs" / "partitioned_table.sql").read_text().replace("koreai_utterances", postgresql.table)
    )
    postgresql.run(
        f"{statements} CREATE TABLE {postgresql.table}_others PARTITION OF {postgresql.table} DEFAULT"
    )
    load(postgresql, export(tmp_path / "1.csv", "one"), MONDAY)
    load(postgresql, export(tmp_path / "2.csv", "two"), "2026-12-24")
    result = load(postgresql, export(tmp_path / "3.csv", "three", "four"), "2026-12-24")
    assert (result["inserted"], result["replaced"]) == (2, 1)
    assert postgresql.run(f"SELECT sentence FROM {postgresql.table}_others") == [("one",)]
    december = postgresql.run(f"SELECT sentence FROM {postgresql.table}_2026_12 ORDER BY 1")
    assert december == [("four",), ("three",)]


def make_table(warehouse: Warehouse, *, without: tuple[str, ...] = (), **kinds: str) -> None:
    time = {"sqlite_test": "DATETIME", "mariadb_test": "DATETIME(6)"}.get(
        warehouse.conn_id, "TIMESTAMP WITH TIME ZONE"
    )
    columns = dict.fromkeys(
        ["bot_id", "task_name", "sentence", "type", "language", "entities", "export_request_id"],
        "TEXT",
    )
    columns |= dict.fromkeys(["snapshot", "requested_time", "loaded_at"], time)
    columns |= kinds
    texts = [f"{name} {kind}" for name, kind in columns.items() if name not in without]
    warehouse.run(f"CREATE TABLE {warehouse.table} ({', '.join(texts)})")


def test_further_columns_of_the_table_are_left_alone(warehouse, tmp_path):
    make_table(warehouse, note="TEXT DEFAULT 'none'")
    load(warehouse, export(tmp_path / "x.csv", "one"))
    assert warehouse.run(f"SELECT sentence, note FROM {warehouse.table}") == [("one", "none")]


def test_a_column_that_is_missing_is_told_with_the_statement_that_adds_it(warehouse, tmp_path):
    make_table(warehouse, without=("language", "loaded_at"))
    path = export(tmp_path / "x.csv", "one")
    with pytest.raises(KoreAIConfigurationError, match="it has no column language, loaded_at") as caught:
        load(warehouse, path)
    for statement in str(caught.value).partition("Or add what is missing: ")[2].split("; "):
        warehouse.run(statement)
    assert load(warehouse, path)["inserted"] == 1


def test_no_columns_are_offered_for_a_table_of_something_else(warehouse, tmp_path):
    warehouse.run(f"CREATE TABLE {warehouse.table} (id INTEGER, name TEXT)")
    with pytest.raises(KoreAIConfigurationError, match="Name a table that does not exist yet") as caught:
        load(warehouse, export(tmp_path / "x.csv", "one"))
    assert "ALTER TABLE" not in str(caught.value)


def test_a_column_of_the_wrong_kind_is_told(warehouse, tmp_path):
    make_table(warehouse, sentence="INTEGER", loaded_at="TEXT")
    with pytest.raises(
        KoreAIConfigurationError,
        match=r"sentence is INT.* instead of (LONG)?TEXT; loaded_at is TEXT instead of",
    ):
        load(warehouse, export(tmp_path / "x.csv", "one"))


def test_names_are_quoted(warehouse, tmp_path):
    schema = {"sqlite_test": "main", "mariadb_test": "warehouse"}.get(warehouse.conn_id, "public")
    warehouse.table = f'{schema}."Odd ""name""; DROP.{warehouse.table}"'
    load(warehouse, export(tmp_path / "x.csv", "one"))
    result = load(warehouse, export(tmp_path / "x.csv", "two"))
    assert (result["table"], result["replaced"]) == (warehouse.table, 1)
    assert warehouse.sentences() == [(TUESDAY, "two")]


@pytest.mark.parametrize("table", ["", "a.b.c.d", '"a.b".c.d', ".a", "a.", 'a"b', '"a', "100%", "a\nb", None])
def test_what_is_no_tables_name_is_refused(sqlite, tmp_path, table):
    with pytest.raises(KoreAIConfigurationError, match="is not a table name"):
        load(sqlite, export(tmp_path / "x.csv", "one"), table=table)


def test_a_name_that_postgresql_would_cut_is_refused(postgresql, tmp_path):
    table = "é" * 31 + "ab"
    with pytest.raises(
        KoreAIConfigurationError, match="is too long: a name in PostgreSQL has at most 63 bytes"
    ):
        load(postgresql, export(tmp_path / "x.csv", "one"), table=table)
    assert load(postgresql, export(tmp_path / "x.csv", "one"), table=table[:-1])["replaced"] == 0
    assert load(postgresql, export(tmp_path / "x.csv", "one"), table=table[:-1])["replaced"] == 1


def test_a_table_that_was_put_aside_is_not_in_the_way(postgresql, tmp_path):
    for name in ("first", "second"):
        load(postgresql, export(tmp_path / "x.csv", name))
        postgresql.run(f"ALTER TABLE {postgresql.table} RENAME TO {postgresql.table}_{name}")
    load(postgresql, export(tmp_path / "x.csv", "third"))
    assert postgresql.sentences() == [(TUESDAY, "third")]
    found = postgresql.run("SELECT count(*) FROM pg_indexes WHERE tablename LIKE %s", f"{postgresql.table}%")
    assert found == [(3,)]


@pytest.mark.parametrize("how", ["environment", "extra"])
def test_texts_arrive_whatever_encoding_the_client_is_set_to(warehouse, tmp_path, monkeypatch, how):
    with monkeypatch.context() as patched:
        if how == "environment":
            patched.setenv("PGCLIENTENCODING", "LATIN1")
        elif warehouse.conn_id == "postgres_test":
            connection = json.loads(os.environ["AIRFLOW_CONN_POSTGRES_TEST"])
            connection["extra"]["client_encoding"] = "LATIN1"
            patched.setenv("AIRFLOW_CONN_POSTGRES_TEST", json.dumps(connection))
        load(warehouse, export(tmp_path / "x.csv", "Zürich 東京"))
    assert [row.sentence for row in warehouse.rows()] == ["Zürich 東京"]


def test_the_path_may_be_a_path_object(warehouse, tmp_path):
    task = KoreAILoadUtterancesOperator(
        task_id="load",
        path=export(tmp_path / "x.csv", "one"),
        table=warehouse.table,
        conn_id=warehouse.conn_id,
        bot_id=BOT,
        snapshot=TUESDAY,
    )
    assert json.loads(json.dumps(run_task(task)))["path"] == str(tmp_path / "x.csv")


def test_a_schema_that_is_not_there_is_told(warehouse, tmp_path):
    with pytest.raises((KoreAIConfigurationError, KoreAIDatabaseError), match="nowhere"):
        load(warehouse, export(tmp_path / "x.csv", "one"), table="nowhere.utterances")


def test_a_name_of_three_parts_is_refused_where_the_database_has_none(warehouse, tmp_path):
    with pytest.raises(KoreAIConfigurationError, match=r"has no names of the form database\.schema\.table"):
        load(warehouse, export(tmp_path / "x.csv", "one"), table="a.b.c")


# -- bad input: the earlier snapshot stays ----------------------------------------------------------------------------


HEADER = b"taskName,sentence,type,language\n"
# Python 3.10's csv module reads none.
NUL_IN_CSV = (
    "Row 51 of the file.* contains a NUL character"
    if sys.version_info >= (3, 11)
    else r"The CSV file is broken: line 5\d: line contains NUL"
)
GOOD = b"A,one,c,en\n" * 50


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "line 1 is not a header"),
        (b"<html>no export</html>\n", "line 1 is not a header"),
        (HEADER + GOOD + b"A,two,c\n" + GOOD, "line 52: 3 columns; the header has 4"),
        (HEADER + GOOD + b"A,\xff,c,en\n" + GOOD, "not UTF-8"),
        (HEADER + GOOD + b'A,"two\x00",c,en\n', NUL_IN_CSV),
        (gzip.compress(HEADER + GOOD * 99)[:-20], "compressed file is damaged"),
        (b'[{"sentence":"a"},{"taskName":"b"}]', "element 2: 'sentence' is missing"),
        (b'[{"sentence":"a"},{"sentence":"\\ud83d"}]', "Row 2 of the file.* an unpaired surrogate"),
        (None, "there is no such file"),
    ],
)
def test_a_broken_file_fails_for_good_and_the_earlier_snapshot_stays(warehouse, tmp_path, content, said):
    path = export(tmp_path / "utterances", "earlier")
    load(warehouse, path)
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(KoreAIFileError, match=said) as caught:
        load(warehouse, path)
    assert isinstance(caught.value, AirflowFailException)
    assert str(path) in str(caught.value)
    assert warehouse.sentences() == [(TUESDAY, "earlier")]


def test_a_file_that_is_no_export_leaves_no_table(warehouse, tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b\n1,2\n")
    with pytest.raises(KoreAIFileError):
        load(warehouse, path)
    assert warehouse.table not in warehouse.tables()


def test_what_databases_do_not_take_is_replaced_where_that_is_asked_for(warehouse, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps([{"taskName": "A\0", "sentence": "a\0b\ud83dc"}, {"sentence": "d"}]))
    load(warehouse, path, on_unstorable="replace")
    assert [(row.task_name, row.sentence) for row in warehouse.rows()] == [
        ("A\ufffd", "a\ufffdb\ufffdc"),
        (None, "d"),
    ]


def test_fewer_rows_than_min_rows_keep_the_earlier_snapshot(warehouse, tmp_path):
    load(warehouse, export(tmp_path / "x.csv", "earlier"))
    with pytest.raises(KoreAIFileError, match="2 utterances are fewer than min_rows=3"):
        load(warehouse, export(tmp_path / "x.csv", "one", "two"), min_rows="3")
    assert warehouse.sentences() == [(TUESDAY, "earlier")]


def test_an_export_without_utterances_is_loaded_where_no_min_rows_is_set(warehouse, tmp_path):
    load(warehouse, export(tmp_path / "x.csv", "earlier"))
    assert load(warehouse, export(tmp_path / "x.csv"))["replaced"] == 1
    assert warehouse.rows() == []


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("keep", "append"),
        ("snapshot", "yesterday"),
        ("file_type", "xlsx"),
        ("bot_id", " "),
        ("min_rows", -1),
        ("on_unstorable", "ignore"),
        ("rewrite_history", "perhaps"),
        ("path", "/data/"),
    ],
)
def test_a_wrong_argument_is_refused_by_its_name(sqlite, tmp_path, argument, value):
    with pytest.raises(KoreAIConfigurationError, match=argument):
        load(sqlite, **{"path": export(tmp_path / "x.csv", "one"), argument: value})


# -- databases without transactions -----------------------------------------------------------------------------------


def test_a_connection_in_autocommit_is_refused_before_anything_is_written(mariadb, tmp_path, monkeypatch):
    kind = type(BaseHook.get_connection(mariadb.conn_id))
    monkeypatch.setattr(
        kind, "get_hook", lambda self, **_: mariadb_hook(self.conn_id, isolation_level="AUTOCOMMIT")
    )
    with pytest.raises(
        KoreAIConfigurationError, match=r"is in autocommit mode.*nothing was loaded.*staging table"
    ):
        load(mariadb, export(tmp_path / "x.csv", "one"))
    assert mariadb.table not in mariadb.tables()


def test_a_table_of_an_engine_without_transactions_is_refused(mariadb, tmp_path):
    load(mariadb, export(tmp_path / "x.csv", "earlier"))
    # Its longest key is too short for the index.
    mariadb.run(f"ALTER TABLE {mariadb.table} DROP INDEX ix_{mariadb.table}_bot_id_snapshot, ENGINE=MyISAM")
    with pytest.raises(
        KoreAIConfigurationError, match="the engine MyISAM, which has no transactions"
    ) as caught:
        load(mariadb, export(tmp_path / "x.csv", "one"))
    assert mariadb.sentences() == [(TUESDAY, "earlier")]
    mariadb.run(str(caught.value).partition("Change it: ")[2])
    assert load(mariadb, export(tmp_path / "x.csv", "one"))["replaced"] == 1


def test_postgresql_is_not_left_in_the_autocommit_of_its_hook(postgresql, tmp_path, monkeypatch):
    kind = type(BaseHook.get_connection(postgresql.conn_id).get_hook())
    get_conn = kind.get_conn

    def in_autocommit(self: Any) -> Any:
        found = get_conn(self)
        found.autocommit = True
        return found

    monkeypatch.setattr(kind, "get_conn", in_autocommit)
    load(postgresql, export(tmp_path / "x.csv", "earlier"))
    with pytest.raises(KoreAIFileError):
        load(postgresql, export(tmp_path / "x.csv", "one"), min_rows=2)
    assert postgresql.sentences() == [(TUESDAY, "earlier")]


# -- connections ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("connection", "said"),
    [
        (None, "isn't defined"),
        ({"conn_type": "koreai", "host": "https://bots.kore.ai"}, "is not a database connection"),
        (
            {"conn_type": "nosuchdb"},
            "type 'nosuchdb', for which no provider is installed.*providers-nosuchdb",
        ),
        ({"conn_type": "generic"}, "type 'generic', for which no provider is installed.*providers-postgres"),
        (
            {"conn_type": "mssql"},
            "type 'mssql', for which no provider is installed.*providers-microsoft-mssql",
        ),
    ],
)
def test_a_connection_that_is_none_of_a_database_is_refused(sqlite, tmp_path, monkeypatch, connection, said):
    if connection is not None:
        monkeypatch.setenv("AIRFLOW_CONN_ODD", json.dumps(connection))
    with pytest.raises(KoreAIConfigurationError, match=said) as caught:
        load(sqlite, export(tmp_path / "x.csv", "one"), conn_id="odd")
    assert "conn_id='odd'" in str(caught.value)
