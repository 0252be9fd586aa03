"""What OpenLineage is told of a download."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_provider_koreai.assets.lineage import (
    bot_name,
    dataset_name,
    lineage_of_comparison,
    lineage_of_download,
    lineage_of_load,
)
from airflow_provider_koreai.download.export_file import DownloadResult

RESULT = DownloadResult(
    path="s3://lake/koreai/utterances.csv",
    bytes=4096,
    rows=364,
    sha256="ab" * 32,
    file_type="csv",
    request_id="ds-1",
    requested_time="2026-11-25T14:22:01.922Z",
    bot_id="st-1",
    columns=("taskName", "sentence", "type", "language", "channel"),
)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/data/utterances.csv", ("file", "/data/utterances.csv")),
        (Path("/data/utterances.csv"), ("file", "/data/utterances.csv")),
        ("file:///data/utterances.csv", ("file", "/data/utterances.csv")),
        ("s3://lake/koreai/utterances.csv", ("s3://lake", "koreai/utterances.csv")),
        ("s3a://lake/koreai/utterances.csv", ("s3://lake", "koreai/utterances.csv")),
        ("s3://conn_id@lake/koreai/a#1?.csv", ("s3://lake", "koreai/a#1?.csv")),
        ("gcs://lake/utterances.csv", ("gs://lake", "utterances.csv")),
        ("abfs://container/utterances.csv", ("abfs://container", "utterances.csv")),
    ],
)
def test_a_file_is_named_by_openlineages_rules(path, name):
    assert dataset_name(path) == name


def test_a_bot_is_named_after_its_host():
    assert bot_name("https://platform.kore.ai", "st-1") == ("koreai://platform.kore.ai", "st-1")


def test_the_bot_is_read_as_it_was_at_the_exports_time():
    (bot,) = lineage_of_download("https://bots.kore.ai", "st-1", RESULT).inputs
    assert (bot.namespace, bot.name) == ("koreai://bots.kore.ai", "st-1")
    assert bot.facets["version"].datasetVersion == RESULT.requested_time


def test_the_file_is_written_with_its_rows_size_and_hash():
    (file,) = lineage_of_download("https://bots.kore.ai", "st-1", RESULT).outputs
    assert (file.namespace, file.name) == ("s3://lake", "koreai/utterances.csv")
    statistics = file.outputFacets["outputStatistics"]
    assert (statistics.rowCount, statistics.size, statistics.fileCount) == (364, 4096, 1)
    assert file.facets["version"].datasetVersion == f"sha256:{RESULT.sha256}"


def columns_of(result):
    (file,) = lineage_of_download("https://bots.kore.ai", "st-1", result).outputs
    return {field.name: field.type for field in file.facets["schema"].fields}


def test_the_schema_has_the_files_own_columns():
    assert columns_of(RESULT) == dict.fromkeys(RESULT.columns, "string")


def test_the_schema_of_json_is_the_documented_one():
    assert columns_of(replace(RESULT, file_type="json", columns=())) == {
        "taskName": "string",
        "sentence": "string",
        "type": "string",
        "entities": "array",
        "language": "string",
    }


def test_without_the_time_of_the_export_the_bot_has_no_version():
    (bot,) = lineage_of_download("https://bots.kore.ai", "st-1", replace(RESULT, requested_time=None)).inputs
    assert "version" not in bot.facets


@pytest.fixture
def warehouse(monkeypatch):
    connection = {
        "conn_type": "postgres",
        "host": "db.example",
        "schema": "lake",
        "login": "me",
        "password": "secret",
    }
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection))
    return "warehouse"


def test_a_table_is_named_after_its_database_and_schema(warehouse):
    lineage = lineage_of_load("s3://lake/a.csv", warehouse, "nlu.utterances", 364)
    (table,) = lineage.outputs
    assert (table.namespace, table.name) == ("postgres://db.example:5432", "lake.nlu.utterances")
    assert table.outputFacets["outputStatistics"].rowCount == 364
    assert [(file.namespace, file.name) for file in lineage.inputs] == [("s3://lake", "a.csv")]


def test_a_comparison_reads_a_table_as_well(warehouse):
    lineage = lineage_of_comparison(["s3://lake/a.csv"], warehouse, "nlu.utterances", [])
    assert [file.name for file in lineage.inputs] == ["a.csv", "lake.nlu.utterances"]


# As if the client were not installed; the provider's own entry point is Airflow's affair.
WITHOUT = """
import sys
sys.modules["openlineage"] = sys.modules["airflow.providers.openlineage.extractors"] = None
"""
PROBE = """
import sys
from airflow_provider_koreai.assets.koreai import koreai_asset
from airflow_provider_koreai.operators.koreai import KoreAIDownloadUtterancesOperator
KoreAIDownloadUtterancesOperator(task_id="fetch", bot_id="st-1", path="/p", outlets=[koreai_asset("st-1")])
print("LOADED", [name for name in sys.modules if name.startswith("openlineage.")])
"""


@pytest.mark.parametrize("prelude", ["", WITHOUT], ids=["installed", "not installed"])
def test_a_dag_file_loads_nothing_of_openlineage(prelude):
    answer = subprocess.run(
        [sys.executable, "-c", prelude + PROBE], capture_output=True, text=True, timeout=120, check=False
    )
    assert answer.stdout.splitlines()[-1:] == ["LOADED []"], answer.stderr
