"""The world that the pages speak of: their bots, their connections, ``/data`` and the bucket ``lake``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_koreai.emulator.process import EmulatorProcess
from airflow_provider_koreai.hooks.koreai import KoreAIHook
from tests.support.installation import AirflowInstallation

from .blocks import BLOCKS, Block

if TYPE_CHECKING:
    from collections.abc import Iterator

BOTS = ("st-ab12cd34-...", "st-ab12cd34-0000-0000-0000-000000000000", "st-ab12", "st-cd34")
EMULATOR_URL = "http://127.0.0.1:8077"


@dataclass(frozen=True)
class World:
    """
    Where blocks are run.

    :param folder: the test's own.
    :param emulator: plays Kore.ai.
    :param airflow: has a migrated database.
    :param connections: what the pages take for given, as environment variables: connections and credentials.
    """

    folder: Path
    emulator: EmulatorProcess
    airflow: AirflowInstallation
    connections: dict[str, str]

    def translated(self, block: Block) -> str:
        """Give a block's code, with a folder of its own for ``/data`` and ``/tmp/koreai``, and the emulator's real address."""
        data = self.folder / "data" / block.name
        if not data.exists():
            (data / "koreai").mkdir(parents=True)
            # docs/testing.md tests the DAG of docs/nightly.md.
            (data / "dags").mkdir()
            (nightly,) = (one for one in BLOCKS if one.page == "docs/nightly.md")
            code = nightly.code.replace("/data/", f"{data}/")
            (data / "dags" / "koreai_nightly.py").write_text(code, "utf-8")
            for name in ("utterances.csv", "corrected.json", "backup.json"):
                shutil.copy(self.folder / name, data / "koreai")
        code = block.code.replace("/data/", f"{data}/").replace("/tmp/koreai/", f"{data}/koreai/")
        return code.replace(EMULATOR_URL, self.emulator.base_url)

    def environment(self, **more: str) -> dict[str, str]:
        """Give the environment of a program: this Python and Airflow, without the pages' connections."""
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        return {**os.environ, "AIRFLOW_HOME": str(self.airflow.home), "PATH": path, **more}


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The one world of the session."""
    moto_server = pytest.importorskip("moto.server", reason="needs moto[server]")
    boto3 = pytest.importorskip("boto3", reason="needs apache-airflow-providers-amazon[s3fs]")
    folder = tmp_path_factory.mktemp("docs")
    s3 = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    s3.start()
    try:
        with EmulatorProcess(seconds=0, too_soon_seconds=0) as emulator:
            airflow = AirflowInstallation(folder / "home")
            answer = airflow.run("db", "migrate")
            assert answer.returncode == 0, answer.stdout
            endpoint = "http://{}:{}".format(*s3.get_host_and_port())
            made = World(folder, emulator, airflow, connections(emulator, endpoint, folder))
            with pytest.MonkeyPatch.context() as patch:
                for name, value in made.connections.items():
                    patch.setenv(name, value)
                for bot_id in BOTS:
                    emulator.control.configure_bot(bot_id)
                    KoreAIHook().start_export(bot_id)
                KoreAIHook().download_export(BOTS[0], str(folder / "utterances.csv"))
                KoreAIHook().start_export(BOTS[0], file_type="json")
                KoreAIHook().download_export(BOTS[0], str(folder / "backup.json"))
            entries = json.loads((folder / "backup.json").read_text("utf-8"))
            corrected = json.dumps([entry for entry in entries if entry.get("taskName")])
            (folder / "corrected.json").write_text(corrected, "utf-8")
            keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
            client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **keys)
            client.create_bucket(Bucket="lake")
            for name in ("utterances.csv", "corrected.json"):
                client.upload_file(str(folder / name), "lake", f"koreai/{name}")
            yield made
    finally:
        s3.stop()


def connections(emulator: EmulatorProcess, endpoint: str, folder: Path) -> dict[str, str]:
    """Give the pages' connections."""
    aws = {
        "conn_type": "aws",
        "login": "testing",
        "password": "testing",
        "extra": {"endpoint_url": endpoint, "region_name": "us-east-1"},
    }
    koreai = emulator.connection()
    sqlite = {"conn_type": "sqlite", "host": str(folder / "warehouse.db")}
    named: dict[str, Any] = {
        "koreai_default": koreai,
        "koreai_admin": koreai,
        "lake": aws,
        "warehouse_default": sqlite,
    }
    return {
        **{f"AIRFLOW_CONN_{name.upper()}": json.dumps(connection) for name, connection in named.items()},
        # What a machine of that cloud has, for pages that name no storage_conn_id.
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }


@pytest.fixture(scope="session")
def dag_outcomes(world: World) -> dict[str, dict[str, Any]]:
    """What came of each block that defines a DAG or tasks."""
    folder = world.folder / "dags"
    folder.mkdir()
    for block in BLOCKS:
        code = world.translated(block) if block.kind in ("dag", "tasks") else ""
        if block.kind == "tasks":
            # As whoever copies it does: into a DAG.
            head = f"from datetime import datetime, timezone\n\nfrom airflow.providers.common.compat.sdk import DAG\n\nwith DAG({block.name!r}, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):\n"
            code = head + "".join(f"    {line}" if line.strip() else line for line in code.splitlines(True))
        if code:
            (folder / f"{block.name}.py").write_text(code, "utf-8")
    program = Path(__file__).with_name("run_dags.py")
    environment = world.environment(**world.connections, AIRFLOW__CORE__DAGS_FOLDER=str(folder))
    with (folder / "log").open("w+") as log:
        subprocess.run(
            [sys.executable, str(program), str(folder)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            timeout=300,
            check=False,
        )
    written = folder / "outcomes.json"
    assert written.exists(), (folder / "log").read_text()[-8000:]
    outcomes: dict[str, dict[str, Any]] = json.loads(written.read_text())
    return outcomes
