"""
Many bots from export to table on Celery workers, and what waiting costs one triggerer.

    python benchmarks/bench_cluster.py [--bots 500] [--waits 1000,2500,5000,10000]

CeleryExecutor with Redis, PostgreSQL and an S3 server, two workers with four slots each and two triggerers, all on this
machine. The same bots go through this package, and through HttpOperator, HttpSensor (in poke mode, every 10 s) and
insert_rows. The bots' exports take 20 to 60 s.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import bench_waiting  # noqa: E402

from airflow_provider_koreai.emulator.process import EmulatorProcess  # noqa: E402
from tests.support.cluster import TRIGGERERS, WORKERS, Cluster, missing  # noqa: E402
from tests.support.scenarios import KoreAI  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence

# The tests of the cluster have a DAG of this package.
DAGS = {"tests": ROOT / "tests/cluster/dags", "bench": Path(__file__).parent / "dags_cluster"}
WAYS = {"ours": "this package", "theirs": "HttpOperator, HttpSensor, insert_rows"}
DAG_IDS = {"ours": "cluster_bots", "theirs": "theirs"}
MIB = 1 << 20
_SUCCEEDED = re.compile(r"succeeded in ([0-9.]+)s")
_TABLE = "CREATE TABLE theirs (bot_id text, task_name text, sentence text, type text, language text)"
# Between two looks at memory.
_SAMPLE_SECONDS = 5.0


@dataclass
class Figures:
    """What one way of doing it took."""

    state: str
    seconds: float
    tasks: int
    retried: int
    slot_seconds: float
    worker_cpu: float
    triggerer_cpu: float
    calls: int
    rows: int
    peak_mib: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--bots", type=int, default=500)
    parser.add_argument("--mib", type=float, default=2.0, help="size of a bot's file")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--waits", default="1000,2500,5000,10000", help="sizes of the fleets; empty: none")
    options = parser.parse_args(arguments)
    if reason := missing():
        print(f"Not measured: {reason}", file=sys.stderr)
        return 1
    found = {}
    if options.bots:
        with EmulatorProcess(too_soon_seconds=0.0) as emulator, Cluster(DAGS) as cluster:
            cluster.add_connection("koreai_default", emulator.connection())
            cluster.add_connection("koreai_http", {"conn_type": "http", "host": emulator.base_url})
            cluster.warehouse.run(_TABLE)
            # What the first task of a deployment pays is not a bot's.
            _measure(cluster, emulator, "ours", 4, options.mib)
            for way in options.ways:
                found[way] = _measure(cluster, emulator, way, options.bots, options.mib)
        _print(found, options.bots, options.mib)
    if sizes := tuple(int(size) for size in options.waits.split(",") if size):
        with EmulatorProcess(too_soon_seconds=0.0) as emulator:
            os.environ["AIRFLOW_CONN_KOREAI_DEFAULT"] = emulator.connection_json()
            bench_waiting.table_of_fleets(emulator, sizes, seconds=300.0, ramp=150.0)
    return 0 if all(figures.state == "success" for figures in found.values()) else 1


def _measure(cluster: Cluster, emulator: EmulatorProcess, way: str, count: int, mib: float) -> Figures:
    print(f"{count} bots with {WAYS[way]} ...", flush=True)
    koreai, lengths = KoreAI(emulator), random.Random(1)
    bots = [f"st-{way}-{count}-{number}" for number in range(count)]
    for bot in bots:
        koreai.control.configure_bot(bot, size=int(mib * MIB), seconds=lengths.uniform(20, 60))
    before = _spent(cluster)
    with Memory(cluster) as memory:
        began = time.monotonic()
        conf = {"folder": "s3://lake/ours", "table": "ours"}
        if way == "theirs":
            conf = {"token": bench_waiting.static_token(emulator)}
        run = cluster.trigger(DAG_IDS[way], bots=bots, **conf)
        state = run.wait(timeout=4 * 3600)
        seconds = time.monotonic() - began
    after, tasks = _spent(cluster), run.tasks()
    calls = sum(len(koreai.control.requests(bot)) for bot in bots)
    statement = f"SELECT count(*) FROM {way} WHERE bot_id LIKE %s"
    ((rows,),) = cluster.warehouse.run(statement, f"st-{way}-{count}-%")
    return Figures(
        state,
        seconds,
        len(tasks),
        sum(task["try_number"] > 1 for task in tasks),
        *(after[key] - before[key] for key in ("slots", "workers", "triggerers")),
        calls,
        rows,
        memory.peak / MIB,
    )


def _spent(cluster: Cluster) -> dict[str, float]:
    """The seconds that tasks have occupied workers, and the CPU seconds of workers and triggerers, since their start."""
    stints = (_SUCCEEDED.findall(cluster.log_of(name)) for name in WORKERS)
    return {
        "slots": sum(float(stint) for found in stints for stint in found),
        "workers": sum(_cpu_seconds(cluster.pid_of(name)) for name in WORKERS),
        "triggerers": sum(_cpu_seconds(cluster.pid_of(name)) for name in TRIGGERERS),
    }


def _cpu_seconds(pid: int) -> float:
    """The CPU time of a process and all its descendants, ended ones included."""
    found = psutil.Process(pid)
    return sum(sum(process.cpu_times()[:4]) for process in (found, *found.children(recursive=True)))


@dataclass
class Memory:
    """The most memory that a worker with its tasks has had; what its processes share is counted once."""

    cluster: Cluster
    peak: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Memory:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._ended.set()
        assert self._thread is not None
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            self.peak = max(self.peak, *(self._of(self.cluster.pid_of(name)) for name in WORKERS))

    def _of(self, pid: int) -> int:
        total = 0
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            with contextlib.suppress(psutil.Error):  # it has ended meanwhile
                total += process.memory_full_info().pss
        return total


def _print(found: dict[str, Figures], bots: int, mib: float) -> None:
    print(
        f"\n{bots} bots with {mib:g} MiB each from export to table; exports of 20 to 60 s; two workers with four slots each"
    )
    names = (
        *("way", "state", "seconds", "rows", "tasks", "again", "tasks/min", "slot s/bot", "worker CPU s/bot"),
        *("triggerers' core %", "calls/bot", "worker MiB"),
    )
    rows = [names]
    for way, figures in found.items():
        rows.append(
            (
                WAYS[way],
                figures.state,
                f"{figures.seconds:.0f}",
                f"{figures.rows:,}",
                f"{figures.tasks}",
                f"{figures.retried}",
                f"{60 * figures.tasks / figures.seconds:.0f}",
                f"{figures.slot_seconds / bots:.1f}",
                f"{figures.worker_cpu / bots:.1f}",
                f"{100 * figures.triggerer_cpu / figures.seconds:.1f}",
                f"{figures.calls / bots:.1f}",
                f"{figures.peak_mib:.0f}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


if __name__ == "__main__":
    sys.exit(main())
