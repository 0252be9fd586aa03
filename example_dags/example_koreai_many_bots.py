"""
Every night: export the utterances of many bots, each with its own export, wait and file, and do something with each file.

It needs a connection ``koreai_default`` of type Kore.ai. To export all bots of an account, that has to be the
connection of an Admin app (Admin Console); otherwise name the bots in the trigger form, or change the default below.

One bot that fails does not stop the others; a retry, or clearing its tasks, repeats that bot alone.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG, Param, task, task_group

from airflow_provider_koreai.task_groups import koreai_export_utterances

with DAG(
    dag_id="example_koreai_many_bots",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    # Two exports of one bot at the same time supersede each other. Backfills of Airflow 3 do not heed this limit: start
    # them with `airflow backfill create --max-active-runs 1`.
    max_active_runs=1,
    # For a lost worker or a store that is down; when Kore.ai is out of reach for a while, the tasks themselves try again.
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "bot_ids": Param(
            [],
            type="array",
            items={"type": "string"},
            title="Bot IDs",
            description="Empty: all bots of the account",
        ),
        "folder": Param(
            "/tmp/koreai",
            type="string",
            title="Folder",
            description="A local folder, or a URL such as s3://lake/koreai",
        ),
    },
    tags=["koreai", "example"],
    doc_md=__doc__,
):

    @task
    def bots(params: dict) -> list[str]:
        """Return the bots to export."""
        # Imported here, the hook costs nothing when the DAG file is parsed.
        from airflow_provider_koreai.hooks.koreai import KoreAIHook

        return params["bot_ids"] or [bot.bot_id for bot in KoreAIHook().list_bots()]

    @task_group
    def one_bot(bot_id: str) -> None:
        """Everything that is done for one bot."""
        exported = koreai_export_utterances(
            bot_id=bot_id,
            # A folder for each bot, and in it a file for each export: <bot_id>-<requested_time>.csv
            path="{{ params.folder }}/{{ ti.task.bot_id }}/",
            # Waiting takes no worker slot.
            deferrable=True,
            # At most eight starts and eight downloads at once. To share a limit with other DAGs, make a pool instead
            # (`airflow pools set koreai 8 "Tasks that call Kore.ai" --include-deferred`) and write pool="koreai".
            max_active_tis_per_dagrun=8,
        )
        fetch = exported.get_child_by_label("fetch")
        report(bot_id=bot_id, path=fetch.output["path"], rows=fetch.output["rows"])

    # The UI then shows each bot's name, as it does for the tasks of the group above, and not 0, 1, 2.
    @task(map_index_template="{{ ti.task.op_kwargs['bot_id'] }}")
    def report(bot_id: str, path: str, rows: int) -> str:
        """Replace this with what you do with a bot's file."""
        return f"{bot_id}: {rows} utterances in {path}"

    one_bot.expand(bot_id=bots())
