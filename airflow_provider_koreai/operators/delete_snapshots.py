"""The operator that deletes old snapshots from the table."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_koreai.arguments import names, point_in_time, time_of_run, whole_number
from airflow_provider_koreai.exceptions import KoreAIConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context


class KoreAIDeleteSnapshotsOperator(BaseOperator):
    """
    Delete old snapshots from a table that
    :class:`~airflow_provider_koreai.operators.load_utterances.KoreAILoadUtterancesOperator` fills, in one transaction. A bot's
    latest snapshot always stays.

    It works with the databases that the load task works with. A load of the same bot waits until this is done, and the
    other way round (PostgreSQL, MySQL, MariaDB, SQLite).

    :param table: the table with the snapshots, as in the load task. (templated)
    :param conn_id: ID of the database connection. (templated)
    :param max_age_days: delete snapshots that are more than this many days older than the run: than its logical date, or,
        without one, the time from which it may run. Default None: no such limit. (templated)
    :param max_snapshots: keep this many of each bot's latest snapshots and delete the older ones. Default None: no such limit;
        one of the two limits is required, and with both, a snapshot that is beyond either goes. (templated)
    :param bot_ids: the bots, a list or a text with commas between them; an empty one deletes nothing. Default None: all bots
        in the table. (templated)

    Returns ``{"table", "snapshots", "rows", "bots"}``: what was deleted, and pushes each entry under its own key as well:
    ``delete.output["rows"]``. ``bots`` has the number of deleted snapshots of each bot that lost some.
    """

    template_fields: Sequence[str] = ("table", "conn_id", "max_age_days", "max_snapshots", "bot_ids")
    ui_color = "#e4dcc3"

    def __init__(
        self,
        *,
        table: str,
        conn_id: str,
        max_age_days: int | None = None,
        max_snapshots: int | None = None,
        bot_ids: Sequence[str] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        self.table = table
        self.conn_id = conn_id
        self.max_age_days = max_age_days
        self.max_snapshots = max_snapshots
        self.bot_ids = bot_ids

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_koreai.warehouse.database import Database
        from airflow_provider_koreai.warehouse.retention import Retention, delete_snapshots
        from airflow_provider_koreai.warehouse.table import utterances_table

        days = whole_number("max_age_days", self.max_age_days, least=1)
        most = whole_number("max_snapshots", self.max_snapshots, least=1)
        if days is None and most is None:
            raise KoreAIConfigurationError(
                "Neither max_age_days nor max_snapshots is set, so no snapshot would ever be deleted. Pass one of them, or both."
            )
        since = None if days is None else point_in_time("run", time_of_run(context)) - timedelta(days=days)
        table = utterances_table(self.table)
        bot_ids = names("bot_ids", self.bot_ids)
        if bot_ids == []:
            self.log.info(
                "bot_ids=%r names no bot, so nothing is deleted; only bot_ids=None means all", self.bot_ids
            )
        with Database(self.conn_id) as database:
            deleted = delete_snapshots(database, table, Retention(since, most), bot_ids)
        snapshots = sum(each.snapshots for each in deleted.values())
        rows = sum(each.rows for each in deleted.values())
        self.log.info(
            "Deleted %s snapshots of %s bots, %s rows, from %s",
            f"{snapshots:,}",
            f"{len(deleted):,}",
            f"{rows:,}",
            self.table,
        )
        return {
            "table": self.table,
            "snapshots": snapshots,
            "rows": rows,
            "bots": {bot_id: each.snapshots for bot_id, each in deleted.items()},
        }
