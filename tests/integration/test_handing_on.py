"""What a download, a conversion or a comparison hands on to later tasks, entry by entry, on a real Airflow."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

DAG = """
import json
from pathlib import Path

from airflow_provider_koreai.operators.compare_utterances import KoreAICompareUtterancesOperator
from airflow_provider_koreai.operators.convert_utterances import KoreAIConvertUtterancesOperator
from airflow_provider_koreai.operators.koreai import (
    KoreAIDownloadUtterancesOperator,
    KoreAIExportUtterancesOperator,
)

try:
    from airflow.sdk import DAG, task
except ImportError:
    from airflow import DAG
    from airflow.decorators import task

with DAG("handing_on", schedule=None) as dag:
    export = KoreAIExportUtterancesOperator(task_id="export", bot_id="st-demo-travel", wait_for_completion=True)
    fetch = KoreAIDownloadUtterancesOperator(
        task_id="fetch", bot_id="st-demo-travel", path="FOLDER/", request_id=export.output
    )
    convert = KoreAIConvertUtterancesOperator(
        task_id="convert",
        path=fetch.output["path"],
        target="FOLDER/{{ ti.xcom_pull('fetch', key='rows') }}.parquet",
    )
    compare = KoreAICompareUtterancesOperator(
        task_id="compare", before=fetch.output["path"], after=convert.output["path"]
    )

    @task
    def note(path, rows, sha256, parquet, unchanged):
        Path("FOLDER/note.json").write_text(json.dumps([path, rows, sha256, parquet, unchanged]))

    note(
        fetch.output["path"],
        fetch.output["rows"],
        fetch.output["sha256"],
        convert.output["path"],
        compare.output["unchanged"],
    )
    assert "fetch" in convert.upstream_task_ids
"""


def test_each_entry_of_a_result_can_be_handed_on_by_its_key(airflow_installation, koreai_conn, tmp_path):
    dags, files = tmp_path / "dags", tmp_path / "files"
    dags.mkdir()
    (dags / "handing_on.py").write_text(DAG.replace("FOLDER", str(files)))
    answer = airflow_installation.run(
        "dags", "test", "handing_on", "2026-03-01", AIRFLOW__CORE__DAGS_FOLDER=str(dags)
    )
    assert answer.returncode == 0, answer.stdout
    path, rows, sha256, parquet, unchanged = json.loads((files / "note.json").read_text())
    assert path.startswith(f"{files}/st-demo-travel-")
    assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == sha256
    assert (rows, parquet, unchanged) == (364, f"{files}/364.parquet", 364)
