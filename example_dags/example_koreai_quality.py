"""
Every night: check the training data of many bots. Bots that pass are loaded into a table; one page reports on all of them.

A bot whose utterances are beyond the limits is not loaded, and a callback tells somebody why, with the numbers. A failed bot
does not hold up the others, and the page is written anyway; the run fails, so that somebody notices.

It needs a connection ``koreai_default`` of type Kore.ai, and one of a database, ``warehouse_default``: PostgreSQL, or any
other whose hook is a ``DbApiHook``, with ``pip install 'airflow-provider-koreai[sql]'`` and that database's provider.
Name the bots in the trigger form, or change the default below; none named means all bots of the account, which takes
the connection of an Admin app.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG, Param, task, task_group

from airflow_provider_koreai.operators.check_utterances import KoreAICheckUtterancesOperator
from airflow_provider_koreai.operators.load_utterances import KoreAILoadUtterancesOperator
from airflow_provider_koreai.operators.report_utterances import KoreAIReportUtterancesOperator
from airflow_provider_koreai.task_groups import koreai_export_utterances


def tell(context: dict) -> None:
    """Say in the log why a bot was not loaded; the error has its file and the numbers."""
    logging.getLogger("airflow.task").error("Not loaded: %s", context["exception"])


# Airflow's notifiers send it by mail, or wherever else you read it. They take the context as templates:
#
#     from airflow.providers.smtp.notifications.smtp import SmtpNotifier
#     tell = SmtpNotifier(to="designers@example.com", subject="Not loaded on {{ ds }}", html_content="{{ exception | e }}")
#
#     from airflow.providers.apprise.notifications.apprise import AppriseNotifier
#     tell = AppriseNotifier(title="Not loaded on {{ ds }}", body="{{ exception }}")

with DAG(
    dag_id="example_koreai_quality",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    # Two exports of one bot at the same time supersede each other.
    max_active_runs=1,
    # For a lost worker or a store that is down. What is beyond a limit is not tried again.
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
        "conn_id": Param("warehouse_default", type="string", title="Connection of the database"),
        "table": Param(
            "koreai_utterances", type="string", title="Table", description="table or schema.table"
        ),
        "max_conflicts": Param(
            0,
            type="integer",
            title="Conflicts",
            description="Sentences that may be in two tasks of a language",
        ),
        "max_thin_tasks": Param(
            20,
            type="integer",
            title="Thin tasks",
            description="Tasks that may have fewer than five sentences",
        ),
    },
    tags=["koreai", "example"],
    doc_md=__doc__,
):

    @task
    def bots(params: dict) -> list[str]:
        """Return the bots to look at."""
        # Imported here, the hook costs nothing when the DAG file is parsed.
        from airflow_provider_koreai.hooks.koreai import KoreAIHook

        return params["bot_ids"] or [bot.bot_id for bot in KoreAIHook().list_bots()]

    @task_group
    def one_bot(bot_id: str) -> None:
        """From export to table, for one bot."""
        exported = koreai_export_utterances(
            bot_id=bot_id, path="{{ params.folder }}/{{ ti.task.bot_id }}/", deferrable=True
        )
        fetch = exported.get_child_by_label("fetch")
        check = KoreAICheckUtterancesOperator(
            task_id="check",
            path=fetch.output["path"],
            bot_id=bot_id,
            max_conflicts="{{ params.max_conflicts }}",
            max_thin_tasks="{{ params.max_thin_tasks }}",
            max_unusable=0,
            # Beside the file, and written also if a limit is exceeded.
            report_path="{{ ti.task.path }}.check.html",
            on_failure_callback=tell,
            map_index_template="{{ ti.task.bot_id }}",
        )
        load = KoreAILoadUtterancesOperator(
            task_id="load",
            path=fetch.output["path"],
            bot_id=bot_id,
            table="{{ params.table }}",
            conn_id="{{ params.conn_id }}",
            request_id=fetch.output["request_id"],
            requested_time=fetch.output["requested_time"],
            map_index_template="{{ ti.task.bot_id }}",
        )
        check >> load

    report = KoreAIReportUtterancesOperator(
        task_id="report",
        table="{{ params.table }}",
        conn_id="{{ params.conn_id }}",
        report_path="{{ params.folder }}/report.html",
        trigger_rule="all_done",
    )

    @task
    def all_bots_are_loaded() -> None:
        """Come last: a run is judged by its last task, and the report succeeds also if a bot has failed."""

    loaded = one_bot.expand(bot_id=bots())
    loaded >> report
    [loaded, report] >> all_bots_are_loaded()
