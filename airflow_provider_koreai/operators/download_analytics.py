"""The operator that fetches what users said."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_koreai.arguments import point_in_time, refuse_literals, seconds
from airflow_provider_koreai.exceptions import KoreAIConfigurationError
from airflow_provider_koreai.links.koreai import KoreAIBotLink, store_bot_link
from airflow_provider_koreai.operators.job import WithHook

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context

# As in api.analytics, which a DAG file need not load.
TYPES = ("successintent", "failintent", "successtask", "failtask", "performance", "unhandledutterance")


class KoreAIDownloadAnalyticsOperator(WithHook, BaseOperator):
    """
    Fetch a bot's analytics of an interval (``getAnalytics``): what users said, and what the bot made of it.

    The default is what the training set lacks: the utterances that the bot did not understand, of the run's data interval.
    The file is published whole or not at all; rows that come or go while the pages are read are noticed, and the reading
    begins anew.

    :param bot_id: the bot, for example ``st-ab12cd34-...``. (templated)
    :param path: the file to write, which ends in ``.jsonl``, ``.csv`` (either also with ``.gz`` or ``.zst``) or
        ``.parquet``: a local path, or a URL that Airflow's ObjectStoragePath understands. JSON lines have the rows as Kore.ai
        writes them; CSV and Parquet have the columns ``timestamp``, ``utterance``, ``intent``, ``task_name``, ``language``,
        ``channel``, ``user_id`` and ``details``, the rest as JSON. (templated)
    :param analytics_type: ``unhandledutterance`` (the default), ``successintent``, ``failintent``, ``successtask``,
        ``failtask`` or ``performance``. (templated)
    :param start: the beginning of the interval, a time or its text in ISO 8601 (UTC if it has no offset). Default: that of
        the run's data interval. (templated)
    :param end: the end of the interval, which is not included. Default: that of the run's data interval. (templated)
    :param overlap: seconds (or a timedelta) to begin before ``start``, because rows may arrive hours late. Loading them
        again replaces them. Default None: none.
    :param include_user_ids: keep ``userId`` and the other fields that say who a user is. Default False. The sentences stay
        as they are, whatever users wrote into them.
    :param channel: rows of this channel only, for example ``rtm``. Default None: of all. (templated)
    :param overwrite: replace a file that is there. Default True; False fails the task.
    :param storage_conn_id: ID of the connection for the object store of ``path``. (templated)
    :param koreai_conn_id: ID of a connection of type ``koreai``, whose app has the API scope "Metrics". Default
        ``koreai_default``. (templated)

    Returns ``{"path", "rows", "bytes", "sha256", "start", "end"}``, and pushes each entry under its own key as well:
    ``fetch.output["path"]``. ``start`` is the one that was asked for, ``overlap`` included. An interval without rows gives a
    file without rows.
    """

    template_fields: Sequence[str] = (
        "bot_id",
        "path",
        "analytics_type",
        "start",
        "end",
        "channel",
        "storage_conn_id",
        "koreai_conn_id",
    )
    operator_extra_links = (KoreAIBotLink(),)
    ui_color = "#f0e3b8"

    def __init__(
        self,
        *,
        bot_id: str,
        path: str,
        analytics_type: str = "unhandledutterance",
        start: str | datetime = "{{ data_interval_start }}",
        end: str | datetime = "{{ data_interval_end }}",
        overlap: float | timedelta | None = None,
        include_user_ids: bool = False,
        channel: str | None = None,
        overwrite: bool = True,
        storage_conn_id: str | None = None,
        koreai_conn_id: str = "koreai_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        refuse_literals(analytics_type=(analytics_type, TYPES))
        self.bot_id = bot_id
        self.path = path
        self.analytics_type = analytics_type
        self.start = start
        self.end = end
        self.overlap = overlap
        self.include_user_ids = include_user_ids
        self.channel = channel
        self.overwrite = overwrite
        self.storage_conn_id = storage_conn_id
        self.koreai_conn_id = koreai_conn_id

    def render_template(self, *args: Any, **kwargs: Any) -> Any:
        # Not render_template_fields, which Airflow does not call for a mapped task.
        import jinja2

        try:
            return super().render_template(*args, **kwargs)
        except jinja2.UndefinedError as error:
            if "data_interval" not in str(error):
                raise
            raise _no_interval() from error

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_koreai.api.analytics import Untimed
        from airflow_provider_koreai.storage.output import Output
        from airflow_provider_koreai.utterances.analytics_file import analytics_writer, kind_of

        start, end = self._interval()
        kind_of(str(self.path))
        store_bot_link(context, self)
        found = self.hook.iter_analytics(
            self.bot_id,
            self.analytics_type,
            start,
            end,
            channel=self.channel or None,
            include_user_ids=self.include_user_ids,
        )
        untimed = Untimed()
        with (
            Output(
                "path",
                self.path,
                storage_conn_id=self.storage_conn_id or None,
                overwrite=self.overwrite,
                log=self.log,
            ) as output,
            analytics_writer(output) as writer,
        ):
            for row in found:
                writer.write(row)
                untimed.time_of(row)
        if untimed.number:
            self.log.warning(
                "%s. They are in the file, but whether they belong to the interval is not known: files of intervals that "
                "overlap may have them twice. Leave out overlap, or remove the repetitions after loading.",
                untimed.summary(),
            )
        self.log.info(
            "Wrote %s rows of type %s of bot %s, from %s to %s, to %s",
            f"{untimed.rows:,}",
            self.analytics_type,
            self.bot_id,
            start.isoformat(),
            end.isoformat(),
            output.argument.text,
        )
        return {
            "path": output.argument.text,
            "rows": untimed.rows,
            "bytes": output.size,
            "sha256": output.sha256,
            "start": start.isoformat(),
            "end": end.isoformat(),
        }

    def _interval(self) -> tuple[datetime, datetime]:
        if self.start in (None, "", "None") or self.end in (None, "", "None"):
            raise _no_interval()
        start, end = point_in_time("start", self.start), point_in_time("end", self.end)
        start -= timedelta(seconds=seconds("overlap", self.overlap) if self.overlap else 0)
        if start == end:
            self.log.warning(
                "start and end are both %s, so the interval is empty. On Airflow 3, a run has no interval of its own if it "
                "was started by hand or by a plain cron schedule such as @daily: pass start and end, or use "
                "CronDataIntervalTimetable.",
                start.isoformat(),
            )
        return start, end


def _no_interval() -> KoreAIConfigurationError:
    return KoreAIConfigurationError(
        "start and end are missing: they default to the run's data interval, and this run has none. Pass start and end, for "
        "example from the run's params."
    )
