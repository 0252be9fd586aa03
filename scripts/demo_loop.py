"""
``make demo-loop``: the second part of the demo. Utterances that were corrected in a table go back into the bot.

It always talks to the emulator, because an import replaces what a bot has.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any

from demo import CONNECTION, DEMO, DemoError, prepare_airflow, returned, run_dag, shown, step, table

from airflow_provider_koreai.emulator.config import DEMO_BOT
from airflow_provider_koreai.emulator.process import EmulatorError, EmulatorProcess

WAREHOUSE = DEMO / "loop.db"
TO_WAREHOUSE, ROUND_TRIP = "example_koreai_to_warehouse", "example_koreai_round_trip"
GROUP = "koreai_import_utterances"
WRONG, RIGHT = "Book Flight", "Book Hotel"
CORRECTIONS = 3


def main() -> int:
    """Run the demo and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace", line_buffering=True)  # type: ignore[union-attr]
    try:
        with EmulatorProcess() as emulator:
            step("Kore.ai", f"the emulator at {emulator.base_url}, bot {DEMO_BOT}")
            home = prepare_airflow()
            show_loop(home, emulator.connection_json())
    except (DemoError, EmulatorError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def show_loop(home: Path, connection: str) -> None:
    """Load the bot's utterances into a table, correct some, send them back, and show what became of them."""
    WAREHOUSE.unlink(missing_ok=True)
    warehouse = json.dumps({"conn_type": "sqlite", "host": str(WAREHOUSE)})
    connections = {CONNECTION: connection, "AIRFLOW_CONN_WAREHOUSE_DEFAULT": warehouse}
    folder = str(DEMO / "loop")
    run_dag(home, TO_WAREHOUSE, {"bot_ids": [DEMO_BOT], "folder": folder}, **connections)
    sentences = correct_some()
    step("People", f"write a better task for {len(sentences)} sentences into the table koreai_corrections")
    run_id = run_dag(home, ROUND_TRIP, {"bot_id": DEMO_BOT, "folder": folder}, **connections)

    def result(task: str) -> dict[str, Any]:
        return returned(home, ROUND_TRIP, run_id, f"{GROUP}.{task}")

    before, after = (Path(result(f"{group}.fetch")["path"]) for group in ("back_up", "export_again"))
    verified, test = result("verify"), result("test")
    step("Bot", f"before ({shown(before)}) and after ({shown(after)})\n")
    tasks = [{each["sentence"]: each.get("taskName", "") for each in load(path)} for path in (before, after)]
    rows = [[sentence, *(of[sentence] for of in tasks)] for sentence in sentences]
    for line in table(["sentence", "task before", "task after"], rows):
        print(line)
    if any(row[2] != RIGHT for row in rows):
        raise DemoError("the bot does not have what was corrected.")
    print(f"\n          sent and found again, row by row   {verified['rows']:,}")
    print(f"          training                           {result('train')['status']}")
    print(f"          F1 score of the batch test         {test['f1']}")


def correct_some() -> list[str]:
    """Write the right task of some sentences into the second table, and return the sentences."""
    with contextlib.closing(sqlite3.connect(WAREHOUSE)) as database, database:
        found = database.execute(
            "select bot_id, language, sentence from koreai_utterances where task_name = ? and language = 'en' "
            "order by sentence limit ?",
            (WRONG, CORRECTIONS),
        ).fetchall()
        database.execute(
            "create table koreai_corrections (bot_id text, language text, sentence text, task_name text, "
            "primary key (bot_id, language, sentence))"
        )
        database.executemany(
            "insert into koreai_corrections values (?, ?, ?, ?)", [(*row, RIGHT) for row in found]
        )
    return [sentence for _, _, sentence in found]


def load(path: Path) -> list[dict[str, Any]]:
    """Read a JSON export."""
    entries: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))
    return entries


if __name__ == "__main__":
    sys.exit(main())
