"""
The report of 30 snapshots of 100,000 utterances of 20 bots in PostgreSQL, beside a task that reads the rows and counts.

Run it alone (``python benchmarks/bench_report.py``) or through ``make bench``. In each snapshot one utterance in a
hundred is new. The other way reads task, language and snapshot of every row and counts them, and does not compare the
sentences of the last two snapshots, which the report does. The ways take turns; the medians are compared.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="koreai-bench-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measuring import measured

if TYPE_CHECKING:
    from tests.support.deployment import PostgreSQL

TABLE, CONN_ID = "utterances", "bench_postgres"
_ROWS = """
INSERT INTO utterances
SELECT 'st-' || lpad(bot::text, 4, '0'), timestamptz '2026-11-01 00:00Z' + day * interval '1 day',
       'Task ' || number % 100, 'what somebody may say, number ' || number || ', version ' || (day + number) / 100,
       'DialogIntent', (ARRAY['en', 'de', 'ar'])[1 + number % 3], '[]', NULL, NULL, now()
FROM generate_series(1, {snapshots}) day, generate_series(1, {bots}) bot, generate_series(1, {each}) number
ORDER BY day, bot, number
"""


def report(folder: str) -> int:
    """Write the report as the task does."""
    from airflow_provider_koreai.operators.report_utterances import KoreAIReportUtterancesOperator

    task = KoreAIReportUtterancesOperator(
        task_id="report", table=TABLE, conn_id=CONN_ID, report_path=f"{folder}/report.html"
    )
    return int(task.execute({})["rows"])


def count_rows(folder: str) -> int:
    """Read every row and count."""
    from collections import Counter

    from airflow.providers.postgres.hooks.postgres import PostgresHook

    counts: Counter[tuple[Any, ...]] = Counter(
        PostgresHook(CONN_ID).get_records(f"SELECT bot_id, snapshot, task_name, language FROM {TABLE}")
    )
    latest = max(time for _, time, _, _ in counts)
    return sum(number for (_, time, _, _), number in counts.items() if time == latest)


WAYS = {"report task": report, "read rows and count": count_rows}


def child(way: str, folder: str) -> None:
    """Do it in this process, and print what that took."""
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    from airflow_provider_koreai.reports.page import html_page  # noqa: F401 - loaded before it is measured

    PostgresHook(CONN_ID).get_records("SELECT 1")
    rows, figures = measured(lambda: WAYS[way](folder))
    print(json.dumps({"rows": rows, **figures}))


def measure(server: PostgreSQL, bots: int, utterances: int, snapshots: int, rounds: int) -> None:
    """Fill the table and let the ways take turns."""
    from sqlalchemy.dialects import postgresql

    from airflow_provider_koreai.warehouse.table import create_statements, utterances_table

    with contextlib.closing(server.connect("airflow")) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        for statement in create_statements(utterances_table(TABLE), postgresql.dialect()):
            cursor.execute(statement)
        cursor.execute(_ROWS.format(snapshots=snapshots, bots=bots, each=utterances // bots))
        cursor.execute(f"VACUUM ANALYZE {TABLE}")  # as autovacuum does soon after a load
    url = urlsplit(server.url("psycopg2"))
    there = {"conn_type": "postgres", "login": url.username, "password": url.password, "host": url.hostname}
    connection_json = json.dumps({**there, "port": url.port, "schema": url.path.strip("/")})
    results: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(rounds):
            for way in list(WAYS)[:: -1 if turn % 2 else 1]:
                done = subprocess.run(
                    [sys.executable, __file__, "--child", way, folder],
                    env={**os.environ, f"AIRFLOW_CONN_{CONN_ID.upper()}": connection_json},
                    stdout=subprocess.PIPE,
                    check=True,
                )
                results[way].append(json.loads(done.stdout.splitlines()[-1]))
        size = (Path(folder) / "report.html").stat().st_size / 1024
    print(
        f"\n{snapshots} snapshots of {utterances:,} utterances of {bots} bots, {rounds} rounds in turn (medians)"
    )
    print(f"{'':22}{'seconds':>9}{'peak memory':>16}")
    for way, found in results.items():
        assert {each["rows"] for each in found} == {utterances}
        seconds = statistics.median(each["seconds"] for each in found)
        print(f"{way:22}{seconds:9.2f}{max(each['memory'] for each in found):12.1f} MiB")
    print(f"The page has {size:,.0f} KiB.")


def main() -> None:
    """Measure."""
    from tests.support.deployment import PostgreSQL, Processes, postgresql_programs

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--bots", type=int, default=20)
    parser.add_argument("--utterances", type=int, default=100_000, help="of all bots, in a snapshot")
    parser.add_argument("--snapshots", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    programs = postgresql_programs()
    if programs is None:
        print("Not measured: PostgreSQL's initdb, psycopg2 or asyncpg is not installed")
        return
    processes = Processes()
    try:
        server = PostgreSQL(programs, processes)
        server.start()
        measure(server, options.bots, options.utterances, options.snapshots, options.rounds)
    finally:
        processes.stop()


if __name__ == "__main__":
    main()
