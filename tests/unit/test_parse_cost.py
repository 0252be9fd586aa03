"""
What a DAG file costs that imports the provider: no library for HTTP, crypto, data or databases, no network, no look-up of
a connection.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_koreai.get_provider_info import get_provider_info
from tests.support.examples import FILES, FOLDER

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE = "airflow_provider_koreai"
INFO = get_provider_info()
# What a DAG file may import at its top: everything but the hook and the trigger, which only tasks need.
MODULES = sorted(
    {
        *(
            name
            for kind in ("operators", "sensors")
            for entry in INFO[kind]
            for name in entry["python-modules"]
        ),
        *(link.rpartition(".")[0] for link in INFO["extra-links"]),
        f"{PACKAGE}.assets.koreai",
        f"{PACKAGE}.exceptions",
        f"{PACKAGE}.task_groups",
    }
)
# For any asset, Airflow loads what each provider that is installed has for the URIs of its own assets.
USE_ASSETS = [name for name in FILES if "sset(" in (FOLDER / f"{name}.py").read_text()]
USE_NONE = [name for name in FILES if name not in USE_ASSETS]
HEAVY = (
    "aiohttp",
    "airflow.providers.common.sql.hooks",
    "airflow.providers.openlineage.extractors",
    "boto3",
    "botocore",
    "cryptography.hazmat",
    "httpx",
    "joserfc",
    "jwt",
    "numpy",
    "openlineage",
    "pandas",
    "psycopg2",
    "pyarrow",
    "requests",
    "s3fs",
    "sqlite3",
    "starlette",
    "tenacity",
    "urllib3",
    "uvicorn",
    "zstandard",
)

# First what any DAG file imports, then ours; last, on purpose, what must not have happened, to see that it is noticed.
PROBE = """
import importlib.util, json, socket, sys

plain, asset, modules, examples = json.loads(sys.argv[1])
# As if the amazon provider, whose handler of s3:// URIs imports boto3, were not installed.
sys.modules["airflow.providers.amazon.aws"] = None

def load(path):
    spec = importlib.util.spec_from_file_location("probed_dag", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

from airflow.providers.common.compat.sdk import DAG, BaseOperator, BaseSensorOperator, Param, conf
conf.getboolean("operators", "default_deferrable", fallback=False)
load(plain)
if asset:
    from airflow.providers.common.compat.sdk import Asset
    Asset("plain://asset")

network = []
sys.addaudithook(lambda event, args: network.append(event) if event.startswith("socket.") else None)
lookups = []
import koreai_probe_backend
koreai_probe_backend.lookups = lookups

added = {}

def note(name, action, argument):
    before = set(sys.modules)
    action(argument)
    added[name] = sorted(set(sys.modules) - before)

for name in modules:
    note(name, importlib.import_module, name)
for path in examples:
    note(path, load, path)
report = {"added": dict(added), "network": list(network), "lookups": list(lookups)}

def misbehave(_):
    from airflow_provider_koreai.hooks.koreai import KoreAIHook
    try:
        KoreAIHook("koreai_probe").get_conn()
    except Exception:
        pass
    socket.socket().close()

note("misbehave", misbehave, None)
report["noticed"] = {"added": added["misbehave"], "network": list(network), "lookups": list(lookups)}
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


def probe(folder: Path, *, asset: bool, modules: list[str], examples: list[str]) -> Any:
    """Give what one fresh interpreter saw while it imported modules and read examples, one after the other."""
    (folder / "koreai_probe_backend.py").write_text(BACKEND)
    (folder / "plain.py").write_text(PLAIN_DAG)
    paths = [str(FOLDER / f"{name}.py") for name in examples]
    answer = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps([str(folder / "plain.py"), asset, modules, paths])],
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


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Of all modules, and of the examples without assets."""
    folder = tmp_path_factory.mktemp("probe")
    return probe(folder, asset=False, modules=MODULES, examples=USE_NONE)


@pytest.fixture(scope="module")
def report_with_assets(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Of the examples with assets, beyond what any asset costs."""
    folder = tmp_path_factory.mktemp("probe")
    return probe(folder, asset=True, modules=[], examples=USE_ASSETS)


def heavy(modules: list[str]) -> list[str]:
    return [
        module for module in modules if any(module == name or module.startswith(f"{name}.") for name in HEAVY)
    ]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_for_dag_files_imports_nothing_heavy(report, module):
    assert heavy(report["added"][module]) == []


@pytest.mark.parametrize("name", USE_NONE)
def test_an_example_imports_nothing_heavy(report, name):
    assert heavy(report["added"][str(FOLDER / f"{name}.py")]) == []


@pytest.mark.parametrize("name", USE_ASSETS)
def test_an_example_with_assets_imports_nothing_heavy(report_with_assets, name):
    assert heavy(report_with_assets["added"][str(FOLDER / f"{name}.py")]) == []


def test_something_heavy_would_be_noticed(report):
    # Which of the hook's modules are new depends on what Airflow has loaded.
    assert heavy(report["noticed"]["added"])


def test_imports_neither_hook_nor_triggers_nor_emulator_nor_what_reads_files(report):
    ours = {
        module
        for name, added in report["added"].items()
        # Its asset's watcher is a trigger.
        if not name.endswith("example_koreai_on_export.py")
        for module in added
        if module.startswith(f"{PACKAGE}.")
    }
    within = {module.removeprefix(f"{PACKAGE}.") for module in ours}
    wings = {module.split(".")[0] for module in within}
    assert {"operators", "sensors", "task_groups", "assets", "links"} <= wings
    assert not wings & {"compare", "download", "emulator", "hooks", "triggers", "utterances"}
    assert not within & {"api.async_client", "api.client", "warehouse.database", "warehouse.loading"}


def test_opens_no_socket(report, report_with_assets):
    assert report["network"] == report_with_assets["network"] == []
    assert "socket.__new__" in report["noticed"]["network"]


def test_looks_no_connection_up(report, report_with_assets):
    assert report["lookups"] == report_with_assets["lookups"] == []
    assert report["noticed"]["lookups"] == ["koreai_probe"]
