"""Guards that skip or warn, on a real Airflow: which tasks run, and what XCom and events say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.installation import AirflowInstallation

DAG = """
from airflow_provider_koreai.operators.compare_utterances import KoreAICompareUtterancesOperator

try:
    from airflow.providers.standard.operators.empty import EmptyOperator
except ImportError:
    from airflow.operators.empty import EmptyOperator
from airflow.providers.common.compat.sdk import DAG, Asset

with DAG("guards", schedule=None) as dag:
    for kind in ("skip", "warn"):
        guard = KoreAICompareUtterancesOperator(
            task_id=kind,
            before="FOLDER/old.csv",
            after="FOLDER/new.csv",
            max_removed=0,
            on_violation="{{ params.get('KIND', 'KIND') }}".replace("KIND", kind),
            outlets=[Asset(f"file://FOLDER/{kind}")],
        )
        guard >> EmptyOperator(task_id=f"after_{kind}")
"""


def test_a_guard_that_skips_or_warns_leaves_the_run_green(
    airflow_installation: AirflowInstallation, tmp_path: Path
) -> None:
    (tmp_path / "old.csv").write_text("taskName,sentence\nBook,to rome\nBook,to paris\n")
    (tmp_path / "new.csv").write_text("taskName,sentence\nBook,to rome\n")
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "guards.py").write_text(DAG.replace("FOLDER", str(tmp_path)))
    folder = {"AIRFLOW__CORE__DAGS_FOLDER": str(dags)}
    # Airflow 2 stores events of known datasets only.
    read = airflow_installation.run("dags", "reserialize", **folder)
    assert read.returncode == 0, read.stdout
    answer = airflow_installation.run("dags", "test", "guards", "2026-03-01", **folder)
    assert answer.returncode == 0, answer.stdout
    ((run_id, state),) = airflow_installation.query(
        "select run_id, state from dag_run where dag_id = ?", "guards"
    )
    assert state == "success"
    assert airflow_installation.task_states("guards", run_id) == {
        "skip": "skipped",
        "after_skip": "skipped",
        "warn": "success",
        "after_warn": "success",
    }
    xcoms = airflow_installation.xcoms("guards", run_id)
    texts = ["1 utterances were removed, more than max_removed=0"]
    for guard in ("skip", "warn"):
        assert xcoms[guard, "violations"] == texts
        assert xcoms[guard, "return_value"]["removed"] == xcoms[guard, "removed"] == 1
        assert f"because on_violation='{guard}'" in answer.stdout
    table = "asset_event" if AIRFLOW_V_3_0_PLUS else "dataset_event"
    events = airflow_installation.query(f"select source_task_id, extra from {table}")
    extras = {task: json.loads(extra) for task, extra in events if task in ("skip", "warn")}
    # A task that is skipped has no event.
    assert list(extras) == ["warn"]
    assert extras["warn"]["violations"] == texts
