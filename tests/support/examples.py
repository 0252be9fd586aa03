"""
How each file of example_dags/ is run, by ``airflow dags test`` and on a whole deployment, and what has to come of it.

A new example needs a row in :data:`EXAMPLES`; without one, both tests fail.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

if TYPE_CHECKING:
    from tests.support.warehouses import Warehouse

FOLDER = Path(__file__).resolve().parents[2] / "example_dags"
NEEDS_AIRFLOW_3 = {"example_koreai_on_export"}
#: Those that this Airflow can read.
FILES = sorted(
    {path.stem for path in FOLDER.glob("*.py")} - (set() if AIRFLOW_V_3_0_PLUS else NEEDS_AIRFLOW_3)
)
TRAVEL = "st-demo-travel"
TRAVEL_ROWS = 364
#: The default of the DAG that loads into a table.
TABLE = "koreai_utterances"
#: What each task of a DAG returned, by its ID, in the order of its mapping.
Results = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Example:
    """
    A file of example_dags/.

    :param dag: ID of the DAG that is run.
    :param check: looks at what its tasks returned, and at the folder.
    :param conf: params of the run, beside ``folder``.
    :param has_folder: whether the DAG has the param ``folder``.
    :param follower: ID of the DAG that an asset of the first one starts.
    :param check_follower: as ``check``.
    :param warehouse: ID of the connection to a database, if the DAG loads into one.
    :param after: the example that has to run before, on the same database.
    :param prepare: changes the database before the run.
    :param watches: whether it is for an export that somebody else has made.
    :param catches_up: whether it is paused at first, and then runs for all that has passed.
    :param check_table: looks at what its tasks returned, and at the number of rows of each bot in :data:`TABLE`.
    """

    dag: str
    check: Callable[[Results, Path], None]
    conf: Mapping[str, Any] = field(default_factory=dict)
    has_folder: bool = True
    follower: str | None = None
    check_follower: Callable[[Results, Path], None] | None = None
    warehouse: str | None = None
    after: str | None = None
    prepare: Callable[[Warehouse], None] | None = None
    watches: bool = False
    catches_up: bool = False
    check_table: Callable[[Results, Mapping[str, int]], None] | None = None

    def params(self, folder: Path) -> dict[str, Any]:
        """The params of the run."""
        return {**self.conf, **({"folder": str(folder)} if self.has_folder else {})}


def rows_of(path: str) -> int:
    """How many rows a file has."""
    with open(path, encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.DictReader(file))


def one_file(task: str) -> Callable[[Results, Path], None]:
    """Check that a task has stored one whole file of the travel bot in the folder."""

    def check(results: Results, folder: Path) -> None:
        (stored,) = results[task]
        assert [str(path) for path in folder.rglob("*") if path.is_file()] == [stored["path"]]
        assert rows_of(stored["path"]) == stored["rows"] == TRAVEL_ROWS

    return check


def one_file_for_each_bot(results: Results, folder: Path) -> None:
    """Each bot has an export, a wait and a file of its own."""
    group = "one_bot.koreai_export_utterances"
    stored = results[f"{group}.fetch"]
    assert [Path(one["path"]).parent.name for one in stored] == ["st-demo-bank", "st-demo-retail"]
    assert results[f"{group}.export"] == [one["request_id"] for one in stored]
    assert [one["requested_time"] for one in results[f"{group}.wait"]] == [
        one["requested_time"] for one in stored
    ]
    assert len({(one["request_id"], one["requested_time"]) for one in stored}) == 2
    assert results["one_bot.report"] == [
        f"{one['bot_id']}: {rows_of(one['path'])} utterances in {one['path']}" for one in stored
    ]


def counts_of_travel(results: Results, folder: Path) -> None:
    """All utterances are counted, and no file is kept."""
    (counts,) = results["count"]
    assert sum(number for tasks in counts.values() for number in tasks.values()) == TRAVEL_ROWS
    assert {"en", "de", "ja"} <= counts.keys()


def languages_of_travel(results: Results, folder: Path) -> None:
    """The consumer has read the producer's file."""
    (counts,) = results["count_languages"]
    assert sum(counts.values()) == TRAVEL_ROWS


def each_bot_is_checked_loaded_and_reported(results: Results, folder: Path) -> None:
    """What is good enough is in the table, and on the page of all bots."""
    bots = ["st-demo-bank", "st-demo-retail"]
    assert [one["conflicts"] for one in results["one_bot.check"]] == [0, 0]
    assert [one["bot_id"] for one in results["one_bot.load"]] == bots
    (report,) = results["report"]
    assert {bot_id: numbers["rows"] for bot_id, numbers in report["bots"].items()} == {
        one["bot_id"]: one["inserted"] for one in results["one_bot.load"]
    }
    assert all(bot_id in Path(report["report_path"]).read_text("utf-8") for bot_id in bots)
    assert len(list(folder.rglob("*.check.html"))) == 2


def the_bot_is_loaded(results: Results, folder: Path) -> None:
    """The whole file is in the table; test_dbt.py runs the DAG that its asset starts."""
    (loaded,) = results["load"]
    assert loaded["inserted"] == TRAVEL_ROWS


def each_bots_file_is_loaded(results: Results, folder: Path) -> None:
    """The first run has nothing to compare with, and loads whole files."""
    assert [one["before"] for one in results["one_bot.compare"]] == ["", ""]
    fetched, loaded = results["one_bot.koreai_export_utterances.fetch"], results["one_bot.load"]
    checked = results["one_bot.check"]
    assert [one["rows"] for one in loaded] == [rows_of(one["path"]) for one in fetched]
    assert [one["rows"] for one in checked] == [one["rows"] for one in loaded]


def seven_hours_are_loaded(results: Results, folder: Path) -> None:
    """The run's hour and the six before it, of which each has four sentences."""
    (fetched,), (loaded,) = results["fetch"], results["load"]
    assert loaded["rows"] == fetched["rows"] == 7 * 4
    assert datetime.fromisoformat(loaded["end"]) - datetime.fromisoformat(loaded["start"]) == timedelta(
        hours=7
    )
    assert [str(path) for path in folder.rglob("*.gz")] == [fetched["path"]]


CORRECTED = 3


def correct_a_few(warehouse: Warehouse) -> None:
    """Write other tasks for some sentences of the travel bot."""
    found = warehouse.run(
        f"SELECT bot_id, language, sentence FROM {TABLE} WHERE bot_id = '{TRAVEL}' AND language = 'en' "
        f"AND task_name = 'Book Flight' ORDER BY sentence LIMIT {CORRECTED}"
    )
    warehouse.run(
        "CREATE TABLE koreai_corrections (bot_id text, language text, sentence text, task_name text, "
        "PRIMARY KEY (bot_id, language, sentence))"
    )
    for row in found:
        values = ", ".join("'{}'".format(str(cell).replace("'", "''")) for cell in (*row, "Book Hotel"))
        warehouse.run(f"INSERT INTO koreai_corrections VALUES ({values})")


def the_bot_has_what_was_corrected(results: Results, folder: Path) -> None:
    """A few utterances moved, the bot has what was sent, is trained and passes its test."""
    group = "koreai_import_utterances"
    (compared,), (imported,), (verified,) = (
        results[f"{group}.{task}"] for task in ("compare", "import", "verify")
    )
    assert compared["moved"] == CORRECTED
    assert imported["copied"] == imported["rows"] == verified["rows"] > 300
    assert (verified["missing"], verified["unexpected"]) == (0, 0)
    assert results[f"{group}.train"][0]["status"] == "Finished"
    assert results[f"{group}.test"][0]["f1"] == 0.9
    moved = {
        entry["sentence"]
        for entry in json.loads(Path(results[f"{group}.export_again.fetch"][0]["path"]).read_text("utf-8"))
        if entry.get("taskName") == "Book Hotel"
    }
    before = json.loads(Path(results[f"{group}.back_up.fetch"][0]["path"]).read_text("utf-8"))
    assert len(moved & {entry["sentence"] for entry in before if entry.get("taskName") == "Book Flight"}) == 3


def each_bot_is_in_the_table(results: Results, counted: Mapping[str, int]) -> None:
    """What the tasks say they loaded is in the table."""
    assert counted == {one["bot_id"]: one["inserted"] for one in results["one_bot.load"]}
    assert len(counted) == 2


EXAMPLES: dict[str, Example] = {
    "example_koreai_asset_scheduled": Example(
        "example_koreai_asset_producer",
        one_file("koreai_export_utterances.fetch"),
        follower="example_koreai_asset_consumer",
        check_follower=languages_of_travel,
    ),
    "example_koreai_dbt": Example(
        "example_koreai_dbt_load", the_bot_is_loaded, warehouse="warehouse_default"
    ),
    "example_koreai_export_utterances": Example(
        "example_koreai_export_utterances", one_file("fetch"), conf={"bot_id": TRAVEL}
    ),
    "example_koreai_hook": Example(
        "example_koreai_hook", counts_of_travel, conf={"bot_id": TRAVEL}, has_folder=False
    ),
    "example_koreai_many_bots": Example(
        "example_koreai_many_bots",
        one_file_for_each_bot,
        conf={"bot_ids": ["st-demo-bank", "st-demo-retail"]},
    ),
    "example_koreai_on_export": Example("example_koreai_on_export", one_file("fetch"), watches=True),
    "example_koreai_one_task": Example("example_koreai_one_task", one_file("fetch"), conf={"bot_id": TRAVEL}),
    "example_koreai_quality": Example(
        "example_koreai_quality",
        each_bot_is_checked_loaded_and_reported,
        conf={"bot_ids": ["st-demo-bank", "st-demo-retail"]},
        warehouse="warehouse_default",
        check_table=each_bot_is_in_the_table,
    ),
    "example_koreai_round_trip": Example(
        "example_koreai_round_trip",
        the_bot_has_what_was_corrected,
        conf={"bot_id": TRAVEL},
        warehouse="warehouse_default",
        after="example_koreai_to_warehouse",
        prepare=correct_a_few,
    ),
    "example_koreai_to_warehouse": Example(
        "example_koreai_to_warehouse",
        each_bots_file_is_loaded,
        conf={"bot_ids": ["st-demo-bank", "st-demo-retail"]},
        warehouse="warehouse_default",
        check_table=each_bot_is_in_the_table,
    ),
    "example_koreai_unhandled": Example(
        "example_koreai_unhandled",
        seven_hours_are_loaded,
        conf={"bot_id": TRAVEL},
        warehouse="warehouse_default",
        catches_up=True,
    ),
}
for _name in NEEDS_AIRFLOW_3 - set(FILES):
    EXAMPLES.pop(_name)
