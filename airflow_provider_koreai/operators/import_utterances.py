"""The operator that imports a file of utterances into a bot."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout, conf
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_koreai.arguments import FILE_TYPES, choice, refuse_literals
from airflow_provider_koreai.exceptions import (
    KoreAIConfigurationError,
    KoreAIError,
    KoreAIImportFailedError,
    KoreAIImportTimeoutError,
    KoreAIImportUncertainError,
    KoreAIRefusedError,
    final,
)
from airflow_provider_koreai.jobs.imports import ImportWatch
from airflow_provider_koreai.links.koreai import KoreAIBotLink
from airflow_provider_koreai.operators.job import ACTIVE, GONE, JobOperator, push_result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Asset, Context
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_koreai.hooks.koreai import KoreAIHook
    from airflow_provider_koreai.jobs.imports import Import
    from airflow_provider_koreai.utterances.importable import ImportFile

ON_INCOMPLETE = ("fail", "warn")
ON_INVALID = ("fail", "drop")
# By how much a task's execution_timeout has to exceed its timeout on Airflow 2: for the upload, and for the way back.
_AIRFLOW_2_GRACE = timedelta(minutes=10)


class KoreAIImportUtterancesOperator(JobOperator):
    """
    Import a file of ML utterances into a bot (``uploadfile`` and ``mlimport``).

    An import **replaces** the utterances of the tasks that the file names, in the copy of the bot that is in development;
    what was published stays. So send the whole set, import into a bot from one task at a time (a pool with one slot, or
    ``max_active_runs=1``), and keep a backup: :func:`~airflow_provider_koreai.task_groups.koreai_import_utterances` does
    all that.

    The file is read once before anything is sent, and refused with the numbers of its lines if it has a sentence that is
    empty or longer than 3,000 characters, a row without a task, or the same sentence twice in a task and language.

    :param bot_id: the bot, for example ``st-ab12cd34-...``. (templated)
    :param path: the file: CSV with the header ``taskName,sentence,type,language``, JSON as Kore.ai exports it, or Parquet
        as :class:`~airflow_provider_koreai.operators.convert_utterances.KoreAIConvertUtterancesOperator` writes it, which
        is sent as JSON; CSV and JSON may be compressed (gzip, zstd). A local path, or a URL that Airflow's
        ObjectStoragePath understands. CSV has no entities, so importing it drops those that are annotated. (templated)
    :param file_type: ``csv`` or ``json``. Default None: from the path's suffix, else from the content. (templated)
    :param current_path: a fresh JSON export of the bot. With it, a file is also refused if it names a task that the bot
        does not have, or would drop entities that are annotated in the bot. Default None: neither is checked. (templated)
    :param on_invalid: what to do with rows that are refused: ``fail`` (the default), or ``drop``: leave them out and log
        which. Exports may have rows without a task or a sentence, so restoring a backup needs it. (templated)
    :param on_incomplete: what to do if Kore.ai copied another number of utterances than the file has: ``fail`` (the
        default) or ``warn``. (templated)
    :param wait_for_completion: wait in this task until the import is done. Default True.
    :param timeout: seconds (or a timedelta) to wait for completion at most. Default 3600.
    :param deferrable: wait in the triggerer, without a worker slot. Default: Airflow's
        ``[operators] default_deferrable``.
    :param storage_conn_id: ID of the connection for the object store of ``path`` and ``current_path``. (templated)
    :param upload_conn_id: ID of another connection of type ``koreai`` for the upload, where Kore.ai lets only an Admin app
        upload. Default None: ``koreai_conn_id``. (templated)
    :param koreai_conn_id: ID of a connection of type ``koreai``. Default ``koreai_default``. (templated)

    Returns ``{"import_id", "rows", "copied", "file_type", "message"}``, and pushes each entry under its own key as well.
    ``copied`` and ``message`` are ``""`` where Kore.ai does not report them, or the task does not wait.

    If the answer to the start call is lost, the import is not started again; the task raises
    :class:`~airflow_provider_koreai.exceptions.KoreAIImportUncertainError`. An import that takes longer than ``timeout``
    raises :class:`~airflow_provider_koreai.exceptions.KoreAIImportTimeoutError`; Airflow retries neither. On Airflow 3.3 and
    later, a retry after a crash, and a task that is cleared after a timeout, go on waiting for the import that was started.
    An import that Kore.ai reports as failed raises
    :class:`~airflow_provider_koreai.exceptions.KoreAIImportFailedError`, which may be retried; one that copied another number
    of utterances raises the same, without retries.
    """

    template_fields: Sequence[str] = (
        "bot_id",
        "path",
        "file_type",
        "current_path",
        "on_invalid",
        "on_incomplete",
        "storage_conn_id",
        "upload_conn_id",
        "koreai_conn_id",
    )
    external_id_key = "koreai_import"
    result_keys = ("import_id", "copied", "message")
    lost_errors = (KoreAIImportFailedError,)
    operator_extra_links = (KoreAIBotLink(),)
    ui_color = "#f1ddc4"

    # What execute has read.
    _file: ImportFile
    _rows: int

    def __init__(
        self,
        *,
        bot_id: str,
        path: str,
        file_type: str | None = None,
        current_path: str | None = None,
        on_invalid: str = "fail",
        on_incomplete: str = "fail",
        wait_for_completion: bool = True,
        timeout: float | timedelta = 3600,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        storage_conn_id: str | None = None,
        upload_conn_id: str | None = None,
        koreai_conn_id: str = "koreai_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        refuse_literals(
            file_type=(file_type, FILE_TYPES),
            on_invalid=(on_invalid, ON_INVALID),
            on_incomplete=(on_incomplete, ON_INCOMPLETE),
        )
        self.bot_id = bot_id
        self.path = path
        self.file_type = file_type
        self.current_path = current_path
        self.on_invalid = on_invalid
        self.on_incomplete = on_incomplete
        self.wait_for_completion = wait_for_completion
        self.timeout = timeout
        self.deferrable = deferrable
        self.storage_conn_id = storage_conn_id
        self.upload_conn_id = upload_conn_id
        self.koreai_conn_id = koreai_conn_id

    def execute(self, context: Context) -> Any:
        from airflow_provider_koreai.utterances.importable import check_against, checked_file

        choice("on_incomplete", self.on_incomplete, ON_INCOMPLETE)
        self._refuse_timeout_of_airflow_2()
        storage = self.storage_conn_id or None
        with checked_file(
            self.path, self.file_type or None, storage, on_invalid=self.on_invalid, log=self.log
        ) as (self._file, self._rows):
            if self.current_path:
                check_against(self._file, self.current_path, storage)
            return super().execute(context)

    def submit_job(self, context: Context) -> dict[str, Any]:
        file = self._file
        file.content.seek(0)
        # The ID of the uploaded file is as good as the file, so it stays in this task.
        uploaded = self._upload_hook.upload_file(file.content, file_type=file.file_type)
        store: Any = context.get("task_state_store")
        if store is not None and store.get(self.external_id_key):
            self._forget(context)  # an import that is over must not be taken for this one
        # Also while the answer is awaited, during which the task may run out of time.
        self._has_started = True
        try:
            started = self.hook.start_import(self.bot_id, uploaded.file_id, uploaded.file_name)
        except KoreAIError as error:
            self._has_started = isinstance(error, KoreAIImportUncertainError)
            raise
        note = {
            "import_id": started.import_id,
            "rows": self._rows,
            "file_type": file.file_type,
            "asked_for": self.asked_for(context),
        }
        if store is not None and self.wait_for_completion and self.durable:
            # At once: whatever else fails, a retry has to find it.
            store.set(self.external_id_key, note)
        context["ti"].xcom_push(key="import_id", value=started.import_id)
        self.log.info(
            "Started the import of %s utterances into bot %s: import ID %s",
            self._rows,
            self.bot_id,
            started.import_id,
        )
        return note

    def asked_for(self, context: Context) -> dict[str, str]:
        return {"bot_id": str(self.bot_id), "sha256": self._file.sha256}

    def is_resumable(self) -> bool:
        return True

    def is_own(self, note: Any, context: Context) -> bool:
        # However long ago, and although the task was cleared: a second import beside a running one is worse.
        return isinstance(note, dict) and note.get("asked_for") == self.asked_for(context)

    def began(self, note: dict[str, Any]) -> float:
        return time.time()

    def get_job_status(self, external_id: Any, context: Context) -> str:
        is_own = self.is_own(external_id, context)
        if not is_own and external_id["asked_for"]["bot_id"] != self.bot_id:
            return GONE
        try:
            status = self.status_of(external_id)
        except KoreAIRefusedError as error:
            if not error.by_api:
                raise
            self.log.warning(
                "Kore.ai does not know the import that was started before; starting a new one. %s", error
            )
            return GONE
        if is_own:
            return status
        if status == ACTIVE:
            raise KoreAIError(
                f"This task has started the import of another file into bot {self.bot_id} before (import ID "
                f"{external_id['import_id']}), which is not over yet. Clear the task again when it is."
            )
        return GONE

    def is_over(self, error: BaseException) -> bool:
        # After anything else the import may still be running, and a second one beside it is worse than waiting again.
        return isinstance(error, KoreAIImportFailedError)

    def instead_of(self, error: BaseException, context: Context) -> BaseException:
        if not self._has_started or isinstance(error, (AirflowFailException, KoreAIImportFailedError)):
            return error
        store: Any = context.get("task_state_store")
        if store is not None and self.wait_for_completion and store.get(self.external_id_key):
            return error
        # A retry that cannot be told of this import would start a second one beside it.
        check = "Before you clear this task, export the bot and compare it with the file."
        if isinstance(error, AirflowTaskTimeout):
            return KoreAIImportTimeoutError(
                f"The import into bot {self.bot_id} did not finish within execution_timeout={self.execution_timeout}; it may "
                f"still be running. {check}"
            )
        return KoreAIImportUncertainError(
            f"The import into bot {self.bot_id} was started, and then the task failed: {str(error).rstrip('.')}. The import may still be "
            f"running. {check}"
        )

    def watch_for(self, note: dict[str, Any]) -> ImportWatch:
        return ImportWatch(self.bot_id, note["import_id"], log=self.log)

    def ask(self, note: dict[str, Any], max_tries: int | None = None) -> Import:
        return self.hook.get_import(self.bot_id, note["import_id"], max_tries=max_tries)

    def trigger(self, watch: Any, note: dict[str, Any], **wait: Any) -> BaseTrigger:
        from airflow_provider_koreai.triggers.koreai import KoreAIImportStatusTrigger

        return KoreAIImportStatusTrigger(bot_id=self.bot_id, import_id=note["import_id"], **wait)

    def started(self, note: dict[str, Any], context: Context) -> dict[str, Any]:
        return _returned(note, {})

    def finish(self, note: dict[str, Any], result: Mapping[str, Any], context: Context) -> dict[str, Any]:
        returned = _returned(note, result)
        self.log.info(
            "The import into bot %s is done: import ID %s. Kore.ai says: %s",
            self.bot_id,
            returned["import_id"],
            returned["message"] or "nothing",
        )
        if returned["copied"] == "":
            self.log.warning(
                "Kore.ai did not report how many utterances were copied, so their number was not checked"
            )
        elif returned["copied"] != returned["rows"]:
            self._incomplete(returned, context)
        if self.outlets:
            from airflow_provider_koreai.assets.koreai import tell_outlets

            tell_outlets(self.outlets, context["outlet_events"], returned, self._asset_of_bot)
        return returned

    def _refuse_timeout_of_airflow_2(self) -> None:
        limit = self.execution_timeout
        if AIRFLOW_V_3_0_PLUS or limit is None:
            return
        if self.wait_for_completion and self.deferrable and self.retries:
            least = timedelta(seconds=self.limit()) + _AIRFLOW_2_GRACE
            if limit < least:
                raise KoreAIConfigurationError(
                    f"execution_timeout={limit} is too short for a deferred import on Airflow 2, which retries a task that is past "
                    f"it without asking, and would so import twice. Set it to {least} at least, shorten timeout, or set "
                    "retries=0."
                )

    def _incomplete(self, returned: dict[str, Any], context: Context) -> None:
        text = (
            f"Kore.ai copied {returned['copied']} utterances into bot {self.bot_id}, but path={self.path!r:.200} has "
            f"{returned['rows']}. Export the bot and compare it with the file to see which are missing."
        )
        if choice("on_incomplete", self.on_incomplete, ON_INCOMPLETE) == "warn":
            self.log.warning("%s", text)
            return
        push_result(returned, context)
        raise final(KoreAIImportFailedError(text))

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        from airflow_provider_koreai.assets.lineage import lineage_of_import

        return lineage_of_import(self.hook.settings.base_url, self.bot_id, self.path)

    def _asset_of_bot(self) -> Asset:
        from airflow_provider_koreai.assets.koreai import koreai_asset

        return koreai_asset(self.bot_id, host=self.hook.settings.base_url)

    @cached_property
    def _upload_hook(self) -> KoreAIHook:
        from airflow_provider_koreai.hooks.koreai import KoreAIHook

        return KoreAIHook(self.upload_conn_id) if self.upload_conn_id else self.hook


def _returned(note: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    copied = result.get("copied")
    return {
        "import_id": note["import_id"],
        "rows": note["rows"],
        # Never None, which breaks rendering downstream on Airflow 3.3.
        "copied": "" if copied is None else copied,
        "file_type": note["file_type"],
        "message": result.get("message") or "",
    }
