"""
Runs each DAG file of a folder with ``dag.test()``, in one process, as starting Airflow takes longer than a run.

``python run_dags.py <folder>`` writes ``<folder>/outcomes.json``: for each file its import error, or the state of its
run and of each task.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path

from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # Airflow before 3.2
    from airflow.models.dagbag import DagBag


def main(folder: Path) -> None:
    """Run them all."""
    bag = DagBag(str(folder))
    outcomes = {Path(file).stem: {"error": error} for file, error in bag.import_errors.items()}
    for dag in bag.dags.values():
        name = Path(dag.fileloc).stem
        try:
            # Without a logical date, as in a run that the REST API or an asset starts: what works there works everywhere.
            run = dag.test(**({"logical_date": None} if AIRFLOW_V_3_0_PLUS else {}))
            # On Airflow 2 the run that is given back may be older than its own end.
            states = {f"{ti.task_id}[{ti.map_index}]": str(ti.state) for ti in run.get_task_instances()}
            outcomes[name] = {"state": str(run.state), "tasks": states}
        except Exception:  # noqa: BLE001 - whatever it is, it is this block's, and the others are run
            outcomes[name] = {"error": traceback.format_exc()}
    (folder / "outcomes.json").write_text(json.dumps(outcomes))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
