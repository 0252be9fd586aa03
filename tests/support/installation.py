"""An Airflow installation of its own, used through its command line."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

# Airflow reads this module at its start. A retry would wait for minutes.
LOCAL_SETTINGS = "def task_policy(task):\n    task.retries = 0\n"


def xcom(stored: Any) -> Any:
    """Read a stored XCom. SQLite returns a number as a number, not as its JSON text; Airflow 2 stores bytes."""
    return json.loads(stored) if isinstance(stored, (str, bytes)) else stored


class AirflowInstallation:
    """
    Airflow as its command line shows it, with a home and a migrated database of its own. Tasks are not retried.

    :param home: the AIRFLOW_HOME.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.database = home / "airflow.db"
        (home / "config").mkdir(parents=True)
        (home / "config" / "airflow_local_settings.py").write_text(LOCAL_SETTINGS)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one ``airflow`` command; its stdout has the log too."""
        return self._run("-m", "airflow", *arguments, **environment)

    def run_python(
        self, script: Path, *arguments: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a Python script with this Airflow; its stdout has the log too."""
        return self._run(str(script), *arguments, **environment)

    def _run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, "AIRFLOW_HOME": str(self.home), "COLUMNS": "10000", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )

    def query(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Ask the metadata database."""
        with contextlib.closing(sqlite3.connect(self.database)) as database:
            return database.execute(statement, parameters).fetchall()

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str]:
        """The state of each task of a run."""
        statement = "select task_id, state from task_instance where dag_id = ? and run_id = ?"
        return dict(self.query(statement, dag_id, run_id))

    def xcoms(self, dag_id: str, run_id: str) -> dict[tuple[str, str], Any]:
        """All XComs of a run, by task and key."""
        statement = "select task_id, key, value from xcom where dag_id = ? and run_id = ?"
        return {(task, key): xcom(value) for task, key, value in self.query(statement, dag_id, run_id)}
