"""
Waiting: how late the end of an export is noticed, with how many calls, and what a fleet of waits costs.

Run it alone (``python benchmarks/bench_waiting.py``) or through ``make bench``. Every figure of one table comes from
one run: ours and the alternative against the same emulator at the same time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextvars
import json
import math
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="koreai-bench-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")

from airflow_provider_koreai.emulator.process import EmulatorProcess

SIMULATED = (5, 10, 17, 20, 30, 40, 60, 180, 600)
SEEDS = 500
REAL = (5, 10, 20, 60)


def simulate_ours(duration: float, seed: int, progress: str) -> tuple[float, int]:
    """
    Play one wait in simulated time.

    :return: seconds from the export's end to the wait's, and status calls made.
    """
    from airflow_provider_koreai.jobs.polling import Pace

    rng = random.Random(seed)
    pace = Pace(60.0, rng.random)
    duration *= 1 + 0.2 * (rng.random() - 0.5)
    now, calls = rng.random() * 0.5, 1
    while now < duration:
        share = now / duration
        percent = {"linear": share, "steps": math.floor(share * 4) / 4, "sqrt": math.sqrt(share), "none": 0.0}
        now += pace.after_answer(now, math.floor(100 * percent[progress]))
        calls += 1
    return now - duration, calls


def simulate_fixed(duration: float, seed: int, interval: float) -> tuple[float, int]:
    """Play HttpSensor, which asks at once and then at a fixed interval."""
    rng = random.Random(seed)
    duration *= 1 + 0.2 * (rng.random() - 0.5)
    now, calls = rng.random() * 0.5, 1
    while now < duration:
        now += interval
        calls += 1
    return now - duration, calls


def table_of_pacing() -> None:
    """Print lag and calls in simulated time."""
    print(
        f"\nSimulated time, {SEEDS} waits each: mean lag in seconds (and % of the job), mean/most status calls"
    )
    ways = [
        *(
            (f"ours, {kind}", lambda d, s, k=kind: simulate_ours(d, s, k))
            for kind in ("linear", "steps", "sqrt", "none")
        ),
        *((f"HttpSensor, {i} s", lambda d, s, i=i: simulate_fixed(d, s, i)) for i in (5, 60)),
    ]
    print(f"{'job':>6} " + "".join(f"{name:>22}" for name, _ in ways))
    for duration in SIMULATED:
        cells = []
        for _, play in ways:
            results = [play(duration, seed) for seed in range(SEEDS)]
            lag = statistics.mean(lag for lag, _ in results)
            calls = [calls for _, calls in results]
            cells.append(f"{lag:.2f} ({100 * lag / duration:.1f}%) {statistics.mean(calls):.0f}/{max(calls)}")
        print(f"{duration:>4} s " + "".join(f"{cell:>22}" for cell in cells))


def table_of_real_jobs(emulator: EmulatorProcess, durations: tuple[int, ...], repeats: int) -> None:
    """Print lag and calls of real waits against the emulator, all at once."""
    from airflow.providers.common.compat.sdk import DAG

    from airflow_provider_koreai.hooks.koreai import KoreAIHook
    from airflow_provider_koreai.triggers.koreai import KoreAIExportStatusTrigger

    hook = KoreAIHook()
    ends: dict[str, float] = {}
    jobs = [(w, d, r) for w in ("ours", "5", "60") for d in durations for r in range(repeats)]

    async def ours(bot_id: str, identity: dict[str, str]) -> None:
        trigger = KoreAIExportStatusTrigger(
            bot_id=bot_id, **identity, deadline=time.time() + 900, timeout=900
        )
        async for _ in trigger.run():
            ends[bot_id] = time.time()

    def http_sensor(bot_id: str, interval: int) -> None:
        from airflow.providers.http.sensors.http import HttpSensor

        with DAG(dag_id=f"bench_{bot_id}", schedule=None):
            sensor = HttpSensor(
                task_id="wait",
                http_conn_id="koreai_http",
                endpoint=f"api/public/bot/{bot_id}/mlexport/status",
                headers={"auth": static_token(emulator)},
                response_check=lambda response: response.json()["status"] == "SUCCESS",
                response_error_codes_allowlist=["500"],
                poke_interval=interval,
            )
        sensor.execute({})
        ends[bot_id] = time.time()

    ended = {}
    lengths = random.Random(1)
    triggers, sensors = [], []
    for way, duration, repeat in jobs:
        bot_id = f"st-bench-{way}-{duration}-{repeat}"
        # Not a multiple of anybody's interval.
        seconds = duration * (0.9 + 0.2 * lengths.random())
        emulator.control.configure_bot(bot_id, seconds=seconds, status_per_hour=10**6)
        ended[bot_id] = time.time() + seconds
        identity = hook.start_export(bot_id).identity.as_dict()
        if way == "ours":
            triggers.append((bot_id, identity))
        else:
            sensors.append((bot_id, int(way)))
    with ThreadPoolExecutor(len(sensors) or 1) as threads:
        running = [threads.submit(http_sensor, *arguments) for arguments in sensors]

        async def all_of_ours() -> None:
            await asyncio.gather(*(ours(*arguments) for arguments in triggers))

        asyncio.run(all_of_ours())
        for future in running:
            future.result()
    print(
        f"\nReal time against the emulator, {repeats} jobs each: mean lag in seconds (% of the job), mean calls"
    )
    names = {"ours": "ours", "5": "HttpSensor, 5 s", "60": "HttpSensor, 60 s"}
    print(f"{'job':>6} " + "".join(f"{name:>22}" for name in names.values()))
    for duration in durations:
        cells = []
        for way in names:
            bots = [f"st-bench-{way}-{duration}-{repeat}" for repeat in range(repeats)]
            lag = statistics.mean(ends[bot] - ended[bot] for bot in bots)
            calls = statistics.mean(len(emulator.control.requests(bot, call="status")) for bot in bots)
            cells.append(f"{lag:.2f} ({100 * lag / duration:.1f}%) {calls:.0f}")
        print(f"{duration:>4} s " + "".join(f"{cell:>22}" for cell in cells))


def static_token(emulator: EmulatorProcess) -> str:
    """Sign the one token that a user of HttpSensor puts into a header; without jti, for it is sent many times."""
    import jwt

    now = int(time.time())
    claims = {"appId": emulator.client_id, "sub": "bench", "iat": now, "exp": now + 3600}
    return jwt.encode(claims, emulator.client_secret, algorithm="HS256")


def rss_mib() -> float:
    """Resident memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


def fleet_child(waits: int, seconds: float, ramp: float) -> None:
    """Hold many waits on one event loop, as a triggerer does, and print what that cost as JSON."""
    empty = rss_mib()
    from airflow_provider_koreai.hooks.koreai import KoreAIHook
    from airflow_provider_koreai.triggers import koreai as module

    imported = rss_mib()
    late: list[float] = []
    gaps: list[float] = []
    due: contextvars.ContextVar[float] = contextvars.ContextVar("due")
    real_sleep, real_ask = asyncio.sleep, KoreAIHook.aget_export

    async def sleep(delay: float) -> None:
        due.set(time.monotonic() + delay)
        await real_sleep(delay)

    async def ask(self: KoreAIHook, *args: object, **kwargs: object) -> object:
        try:
            return await real_ask(self, *args, **kwargs)
        finally:
            if (when := due.get(None)) is not None:
                # Up to the answer: the pool's queue and the exchange itself count.
                late.append(time.monotonic() - when)

    module.asyncio = types.SimpleNamespace(sleep=sleep)  # type: ignore[assignment]
    KoreAIHook.aget_export = ask  # type: ignore[method-assign]

    async def one(index: int) -> str:
        await real_sleep(random.random() * ramp)
        trigger = module.KoreAIExportStatusTrigger(
            bot_id=f"st-fleet-{index}", deadline=time.time() + 3600, timeout=3600
        )
        async for event in trigger.run():
            return str(event.payload["status"])
        return "none"

    async def heartbeat() -> None:
        while True:
            before = time.monotonic()
            await real_sleep(0.05)
            gaps.append(time.monotonic() - before - 0.05)

    async def fleet() -> tuple[list[str], float]:
        peak = 0.0
        beat = asyncio.create_task(heartbeat())
        tasks = [asyncio.create_task(one(index)) for index in range(waits)]
        while not all(task.done() for task in tasks):
            peak = max(peak, rss_mib())
            await real_sleep(0.5)
        beat.cancel()
        return [task.result() for task in tasks], peak

    cpu, wall = time.process_time(), time.monotonic()
    outcomes, peak = asyncio.run(fleet())
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    late.sort()
    print(
        json.dumps(
            {
                "waits": waits,
                "ok": outcomes.count("success"),
                "polls": len(late),
                "p50": late[len(late) // 2],
                "p99": late[int(len(late) * 0.99)],
                "max": late[-1],
                "gap_max": max(gaps),
                "cpu": cpu / wall,
                "cpu_ms_per_poll": 1000 * cpu / max(len(late), 1),
                "above_empty": peak - empty,
                "above_imported": peak - imported,
            }
        )
    )


def table_of_fleets(
    emulator: EmulatorProcess, sizes: tuple[int, ...], seconds: float, ramp: float, answer: float = 0.0
) -> None:
    """Print what fleets of waits cost, each in a fresh process on one core, if a status call takes ``answer`` seconds."""
    from airflow_provider_koreai.hooks.koreai import KoreAIHook

    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(emulator.pid, cores[1:] or cores)
    print(f"\nWaits in one process on one core, exports of {seconds:g} s, begun over {ramp:g} s;")
    print(f"lateness is from a poll's due time to its answer, which the service takes {answer:g} s for")
    print(
        f"{'waits':>6} {'done':>6} {'polls':>7} {'p50 ms':>7} {'p99 ms':>7} {'max ms':>7} {'loop gap ms':>12} {'core %':>7} {'ms CPU/poll':>12} {'MiB above empty':>16} {'above imports':>14}"
    )
    for size in sizes:
        hook = KoreAIHook()
        for index in range(size):
            emulator.control.configure_bot(f"st-fleet-{index}", seconds=seconds)
            hook.start_export(f"st-fleet-{index}")
        for index in range(size if answer else 0):
            emulator.control.add_fault(
                f"st-fleet-{index}", "status", "stall", times=-1, at="before_headers", seconds=answer
            )
        child = subprocess.run(
            [
                sys.executable,
                __file__,
                "--fleet-child",
                str(size),
                "--seconds",
                str(seconds),
                "--ramp",
                str(ramp),
            ],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores[:1]),
        )
        figures = json.loads(child.stdout.strip().splitlines()[-1])
        print(
            f"{figures['waits']:>6} {figures['ok']:>6} {figures['polls']:>7} {1000 * figures['p50']:>7.0f} "
            f"{1000 * figures['p99']:>7.0f} {1000 * figures['max']:>7.0f} {1000 * figures['gap_max']:>12.0f} "
            f"{100 * figures['cpu']:>7.1f} {figures['cpu_ms_per_poll']:>12.2f} {figures['above_empty']:>16.1f} "
            f"{figures['above_imported']:>14.1f}"
        )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--real", default=",".join(map(str, REAL)), help="seconds of the real jobs; empty: none"
    )
    parser.add_argument("--repeats", type=int, default=5, help="real jobs of each length")
    parser.add_argument("--fleets", default="100,1000,2000", help="sizes of the fleets; empty: none")
    parser.add_argument("--seconds", type=float, default=240.0, help="how long a fleet's exports take")
    # All of them wait at once from then on. The emulator answers some 400 calls a second: more than that is its limit.
    parser.add_argument("--ramp", type=float, default=120.0, help="seconds over which a fleet's waits begin")
    parser.add_argument(
        "--slow-fleets", default="300", help="sizes of the fleets whose status calls take 2 s; empty: none"
    )
    parser.add_argument("--fleet-child", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.fleet_child:
        fleet_child(arguments.fleet_child, arguments.seconds, arguments.ramp)
        return
    table_of_pacing()
    numbers = lambda text: tuple(int(part) for part in text.split(",") if part)  # noqa: E731
    with EmulatorProcess(too_soon_seconds=0.0) as emulator:
        os.environ["AIRFLOW_CONN_KOREAI_DEFAULT"] = emulator.connection_json()
        os.environ["AIRFLOW_CONN_KOREAI_HTTP"] = json.dumps({"conn_type": "http", "host": emulator.base_url})
        if numbers(arguments.real):
            table_of_real_jobs(emulator, numbers(arguments.real), arguments.repeats)
        if numbers(arguments.fleets):
            table_of_fleets(emulator, numbers(arguments.fleets), arguments.seconds, arguments.ramp)
        if numbers(arguments.slow_fleets):
            emulator.control.reset()
            table_of_fleets(emulator, numbers(arguments.slow_fleets), seconds=30.0, ramp=5.0, answer=2.0)


if __name__ == "__main__":
    main()
