"""
Keeps every test away from the Airflow that this machine may have.

The private AIRFLOW_HOME has to be there before anything imports Airflow, so it is made when this file is loaded.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

AIRFLOW_HOME = Path(tempfile.mkdtemp(prefix="koreai-tests-"))

for name in list(os.environ):
    if name.startswith(("AIRFLOW", "KOREAI_")):
        del os.environ[name]
os.environ.update(
    AIRFLOW_HOME=str(AIRFLOW_HOME),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__DAGS_FOLDER=str(Path(__file__).resolve().parents[1] / "example_dags"),
    NO_COLOR="1",
)


def pytest_unconfigure() -> None:
    """Remove it."""
    shutil.rmtree(AIRFLOW_HOME, ignore_errors=True)
