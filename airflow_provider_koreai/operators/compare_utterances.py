"""The operator that compares two snapshots of a bot's utterances."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_koreai.arguments import (
    choice,
    fraction,
    point_in_time,
    refuse_literals,
    time_of_run,
    whole_number,
)
from airflow_provider_koreai.exceptions import (
    KoreAIComparisonError,
    KoreAIConfigurationError,
    KoreAIFileError,
)
from airflow_provider_koreai.operators.violations import ON_VIOLATION, on_violation_argument, settle

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_koreai.compare.comparing import Source
    from airflow_provider_koreai.warehouse.snapshots import BotSnapshots

MISSING_BEFORE = ("empty", "fail")


class KoreAICompareUtterancesOperator(BaseOperator):
    """
    Report what changed between two snapshots of a bot's utterances, and fail if that is too much.

    Each snapshot is an exported file, or one that
    :class:`~airflow_provider_koreai.operators.load_utterances.KoreAILoadUtterancesOperator` loaded into a table. By default
    the earlier one is the latest in ``table`` before ``after_snapshot``. If ``after`` is a file and the table has no
    earlier snapshot, it is compared with the snapshot of ``after_snapshot`` itself. A task between download and load
    thus keeps an emptied bot from replacing good data, also when a run is repeated.

    Two utterances are equal if task name, sentence, type and language are. An utterance that occurs twice counts twice.
    One that left a task while the same sentence, in the same language, came to another was moved, not removed. Large
    snapshots are compared on disk, in temporary files in ``TMPDIR`` (default ``/var/tmp``) of about their size.

    :param before: the earlier snapshot's file: CSV, JSON (also compressed) or Parquet; a local path, or a URL that
        Airflow's ObjectStoragePath understands. Default None: the snapshot is in ``table``. (templated)
    :param after: the later snapshot's file, like ``before``. Default None: the snapshot is in ``table``. (templated)
    :param table: the table with the snapshots that are not files, as in the load task. (templated)
    :param conn_id: ID of the table's database connection. (templated)
    :param bot_id: the bot whose snapshots are read from the table; the report names it. (templated)
    :param before_snapshot: the earlier snapshot's time. Default: the bot's latest one before ``after_snapshot``.
        (templated)
    :param after_snapshot: the later snapshot's time, or the one that the file ``after`` will have in the table. Default:
        the run's logical date or, if it has none, the time from which it may run, as in the load task. (templated)
    :param missing_before: what to do without an earlier snapshot: ``empty`` (the default) counts everything as added, and
        the limits on removals do not apply; ``fail`` fails the task. (templated)
    :param max_removed_fraction: fail if more than this fraction of the earlier snapshot, from 0 to 1, was removed. Default
        None: no limit. (templated)
    :param max_removed: fail if more utterances than this were removed. Default None: no limit. (templated)
    :param min_rows: fail if the later snapshot has fewer utterances than this. Default None: no limit. (templated)
    :param on_violation: what to do if a limit is exceeded: ``fail`` (the default); ``skip`` this task, and with it the tasks
        that need its success, so that the run stays green; ``warn`` in the log and go on. (templated)
    :param detail_path: the file to write each change to, as CSV (``.csv``, ``.csv.gz``, ``.csv.zst``) or Parquet
        (``.parquet``), with the columns ``change`` (``added``, ``removed``, ``moved``), ``task_name``,
        ``previous_task_name``, ``sentence``, ``type``, ``language``. Default None: no file. (templated)
    :param report_path: the HTML page (``.html``) to write a report with a chart to. Default None: no report. (templated)
    :param top: the number of tasks, and of languages, that the result and the report name, the most changed first, while
        the others are summed up; and the number of changes of each kind that the report shows. Default 20.
    :param storage_conn_id: ID of the connection for the object store of all these paths. Default None. (templated)

    Returns ``{"before", "after", "rows_before", "rows_after", "added", "removed", "moved", "unchanged",
    "removed_fraction", "tasks", "languages", "detail_path", "report_path"}``, and pushes each entry under its own key as
    well: ``compare.output["removed"]``. The last two, and ``before``, are ``""`` if there is none. If a limit is exceeded,
    all of this is pushed, and detail and report are written all the same; the XCom ``violations`` lists the limits with the
    numbers. With ``fail`` the error is :class:`~airflow_provider_koreai.exceptions.KoreAIComparisonError`, which Airflow
    does not retry. Assets in ``outlets`` get the same as the extra of their event. OpenLineage gets what was compared and the
    files that were written.
    """

    template_fields: Sequence[str] = (
        "before",
        "after",
        "table",
        "conn_id",
        "bot_id",
        "before_snapshot",
        "after_snapshot",
        "missing_before",
        "max_removed_fraction",
        "max_removed",
        "min_rows",
        "on_violation",
        "detail_path",
        "report_path",
        "storage_conn_id",
    )
    ui_color = "#dbe9c9"

    def __init__(
        self,
        *,
        before: str | None = None,
        after: str | None = None,
        table: str | None = None,
        conn_id: str | None = None,
        bot_id: str | None = None,
        before_snapshot: str | datetime | None = None,
        after_snapshot: str | datetime | None = None,
        missing_before: str = "empty",
        max_removed_fraction: float | None = None,
        max_removed: int | None = None,
        min_rows: int | None = None,
        on_violation: str = "fail",
        detail_path: str | None = None,
        report_path: str | None = None,
        top: int = 20,
        storage_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        refuse_literals(
            missing_before=(missing_before, MISSING_BEFORE), on_violation=(on_violation, ON_VIOLATION)
        )
        self.before = before
        self.after = after
        self.table = table
        self.conn_id = conn_id
        self.bot_id = bot_id
        self.before_snapshot = before_snapshot
        self.after_snapshot = after_snapshot
        self.missing_before = missing_before
        self.max_removed_fraction = max_removed_fraction
        self.max_removed = max_removed
        self.min_rows = min_rows
        self.on_violation = on_violation
        self.detail_path = detail_path
        self.report_path = report_path
        self.top = top
        self.storage_conn_id = storage_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_koreai.compare.comparing import compare
        from airflow_provider_koreai.compare.comparison import DETAIL_COLUMNS, DETAIL_REQUIRED, Change, Limits
        from airflow_provider_koreai.compare.report import html_report
        from airflow_provider_koreai.reports.page import check_report_path
        from airflow_provider_koreai.storage.output import Output
        from airflow_provider_koreai.utterances.detail import DetailWriter

        limits = Limits(
            fraction("max_removed_fraction", self.max_removed_fraction),
            whole_number("max_removed", self.max_removed),
            whole_number("min_rows", self.min_rows),
        )
        on_violation = on_violation_argument(self.on_violation)
        top = whole_number("top", self.top) or 0
        if self.report_path:
            check_report_path(self.report_path)
        before, after = self._sources(context)
        with ExitStack() as stack:

            def output(name: str, path: str) -> Output:
                made = Output(name, path, storage_conn_id=self.storage_conn_id or None, log=self.log)
                return stack.enter_context(made)

            observe = None
            if self.detail_path:
                made = DetailWriter(output("detail_path", self.detail_path), DETAIL_COLUMNS, DETAIL_REQUIRED)
                detail = stack.enter_context(made)

                def observe(change: Change) -> None:
                    detail.write(change.columns())

            comparison = compare(before, after, observe, top)
            exceeded = limits.exceeded(comparison)
            if self.report_path:
                report = output("report_path", self.report_path)
                report.write(html_report(comparison, exceeded, str(self.bot_id or "").strip()))
        self.log.info(
            "Compared %s (%s utterances) with %s (%s): %s added, %s removed, %s moved to another task",
            comparison.after,
            comparison.total.after,
            comparison.before or "nothing",
            comparison.total.before,
            comparison.total.added,
            comparison.total.removed,
            comparison.total.moved_in,
        )
        result = {
            **comparison.summary(),
            "detail_path": str(self.detail_path or ""),
            "report_path": str(self.report_path or ""),
        }
        if self.outlets:
            from airflow_provider_koreai.assets.koreai import tell_outlets

            tell_outlets(self.outlets, context["outlet_events"], result)
        if exceeded:
            error = KoreAIComparisonError(
                f"{'; '.join(exceeded)}. Compared: {comparison.after} with {comparison.before or 'nothing'}. If the "
                "change is intended, adjust the limit and clear this task."
            )
            settle(self, on_violation, error, exceeded, result, context)
        return result

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        from airflow_provider_koreai.assets.lineage import lineage_of_comparison

        reads = list(filter(None, (self.before, self.after)))
        # A table is read unless both are files.
        table = self.table if len(reads) < 2 else None
        writes = filter(None, (self.detail_path, self.report_path))
        return lineage_of_comparison(reads, self.conn_id, table, writes)

    def _sources(self, context: Context) -> tuple[Source | None, Source]:
        """Find what to compare; the earlier one is None if it is missing and may be."""
        from airflow_provider_koreai.compare.comparing import FileSource

        may_be_missing = choice("missing_before", self.missing_before, MISSING_BEFORE) == "empty"
        if self.before and self.before_snapshot:
            raise KoreAIConfigurationError(
                f"before={self.before!r:.200} and before_snapshot={self.before_snapshot!r:.80} are mutually exclusive; pass only one."
            )
        before: Source | None = None
        after: Source | None = None
        missing = ""
        if self.before:
            before = file = FileSource(self.before, self.storage_conn_id or None, "before")
            missing = "" if file.exists() else f"before={self.before!r:.200} does not exist"
        if self.after:
            after = file = FileSource(self.after, self.storage_conn_id or None, "after")
            if not file.exists():
                raise KoreAIFileError(f"after={self.after!r:.200} does not exist.")
        if before is None or after is None:
            snapshots = self._snapshots()
            time = point_in_time("after_snapshot", self.after_snapshot or time_of_run(context))
            is_new = after is not None
            after = after or self._snapshot(snapshots, time)
            if before is None:
                before, missing = self._earlier(snapshots, time, is_new=is_new)
        if missing and not may_be_missing:
            raise KoreAIFileError(f"{missing}, and missing_before='fail'.")
        if missing:
            self.log.warning("%s: nothing to compare with, so the limits on removals do not apply", missing)
        return (None if missing else before), after

    def _snapshots(self) -> BotSnapshots:
        from airflow_provider_koreai.warehouse.snapshots import BotSnapshots
        from airflow_provider_koreai.warehouse.table import utterances_table

        for name in ("table", "conn_id", "bot_id"):
            value = getattr(self, name)
            if not (isinstance(value, str) and value.strip()):
                raise KoreAIConfigurationError(
                    f"{name}={value!r:.80} is not accepted. Pass both before and after as files, or table, "
                    "conn_id and bot_id for a snapshot in a table."
                )
        return BotSnapshots(str(self.conn_id), utterances_table(self.table), str(self.bot_id).strip())

    def _snapshot(self, snapshots: BotSnapshots, time: datetime) -> Source:
        if snapshots.has(time):
            return snapshots.source(time)
        raise KoreAIConfigurationError(
            f"table={self.table!r} has no utterances of bot {self.bot_id} with after_snapshot={time.isoformat()}, and "
            "after is not set."
        )

    def _earlier(self, snapshots: BotSnapshots, time: datetime, *, is_new: bool) -> tuple[Source | None, str]:
        """Find the earlier snapshot in the table, or describe what is missing."""
        if self.before_snapshot:
            earlier = point_in_time("before_snapshot", self.before_snapshot)
            if snapshots.has(earlier):
                return snapshots.source(earlier), ""
            which = f"with before_snapshot={earlier.isoformat()}"
        else:
            latest = snapshots.latest_before(time)
            if latest is not None:
                return snapshots.source(latest), ""
            if is_new and snapshots.has(time):
                # The run was cleared: loading the file would replace this snapshot.
                return snapshots.source(time), ""
            which = f"before {time.isoformat()}"
        return None, f"table={self.table!r} has no snapshot of bot {self.bot_id} {which}"
