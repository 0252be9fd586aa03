"""
How long one export occupies a worker, by the way of waiting for it: on a real scheduler, worker and triggerer.

    python benchmarks/bench_slots.py [--seconds 5 20 60]

For each duration of the export, the same wait runs as this provider's sensor, deferrable and not, and as HttpSensor
with a response check, which cannot defer. The worker itself measures how long it was busy with the task.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import jwt

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from airflow_provider_koreai.emulator.process import EmulatorProcess  # noqa: E402
from tests.support.deployment import Deployment  # noqa: E402
from tests.support.scenarios import KoreAI, Launched, Scenario  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMIT = 5.0
POKE_INTERVAL = 5
PARAMS = '{"bot_id": "", "request_id": "", "requested_time": "", "token": ""}'
DAGS = {
    "koreai.py": f"""
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_koreai.sensors.koreai import KoreAIExportStatusSensor

for deferrable in (True, False):
    with DAG(dag_id="deferrable" if deferrable else "poke", schedule=None, params={PARAMS}) as dag:
        KoreAIExportStatusSensor(
            task_id="wait",
            bot_id="{{{{ params.bot_id }}}}",
            request_id="{{{{ params.request_id }}}}",
            requested_time="{{{{ params.requested_time }}}}",
            deferrable=deferrable,
            **({{}} if deferrable else {{"poke_interval": {POKE_INTERVAL}}}),
        )
    globals()[dag.dag_id] = dag
""",
    "http.py": f"""
from airflow.providers.common.compat.sdk import DAG
from airflow.providers.http.sensors.http import HttpSensor

with DAG(dag_id="http", schedule=None, params={PARAMS}):
    HttpSensor(
        task_id="wait",
        http_conn_id="koreai_http",
        endpoint="api/public/bot/{{{{ params.bot_id }}}}/mlexport/status",
        headers={{"auth": "{{{{ params.token }}}}"}},
        response_check=lambda response: response.json()["status"] == "SUCCESS",
        poke_interval={POKE_INTERVAL},
    )
""",
}
WAYS = {
    "deferrable": "KoreAIExportStatusSensor, deferrable",
    "poke": f"KoreAIExportStatusSensor, poke every {POKE_INTERVAL} s",
    "http": f"HttpSensor, poke every {POKE_INTERVAL} s",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table; 1 if the deferrable sensor takes more than it may."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument(
        "--seconds", type=float, nargs="+", default=[5, 20, 60], help="durations of the export"
    )
    parser.add_argument(
        "--min-heartbeat-interval",
        type=int,
        default=1,
        help="Airflow's [workers] min_heartbeat_interval (default here 1; Airflow's own default is 5)",
    )
    options = parser.parse_args(arguments)
    interval = options.min_heartbeat_interval
    with tempfile.TemporaryDirectory(prefix="koreai-bench-slots-") as folder:
        for name, text in DAGS.items():
            (Path(folder) / f"bench_slots_{name}").write_text(text)
        with (
            EmulatorProcess() as emulator,
            Deployment({"bench": Path(folder)}, {"workers.min_heartbeat_interval": interval}) as deployment,
        ):
            connection = emulator.connection()
            deployment.add_connection("koreai_default", connection)
            http = {"conn_type": "http", "host": connection["host"]}
            deployment.add_connection("koreai_http", http)
            koreai = KoreAI(emulator)
            token = _token(emulator)
            # What the first task and the first trigger of a deployment pay is not an export's.
            _measure(deployment, koreai, token, 1.0)
            rows = [
                (s, way, *m) for s in options.seconds for way, m in _measure(deployment, koreai, token, s)
            ]
            database = deployment.database
    print(
        f"\nWorker-slot seconds per export. Real api-server, scheduler (LocalExecutor), dag-processor and "
        f"triggerer on {database};\n[workers] min_heartbeat_interval = {interval}: after a task's process has "
        f"ended, Airflow may keep the worker for so long.\n"
    )
    print(
        f"{'export':>8}  {'way of waiting':42} {'worker busy':>11}  {'task process':>12}  {'noticed after':>13}"
    )
    for seconds, way, busy, process, lag in rows:
        print(f"{seconds:6g} s  {WAYS[way]:42} {busy:9.1f} s  {process:10.1f} s  {lag:11.1f} s")
    worst = max(busy for _, way, busy, _, _ in rows if way == "deferrable")
    met = worst <= LIMIT
    print(f"\nDeferrable: {worst:.1f} s at most; the limit is {LIMIT:g} s: {'met' if met else 'MISSED'}")
    return 0 if met else 1


def _measure(
    deployment: Deployment, koreai: KoreAI, token: str, seconds: float
) -> list[tuple[str, tuple[float, float, float]]]:
    """
    Let all ways wait for exports of this duration.

    :return: way; seconds that a worker was busy, that the task's process ran, from the export's end to the task's.
    """
    runs = {}
    for way in WAYS:
        scenario = Scenario(way, {"seconds": seconds}, starts=True, conf={"token": token})
        runs[way] = Launched.launch(scenario, deployment, koreai)
        # The waits may go on side by side, but not the starts of the tasks.
        runs[way].wait_until_polled()
    found = []
    for way, run in runs.items():
        task = run.wait_for_task("wait", "success", timeout=seconds + 180)
        deployment.wait_until(
            "the worker's account",
            lambda run=run, way=way: len(run.stints("wait")) == 1 + (way == "deferrable"),
        )
        requested = _time(run.started["requestedTime"]).timestamp()
        lag = _time(task["end_date"]).timestamp() - requested - seconds
        found.append((way, (sum(run.stints("wait")), sum(run.process_stints("wait")), lag)))
    return found


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _token(emulator: EmulatorProcess) -> str:
    """A token that HttpSensor can send again and again: without an ID of its own."""
    now = int(time.time())
    claims = {"appId": emulator.client_id, "sub": "bench", "iat": now, "exp": now + 86400}
    return jwt.encode({**claims, "iss": emulator.client_id}, emulator.client_secret, "HS256")


if __name__ == "__main__":
    sys.exit(main())
