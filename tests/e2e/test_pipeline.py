"""The example DAG and a mapped task group, from the trigger of the run to the stored files, on real components."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.scenarios import Launched, Scenario

if TYPE_CHECKING:
    from airflow_provider_koreai.emulator.process import EmulatorProcess
    from tests.support.deployment import Deployment, Run
    from tests.support.scenarios import KoreAI

TASKS = ("export", "wait", "fetch")
BOTS = ["st-e2e-mapped-1", "st-e2e-mapped-2", "st-e2e-mapped-3"]
# A download link, a token, what signs a link.
LINK = re.compile(r"getMediaStream\S*|https?://\S*[?&][nse]=\S*")
TOKEN = re.compile(r"eyJ[\w-]{8,}\.[\w-]+")


@dataclass
class Example:
    """A run of the example DAG that is over."""

    run: Launched
    trigger_row: dict[str, Any]
    folder: Path


@pytest.fixture(scope="module")
def mapped(deployment: Deployment, koreai: KoreAI, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run over three bots with as many rows as their numbers say, started but perhaps not over."""
    for number, bot in enumerate(BOTS, start=1):
        koreai.control.configure_bot(bot, seconds=8, rows=number * 100)
    folder = tmp_path_factory.mktemp("mapped")
    run = deployment.trigger("e2e_many_bots", bots=BOTS, folder=str(folder))
    return run


@pytest.fixture(scope="module")
def example(
    deployment: Deployment, koreai: KoreAI, mapped: Run, tmp_path_factory: pytest.TempPathFactory
) -> Example:
    folder = tmp_path_factory.mktemp("example")
    scenario = Scenario("example_koreai_export_utterances", {"seconds": 12}, conf={"folder": str(folder)})
    run = Launched.launch(scenario, deployment, koreai)
    row = run.trigger_row()
    for task_id in TASKS:
        run.wait_for_task(task_id, "success")
    assert run.wait() == "success"
    return Example(run, row, folder)


def the_file(folder: Path) -> Path:
    (found,) = (path for path in folder.rglob("*") if path.is_file())
    return found


def test_example_stores_the_whole_file_under_its_day(example: Example) -> None:
    path = the_file(example.folder)
    day = example.run.run_id.removeprefix("manual__")[:10]
    assert path.relative_to(example.folder) == Path(example.run.bot, day, "utterances.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 300
    assert set(rows[0]) == {"taskName", "sentence", "type", "language"}


def test_example_waits_in_the_triggerer(example: Example) -> None:
    assert example.run.has_deferred("wait")
    log = example.run.log("wait")
    assert "Pausing task as DEFERRED" in log
    assert "Trigger fired event" in log


def test_example_starts_one_export(example: Example) -> None:
    assert len(example.run.koreai.calls(example.run.bot, "start")) == 1


def test_xcoms_of_the_example_are_the_contract(example: Example) -> None:
    latest = example.run.koreai.status(example.run.bot)
    path = the_file(example.folder)
    content = path.read_bytes()
    export = {"request_id": latest["_id"], "requested_time": latest["requestedTime"], "file_type": "csv"}
    assert example.run.told("export") == {
        "return_value": latest["_id"],
        "requested_time": latest["requestedTime"],
        "file_type": "csv",
    }
    assert example.run.told("wait") == {"return_value": export}
    with path.open(encoding="utf-8", newline="") as file:
        rows = len(list(csv.DictReader(file)))
    stored = {
        **export,
        "path": str(path),
        "bytes": len(content),
        "rows": rows,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bot_id": example.run.bot,
    }
    assert example.run.told("fetch") == {"return_value": stored, **stored}


def test_no_secret_token_or_link_is_left_anywhere(
    example: Example, deployment: Deployment, emulator: EmulatorProcess
) -> None:
    run = example.run
    places: dict[str, str] = {"trigger row": json.dumps(example.trigger_row)}
    for task_id in TASKS:
        places[f"XComs of {task_id}"] = json.dumps(run.xcoms(task_id))
        places[f"{task_id} in the API"] = json.dumps(run.task(task_id))
        places |= run.log_files(task_id)
    assert sum(".log" in name for name in places) == 4
    places |= deployment.logs()
    for name, text in places.items():
        assert emulator.client_secret not in text, name
        assert not LINK.search(text), name
        assert not TOKEN.search(text), name


def test_each_mapped_bot_gets_its_own_file(mapped: Run) -> None:
    assert mapped.wait(240) == "success"
    stored = [mapped.xcoms("one_bot.fetch", index)["return_value"] for index in range(len(BOTS))]
    assert [result["rows"] for result in stored] == [100, 200, 300]
    assert len({result["path"] for result in stored}) == len(BOTS)
    for bot, result in zip(BOTS, stored, strict=True):
        assert Path(result["path"]).name.startswith(bot)
        assert Path(result["path"]).stat().st_size == result["bytes"]
