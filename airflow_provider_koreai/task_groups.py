"""
A task group that exports a bot's utterances. For many bots, call it inside a task group of your own and map that:

.. code-block:: python

    @task_group
    def one_bot(bot_id: str) -> None:
        exported = koreai_export_utterances(bot_id=bot_id, path="s3://lake/koreai/")
        load(exported.get_child_by_label("fetch").output["path"])


    one_bot.expand(bot_id=["st-ab12", "st-cd34"])
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import TaskGroup, conf

from airflow_provider_koreai.operators.koreai import (
    KoreAIDownloadUtterancesOperator,
    KoreAIExportUtterancesOperator,
)
from airflow_provider_koreai.sensors.koreai import KoreAIExportStatusSensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Asset


def koreai_export_utterances(
    *,
    bot_id: str,
    path: str,
    group_id: str = "koreai_export_utterances",
    state: str = "configured",
    file_type: str = "csv",
    on_superseded: str = "fail",
    min_rows: int | None = None,
    timeout: float | timedelta = 3600,
    deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
    storage_conn_id: str | None = None,
    koreai_conn_id: str = "koreai_default",
    outlets: Sequence[Asset] = (),
    wait_args: Mapping[str, Any] | None = None,
    fetch_args: Mapping[str, Any] | None = None,
    **task_args: Any,
) -> TaskGroup:
    """
    Export a bot's ML utterances: the tasks ``export``, ``wait`` and ``fetch`` in a task group.

    Inside a mapped task group, the UI shows the bots instead of 0, 1, 2. What was fetched is the output of ``fetch``:
    ``group.get_child_by_label("fetch").output["path"]``.

    :param bot_id: the bot, for example ``st-ab12cd34-...``. (templated)
    :param path: a local path, or a URL that Airflow's ObjectStoragePath understands. Ending in ``/`` it is a folder, and
        the file is named ``<bot_id>-<requested_time>.<csv|json>``. ``{{ ti.task.bot_id }}`` in it is the bot; for many
        bots, use one or the other, or each replaces the file of the one before. (templated)
    :param group_id: ID of the task group. Default ``koreai_export_utterances``.
    :param state: ``configured`` (in development, the default) or ``published``. (templated)
    :param file_type: ``csv`` (the default) or ``json``. (templated)
    :param on_superseded: what ``wait`` and ``fetch`` do when somebody starts a newer export of the bot meanwhile:
        ``fail`` (the default), or ``follow`` it if it has our file type. (templated)
    :param min_rows: fail, and keep what is stored, when the file has fewer rows. Default None: no such check. (templated)
    :param timeout: seconds (or a timedelta) to wait for the export at most. Default 3600.
    :param deferrable: wait in the triggerer, without a worker slot. Default: Airflow's
        ``[operators] default_deferrable``.
    :param storage_conn_id: ID of the connection for the object store of ``path``. (templated)
    :param koreai_conn_id: ID of a connection of type ``koreai``. Default ``koreai_default``. (templated)
    :param outlets: assets that ``fetch`` updates. Default: none.
    :param wait_args: further arguments of the sensor, for example ``poke_interval``.
    :param fetch_args: further arguments of the download, for example ``compression``.
    :param task_args: arguments of all three tasks, for example ``pool``, ``retries`` or ``max_active_tis_per_dagrun``.
    """
    common: dict[str, Any] = {
        "bot_id": bot_id,
        "koreai_conn_id": koreai_conn_id,
        "map_index_template": "{{ ti.task.bot_id }}",
        **task_args,
    }
    with TaskGroup(group_id, tooltip="Export utterances from Kore.ai: start, wait, fetch") as group:
        export = KoreAIExportUtterancesOperator(task_id="export", state=state, file_type=file_type, **common)
        started: Any = export.output
        which = {
            "request_id": started,
            "requested_time": started["requested_time"],
            "file_type": started["file_type"],
            "on_superseded": on_superseded,
        }
        wait = KoreAIExportStatusSensor(
            task_id="wait",
            timeout=timeout.total_seconds() if isinstance(timeout, timedelta) else timeout,
            deferrable=deferrable,
            **{**common, **which, **(wait_args or {})},
        )
        fetch = KoreAIDownloadUtterancesOperator(
            task_id="fetch",
            path=path,
            min_rows=min_rows,
            storage_conn_id=storage_conn_id,
            outlets=list(outlets),
            **{**common, **which, **(fetch_args or {})},
        )
        export >> wait >> fetch
    return group
