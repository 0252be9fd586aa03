"""All that this provider does, and much that can go wrong with it, for a search of what Airflow has written meanwhile."""

from __future__ import annotations

import logging
import traceback
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_koreai.exceptions import KoreAIError
from airflow_provider_koreai.hooks.koreai import KoreAIHook
from airflow_provider_koreai.operators.koreai import (
    KoreAIDownloadUtterancesOperator,
    KoreAIExportUtterancesOperator,
)
from airflow_provider_koreai.sensors.koreai import KoreAIExportStatusSensor

if TYPE_CHECKING:
    from collections.abc import Callable

BOT = "{{ params.bot }}"
MODES: dict[str, dict[str, Any]] = {
    "poke": {"mode": "poke", "deferrable": False},
    "reschedule": {"mode": "reschedule", "deferrable": False},
    "deferrable": {"deferrable": True},
}


def show_with_locals(error: BaseException) -> None:
    """Print what an error tracker would send: the traceback, with the repr of all that its frames hold."""
    print("".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()))


def show_failure(action: Callable[[], object]) -> None:
    """Let a call fail, and show the error as a log and an error tracker would."""
    try:
        action()
    except KoreAIError as error:
        logging.getLogger(__name__).exception("It failed")
        show_with_locals(error)


@task
def raise_with_everything_at_hand(bot: str, folder: str, conn_id: str, refused_conn_id: str) -> None:
    """Fail as a user's own task may, with hook, settings and export among its variables."""
    hook = KoreAIHook(conn_id)
    settings = hook.settings
    started = hook.start_export(f"{bot}-own")
    export = hook.get_export(f"{bot}-own")
    assert export.download_url is not None
    logging.getLogger(__name__).debug("%r %r %r %r", hook, settings, started, export)
    show_failure(lambda: KoreAIHook(refused_conn_id).get_export(f"{bot}-own"))
    show_failure(lambda: hook.get_export(f"{bot}/../own"))
    show_failure(lambda: hook.download_export(f"{bot}-elsewhere", f"{folder}/own.csv"))
    try:
        raise RuntimeError(f"{settings} {export}")
    except RuntimeError as error:
        show_with_locals(error)
        raise


with DAG(
    dag_id="e2e_secrets",
    schedule=None,
    params={"bot": "", "folder": "", "koreai": "", "refused": ""},
    default_args={"retries": 0, "koreai_conn_id": "{{ params.koreai }}"},
):
    for mode, how in MODES.items():
        export = KoreAIExportUtterancesOperator(task_id=f"export_{mode}", bot_id=f"{BOT}-{mode}")
        identity = {
            "request_id": export.output,
            "requested_time": export.output["requested_time"],
            "file_type": export.output["file_type"],
        }
        wait = KoreAIExportStatusSensor(
            task_id=f"wait_{mode}",
            bot_id=f"{BOT}-{mode}",
            poke_interval=5,
            timeout=300,
            # Airflow fails a task that is back before its scheduler has noticed the end of the last stay.
            retries=2,
            retry_delay=timedelta(seconds=1),
            **identity,
            **how,
        )
        fetch = KoreAIDownloadUtterancesOperator(
            task_id=f"fetch_{mode}",
            bot_id=f"{BOT}-{mode}",
            path=f"{{{{ params.folder }}}}/{mode}.csv",
            **identity,
        )
        export >> wait >> fetch

    for deferrable in (False, True):
        KoreAIExportUtterancesOperator(
            task_id="one_task_deferrable" if deferrable else "one_task",
            bot_id=f"{BOT}-one-{deferrable}".lower(),
            wait_for_completion=True,
            deferrable=deferrable,
            timeout=300,
            retries=2,
            retry_delay=timedelta(seconds=1),
        )
    starts = {
        name: KoreAIExportUtterancesOperator(task_id=f"export_{name}", bot_id=f"{BOT}-{name}")
        for name in ("failed", "elsewhere", "expired", "page")
    }
    for mode, how in MODES.items():
        starts["failed"] >> KoreAIExportStatusSensor(
            task_id=f"failed_{mode}", bot_id=f"{BOT}-failed", poke_interval=5, timeout=300, **how
        )
        KoreAIExportStatusSensor(
            task_id=f"refused_{mode}",
            bot_id=f"{BOT}-poke",
            poke_interval=5,
            timeout=300,
            koreai_conn_id="{{ params.refused }}",
            **how,
        )
    KoreAIExportUtterancesOperator(
        task_id="refused_export", bot_id=f"{BOT}-poke", koreai_conn_id="{{ params.refused }}"
    )
    for name in ("elsewhere", "expired", "page"):
        starts[name] >> KoreAIDownloadUtterancesOperator(
            task_id=f"fetch_{name}", bot_id=f"{BOT}-{name}", path=f"{{{{ params.folder }}}}/{name}.csv"
        )
    starts["elsewhere"] >> raise_with_everything_at_hand(
        "{{ params.bot }}", "{{ params.folder }}", "{{ params.koreai }}", "{{ params.refused }}"
    )
