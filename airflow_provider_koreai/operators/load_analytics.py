"""The operator that loads what users said into a database table."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_koreai.arguments import refuse_literals, whole_number
from airflow_provider_koreai.operators.download_analytics import TYPES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context


class KoreAILoadAnalyticsOperator(BaseOperator):
    """
    Load a file of a bot's analytics into a database table, in one transaction.

    The rows of the same bot, type and interval are replaced, so a task that runs again leaves no row twice, and an interval
    that overlaps the one before brings the rows that arrived late. Rows whose time cannot be read are counted in a warning,
    because intervals that overlap have them twice; a file without any other is refused. The databases, and how loads wait for each other, are
    those of ``KoreAILoadUtterancesOperator``. NUL characters and unpaired surrogates, which databases do not accept, are
    stored as U+FFFD.

    :param path: the file that the download task stored: a local path, or a URL that Airflow's ObjectStoragePath understands.
        (templated)
    :param conn_id: ID of the database connection. (templated)
    :param bot_id: the bot, for example ``st-ab12cd34-...``. (templated)
    :param start: the beginning of the interval that the file has, ``fetch.output["start"]``: with an ``overlap`` it is not
        that of the run. (templated)
    :param end: the end of the interval, which is not included, ``fetch.output["end"]``. (templated)
    :param analytics_type: the type that was downloaded. Default ``unhandledutterance``. (templated)
    :param channel: the channel that was downloaded; only its rows are replaced. Default None: those of all. (templated)
    :param table: ``table``, ``schema.table`` or, where the database has such names, ``database.schema.table``, spelled as the
        database spells it. Default ``koreai_analytics``. (templated)
    :param min_rows: fail, and leave the table as it is, if the file has fewer rows. Default None: no limit. (templated)
    :param create_table: create the table if it does not exist, with an index where the database has indexes. Default True.
    :param storage_conn_id: ID of the connection for the object store of ``path``. (templated)

    Returns ``{"path", "table", "bot_id", "analytics_type", "start", "end", "rows", "replaced"}``, and pushes each entry under
    its own key as well: ``load.output["rows"]``.
    """

    template_fields: Sequence[str] = (
        "bot_id",
        "path",
        "table",
        "conn_id",
        "start",
        "end",
        "analytics_type",
        "channel",
        "min_rows",
        "storage_conn_id",
    )
    ui_color = "#9fd0be"

    def __init__(
        self,
        *,
        path: str,
        conn_id: str,
        bot_id: str,
        start: str | datetime,
        end: str | datetime,
        analytics_type: str = "unhandledutterance",
        channel: str | None = None,
        table: str = "koreai_analytics",
        min_rows: int | None = None,
        create_table: bool = True,
        storage_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        refuse_literals(analytics_type=(analytics_type, TYPES))
        self.path = path
        self.conn_id = conn_id
        self.bot_id = bot_id
        self.start = start
        self.end = end
        self.analytics_type = analytics_type
        self.channel = channel
        self.table = table
        self.min_rows = min_rows
        self.create_table = create_table
        self.storage_conn_id = storage_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_koreai.api.analytics import Query
        from airflow_provider_koreai.warehouse.analytics import AnalyticsLoader
        from airflow_provider_koreai.warehouse.database import Database
        from airflow_provider_koreai.warehouse.table import analytics_table
        from airflow_provider_koreai.warehouse.target import Target

        query = Query.of(self.bot_id, self.analytics_type, self.start, self.end, self.channel)
        table = analytics_table(self.table)
        min_rows = whole_number("min_rows", self.min_rows)
        with Database(self.conn_id) as database:
            loader = AnalyticsLoader(Target(database, table, self.create_table), min_rows)
            return asdict(loader.load(query, self.path, self.storage_conn_id or None))
