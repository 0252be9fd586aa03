"""What a DAG file costs that imports the provider: no HTTP or crypto library, no network, no look-up of a connection."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = (
    "aiohttp",
    "cryptography.hazmat",
    "httpx",
    "joserfc",
    "jwt",
    "pandas",
    "requests",
    "starlette",
    "tenacity",
    "urllib3",
    "uvicorn",
)

# First what any DAG file imports, then ours; last, on purpose, what must not have happened, to see that it is noticed.
PROBE = """
import importlib.util, json, socket, sys

def load(path):
    spec = importlib.util.spec_from_file_location("probed_dag", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

from airflow.providers.common.compat.sdk import DAG, BaseOperator, BaseSensorOperator, Param, conf
conf.getboolean("operators", "default_deferrable", fallback=False)
load(sys.argv[1])

before = set(sys.modules)
network = []
sys.addaudithook(lambda event, args: network.append(event) if event.startswith("socket.") else None)
lookups = []
import koreai_probe_backend
koreai_probe_backend.lookups = lookups

import airflow_provider_koreai.operators.koreai
import airflow_provider_koreai.sensors.koreai
load(sys.argv[2])
report = {
    "before": sorted(before), "added": sorted(set(sys.modules) - before),
    "network": list(network), "lookups": list(lookups),
}

from airflow_provider_koreai.hooks.koreai import KoreAIHook
try:
    KoreAIHook("koreai_probe").get_conn()
except Exception:
    pass
socket.socket().close()
report["noticed"] = {
    "added": sorted(set(sys.modules) - before), "network": list(network), "lookups": list(lookups)
}
print("REPORT" + json.dumps(report))
"""

BACKEND = """
from airflow.secrets import BaseSecretsBackend

lookups = None

class Backend(BaseSecretsBackend):
    def get_conn_value(self, conn_id, *args, **kwargs):
        if lookups is not None:
            lookups.append(conn_id)
        return '{"conn_type": "koreai", "login": "cs-probe", "password": "a-secret-of-the-probe"}'
"""

PLAIN_DAG = """
from datetime import datetime, timezone
from airflow.providers.common.compat.sdk import DAG, BaseOperator, Param

class Plain(BaseOperator):
    template_fields = ("value",)

    def __init__(self, *, value=None, **kwargs):
        super().__init__(**kwargs)
        self.value = value

with DAG("plain", schedule="@daily", start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
         params={"a": Param("b", type="string")}, tags=["plain"], doc_md="text"):
    one = Plain(task_id="one")
    two = Plain(task_id="two", value=one.output["key"])
    one >> two
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What one fresh interpreter saw while it imported the provider and parsed the example DAG."""
    folder = tmp_path_factory.mktemp("probe")
    (folder / "koreai_probe_backend.py").write_text(BACKEND)
    (folder / "plain.py").write_text(PLAIN_DAG)
    example = ROOT / "example_dags" / "example_koreai_export_utterances.py"
    answer = subprocess.run(
        [sys.executable, "-c", PROBE, str(folder / "plain.py"), str(example)],
        env={
            **os.environ,
            "PYTHONPATH": str(folder),
            "AIRFLOW__SECRETS__BACKEND": "koreai_probe_backend.Backend",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return json.loads(answer.stdout.partition("REPORT")[2])


def heavy(modules: list[str]) -> list[str]:
    return [
        module for module in modules if any(module == name or module.startswith(f"{name}.") for name in HEAVY)
    ]


def test_imports_nothing_heavy(report):
    assert "airflow_provider_koreai.sensors.koreai" in report["added"]
    assert heavy(report["added"]) == []
    # It could have been noticed: the hook does import such modules. Which ones depends on what Airflow has loaded.
    assert heavy(report["noticed"]["added"])


def test_imports_neither_hook_nor_triggers_nor_emulator(report):
    ours = {module for module in report["added"] if module.startswith("airflow_provider_koreai.")}
    parts = {module.split(".")[1] for module in ours}
    assert not parts & {"hooks", "triggers", "emulator", "transport", "async_transport", "download"}


def test_opens_no_socket(report):
    assert report["network"] == []
    assert "socket.__new__" in report["noticed"]["network"]


def test_looks_no_connection_up(report):
    assert report["lookups"] == []
    assert report["noticed"]["lookups"] == ["koreai_probe"]
