"""What Airflow knows after a download: assets' events, buttons' addresses, OpenLineage's events. All by real runs."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

if TYPE_CHECKING:
    from pathlib import Path

DAG_ID = "download_with_outlets"
BOT = "st-demo-travel"
OUTLET = "koreai-tests-outlet"
REFERRED = "koreai://bots.kore.ai/st-referred"
DAG_FILE = f"""
import os
from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG, Asset, AssetAlias

from airflow_provider_koreai.assets.koreai import koreai_asset
from airflow_provider_koreai.operators.compare_utterances import KoreAICompareUtterancesOperator
from airflow_provider_koreai.operators.convert_utterances import KoreAIConvertUtterancesOperator
from airflow_provider_koreai.operators.import_utterances import KoreAIImportUtterancesOperator
from airflow_provider_koreai.operators.koreai import (
    KoreAIDownloadUtterancesOperator, KoreAIExportUtterancesOperator,
)
from airflow_provider_koreai.operators.load_utterances import KoreAILoadUtterancesOperator
from airflow_provider_koreai.sensors.koreai import KoreAIExportStatusSensor

FILE = os.environ["KOREAI_TEST_FILE"]
OUTLETS = [Asset("file://" + FILE), koreai_asset("st-other"), AssetAlias("{OUTLET}")]

if hasattr(Asset, "ref"):  # Airflow 3: an outlet may refer to an asset that another DAG defines
    OUTLETS.append(Asset.ref(uri="{REFERRED}"))
    reader = DAG("reads_what_is_referred_to", schedule=[Asset("{REFERRED}")])

with DAG("{DAG_ID}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    export = KoreAIExportUtterancesOperator(task_id="export", bot_id="{BOT}")
    export_of = dict(bot_id="{BOT}", request_id=export.output, requested_time=export.output["requested_time"])
    wait = KoreAIExportStatusSensor(task_id="wait", deferrable=True, **export_of)
    fetch = KoreAIDownloadUtterancesOperator(
        task_id="fetch",
        path=FILE,
        outlets=OUTLETS,
        **export_of,
    )
    send = KoreAIImportUtterancesOperator(
        task_id="send", bot_id="{BOT}", path=fetch.output["path"], on_invalid="drop"
    )
    convert = KoreAIConvertUtterancesOperator(
        task_id="convert", path=FILE, target=FILE + ".parquet", outlets=[Asset("file://" + FILE + ".parquet")]
    )
    where = dict(table="utterances", conn_id="sqlite_test", bot_id="{BOT}")
    load = KoreAILoadUtterancesOperator(
        task_id="load", path=FILE, snapshot="2026-11-25", outlets=[Asset("koreai://tests/loaded")], **where
    )
    compare = KoreAICompareUtterancesOperator(
        task_id="compare", before=FILE, after=FILE + ".parquet", detail_path=FILE + ".detail.csv",
        outlets=[Asset("koreai://tests/compared")],
    )
    export >> wait >> fetch >> send >> convert >> load >> compare
"""


@dataclass
class Run:
    """
    A run that is over.

    :param log: what ``airflow dags test`` printed.
    :param file: the stored file.
    :param events: of each asset, by URI: the extra.
    :param xcoms: all XComs, by task and key.
    :param lineage: OpenLineage's events, as its file transport wrote them.
    """

    log: str
    file: Path
    events: dict[str, dict[str, Any]]
    xcoms: dict[tuple[str, str], Any]
    lineage: list[dict[str, Any]]


@pytest.fixture(scope="module")
def run(airflow_installation, emulator_process, tmp_path_factory) -> Run:
    emulator_process.control.reset()
    folder = tmp_path_factory.mktemp("outlets")
    (folder / "dags").mkdir()
    (folder / "dags" / "dag.py").write_text(DAG_FILE)
    file, lineage = folder / "utterances.csv", folder / "lineage.json"
    environment = {
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        "AIRFLOW_CONN_KOREAI_DEFAULT": emulator_process.connection_json(),
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
            {"type": "file", "log_file_path": str(lineage), "append": True}
        ),
        "AIRFLOW_CONN_SQLITE_TEST": json.dumps({"conn_type": "sqlite", "host": str(folder / "warehouse.db")}),
        "KOREAI_TEST_FILE": str(file),
        "PYTHONWARNINGS": "always",
    }
    # Airflow knows assets from the DAG files that it has read.
    read = airflow_installation.run("dags", "reserialize", **environment)
    assert read.returncode == 0, read.stdout
    answer = airflow_installation.run("dags", "test", DAG_ID, **environment)
    assert answer.returncode == 0, answer.stdout
    ((run_id,),) = airflow_installation.query("select run_id from dag_run where dag_id = ?", DAG_ID)
    table = "asset" if AIRFLOW_V_3_0_PLUS else "dataset"
    events = airflow_installation.query(
        f"select uri, event.extra from {table}_event event join {table} on {table}.id = event.{table}_id "
        "where source_run_id = ?",
        run_id,
    )
    return Run(
        log=answer.stdout,
        file=file,
        events={uri: json.loads(extra) for uri, extra in events},
        xcoms=airflow_installation.xcoms(DAG_ID, run_id),
        lineage=[json.loads(line) for line in lineage.read_text().splitlines()],
    )


def test_each_asset_gets_what_was_stored(run, emulator_process):
    stored = run.xcoms["fetch", "return_value"]
    assert stored["rows"] == 364
    address = emulator_process.base_url.removeprefix("http://")
    referred = {REFERRED: stored} if AIRFLOW_V_3_0_PLUS else {}
    others = ("koreai://tests/", f"file://{run.file}.parquet")
    assert {uri: extra for uri, extra in run.events.items() if not uri.startswith(others)} == {
        **referred,
        f"file://{run.file}": stored,
        "koreai://bots.kore.ai/st-other": stored,
        # The alias: the bot that the file is of.
        f"koreai://{address}/{BOT}": stored,
    }


@pytest.mark.parametrize(
    ("task_id", "uri", "key", "value"),
    [
        ("convert", "file://{file}.parquet", "rows", 364),
        ("load", "koreai://tests/loaded", "inserted", 364),
        ("compare", "koreai://tests/compared", "unchanged", 364),
    ],
)
def test_what_convert_load_and_compare_return_is_in_the_events_of_their_assets(run, task_id, uri, key, value):
    extra = run.events[uri.format(file=run.file)]
    assert extra == run.xcoms[task_id, "return_value"]
    assert extra[key] == value


@pytest.mark.parametrize("task_id", ["export", "wait", "fetch"])
def test_each_task_stores_the_builders_address(run, emulator_process, task_id):
    assert run.xcoms[task_id, "koreai_bot_url"] == f"{emulator_process.base_url}/?botId={BOT}"


def test_a_local_file_has_an_empty_address_as_airflow_logs_an_error_without_one(run):
    assert run.xcoms["fetch", "koreai_file_url"] == ""


def end_of(run: Run, task_id: str) -> dict[str, Any]:
    """OpenLineage's event of a task's end."""
    (event,) = (
        event
        for event in run.lineage
        if event["eventType"] == "COMPLETE" and event["job"]["name"] == f"{DAG_ID}.{task_id}"
    )
    return event


@pytest.fixture
def complete(run) -> dict[str, Any]:
    """OpenLineage's event of the download's end."""
    return end_of(run, "fetch")


def test_openlineage_has_the_bot_as_the_input(run, complete, emulator_process):
    (bot,) = complete["inputs"]
    address = emulator_process.base_url.removeprefix("http://")
    assert (bot["namespace"], bot["name"]) == (f"koreai://{address}", BOT)
    assert bot["facets"]["version"]["datasetVersion"] == run.xcoms["export", "requested_time"]


def test_openlineage_has_the_file_as_the_output(run, complete):
    (file,) = complete["outputs"]
    assert (file["namespace"], file["name"]) == ("file", os.path.realpath(run.file))
    statistics = file["outputFacets"]["outputStatistics"]
    assert (statistics["rowCount"], statistics["size"]) == (364, run.file.stat().st_size)
    columns = [field["name"] for field in file["facets"]["schema"]["fields"]]
    assert columns == run.file.read_text().splitlines()[0].split(",")


def test_openlineage_has_an_imports_file_as_the_input_and_the_bot_as_the_output(run, emulator_process):
    event = end_of(run, "send")
    (file,), (bot,) = event["inputs"], event["outputs"]
    address = emulator_process.base_url.removeprefix("http://")
    assert (file["namespace"], file["name"]) == ("file", os.path.realpath(run.file))
    assert (bot["namespace"], bot["name"]) == (f"koreai://{address}", BOT)


def named(datasets: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(dataset["namespace"], dataset["name"]) for dataset in datasets]


def test_openlineage_has_a_conversions_files(run):
    event, file = end_of(run, "convert"), os.path.realpath(run.file)
    assert named(event["inputs"]) == [("file", file)]
    assert named(event["outputs"]) == [("file", f"{file}.parquet")]
    statistics = event["outputs"][0]["outputFacets"]["outputStatistics"]
    assert (statistics["rowCount"], statistics["size"]) == (364, os.path.getsize(f"{file}.parquet"))


def test_openlineage_has_a_loads_file_and_no_table_where_its_hook_cannot_name_it(run):
    event = end_of(run, "load")
    assert named(event["inputs"]) == [("file", os.path.realpath(run.file))]
    assert event["outputs"] == []


def test_openlineage_has_what_a_comparison_read_and_wrote(run):
    event, file = end_of(run, "compare"), os.path.realpath(run.file)
    assert named(event["inputs"]) == [("file", file), ("file", f"{file}.parquet")]
    assert named(event["outputs"]) == [("file", f"{file}.detail.csv")]


def test_openlineage_gets_no_secret(run, emulator_process):
    said = json.dumps(run.lineage)
    assert emulator_process.client_secret not in said
    assert "getMediaStream" not in said


def test_airflow_warns_of_nothing_of_ours(run):
    warnings = [
        line for line in run.log.splitlines() if "Warning" in line and "airflow_provider_koreai" in line
    ]
    assert warnings == []
