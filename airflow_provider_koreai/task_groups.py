"""
A task group that exports a bot's utterances, for one bot or mapped over many.

.. code-block:: python

    one = koreai_export_utterances(bot_id="st-ab12cd34", path="s3://lake/koreai/utterances.csv", deferrable=True)
    load(one.output)

    many = koreai_export_utterances.partial(path="s3://lake/koreai/{{ ds }}/", deferrable=True).expand(
        bot_id=list_bots()
    )
    report(many.output)
"""

from __future__ import annotations

import functools
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, ParamSpec, cast

from airflow.providers.common.compat.sdk import conf, task_group

from airflow_provider_koreai.exceptions import KoreAIConfigurationError
from airflow_provider_koreai.operators.koreai import (
    KoreAIDownloadUtterancesOperator,
    KoreAIExportUtterancesOperator,
)
from airflow_provider_koreai.sensors.koreai import KoreAIExportStatusSensor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow.providers.common.compat.sdk import Asset, TaskGroup, XComArg

P = ParamSpec("P")


class ExportedUtterances(NamedTuple):
    """
    What :func:`koreai_export_utterances` made.

    For ``>>``, ``<<`` and ``chain()`` it is a sequence that holds the group alone: what comes before it, comes before
    the export, and what comes after it, after the file.

    :param group: the task group, mapped or not.
    """

    group: TaskGroup

    @property
    def export(self) -> Any:
        """The task that starts the export."""
        return self.group.get_child_by_label("export")

    @property
    def wait(self) -> Any:
        """The sensor."""
        return self.group.get_child_by_label("wait")

    @property
    def fetch(self) -> Any:
        """The task that fetches the file."""
        return self.group.get_child_by_label("fetch")

    @property
    def output(self) -> XComArg:
        """What ``fetch`` returns, for later tasks; of a mapped group a sequence, in the order of its bots."""
        output: XComArg = self.fetch.output
        return output


class _Each(NamedTuple):
    bot_ids: Sequence[str] | XComArg


class _Mappable(Generic[P]):
    """Gives a function that makes a group the ways of Airflow's operators to map it."""

    def __init__(self, function: Callable[P, ExportedUtterances], **given: Any) -> None:
        functools.update_wrapper(self, function)
        self._function: Callable[..., ExportedUtterances] = function
        self._given = given

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> ExportedUtterances:
        """Make the group for one bot."""
        return self._function(*args, **self._given, **kwargs)

    def partial(self, **kwargs: Any) -> _Mappable[P]:
        """
        Set what is the same for every bot.

        :param kwargs: arguments of the function, all but ``bot_id``.
        """
        return _Mappable(self._function, **{**self._given, **kwargs})

    def expand(self, *, bot_id: Sequence[str] | XComArg) -> ExportedUtterances:
        """
        Make the group mapped over bots: one export, one wait and one file for each.

        :param bot_id: the bots, each once, or another task's output, a list of them.
        :raises KoreAIConfigurationError: a bot is named twice, or all bots would write the same file.
        """
        return self._function(bot_id=_Each(bot_id), **self._given)


@_Mappable
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
) -> ExportedUtterances:
    """
    Start an export of a bot's ML utterances, wait for it, and fetch its file: the tasks ``export``, ``wait`` and
    ``fetch`` in a task group.

    For many bots: ``koreai_export_utterances.partial(path=...).expand(bot_id=[...])``. Each bot gets its own export,
    wait and file. Only ``bot_id`` can be mapped: two exports of one bot at the same time would supersede each other.

    :param bot_id: the bot, such as ``st-ab12cd34-...``. (templated)
    :param path: a local path, or a URL that Airflow's ObjectStoragePath understands. Ending in ``/`` it is a folder, and
        the file is named ``<bot_id>-<requested_time>.<csv|json>``. ``{{ ti.task.bot_id }}`` in it is the bot; of a mapped
        group, it must have one or the other. (templated)
    :param group_id: ID of the task group. Default ``koreai_export_utterances``.
    :param state: ``configured`` (in development, the default) or ``published``. (templated)
    :param file_type: ``csv`` (the default) or ``json``. (templated)
    :param on_superseded: what ``wait`` and ``fetch`` do when somebody starts a newer export of the bot meanwhile:
        ``fail`` (the default), or ``follow`` it if it has our file type. (templated)
    :param min_rows: fail, and keep what is stored, when the file has fewer rows. Default None: no such check. (templated)
    :param timeout: seconds to wait for the export at most. Default 3600.
    :param deferrable: wait in the triggerer, without a worker slot. Default: Airflow's
        ``[operators] default_deferrable``.
    :param storage_conn_id: ID of the connection for the object store of ``path``. (templated)
    :param koreai_conn_id: ID of a connection of type ``koreai``. Default ``koreai_default``. (templated)
    :param outlets: assets that ``fetch`` updates. Default: none.
    :param wait_args: further arguments of the sensor, such as ``poke_interval``.
    :param fetch_args: further arguments of the download, such as ``compression``.
    :param task_args: arguments of all three tasks, such as ``pool``, ``retries`` or ``max_active_tis_per_dagrun``.
    :raises KoreAIConfigurationError: a bot is named twice, or all bots would write the same file.
    """
    common = {"on_superseded": on_superseded, "koreai_conn_id": koreai_conn_id, **task_args}

    @task_group(group_id=group_id, tooltip="Export utterances from Kore.ai: start, wait, fetch")
    def one_bot(bot_id: str) -> None:
        export = KoreAIExportUtterancesOperator(
            task_id="export",
            bot_id=bot_id,
            state=state,
            file_type=file_type,
            koreai_conn_id=koreai_conn_id,
            **task_args,
        )
        started: Any = export.output
        identity = {
            "request_id": started,
            "requested_time": started["requested_time"],
            "file_type": started["file_type"],
        }
        wait = KoreAIExportStatusSensor(
            task_id="wait",
            bot_id=bot_id,
            **identity,
            timeout=timeout.total_seconds() if isinstance(timeout, timedelta) else timeout,
            deferrable=deferrable,
            **{**common, **(wait_args or {})},
        )
        fetch = KoreAIDownloadUtterancesOperator(
            task_id="fetch",
            bot_id=bot_id,
            path=path,
            **identity,
            min_rows=min_rows,
            storage_conn_id=storage_conn_id,
            outlets=list(outlets),
            **{**common, **(fetch_args or {})},
        )
        export >> wait >> fetch

    if not isinstance(bot_id, _Each):
        return ExportedUtterances(cast("TaskGroup", one_bot(bot_id)))
    _check_mapping(bot_id, path)
    return ExportedUtterances(cast("TaskGroup", one_bot.expand(bot_id=bot_id.bot_ids)))


def _check_mapping(each: _Each, path: object) -> None:
    """Refuse, when the DAG is read, what would go wrong at night."""
    if isinstance(path, str) and not path.endswith("/") and "bot_id" not in path and "map_index" not in path:
        raise KoreAIConfigurationError(
            f"path={path!r:.200} is the same for every bot, so each would replace the file of the one before; end it "
            "with / (a folder), or put {{ ti.task.bot_id }} into it."
        )
    bot_ids = each.bot_ids
    if isinstance(bot_ids, (list, tuple)) and len(set(bot_ids)) < len(bot_ids):
        twice = next(bot_id for bot_id in bot_ids if bot_ids.count(bot_id) > 1)
        raise KoreAIConfigurationError(
            f"bot_id: {twice!r:.80} is named twice; two exports of one bot at the same time supersede each other."
        )
