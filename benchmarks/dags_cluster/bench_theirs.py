"""Many bots from export to table, as it is done without this package."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, task, task_group
from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.http.sensors.http import HttpSensor

STATUS = "api/public/bot/{}/mlexport/status"

with DAG(
    dag_id="theirs",
    schedule=None,
    params={"bots": [], "token": ""},
    default_args={"retries": 3, "retry_delay": timedelta(seconds=1)},
):

    @task
    def bots(params: dict | None = None) -> list[dict[str, str]]:
        """The bots of this run, with their endpoints."""
        start = "api/public/bot/{}/mlexport?state=configured&type=csv"
        return [
            {"bot_id": bot, "start_at": start.format(bot), "status_at": STATUS.format(bot)}
            for bot in params["bots"]
        ]

    @task
    def fetch(bot_id: str, params: dict | None = None) -> str:
        """Store the file."""
        import requests
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook
        from airflow.providers.http.hooks.http import HttpHook

        status = HttpHook("GET", "koreai_http").run(STATUS.format(bot_id), headers={"auth": params["token"]})
        answer = requests.get(status.json()["downloadUrl"], timeout=60)
        answer.raise_for_status()
        key = f"theirs/{bot_id}.csv"
        S3Hook("lake").load_bytes(answer.content, key, "lake", replace=True)
        return key

    @task
    def load(key: str, bot_id: str) -> None:
        """Insert its rows."""
        import csv
        import io

        from airflow.providers.amazon.aws.hooks.s3 import S3Hook
        from airflow.providers.postgres.hooks.postgres import PostgresHook

        reader = csv.reader(io.StringIO(S3Hook("lake").read_key(key, "lake")))
        next(reader)
        columns = ["bot_id", "task_name", "sentence", "type", "language"]
        PostgresHook("warehouse").insert_rows("theirs", ([bot_id, *row] for row in reader), columns)

    @task_group
    def one_bot(bot_id: str, start_at: str, status_at: str) -> None:
        """All that is done for one bot."""
        start = HttpOperator(
            task_id="start",
            http_conn_id="koreai_http",
            endpoint=start_at,
            headers={"auth": "{{ params.token }}"},
        )
        wait = HttpSensor(
            task_id="wait",
            http_conn_id="koreai_http",
            endpoint=status_at,
            headers={"auth": "{{ params.token }}"},
            response_check=lambda response: response.json()["status"] == "SUCCESS",
            response_error_codes_allowlist=["500"],
            poke_interval=10,
            timeout=7200,
        )
        key = fetch(bot_id)
        start >> wait >> key
        load(key, bot_id)

    one_bot.expand_kwargs(bots())
