"""
Loading a million utterances into a table, beside what does nothing but load: psql's ``\\copy``, a bare ``executemany``.

Run it alone (``python benchmarks/bench_load.py``) or through ``make bench``. The others get rows that are ready, all
ten columns in a file; this provider reads the export, checks it and counts it. The ways take turns
into the same table, with its index; the medians are compared. Without PostgreSQL's programs that part is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="koreai-bench-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measuring import measured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.deployment import PostgreSQL

TABLE = "utterances"
MiB = 1 << 20


def load(path: str, conn_id: str, bot_id: str) -> int:
    """Load a file as the task does."""
    from airflow_provider_koreai.operators.load_utterances import KoreAILoadUtterancesOperator

    task = KoreAILoadUtterancesOperator(
        task_id="load", path=path, table=TABLE, conn_id=conn_id, bot_id=bot_id, snapshot="2026-11-25"
    )
    return int(task.execute({})["inserted"])


def child(path: str, conn_id: str) -> None:
    """Load the file in this process, and print what that took."""
    small = Path(path).with_suffix(".small.csv")
    load(str(small), conn_id, "st-small")  # imports what it needs
    rows, figures = measured(lambda: load(path, conn_id, "st-bench"))
    print(json.dumps({"rows": rows, **figures}))


def ours(path: Path, conn_id: str, connection: dict[str, Any]) -> dict[str, Any]:
    """Load it in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", str(path), conn_id],
        env={**os.environ, f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(connection)},
        stdout=subprocess.PIPE,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(
    title: str, ways: dict[str, Callable[[], dict[str, Any]]], empty: Callable[[], None], rounds: int
) -> None:
    """Let all ways take turns, the table emptied before each, and print them."""
    results: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    names = list(ways)
    for turn in range(rounds):
        for way in names[turn % len(names) :] + names[: turn % len(names)]:
            empty()
            results[way].append(ways[way]())
    print(f"\n{title}, {rounds} rounds in turn (medians)")
    print(f"{'':26}{'seconds':>9}{'rows/s':>11}{'ratio':>7}{'peak memory':>16}")
    medians = {way: statistics.median(each["seconds"] for each in found) for way, found in results.items()}
    fastest_of_others = medians[names[-1]]
    for way, found in results.items():
        peak = max(each.get("memory", 0) for each in found)
        print(
            f"{way:26}{medians[way]:9.2f}{found[0]['rows'] / medians[way]:11,.0f}"
            f"{fastest_of_others / medians[way]:7.2f}{f'{peak:.1f} MiB' if peak else '-':>16}"
        )


def postgresql(path: Path, rounds: int) -> None:
    """Measure PostgreSQL."""
    from tests.support.deployment import PostgreSQL, Processes, postgresql_programs

    programs = postgresql_programs()
    if programs is None:
        print("\nPostgreSQL: not measured; its initdb, psycopg2 or asyncpg is not installed")
        return
    processes = Processes()
    try:
        server = PostgreSQL(programs, processes)
        server.start()
        _postgresql(server, programs / "psql", path, rounds)
    finally:
        processes.stop()


def _postgresql(server: PostgreSQL, psql: Path, path: Path, rounds: int) -> None:
    url = urlsplit(server.url("psycopg2"))
    connection = {"conn_type": "postgres", "login": url.username, "password": url.password}
    connection |= {"host": url.hostname, "port": url.port, "schema": url.path.strip("/")}
    ready = path.with_suffix(".copy")

    def run(statement: str) -> None:
        command = [
            psql,
            "-q",
            "-h",
            url.hostname,
            "-p",
            str(url.port),
            "-U",
            url.username,
            "-d",
            url.path.strip("/"),
        ]
        environment = {**os.environ, "PGPASSWORD": url.password or ""}
        subprocess.run([*command, "-v", "ON_ERROR_STOP=1", "-c", statement], env=environment, check=True)

    first = ours(path, "bench_postgres", connection)
    run(f"\\copy (SELECT * FROM {TABLE} WHERE bot_id = 'st-bench') TO '{ready}'")

    def copy() -> dict[str, Any]:
        began = time.perf_counter()
        run(f"\\copy {TABLE} FROM '{ready}'")
        return {"rows": first["rows"], "seconds": time.perf_counter() - began}

    measure(
        f"PostgreSQL, {first['rows']:,} rows",
        {"load task": lambda: ours(path, "bench_postgres", connection), "psql \\copy": copy},
        lambda: run(f"TRUNCATE {TABLE}"),
        rounds,
    )


def sqlite(path: Path, rounds: int) -> None:
    """Measure SQLite."""
    file = path.with_suffix(".db")
    connection = {"conn_type": "sqlite", "host": str(file)}
    ready = path.with_suffix(".ready.csv")

    @contextlib.contextmanager
    def database() -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(file)) as opened, opened:
            yield opened

    first = ours(path, "bench_sqlite", connection)
    with database() as opened, ready.open("w", encoding="utf-8", newline="") as out:
        (statement,) = opened.execute("SELECT sql FROM sqlite_master WHERE type = 'table'").fetchone()
        (index,) = opened.execute("SELECT sql FROM sqlite_master WHERE type = 'index'").fetchone()
        csv.writer(out).writerows(opened.execute(f"SELECT * FROM {TABLE} WHERE bot_id = 'st-bench'"))

    def empty() -> None:
        file.unlink()
        with database() as opened:
            opened.execute(statement)
            opened.execute(index)

    def executemany() -> dict[str, Any]:
        began = time.perf_counter()
        with database() as opened, ready.open(encoding="utf-8", newline="") as rows:
            marks = ", ".join("?" * 10)
            opened.executemany(f"INSERT INTO {TABLE} VALUES ({marks})", csv.reader(rows))
        return {"rows": first["rows"], "seconds": time.perf_counter() - began}

    measure(
        f"SQLite, {first['rows']:,} rows",
        {"load task": lambda: ours(path, "bench_sqlite", connection), "csv.reader, executemany": executemany},
        empty,
        rounds,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=100, help="MiB of the export (default 100)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each way takes its turn (default 3)")
    parser.add_argument("--child", nargs=2, metavar=("PATH", "CONN_ID"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    from airflow_provider_koreai.emulator.content import GeneratedContent

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "export.csv"
        for target, size in ((path, options.size * MiB), (path.with_suffix(".small.csv"), 2000)):
            content = GeneratedContent("travel", "csv", size=size)
            target.write_bytes(b"".join(content.read(0, content.size)))
        postgresql(path, options.rounds)
        sqlite(path, options.rounds)


if __name__ == "__main__":
    main()
