"""The operators: start an export, and fetch its file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_provider_koreai import metrics
from airflow_provider_koreai.arguments import FILE_TYPES, refuse_literals
from airflow_provider_koreai.deferral import export_trigger
from airflow_provider_koreai.exceptions import (
    KoreAIDownloadError,
    KoreAIExportFailedError,
    KoreAIExportSupersededError,
    final,
)
from airflow_provider_koreai.jobs.confirming import CONFIRM_SECONDS
from airflow_provider_koreai.jobs.events import IDENTITY
from airflow_provider_koreai.jobs.export import ON_SUPERSEDED, STATES, ExportIdentity, ExportWatch
from airflow_provider_koreai.links.koreai import (
    KoreAIBotLink,
    KoreAIExportedFileLink,
    store_bot_link,
    store_file_link,
)
from airflow_provider_koreai.operators.job import JobOperator, WithHook

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from airflow.providers.common.compat.sdk import Asset, Context
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_koreai.download.export_file import DownloadResult
    from airflow_provider_koreai.jobs.export import Export


class KoreAIExportUtterancesOperator(JobOperator):
    """
    Start an export of a bot's ML utterances (``mlexport``).

    Returns the request ID (XCom ``return_value``), and pushes the XComs ``requested_time`` and ``file_type``: always
    strings, ``""`` where Kore.ai did not report a value. They are what Kore.ai's status call reports for the new export,
    so that later tasks can compare exactly; see :meth:`~airflow_provider_koreai.hooks.koreai.KoreAIHook.start_export`.

    :param bot_id: the bot, for example ``st-ab12cd34-...``. (templated)
    :param state: ``configured`` (in development, the default) or ``published``. (templated)
    :param file_type: ``csv`` (the default) or ``json``. (templated)
    :param wait_for_completion: wait in this task until the export is done. Default False. Without ``deferrable``, on
        Airflow 3.3 and later, when the worker dies while it waits, the retry goes on waiting for the same export, within
        its ``timeout``.
    :param timeout: seconds (or a timedelta) to wait for completion at most, counted from the start of the export; as a
        sensor's ``timeout``, so that one in ``default_args`` suits both. Ignored without ``wait_for_completion``.
        Default 3600.
    :param deferrable: wait in the triggerer, without a worker slot. Default: Airflow's
        ``[operators] default_deferrable``.
    :param koreai_conn_id: ID of a connection of type ``koreai``. Default ``koreai_default``. (templated)

    A failed or superseded export raises :class:`~airflow_provider_koreai.exceptions.KoreAIExportFailedError` or
    :class:`~airflow_provider_koreai.exceptions.KoreAIExportSupersededError`, and one that takes longer than ``timeout``
    raises :class:`~airflow_provider_koreai.exceptions.KoreAIExportTimeoutError`. Airflow may retry all of them, and a
    task past its ``execution_timeout``: a retry starts a new export, and so does clearing the task.
    """

    template_fields: Sequence[str] = ("bot_id", "state", "file_type", "koreai_conn_id")
    external_id_key = "koreai_export"
    result_keys = IDENTITY
    lost_errors = (KoreAIExportFailedError, KoreAIExportSupersededError)
    operator_extra_links = (KoreAIBotLink(),)
    ui_color = "#c9e7dc"

    def __init__(
        self,
        *,
        bot_id: str,
        state: str = "configured",
        file_type: str = "csv",
        wait_for_completion: bool = False,
        timeout: float | timedelta = 3600,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        koreai_conn_id: str = "koreai_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        refuse_literals(state=(state, STATES), file_type=(file_type, FILE_TYPES))
        self.bot_id = bot_id
        self.state = state
        self.file_type = file_type
        self.wait_for_completion = wait_for_completion
        self.timeout = timeout
        self.deferrable = deferrable
        self.koreai_conn_id = koreai_conn_id

    def submit_job(self, context: Context) -> dict[str, Any]:
        """Start the export, push its XComs, and return what Airflow keeps for the next try."""
        more: dict[str, Any] = {}
        until = self.until()
        if self.wait_for_completion:
            more["confirm_seconds"] = min(self.limit(), CONFIRM_SECONDS)
            store: Any = context.get("task_state_store")
            if store is not None and self.is_resumable():
                # Before the confirmation, during which the worker may die, too.
                more["on_started"] = lambda export: store.set(
                    self.external_id_key, self._note_of(export, until, context)
                )
        export = self.hook.start_export(self.bot_id, state=self.state, file_type=self.file_type, **more)
        note = self._note_of(export, until, context)
        identity = note["export"]
        self.log.info(
            "Started the export of bot %s: request ID %s, requested %s, state %s, file type %s",
            self.bot_id,
            identity["request_id"],
            identity["requested_time"],
            self.state,
            identity["file_type"],
        )
        self._push(context, identity)
        return note

    def watch_for(self, note: dict[str, Any]) -> ExportWatch:
        return ExportWatch(self.bot_id, ExportIdentity.of(**note["export"]), log=self.log)

    def ask(self, note: dict[str, Any], max_tries: int | None = None) -> Export:
        return self.hook.get_export(self.bot_id, max_tries=max_tries)

    def trigger(self, watch: Any, note: dict[str, Any], **wait: Any) -> BaseTrigger:
        return export_trigger(watch, **wait)

    def started(self, note: dict[str, Any], context: Context) -> str:
        return str(note["export"]["request_id"])

    def finish(self, note: dict[str, Any], result: Mapping[str, Any], context: Context) -> str:
        # Once more: a new try starts without the XComs of the one before.
        self._push(context, result)
        metrics.export_ended(self.bot_id, result["requested_time"])
        self.log.info("The export of bot %s is done: request ID %s", self.bot_id, result["request_id"])
        return str(result["request_id"])

    def _note_of(self, export: Export, until: float, context: Context) -> dict[str, Any]:
        identity = ExportIdentity.of(
            export.request_id, export.requested_time, export.file_type or self.file_type
        )
        return {"export": identity.as_dict(), "asked_for": self.asked_for(context), "until": until}

    def _push(self, context: Context, identity: Mapping[str, str]) -> None:
        for key in ("requested_time", "file_type"):
            context["ti"].xcom_push(key=key, value=identity[key])


class _StoppedError(BaseException):
    """Ends a download; not an Exception, so that nothing takes it for trouble with the network."""


class KoreAIDownloadUtterancesOperator(WithHook, BaseOperator):
    """
    Fetch the file of an export that is done, and publish it whole or not at all.

    The task asks Kore.ai for a fresh link itself, so the link never passes through XCom and never expires between
    tasks. The file is checked (its length, that it is the CSV or JSON it claims to be, its rows) before it appears
    under its name; whatever stops the task midway leaves the earlier file, or none, never a part. A task that is marked
    failed, or gets a SIGTERM, stops downloading at once.

    :param bot_id: the bot, for example ``st-ab12cd34-...``. (templated)
    :param path: a local path, or a URL that Airflow's ObjectStoragePath understands (``s3://``, ``gs://``, ...). Ending
        in ``/`` it is a folder, and the file is named ``<bot_id>-<requested_time>.<csv|json>``. (templated)
    :param request_id: the export's request ID, ``export.output``; without it and ``requested_time`` the bot's latest
        export is fetched, whoever started it. (templated)
    :param requested_time: the export's requested time, ``export.output["requested_time"]``. (templated)
    :param file_type: the export's file type, ``export.output["file_type"]``; None takes it from the path's ``.csv`` or
        ``.json``, or else any. (templated)
    :param on_superseded: what to do when somebody started a newer export of the bot: ``fail`` (the default), or
        ``follow``: fetch the newer one if it has our file type. (templated)
    :param newer_than: without ``request_id`` and ``requested_time``, the time from which on an export counts: a date, a
        time, or a text of one in ISO 8601 (UTC where it names no offset), for example ``"{{ data_interval_end }}"``. An
        older export is waited out for a minute, then the task fails and may be retried. Default None: any export
        counts. (templated)
    :param min_rows: fail, and keep the earlier file, if the new one has fewer rows. Default None: no such check.
        (templated)
    :param max_bytes: fail, and keep the earlier file, if the new one is larger. Default None: no limit. (templated)
    :param overwrite: replace a file that is there (the default). False fails before anything is fetched; only a retry
        accepts a file with the same content, which an earlier try has then published.
    :param compression: ``gzip`` or ``zstd`` for the stored file. Default None: as it came. (templated)
    :param storage_conn_id: ID of the connection for the object store of ``path``. (templated)
    :param koreai_conn_id: ID of a connection of type ``koreai``. Default ``koreai_default``. (templated)

    Returns ``{"path", "bytes", "rows", "sha256", "file_type", "request_id", "requested_time", "bot_id"}``, and pushes each
    entry under its own key as well: ``fetch.output["path"]``. Assets in ``outlets`` get the same as the extra of their
    event; an ``AssetAlias`` gets the bot's own asset (:func:`~airflow_provider_koreai.assets.koreai.koreai_asset`).
    OpenLineage gets the bot as the input and the file as the output.
    """

    template_fields: Sequence[str] = (
        "bot_id",
        "path",
        "request_id",
        "requested_time",
        "file_type",
        "on_superseded",
        "newer_than",
        "min_rows",
        "max_bytes",
        "compression",
        "storage_conn_id",
        "koreai_conn_id",
    )
    operator_extra_links = (KoreAIBotLink(), KoreAIExportedFileLink())
    ui_color = "#b4dccd"

    def __init__(
        self,
        *,
        bot_id: str,
        path: str,
        request_id: str | None = None,
        requested_time: str | None = None,
        file_type: str | None = None,
        on_superseded: str = "fail",
        newer_than: str | datetime | None = None,
        min_rows: int | None = None,
        max_bytes: int | None = None,
        overwrite: bool = True,
        compression: str | None = None,
        storage_conn_id: str | None = None,
        koreai_conn_id: str = "koreai_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        refuse_literals(file_type=(file_type, FILE_TYPES), on_superseded=(on_superseded, ON_SUPERSEDED))
        refuse_literals(compression=(compression, ("gzip", "zstd")))
        self.bot_id = bot_id
        self.path = path
        self.request_id = request_id
        self.requested_time = requested_time
        self.file_type = file_type
        self.on_superseded = on_superseded
        self.newer_than = newer_than
        self.min_rows = min_rows
        self.max_bytes = max_bytes
        self.overwrite = overwrite
        self.compression = compression
        self.storage_conn_id = storage_conn_id
        self.koreai_conn_id = koreai_conn_id
        self._is_downloading = False
        self._result: DownloadResult | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        store_bot_link(context, self)
        self._is_downloading = True
        try:
            result = self.hook.download_export(
                self.bot_id,
                self.path,
                request_id=self.request_id,
                requested_time=self.requested_time,
                file_type=self.file_type,
                newer_than=self.newer_than,
                storage_conn_id=self.storage_conn_id or None,
                on_superseded=self.on_superseded,
                min_rows=self.min_rows,
                max_bytes=self.max_bytes,
                overwrite=self.overwrite,
                is_retry=getattr(context["ti"], "try_number", 1) > 1,
                compression=self.compression,
            )
        except _StoppedError:
            raise KoreAIDownloadError(
                "The task was stopped, so the download was ended and its unfinished file removed."
            ) from None
        except (KoreAIExportFailedError, KoreAIExportSupersededError) as error:
            metrics.export_lost(self.bot_id, error)
            raise final(error) from None
        finally:
            self._is_downloading = False
        self._result = result
        stored: dict[str, Any] = result.as_dict()
        store_file_link(context, self, result.path)
        if self.outlets:
            from airflow_provider_koreai.assets.koreai import tell_outlets

            tell_outlets(self.outlets, context["outlet_events"], stored, self._asset_of_bot)
        return stored

    def on_kill(self) -> None:
        # Called from the handler of SIGTERM, in the thread that downloads. Airflow 3 lets the task go on after it, until
        # SIGKILL; raising here ends whatever that thread is waiting for.
        if self._is_downloading:
            self._is_downloading = False
            raise _StoppedError

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        if self._result is None:
            return None
        from airflow_provider_koreai.assets.lineage import lineage_of_download

        return lineage_of_download(self.hook.settings.base_url, self.bot_id, self._result)

    def _asset_of_bot(self) -> Asset:
        from airflow_provider_koreai.assets.koreai import koreai_asset

        return koreai_asset(self.bot_id, host=self.hook.settings.base_url)
