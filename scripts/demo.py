"""
``make demo``: run an example DAG on a real Airflow, and show what was exported.

The emulator stands in for Kore.ai, unless AIRFLOW_CONN_KOREAI_DEFAULT and KOREAI_BOT_ID are set: then the demo uses that
account. Airflow's files are kept in .demo/, apart from any other Airflow on this machine.
"""

# ruff: noqa: S603 - it runs this project's own programs

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import unicodedata
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.emulator.config import DEMO_BOT
from airflow_provider_koreai.emulator.process import EmulatorError, EmulatorProcess

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / ".demo"
FOLDER = DEMO / "exports"
WAREHOUSE = DEMO / "warehouse.db"
DAG_ID = "example_koreai_export_utterances"
CONNECTION, BOT = "AIRFLOW_CONN_KOREAI_DEFAULT", "KOREAI_BOT_ID"
ROWS_SHOWN = 10
TASK_WIDTH = 10
WIDEST_CELL = 56
TAIL = 60

# A line of Airflow's log: time, level, message, logger, further fields.
LOG_LINE = re.compile(
    r"^(?P<time>\S+) \[(?P<level>\w+) *\] (?P<text>.*?) *\[(?P<logger>[\w.]+)\](?P<fields>(?: \w+=.*)?)$"
)
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
# Airflow reads this module when it starts. Nobody wants to wait for a retry in a demo.
LOCAL_SETTINGS = "def task_policy(task):\n    task.retries = 0\n"


LOAD = """
import json, sys
from airflow_provider_koreai.operators.load_utterances import KoreAILoadUtterancesOperator
arguments = json.loads(sys.argv[1])
result = KoreAILoadUtterancesOperator(task_id="load", **arguments).execute({})
print(json.dumps({**result, "request_id": arguments["request_id"]}))
"""


class DemoError(Exception):
    """An error that one sentence explains to the user."""


def main() -> int:
    """Run the demo and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace", line_buffering=True)  # type: ignore[union-attr]
    try:
        with kore_ai() as (connection, bot_id):
            home = prepare_airflow()
            conf = {"bot_id": bot_id, "folder": str(FOLDER)}
            run_id = run_dag(home, DAG_ID, conf, **{CONNECTION: connection})
        result = returned(home, DAG_ID, run_id, "fetch")
        show_result(result)
        show_table(load(home, result, bot_id))
    except (DemoError, EmulatorError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


@contextlib.contextmanager
def kore_ai() -> Iterator[tuple[str, str]]:
    """Provide a connection and a bot: the user's or the emulator's."""
    connection, bot_id = os.environ.get(CONNECTION), os.environ.get(BOT)
    if connection and bot_id:
        step("Kore.ai", f"the account of your {CONNECTION}, bot {bot_id}")
        yield connection, bot_id
        return
    if connection or bot_id:
        is_set, is_not = (CONNECTION, BOT) if connection else (BOT, CONNECTION)
        raise DemoError(
            f"{is_set} is set, but {is_not} is not. Set both to use your account, or neither to use the emulator."
        )
    with EmulatorProcess() as emulator:
        step("Kore.ai", f"the emulator at {emulator.base_url}, bot {DEMO_BOT}")
        yield emulator.connection_json(), DEMO_BOT


def prepare_airflow() -> Path:
    """Create an Airflow home with a database, unless there is one."""
    airflow = version("apache-airflow")
    home = DEMO / f"airflow-{airflow}"
    migrated = home / ".migrated"
    step("Airflow", f"{airflow}, with its own database in {shown(home)}")
    (home / "config").mkdir(parents=True, exist_ok=True)
    (home / "config" / "airflow_local_settings.py").write_text(LOCAL_SETTINGS)
    if not migrated.is_file():
        print("          creating the database, once ...")
        log = home / "migrate.log"
        with log.open("wb") as file:
            command = [sys.executable, "-m", "airflow", "db", "migrate"]
            code = subprocess.run(
                command,
                env=environment(home),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                check=False,
            ).returncode
        if code != 0:
            print_tail(log)
            raise DemoError(f"'airflow db migrate' exited with {code}.")
        migrated.touch()
    return home


def run_dag(home: Path, dag_id: str, conf: dict[str, Any], **connections: str) -> str:
    """Run an example DAG, print what its tasks log, and return the run's ID."""
    step("DAG", f"{dag_id} (example_dags/{dag_id}.py)")
    last = newest_run(home, dag_id)
    command = [sys.executable, "-m", "airflow", "dags", "test", dag_id, "--conf", json.dumps(conf)]
    log = home / "run.log"
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(
            command,
            env=environment(home, **connections),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        ) as process,
    ):
        try:
            for line in what_matters(tee(process.stdout or (), file)):
                print(f"          {line}")
        except BaseException:
            process.terminate()
            raise
    run = newest_run(home, dag_id)
    if process.returncode != 0 or run is None or run == last:
        print_tail(log)
        reason = reason_in(log) or f"'airflow dags test' exited with {process.returncode}."
        raise DemoError(f"{reason}\nThe whole log is {shown(log)}.")
    return run[1]


def what_matters(lines: Iterable[str]) -> Iterator[str]:
    """Pick the lines of Airflow's log that tell the story: our tasks' messages, their states, errors."""
    task = ""
    for line in lines:
        match = LOG_LINE.match(line)
        if match is None:
            continue
        text, fields = match["text"], match["fields"]
        if started := re.search(r"\[DAG TEST\] starting task_id=(\S+)", text):
            # The task's own name, without the groups that it is in.
            task = started[1].rpartition(".")[2]
        elif state := re.search(r" new_state=(\S+)", fields):
            note = ": it waits without a worker slot" if state[1] == "deferred" else ""
            yield f"{task:<{TASK_WIDTH}}{state[1]}{note}"
        elif "airflow_provider_koreai" in match["logger"] or match["level"] in ("error", "critical"):
            yield f"{task:<{TASK_WIDTH}}{text}"


def show_result(result: dict[str, object]) -> None:
    """Print where the file is and what is in it, after comparing it with the download task's result."""
    path = Path(str(result["path"]))
    content = path.read_bytes()
    with path.open(encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file)
    found = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "rows": len(rows)}
    for key, value in found.items():
        if value != result[key]:
            raise DemoError(f"the task reported {key} {result[key]}, but {path} has {value}.")
    step("Export", shown(path))
    print(f"          rows     {found['rows']:,}")
    print(f"          bytes    {found['bytes']:,}")
    print(f"          SHA-256  {found['sha256']}")
    print("          (the task reported the same numbers, as XComs)\n")
    for line in table(header, rows[:ROWS_SHOWN]):
        print(line)
    if len(rows) > ROWS_SHOWN:
        print(f"... and {len(rows) - ROWS_SHOWN:,} more rows")


def load(home: Path, result: dict[str, object], bot_id: str) -> dict[str, Any]:
    """Load the file into a SQLite database, as a task of example_koreai_to_warehouse does."""
    arguments = {key: result[key] for key in ("path", "request_id", "requested_time", "file_type")}
    arguments |= {"bot_id": bot_id, "conn_id": "warehouse", "table": "utterances"}
    arguments["snapshot"] = str(result["requested_time"]) or datetime.now(timezone.utc).isoformat()
    warehouse = json.dumps({"conn_type": "sqlite", "host": str(WAREHOUSE)})
    done = subprocess.run(
        [sys.executable, "-c", LOAD, json.dumps(arguments)],
        env=environment(home, AIRFLOW_CONN_WAREHOUSE=warehouse, AIRFLOW__LOGGING__LOGGING_LEVEL="ERROR"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode != 0:
        raise DemoError((done.stderr.strip() or "the load failed").splitlines()[-1])
    loaded: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return loaded


def show_table(loaded: dict[str, Any]) -> None:
    """Print what is in the database, after comparing it with the load's result."""
    query = (
        "select language, type, count(*), count(distinct task_name || ': ' || sentence) from utterances "
        "where bot_id = ? and export_request_id = ? group by 1, 2 order by 3 desc, 1, 2"
    )
    with contextlib.closing(sqlite3.connect(WAREHOUSE)) as database:
        rows = database.execute(query, (loaded["bot_id"], loaded["request_id"])).fetchall()
        (snapshots,) = database.execute(
            "select count(distinct snapshot) from utterances where bot_id = ?", (loaded["bot_id"],)
        ).fetchone()
    if sum(row[2] for row in rows) != loaded["inserted"]:
        raise DemoError(
            f"the load reported {loaded['inserted']} rows, but {shown(WAREHOUSE)} has another number."
        )
    step("Table", f"utterances in {shown(WAREHOUSE)}, loaded by KoreAILoadUtterancesOperator")
    print(f"          rows       {loaded['inserted']:,}, and {loaded['replaced']:,} replaced")
    print(f"          snapshot   {loaded['snapshot']}")
    print(f"          snapshots of this bot in the table: {snapshots}\n")
    header = ["language", "type", "utterances", "different"]
    for line in table(header, [[str(value or "") for value in row] for row in rows[:ROWS_SHOWN]]):
        print(line)
    if len(rows) > ROWS_SHOWN:
        print(f"... and {len(rows) - ROWS_SHOWN:,} more rows")


def table(header: list[str], rows: list[list[str]]) -> Iterator[str]:
    """Lay rows out in columns."""
    cells = [[cell(text) for text in row] for row in [header, *rows]]
    widths = [max(map(width, column)) for column in zip(*cells, strict=False)]
    for number, row in enumerate(cells):
        padded = (text + " " * (size - width(text)) for text, size in zip(row, widths, strict=False))
        yield "  ".join(padded).rstrip()
        if number == 0:
            yield "  ".join("-" * size for size in widths)


def cell(text: str) -> str:
    """Fit a text into a column, on one line."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "⏎").replace("\t", " ")
    text = "".join(char for char in text if unicodedata.category(char) != "Cc")
    if width(text) <= WIDEST_CELL:
        return text
    while width(text) > WIDEST_CELL - 1:
        text = text[:-1]
    return text.rstrip() + "…"


def width(text: str) -> int:
    """Return how many columns of a terminal a line takes."""
    return sum(
        2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
        if unicodedata.category(char) not in ("Mn", "Me", "Cf")
    )


def environment(home: Path, **more: str) -> dict[str, str]:
    """Make an environment in which Airflow sees only the settings of this demo."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    return {
        **inherited,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        "PYTHONWARNINGS": "ignore",
        # A terminal's width would break the log's lines.
        "COLUMNS": "10000",
        **more,
    }


def newest_run(home: Path, dag_id: str) -> tuple[int, str] | None:
    """Return the ID and run ID of a DAG's newest run."""
    query = "select id, run_id from dag_run where dag_id = ? order by id desc limit 1"
    with contextlib.closing(sqlite3.connect(home / "airflow.db")) as database:
        row: tuple[int, str] | None = database.execute(query, (dag_id,)).fetchone()
    return row


def returned(home: Path, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
    """Return the result of a task."""
    query = "select value from xcom where dag_id = ? and run_id = ? and task_id = ? and key = 'return_value'"
    with contextlib.closing(sqlite3.connect(home / "airflow.db")) as database:
        row = database.execute(query, (dag_id, run_id, task_id)).fetchone()
    if row is None:
        raise DemoError(f"the task {task_id!r} left no result in Airflow's database.")
    result: dict[str, Any] = json.loads(row[0])
    return result


def tee(lines: Iterable[str], file: object) -> Iterator[str]:
    """Write each line to a file as it passes."""
    for line in lines:
        plain = ESCAPE.sub("", line)
        file.write(plain)  # type: ignore[attr-defined]
        yield plain.rstrip("\n")


def reason_in(log: Path) -> str | None:
    """Return the message of our last exception in a log."""
    pattern = r"^airflow_provider_koreai\.exceptions\.(\w+: .+)$"
    found = re.findall(pattern, log.read_text("utf-8", "replace"), re.MULTILINE)
    return found[-1] if found else None


def print_tail(log: Path) -> None:
    """Print the end of a log."""
    lines = log.read_text("utf-8", "replace").splitlines()
    print(f"\nThe last lines of {shown(log)}:", file=sys.stderr)
    for line in lines[-TAIL:]:
        print(f"  {line[:300]}", file=sys.stderr)


def step(name: str, text: str) -> None:
    """Print the name of the next step and what it does."""
    print(f"{name:<10}{text}")


def shown(path: Path) -> str:
    """Return a path relative to the current folder, where it is below it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


if __name__ == "__main__":
    sys.exit(main())
