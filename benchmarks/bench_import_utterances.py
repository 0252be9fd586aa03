"""
Importing 100,000 utterances: reading alone, reading and checking, the whole operator, and bare requests without a check.

Run it alone (``python benchmarks/bench_import_utterances.py``) or through ``make bench``. The emulator imports at once, so
nothing is waited for. All ways take turns in one run, each in a process of its own; the medians are compared.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="koreai-bench-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")

from measuring import measured

from airflow_provider_koreai.emulator.process import EmulatorProcess

if TYPE_CHECKING:
    from collections.abc import Callable

BOT = "st-bench"
TASKS = [f"Task {number}" for number in range(100)]


def read(path: str) -> int:
    """Read the file: what the check adds to."""
    from airflow_provider_koreai.utterances import read_utterances

    return sum(1 for _ in read_utterances(path))


def check(path: str) -> int:
    """Copy the file and check it, as before an import."""
    import logging

    from airflow_provider_koreai.utterances.importable import checked_file

    with checked_file(path, log=logging.getLogger(__name__)) as (_, rows):
        return rows


def operator(path: str) -> int:
    """The operator: check, upload, import, status."""
    from airflow_provider_koreai.operators.import_utterances import KoreAIImportUtterancesOperator

    class TaskInstance:
        stats_tags: ClassVar[dict[str, str]] = {}

        def xcom_push(self, **_: Any) -> None:
            pass

    task = KoreAIImportUtterancesOperator(task_id="import", bot_id=BOT, path=path)
    return int(task.execute({"ti": TaskInstance()})["copied"])


def bare_requests(path: str) -> int:
    """What a task does by hand: requests, no check of the file, no retries."""
    import requests

    from airflow_provider_koreai.api.tokens import TokenSigner
    from airflow_provider_koreai.hooks.koreai import KoreAIHook

    settings = KoreAIHook().settings
    url, signer = f"{settings.base_url}/api/public", TokenSigner(settings)

    def headers() -> dict[str, str]:
        return {"auth": signer.sign()}

    with open(path, "rb") as file:
        form = {"fileContext": "bulkImport", "fileExtension": "csv"}
        answer = requests.post(
            f"{url}/uploadfile", headers=headers(), data=form, files={"file": file}, timeout=60
        )
    body = {"fileId": answer.json()["fileId"], "fileName": "utterances.csv"}
    started = requests.post(f"{url}/bot/{BOT}/mlimport", headers=headers(), json=body, timeout=60).json()
    while True:
        status = requests.get(
            f"{url}/bot/{BOT}/mlimport/status/{started['_id']}", headers=headers(), timeout=60
        )
        if status.ok and status.json()["status"] == "success":
            return int(status.json()["message"].split(" utterances")[0].split()[-1])


WAYS: dict[str, Callable[[str], int]] = {
    "read": read,
    "read and check": check,
    "operator": operator,
    "requests, unchecked": bare_requests,
}


def child(way: str, path: str) -> None:
    """Do it in one way, and print what that took."""
    WAYS[way](str(Path(path).with_suffix(".small.csv")))  # imports what it needs
    rows, figures = measured(lambda: WAYS[way](path))
    print(json.dumps({"rows": rows, **figures}))


def write(path: Path, rows: int) -> None:
    """Write utterances of many tasks, none twice."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("taskName", "sentence", "type", "language"))
        for number in range(rows):
            sentence = f"please book me a flight to city number {number}, tomorrow morning"
            writer.writerow((TASKS[number % len(TASKS)], sentence, "DialogIntent", "en"))


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return child(*arguments.child)
    with tempfile.TemporaryDirectory() as folder, EmulatorProcess(seconds=0, too_soon_seconds=0) as emulator:
        path = Path(folder) / "utterances.csv"
        write(path, arguments.rows)
        write(path.with_suffix(".small.csv"), 100)
        # The bot has the tasks of the file.
        emulator.control.configure_bot(BOT, file=str(path), start_per_minute=10**6, status_per_minute=10**6)
        environment = {**os.environ, "AIRFLOW_CONN_KOREAI_DEFAULT": emulator.connection_json()}
        results: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
        for turn in range(arguments.rounds):
            names = list(WAYS)
            for way in names[turn % len(names) :] + names[: turn % len(names)]:
                done = subprocess.run(
                    [sys.executable, __file__, "--child", way, str(path)],
                    env=environment,
                    stdout=subprocess.PIPE,
                    check=True,
                )
                results[way].append(json.loads(done.stdout.splitlines()[-1]))
        size = path.stat().st_size / (1 << 20)
    print(f"\n{arguments.rows:,} utterances, {size:.1f} MiB, {arguments.rounds} rounds in turn (medians)")
    print(f"{'':22}{'seconds':>9}{'of reading':>12}{'peak memory':>16}")
    medians = {way: statistics.median(each["seconds"] for each in found) for way, found in results.items()}
    for way, found in results.items():
        assert {each["rows"] for each in found} == {arguments.rows}, way
        peak = max(each["memory"] for each in found)
        print(f"{way:22}{medians[way]:9.2f}{medians[way] / medians['read']:12.2f}{peak:12.1f} MiB")


if __name__ == "__main__":
    main()
