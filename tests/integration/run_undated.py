"""
Runs a DAG once without a logical date, as a run that an asset or the REST API starts has none: Airflow's own
``dags test`` always sets one.

``python run_undated.py <dag_id> <conf as JSON>``
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # Airflow before 3.2
    from airflow.models.dagbag import DagBag

EXAMPLES = Path(__file__).resolve().parents[2] / "example_dags"


def main(dag_id: str, conf: str) -> int:
    """Run the DAG; the exit code says whether it succeeded."""
    dag = DagBag(str(EXAMPLES)).dags[dag_id]
    run = dag.test(logical_date=None, run_conf=json.loads(conf))
    if run.logical_date is not None:
        raise SystemExit(f"The run has the logical date {run.logical_date}.")
    return 0 if run.state == "success" else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
