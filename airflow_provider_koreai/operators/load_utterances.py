"""The operator that loads an exported file into a database's table."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_koreai.arguments import choice, point_in_time, seconds, time_of_run, whole_number
from airflow_provider_koreai.exceptions import KoreAIConfigurationError
from airflow_provider_koreai.jobs.export import ExportIdentity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context

MODES = ("snapshot", "latest")
ON_UNSTORABLE = ("fail", "replace")


class KoreAILoadUtterancesOperator(BaseOperator):
    """
    Load an exported file into a table of a database: a snapshot of a bot is there whole or not at all.

    Any database works whose connection has a ``DbApiHook`` and for which SQLAlchemy has a dialect; it needs
    ``airflow-provider-koreai[sql]`` and the database's own provider. PostgreSQL is loaded with ``COPY``.

    All happens in one transaction. Loading a snapshot again replaces exactly that one, so that a task may be cleared
    and backfilled. Tasks for different bots do not wait for each other, those for the same bot and table do
    (PostgreSQL); SQLite has one writer at a time. An utterance that the file has twice is loaded twice; columns of
    the file that the table does not know are not loaded.

    :param path: the file, as the download task stored it: CSV, JSON, also compressed; a local path, or a URL that
        Airflow's ObjectStoragePath understands. (templated)
    :param table: ``table`` or ``schema.table``, literally as the database knows it. Its columns: ``bot_id``,
        ``snapshot``, ``task_name``, ``sentence``, ``type``, ``language``, ``entities`` (JSON text), ``row_hash``
        (:func:`~airflow_provider_koreai.utterances.row_hash.row_hash`), ``export_request_id``, ``requested_time``,
        ``loaded_at``. (templated)
    :param conn_id: ID of the database's connection. (templated)
    :param bot_id: the bot, such as ``st-ab12cd34-...``. (templated)
    :param snapshot: the snapshot's time, ISO 8601; without an offset it is UTC. Default: the run's logical date, or
        without one the time from which it may run. (templated)
    :param mode: ``snapshot`` (the default) keeps the bot's other snapshots; ``latest`` replaces its earlier ones, and
        skips the task where the table has a newer one, as it may in a backfill. (templated)
    :param file_type: ``csv`` or ``json``; None: as the path's suffix says, else as the content looks. (templated)
    :param request_id: the export's request ID, kept with each row. (templated)
    :param requested_time: the export's requested time, kept with each row. (templated)
    :param min_rows: fail, and keep what is there, when the file has fewer rows. Default None: no such check. (templated)
    :param create_table: make the table, with an index, where there is none. Default True.
    :param add_columns: add columns that the table lacks, and log that. Default False: fail, and say which.
    :param on_unstorable: what to do about a NUL character, or half of a surrogate pair, which databases do not take:
        ``fail`` (the default), or ``replace`` it with U+FFFD. Python 3.10 reads no CSV file with a NUL: there it fails
        always.
    :param batch_size: utterances that are held in memory and written at once. Default 200: more are slower, as they
        leave the processor's cache and give Python's garbage collector work.
    :param lock_timeout: seconds to wait for other tasks that write to the same. Default 600.
    :param storage_conn_id: ID of the connection for the object store of ``path``. (templated)

    Returns ``{"path", "table", "bot_id", "snapshot", "rows", "inserted", "replaced", "languages", "types"}``; the last
    two count the utterances, of at most 100 languages and types; ``""`` where the file names none.
    """

    template_fields: Sequence[str] = (
        "bot_id",
        "path",
        "table",
        "conn_id",
        "snapshot",
        "mode",
        "file_type",
        "request_id",
        "requested_time",
        "min_rows",
        "storage_conn_id",
    )
    ui_color = "#9fd0be"

    def __init__(
        self,
        *,
        path: str,
        table: str,
        conn_id: str,
        bot_id: str,
        snapshot: str | datetime | None = None,
        mode: str = "snapshot",
        file_type: str | None = None,
        request_id: str | None = None,
        requested_time: str | None = None,
        min_rows: int | None = None,
        create_table: bool = True,
        add_columns: bool = False,
        on_unstorable: str = "fail",
        batch_size: int = 200,
        lock_timeout: float = 600,
        storage_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        self.path = path
        self.table = table
        self.conn_id = conn_id
        self.bot_id = bot_id
        self.snapshot = snapshot
        self.mode = mode
        self.file_type = file_type
        self.request_id = request_id
        self.requested_time = requested_time
        self.min_rows = min_rows
        self.create_table = create_table
        self.add_columns = add_columns
        self.on_unstorable = on_unstorable
        self.batch_size = batch_size
        self.lock_timeout = lock_timeout
        self.storage_conn_id = storage_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Load the file.

        :param context: Airflow's.
        :return: what was loaded.
        """
        from airflow_provider_koreai.warehouse.database import Database
        from airflow_provider_koreai.warehouse.loading import Loader, Snapshot
        from airflow_provider_koreai.warehouse.table import utterances_table

        if not (isinstance(self.bot_id, str) and self.bot_id.strip()):
            raise KoreAIConfigurationError(
                f"bot_id={self.bot_id!r:.80} is no bot; use its ID, such as st-ab12cd34-..."
            )
        export = ExportIdentity.of(self.request_id, self.requested_time)
        snapshot = Snapshot(
            self.bot_id.strip(),
            point_in_time("snapshot", self.snapshot or time_of_run(context)),
            export.request_id,
            export.requested_time,
        )
        table = utterances_table(self.table)
        mode = choice("mode", self.mode, MODES)
        on_unstorable = choice("on_unstorable", self.on_unstorable, ON_UNSTORABLE)
        min_rows = whole_number("min_rows", self.min_rows)
        batch_size = whole_number("batch_size", self.batch_size, least=1) or 200
        with Database(self.conn_id, lock_timeout=seconds("lock_timeout", self.lock_timeout)) as database:
            loader = Loader(
                database,
                table,
                mode=mode,
                create_table=self.create_table,
                add_columns=self.add_columns,
                batch_size=batch_size,
                min_rows=min_rows,
                on_unstorable=on_unstorable,
            )
            return asdict(
                loader.load(snapshot, self.path, self.file_type or None, self.storage_conn_id or None)
            )
