"""The operator that loads an exported file into a database table."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_koreai.arguments import (
    FILE_TYPES,
    choice,
    point_in_time,
    refuse_literals,
    time_of_run,
    whole_number,
)
from airflow_provider_koreai.exceptions import KoreAIConfigurationError
from airflow_provider_koreai.jobs.export import ExportIdentity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

KEEP = ("all", "latest")
ON_UNSTORABLE = ("fail", "replace")


class KoreAILoadUtterancesOperator(BaseOperator):
    """
    Load an exported file into a database table, in one transaction: a snapshot of a bot is there whole or not at all.

    It works with a connection whose hook is a ``DbApiHook``, for a database that has a SQLAlchemy dialect and transactions:
    PostgreSQL (loaded with ``COPY``), SQLite, MySQL and MariaDB, Microsoft SQL Server and others. A database without
    transactions (BigQuery, Trino, Hive, Databricks SQL, ClickHouse) and a connection in autocommit mode are refused before
    anything is written. It needs ``airflow-provider-koreai[sql]`` and the database's own provider.

    Loading a snapshot again replaces exactly that one. Loads of different bots do not wait for each other; those of the same
    bot into the same table do, for up to ten minutes (PostgreSQL, MySQL, MariaDB). SQLite has one writer at a time. An
    utterance that the file has twice is loaded twice; columns of the file that the table does not have are not loaded.

    :param path: the file that the download task stored: CSV, JSON, also compressed, or Parquet; a local path, or a URL that
        Airflow's ObjectStoragePath understands. (templated)
    :param table: ``table``, ``schema.table`` or, where the database has such names, ``database.schema.table``, spelled as the
        database spells it. Its columns: ``bot_id``, ``snapshot``, ``task_name``, ``sentence``, ``type``, ``language``,
        ``entities`` (JSON text), ``export_request_id``, ``requested_time``, ``loaded_at``. (templated)
    :param conn_id: ID of the database connection. (templated)
    :param bot_id: the bot, for example ``st-ab12cd34-...``. (templated)
    :param snapshot: the snapshot's time, ISO 8601, in UTC unless it has an offset. Default: the run's logical date, or
        for a run without one the time from which it may run. (templated)
    :param keep: ``all`` (the default) keeps the bot's other snapshots. ``latest`` keeps only this one, and skips the task
        if the table has a newer one, as it may in a backfill. (templated)
    :param rewrite_history: allow what fails otherwise, because an export always reflects the bot's current state: replacing a
        snapshot by an export more than a day younger than the one stored (a run cleared later), and, with the default
        ``snapshot``, loading an export of more than a day after the end of the run's interval (a backfill). Default False.
        (templated)
    :param file_type: ``csv`` or ``json``. Default: from the path's suffix, or else from the content. (templated)
    :param request_id: the export's request ID, stored in each row. (templated)
    :param requested_time: the export's requested time, stored in each row. Without it the export counts as made now.
        (templated)
    :param min_rows: fail, and leave the table as it is, if the file has fewer rows. Default None: no limit. (templated)
    :param create_table: create the table if it does not exist, with an index where the database has indexes. Default True.
    :param on_unstorable: what to do about NUL characters and unpaired surrogates, which databases do not accept: ``fail``
        (the default), or ``replace`` them with U+FFFD. Python 3.10 cannot read a CSV file with a NUL.
    :param storage_conn_id: ID of the connection for the object store of ``path``. (templated)

    Returns ``{"path", "table", "bot_id", "snapshot", "rows", "inserted", "replaced", "languages", "types"}``, and pushes each
    entry under its own key as well: ``load.output["rows"]``. The last two count the utterances of at most 100 languages and
    types; ``""`` stands for those without one. Assets in ``outlets`` get the same as the extra of their event. OpenLineage gets
    the file and, where the database's hook can name its tables, the table.
    """

    template_fields: Sequence[str] = (
        "bot_id",
        "path",
        "table",
        "conn_id",
        "snapshot",
        "keep",
        "rewrite_history",
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
        keep: str = "all",
        rewrite_history: bool | str = False,
        file_type: str | None = None,
        request_id: str | None = None,
        requested_time: str | None = None,
        min_rows: int | None = None,
        create_table: bool = True,
        on_unstorable: str = "fail",
        storage_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        refuse_literals(
            keep=(keep, KEEP), file_type=(file_type, FILE_TYPES), on_unstorable=(on_unstorable, ON_UNSTORABLE)
        )
        self.path = path
        self.table = table
        self.conn_id = conn_id
        self.bot_id = bot_id
        self.snapshot = snapshot
        self.keep = keep
        self.rewrite_history = rewrite_history
        self.file_type = file_type
        self.request_id = request_id
        self.requested_time = requested_time
        self.min_rows = min_rows
        self.create_table = create_table
        self.on_unstorable = on_unstorable
        self.storage_conn_id = storage_conn_id
        self._inserted: int | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_koreai.warehouse.database import Database
        from airflow_provider_koreai.warehouse.loading import Loader, Snapshot
        from airflow_provider_koreai.warehouse.table import utterances_table

        if not (isinstance(self.bot_id, str) and self.bot_id.strip()):
            raise KoreAIConfigurationError(
                f"bot_id={self.bot_id!r:.80} is not a bot. Use its ID, for example st-ab12cd34-..."
            )
        export = ExportIdentity.of(self.request_id, self.requested_time)
        snapshot = Snapshot(
            self.bot_id.strip(),
            point_in_time("snapshot", self.snapshot or time_of_run(context)),
            export.request_id,
            export.requested_time,
            None if self.snapshot else _end_of_run(context),
        )
        # A template renders to text.
        rewrite_history = choice("rewrite_history", str(self.rewrite_history), ("true", "false")) == "true"
        table = utterances_table(self.table)
        keep = choice("keep", self.keep, KEEP)
        on_unstorable = choice("on_unstorable", self.on_unstorable, ON_UNSTORABLE)
        min_rows = whole_number("min_rows", self.min_rows)
        with Database(self.conn_id) as database:
            loader = Loader(
                database,
                table,
                keep=keep,
                rewrite_history=rewrite_history,
                create_table=self.create_table,
                min_rows=min_rows,
                on_unstorable=on_unstorable,
            )
            result = loader.load(snapshot, self.path, self.file_type or None, self.storage_conn_id or None)
        self._inserted, loaded = result.inserted, asdict(result)
        if self.outlets:
            from airflow_provider_koreai.assets.koreai import tell_outlets

            tell_outlets(self.outlets, context["outlet_events"], loaded)
        return loaded

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        if self._inserted is None:
            return None
        from airflow_provider_koreai.assets.lineage import lineage_of_load

        return lineage_of_load(self.path, self.conn_id, self.table, self._inserted)


def _end_of_run(context: Context) -> datetime | None:
    """
    Return the end of a run's interval, or its logical date if that is later, as it is for a run started by hand; None for a
    run without an interval.
    """
    run = context["dag_run"]
    ended, logical = (
        getattr(run, name, None) or context.get(name) for name in ("data_interval_end", "logical_date")
    )
    if not ended:
        return None
    return max(point_in_time("data_interval_end", ended), point_in_time("logical_date", logical or ended))
