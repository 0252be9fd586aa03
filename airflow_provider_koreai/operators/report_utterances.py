"""The operator that reports how the utterances of bots developed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_koreai.arguments import names, whole_number
from airflow_provider_koreai.exceptions import KoreAIConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_koreai.compare.history import History
    from airflow_provider_koreai.warehouse.history import SnapshotHistory


class KoreAIReportUtterancesOperator(BaseOperator):
    """
    Write one HTML page about the bots in a table that
    :class:`~airflow_provider_koreai.operators.load_utterances.KoreAILoadUtterancesOperator` fills: for each bot its utterances
    over its last snapshots, what the last snapshot changed, the tasks that appeared, vanished, grew or shrank, and the
    languages.

    The page needs nothing but itself: it loads nothing and runs nothing. The database adds the numbers up, so that memory
    does not grow with the utterances. It works with the databases that the load task works with, and also where there are
    no transactions: nothing is written to the table.

    :param table: the table with the snapshots, as in the load task. (templated)
    :param conn_id: ID of the database connection. (templated)
    :param report_path: the HTML page (``.html``) to write: a local path, or a URL that Airflow's ObjectStoragePath
        understands. (templated)
    :param bot_ids: the bots, a list or a text with commas between them; an empty one is refused, as a page about no bot
        would replace the earlier one. Default None: all bots in the table. (templated)
    :param snapshots: the number of snapshots of each bot to look back on. Default 30. (templated)
    :param storage_conn_id: ID of the connection for the object store of ``report_path``. Default None. (templated)

    Returns ``{"report_path", "table", "rows", "added", "removed", "moved", "bots"}``, the numbers of the latest snapshots,
    and pushes each entry under its own key as well: ``report.output["rows"]``. ``bots`` has for each bot ``{"snapshot",
    "previous", "snapshots", "rows", "tasks", "languages", "added", "removed", "moved"}``; the last three are what changed
    since ``previous``, which is ``""`` if there is only one snapshot, and then everything was added. A bot of ``bot_ids``
    without a snapshot in the table is not among them; the page names it, and the log has a warning.
    """

    template_fields: Sequence[str] = (
        "table",
        "conn_id",
        "report_path",
        "bot_ids",
        "snapshots",
        "storage_conn_id",
    )
    ui_color = "#dbe9c9"

    def __init__(
        self,
        *,
        table: str,
        conn_id: str,
        report_path: str,
        bot_ids: Sequence[str] | str | None = None,
        snapshots: int = 30,
        storage_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        self.table = table
        self.conn_id = conn_id
        self.report_path = report_path
        self.bot_ids = bot_ids
        self.snapshots = snapshots
        self.storage_conn_id = storage_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_koreai.compare.history_report import history_report
        from airflow_provider_koreai.reports.page import check_report_path
        from airflow_provider_koreai.storage.output import Output
        from airflow_provider_koreai.warehouse.database import Database
        from airflow_provider_koreai.warehouse.history import SnapshotHistory
        from airflow_provider_koreai.warehouse.table import utterances_table

        check_report_path(self.report_path)
        number = whole_number("snapshots", self.snapshots, least=1) or 30
        wanted = names("bot_ids", self.bot_ids)
        if wanted == []:
            raise KoreAIConfigurationError(
                f"bot_ids={self.bot_ids!r:.80} names no bot. Name those to report, or pass None for all bots in the table."
            )
        table = utterances_table(self.table)
        pages, missing, bots = [], [], {}
        with Output(
            "report_path", self.report_path, storage_conn_id=self.storage_conn_id or None, log=self.log
        ) as output:
            with Database(self.conn_id) as database, database.transaction(reading=True) as connection:
                source = SnapshotHistory(connection, table)
                source.check()
                for bot_id in source.bots() if wanted is None else wanted:
                    if history := _history(source, bot_id, number):
                        pages.append(history.page())
                        bots[bot_id] = history.numbers()
                    else:
                        missing.append(bot_id)
            output.write(history_report(self.table, pages, missing, number))
        if missing:
            self.log.warning("table=%r has no snapshot of %s", self.table, ", ".join(missing))
        total = {
            key: sum(numbers[key] for numbers in bots.values())
            for key in ("rows", "added", "removed", "moved")
        }
        self.log.info("Reported %s utterances of %s bots in %s", total["rows"], len(bots), self.report_path)
        return {"report_path": str(self.report_path), "table": self.table, **total, "bots": bots}


def _history(source: SnapshotHistory, bot_id: str, number: int) -> History | None:
    """Read what a bot's last snapshots have and what the last one changed; None if there is none."""
    from airflow_provider_koreai.compare.comparison import changes
    from airflow_provider_koreai.compare.history import History

    times = source.times(bot_id, number)
    if not times:
        return None
    history = History(bot_id, times)
    for count in source.counts(bot_id, times[0]):
        history.count(*count)
    if len(times) > 1:
        for change in changes(source.differences(bot_id, times[-2], times[-1])):
            history.comparison.observe(change)
    else:
        history.comparison.everything_was_added()
    return history
