"""
Nothing in this package or its examples uses what Airflow, or another package, has deprecated: not when it is imported, not
when a DAG file is read, not when tasks run.

Each process notes every deprecation warning where it is raised: filters and log handlers, of which Airflow sets its own, do
not matter.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.examples import FILES, FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PACKAGE = FOLDER.parent / "airflow_provider_koreai"
NOTES = "KOREAI_TESTS_NOTES"

# Python imports this module at its start. Of a warning it notes the file that it names, the one that raised it, and that
# one's caller: a library may have forgotten to name its caller.
SITECUSTOMIZE = f"""
import json, os, sys, warnings

def note(kind, message, named):
    if issubclass(kind, (DeprecationWarning, PendingDeprecationWarning, FutureWarning)):
        callers, frame = [], sys._getframe(2)
        while frame:
            # As the module warnings does: what imports is no caller.
            if not frame.f_code.co_filename.startswith("<frozen importlib"):
                callers.append(frame.f_code.co_filename)
            frame = frame.f_back
        if isinstance(named, int):
            named = callers[min(named, len(callers)) - 1]
        with open(os.environ["{NOTES}"], "a") as notes:
            notes.write(json.dumps([kind.__name__, str(message), [named, *callers[:2]]]) + "\\n")

def warn(message, category=None, stacklevel=1, *args, _original=warnings.warn, **kwargs):
    kind = type(message) if isinstance(message, Warning) else category or UserWarning
    note(kind, message, stacklevel)
    return _original(message, category, stacklevel + 1, *args, **kwargs)

def warn_explicit(message, category, filename, *args, _original=warnings.warn_explicit, **kwargs):
    note(type(message) if isinstance(message, Warning) else category, message, filename)
    return _original(message, category, filename, *args, **kwargs)

warnings.warn, warnings.warn_explicit = warn, warn_explicit
"""

IMPORT_ALL = """
import importlib, pkgutil
import airflow_provider_koreai as package

for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""
READ_EXAMPLES = """
import runpy, sys

for path in sys.argv[1:]:
    runpy.run_path(path)
"""
ASK_ABOUT_THE_PROVIDER = """
from airflow.providers_manager import ProvidersManager
from airflow_provider_koreai.hooks.koreai import KoreAIHook

manager = ProvidersManager()
assert dict(manager.hooks)["koreai"].hook_class_name.endswith("KoreAIHook")
dict(manager.connection_form_widgets), dict(manager.field_behaviours)
print(KoreAIHook().test_connection())
"""
# As if a module of the package did it.
INVENTED = f"{PACKAGE}/invented.py"
USE_SOMETHING_DEPRECATED = f"""
source = '''
try:
    from airflow.utils.dates import days_ago
except ImportError:
    from airflow.operators.branch import BaseBranchOperator
else:
    days_ago(1)
'''
exec(compile(source, "{INVENTED}", "exec"))
"""

DAG_ID = "everything"
DAG_FILE = f"""
import os
from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG, task, task_group

from airflow_provider_koreai.assets.koreai import koreai_asset
from airflow_provider_koreai.operators.compare_utterances import KoreAICompareUtterancesOperator
from airflow_provider_koreai.operators.convert_utterances import KoreAIConvertUtterancesOperator
from airflow_provider_koreai.operators.koreai import (
    KoreAIDownloadUtterancesOperator, KoreAIExportUtterancesOperator,
)
from airflow_provider_koreai.operators.load_utterances import KoreAILoadUtterancesOperator
from airflow_provider_koreai.sensors.koreai import KoreAIExportStatusSensor
from airflow_provider_koreai.task_groups import koreai_export_utterances

FOLDER = os.environ["KOREAI_TESTS_FOLDER"]
BOT = "st-demo-travel"

with DAG("{DAG_ID}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    export = KoreAIExportUtterancesOperator(task_id="export", bot_id=BOT)
    export_of = dict(bot_id=BOT, request_id=export.output, requested_time=export.output["requested_time"])
    waits = [
        KoreAIExportStatusSensor(task_id=f"wait_{{mode}}", mode=mode, deferrable=False, **export_of)
        for mode in ("poke", "reschedule")
    ]
    waits.append(KoreAIExportStatusSensor(task_id="wait_deferred", deferrable=True, **export_of))
    path = FOLDER + "/utterances.csv"
    fetch = KoreAIDownloadUtterancesOperator(
        task_id="fetch", path=path, outlets=[koreai_asset(BOT)], **export_of
    )
    convert = KoreAIConvertUtterancesOperator(task_id="convert", path=path, target=FOLDER + "/utterances.parquet")
    table = dict(table="utterances", conn_id="warehouse", bot_id=BOT)
    load = KoreAILoadUtterancesOperator(task_id="load", path=path, **table)
    compare = KoreAICompareUtterancesOperator(task_id="compare", after=path, report_path=FOLDER + "/report.html", **table)

    whole = [
        KoreAIExportUtterancesOperator(
            task_id=f"whole_{{deferrable}}", bot_id=BOT, wait_for_completion=True, deferrable=deferrable
        )
        for deferrable in (False, True)
    ]

    @task
    def bots():
        from airflow_provider_koreai.hooks.koreai import KoreAIHook

        return [bot.bot_id for bot in KoreAIHook().list_bots()][:2]

    @task
    def misbehave():
        exec(os.environ["KOREAI_TESTS_MISBEHAVIOUR"])

    misbehave()
    listed = bots()

    @task_group
    def one_bot(bot_id):
        koreai_export_utterances(bot_id=bot_id, path=FOLDER + "/", deferrable=True)

    one_bot.expand(bot_id=listed)
    # One after the other: none may start a newer export of a bot that another one still waits for.
    export >> waits >> fetch >> convert >> load >> compare >> whole[0] >> whole[1] >> listed
"""


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Lets all Pythons that are started note deprecation warnings; gives those that this project has to answer for."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITECUSTOMIZE)
    file = tmp_path / "notes"
    file.touch()
    monkeypatch.setenv(NOTES, str(file))
    # Airflow 2.11 warns whoever imports it first of the default of this setting.
    monkeypatch.setenv("AIRFLOW__METRICS__TIMER_UNIT_CONSISTENCY", "True")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))

    def ours() -> list[str]:
        found = []
        for kind, message, files in map(json.loads, file.read_text().splitlines()):
            origins = [name for name in files if name.startswith((str(PACKAGE), str(FOLDER)))]
            if origins:
                found.append(f"{origins[0]}: {kind}: {message}")
        return found

    return ours


def python(code: str, *arguments: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=dict(os.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_not_when_all_is_imported(notes):
    python(IMPORT_ALL)
    assert notes() == []


def test_not_when_the_examples_are_read(notes):
    python(READ_EXAMPLES, *(str(FOLDER / f"{name}.py") for name in FILES))
    assert notes() == []


def test_not_when_airflow_asks_for_hook_form_and_test_button(notes, koreai_conn):
    python(ASK_ABOUT_THE_PROVIDER)
    assert notes() == []


def test_not_when_tasks_run(notes, koreai_conn, airflow_installation, tmp_path):
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "dag.py").write_text(DAG_FILE)
    environment = {
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
            {"type": "file", "log_file_path": str(tmp_path / "lineage.json"), "append": True}
        ),
        "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "warehouse.db")}),
        "KOREAI_TESTS_FOLDER": str(tmp_path / "files"),
        "KOREAI_TESTS_MISBEHAVIOUR": USE_SOMETHING_DEPRECATED,
    }
    read = airflow_installation.run("dags", "reserialize", **environment)
    assert read.returncode == 0, read.stdout
    answer = airflow_installation.run("dags", "test", DAG_ID, **environment)
    assert answer.returncode == 0, answer.stdout
    noted = set(notes())
    assert {line for line in noted if not line.startswith(INVENTED)} == set()
    assert noted  # or the tasks' processes note nothing


def test_something_deprecated_would_be_noticed(notes):
    python(USE_SOMETHING_DEPRECATED)
    (noted,) = set(notes())
    assert noted.startswith(INVENTED)
