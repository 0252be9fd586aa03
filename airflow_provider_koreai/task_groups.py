"""
Task groups that export a bot's utterances, and import them. For many bots, call one inside a task group of your own and
map that:

.. code-block:: python

    @task_group
    def one_bot(bot_id: str) -> None:
        exported = koreai_export_utterances(bot_id=bot_id, path="s3://lake/koreai/")
        load(exported.get_child_by_label("fetch").output["path"])


    one_bot.expand(bot_id=["st-ab12", "st-cd34"])
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import TaskGroup, conf

from airflow_provider_koreai.exceptions import KoreAIConfigurationError
from airflow_provider_koreai.operators.batch_test import KoreAIBatchTestOperator
from airflow_provider_koreai.operators.check_utterances import KoreAICheckUtterancesOperator
from airflow_provider_koreai.operators.compare_utterances import KoreAICompareUtterancesOperator
from airflow_provider_koreai.operators.import_utterances import KoreAIImportUtterancesOperator
from airflow_provider_koreai.operators.koreai import (
    KoreAIDownloadUtterancesOperator,
    KoreAIExportUtterancesOperator,
)
from airflow_provider_koreai.operators.train import KoreAITrainOperator
from airflow_provider_koreai.operators.verify_import import KoreAIVerifyImportOperator
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
        bots, use one or the other, or the bots will overwrite each other's file. (templated)
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


def koreai_import_utterances(
    *,
    bot_id: str,
    path: str,
    backup_path: str,
    group_id: str = "koreai_import_utterances",
    file_type: str | None = None,
    max_removed_fraction: float | None = 0.2,
    on_invalid: str = "fail",
    check: bool = True,
    check_args: Mapping[str, Any] | None = None,
    train: bool = True,
    language: str = "en",
    test_suite: str | None = None,
    min_f1: float | None = None,
    min_precision: float | None = None,
    min_recall: float | None = None,
    timeout: float | timedelta = 3600,
    deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
    storage_conn_id: str | None = None,
    upload_conn_id: str | None = None,
    koreai_conn_id: str = "koreai_default",
    outlets: Sequence[Asset] = (),
    **task_args: Any,
) -> TaskGroup:
    """
    Import corrected utterances into a bot and make sure of it, each step a task of its own.

    ``back_up`` exports the bot as JSON, ``compare`` fails if the file would remove too much of it, ``check`` counts
    problems in the file's training data, and fails beyond your limits, ``import`` replaces the bot's utterances in
    development, ``export_again`` and ``verify`` check row by row that the bot has what was sent, ``train`` trains it and
    ``test`` runs a batch test. If the verification fails, its error names the backup and the task
    that restores it; nothing is trained then.

    An import replaces what the bot has, so send the whole set, and never import into a bot from two tasks at a time: a
    pool with one slot, or ``max_active_runs=1``.

    :param bot_id: the bot, for example ``st-ab12cd34-...``. (templated)
    :param path: the corrected file, as for
        :class:`~airflow_provider_koreai.operators.import_utterances.KoreAIImportUtterancesOperator`. (templated)
    :param backup_path: where the export before the import is stored, and beside it the one after it; all workers must see
        it. Ending in ``/`` it is a folder, and the files are named ``<bot_id>-<requested_time>.json``. A string: the output of
        another task is not accepted, and the ``/`` must be in it as it is written in the DAG file, not come from a template.
        (templated)
    :param group_id: ID of the task group. Default ``koreai_import_utterances``.
    :param file_type: ``csv`` or ``json``, of ``path``. Default None: from the path's suffix, else from the content.
        (templated)
    :param max_removed_fraction: import nothing if more than this fraction of the bot's utterances, from 0 to 1, is not in
        the file. Default 0.2; None: no limit. (templated)
    :param on_invalid: what to do with rows that Kore.ai cannot import: ``fail`` (the default) or ``drop``. (templated)
    :param check: check the file for conflicts, duplicates and other bad training data before it is imported. Default True.
    :param check_args: further arguments of
        :class:`~airflow_provider_koreai.operators.check_utterances.KoreAICheckUtterancesOperator`, for example
        ``{"max_conflicts": 0}``. Default: no limits, so the check only reports.
    :param train: train the bot after the import. Default True.
    :param language: the language to train and test. Default ``en``. (templated)
    :param test_suite: the batch test to run after the training. Default None: no test, or if there are limits, the suite
        ``Developer defined utterances``. (templated)
    :param min_f1: fail if the test's F1 score is lower than this, from 0 to 1. Default None: no limit. (templated)
    :param min_precision: likewise for the precision. (templated)
    :param min_recall: likewise for the recall. (templated)
    :param timeout: seconds (or a timedelta) to wait for each job at most. Default 3600.
    :param deferrable: wait in the triggerer, without a worker slot. Default: Airflow's
        ``[operators] default_deferrable``.
    :param storage_conn_id: ID of the connection for the object store of all paths. (templated)
    :param upload_conn_id: ID of another connection of type ``koreai`` for the upload. Default None. (templated)
    :param koreai_conn_id: ID of a connection of type ``koreai``. Default ``koreai_default``. (templated)
    :param outlets: assets that ``verify`` updates, once the bot has what was sent. Default: none.
    :param task_args: arguments of all tasks, for example ``pool`` or ``retries``.
    """
    after_path = _beside(backup_path)
    common: dict[str, Any] = {"map_index_template": "{{ ti.task.bot_id }}", **task_args}
    of_bot: dict[str, Any] = {"bot_id": bot_id, "koreai_conn_id": koreai_conn_id, **common}
    waits: dict[str, Any] = {"timeout": timeout, "deferrable": deferrable}
    files: dict[str, Any] = {"storage_conn_id": storage_conn_id}
    sent: dict[str, Any] = {"path": path, "file_type": file_type, "on_invalid": on_invalid}
    exports: dict[str, Any] = {
        "bot_id": bot_id,
        "file_type": "json",
        "koreai_conn_id": koreai_conn_id,
        **waits,
        **files,
        **task_args,
    }
    tooltip = "Import utterances into Kore.ai: back up, compare, check, import, verify, train, test"
    with TaskGroup(group_id, tooltip=tooltip) as group:
        back_up = koreai_export_utterances(group_id="back_up", path=backup_path, **exports)
        backup: Any = back_up.get_child_by_label("fetch").output["path"]  # type: ignore[attr-defined]
        compare = KoreAICompareUtterancesOperator(
            task_id="compare",
            before=backup,
            after=path,
            bot_id=bot_id,
            # The backup was just stored: if it is not there, this worker does not see it, and no limit would apply.
            missing_before="fail",
            max_removed_fraction=max_removed_fraction,
            **files,
            **common,
        )
        import_ = KoreAIImportUtterancesOperator(
            task_id="import",
            current_path=backup,
            upload_conn_id=upload_conn_id,
            **sent,
            **of_bot,
            **waits,
            **files,
        )
        export_again = koreai_export_utterances(group_id="export_again", path=after_path, **exports)
        verify = KoreAIVerifyImportOperator(
            task_id="verify",
            exported_path=export_again.get_child_by_label("fetch").output["path"],  # type: ignore[attr-defined]
            backup_path=backup,
            outlets=list(outlets),
            **sent,
            **of_bot,
            **files,
        )
        guards: list[Any] = [compare]
        if check:
            checking = {
                "bot_id": bot_id,
                "path": path,
                "file_type": file_type,
                **files,
                **common,
                **(check_args or {}),
            }
            guards.append(KoreAICheckUtterancesOperator(task_id="check", **checking))
        back_up >> guards >> import_ >> export_again >> verify
        last: Any = verify
        if train:
            training = KoreAITrainOperator(task_id="train", language=language, **of_bot, **waits)
            last >> training
            last = training
        limits: dict[str, Any] = {"min_f1": min_f1, "min_precision": min_precision, "min_recall": min_recall}
        if test_suite or any(limit is not None for limit in limits.values()):
            suite: dict[str, Any] = {"test_suite": test_suite} if test_suite else {}
            last >> KoreAIBatchTestOperator(
                task_id="test", language=language, **suite, **limits, **of_bot, **waits
            )
    return group


def _beside(path: str) -> str:
    """Name a file beside the backup; in a folder both are named by their export's time."""
    if not isinstance(path, str):
        raise KoreAIConfigurationError(
            f"backup_path is of type {type(path).__name__}, but must be a string, which may have templates, because the name of "
            "a second file is made from it while the DAG is parsed: for example s3://lake/backups/{{ ti.task.bot_id }}.json, or "
            "s3://lake/backups/ for a folder."
        )
    return path if path.endswith("/") else re.sub(r"((\.json)?(\.gz|\.zst)?)$", r"-imported\1", path, count=1)
