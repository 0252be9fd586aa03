"""The operator that checks whether utterances are good to train a bot with."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_koreai.arguments import (
    FILE_TYPES,
    file_type_argument,
    fraction,
    refuse_literals,
    whole_number,
)
from airflow_provider_koreai.exceptions import (
    KoreAIConfigurationError,
    KoreAIFileError,
    KoreAIQualityError,
)
from airflow_provider_koreai.operators.violations import ON_VIOLATION, on_violation_argument, settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_koreai.utterances.alike import NearPairs
    from airflow_provider_koreai.utterances.quality import Limits, Quality


class KoreAICheckUtterancesOperator(BaseOperator):
    """
    Find problems in training data, and fail if there are too many.

    Sentences are compared in Unicode's form NFKC, case folded, with spaces collapsed, and without the punctuation at their
    end; in Turkish and Azerbaijani, i and dotless i are two letters. No word is left out, and none is reduced to its stem.
    An unusable sentence is counted only as unusable; one without a task cannot be trained, and counts only as a row.

    :param path: the file: CSV, JSON (also compressed) or Parquet; a local path, or a URL that Airflow's ObjectStoragePath
        understands. (templated)
    :param bot_id: the bot that the utterances are of; the report names it. Default None. (templated)
    :param file_type: ``csv`` or ``json``. Default None: determined by the path's suffix, else by the content. (templated)
    :param min_per_task: the number of different sentences that a task should have in each of its languages. Default 5.
        (templated)
    :param max_conflicts: fail if more sentences than this are in two or more tasks of one language. Default None, as for the
        other limits: no limit. (templated)
    :param max_near_conflicts: fail if there are more pairs than this of nearly the same sentence in two tasks of one
        language. Requires ``airflow-provider-koreai[quality]``. (templated)
    :param max_duplicates: fail if more rows than this repeat a sentence of their task and language. (templated)
    :param max_thin_tasks: fail if more tasks than this have fewer than ``min_per_task`` sentences in a language. (templated)
    :param max_unusable: fail if more sentences than this are empty, longer than 3,000 characters (Kore.ai's limit), or
        have control characters other than tabs and line breaks, or unpaired surrogates. (templated)
    :param similarity: how much alike, letter by letter, two sentences must be to count as nearly the same, from 0 to 1.
        Default 0.9. (templated)
    :param on_violation: what to do if a limit is exceeded: ``fail`` (the default); ``skip`` this task, and with it the tasks
        that need its success, so that the run stays green; ``warn`` in the log and go on. (templated)
    :param detail_path: the file to write each finding to, as CSV (``.csv``, ``.csv.gz``, ``.csv.zst``) or Parquet
        (``.parquet``), with the columns ``finding``, ``task_name``, ``sentence``, ``other_task_name``, ``other_sentence``,
        ``language``, ``similarity``, ``note``. Default None: no file. (templated)
    :param report_path: the HTML page (``.html``) to write a report to. Default None: no report. (templated)
    :param storage_conn_id: ID of the connection for the object store of all these paths. Default None. (templated)

    Returns ``{"rows", "tasks", "languages", "conflicts", "near_conflicts", "duplicates", "thin_tasks",
    "missing_languages", "unusable"}``, all numbers, and pushes each under its own key as well: ``check.output["conflicts"]``.
    ``missing_languages`` are tasks that lack a language which other tasks have. Without rapidfuzz, ``near_conflicts`` is
    None. If a limit is exceeded, all of this is pushed, and detail and report are written all the same; the XCom
    ``violations`` lists the limits with the numbers. With ``fail`` the error is
    :class:`~airflow_provider_koreai.exceptions.KoreAIQualityError`, which Airflow does not retry.
    """

    template_fields: Sequence[str] = (
        "bot_id",
        "path",
        "file_type",
        "min_per_task",
        "max_conflicts",
        "max_near_conflicts",
        "max_duplicates",
        "max_thin_tasks",
        "max_unusable",
        "similarity",
        "on_violation",
        "detail_path",
        "report_path",
        "storage_conn_id",
    )
    ui_color = "#e6d9b8"

    def __init__(
        self,
        *,
        path: str,
        bot_id: str | None = None,
        file_type: str | None = None,
        min_per_task: int = 5,
        max_conflicts: int | None = None,
        max_near_conflicts: int | None = None,
        max_duplicates: int | None = None,
        max_thin_tasks: int | None = None,
        max_unusable: int | None = None,
        similarity: float = 0.9,
        on_violation: str = "fail",
        detail_path: str | None = None,
        report_path: str | None = None,
        storage_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        refuse_literals(file_type=(file_type, FILE_TYPES), on_violation=(on_violation, ON_VIOLATION))
        self.path = path
        self.bot_id = bot_id
        self.file_type = file_type
        self.min_per_task = min_per_task
        self.max_conflicts = max_conflicts
        self.max_near_conflicts = max_near_conflicts
        self.max_duplicates = max_duplicates
        self.max_thin_tasks = max_thin_tasks
        self.max_unusable = max_unusable
        self.similarity = similarity
        self.on_violation = on_violation
        self.detail_path = detail_path
        self.report_path = report_path
        self.storage_conn_id = storage_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_koreai.reports.page import check_report_path
        from airflow_provider_koreai.utterances.quality import Limits

        limits = Limits(
            *(
                whole_number(name, getattr(self, name))
                for name in (
                    "max_conflicts",
                    "max_near_conflicts",
                    "max_duplicates",
                    "max_thin_tasks",
                    "max_unusable",
                )
            )
        )
        on_violation = on_violation_argument(self.on_violation)
        if self.report_path:
            check_report_path(self.report_path)
        quality, exceeded = self._check(limits)
        result = quality.summary()
        numbers = ", ".join(f"{name} {number}" for name, number in result.items() if number is not None)
        self.log.info("Checked %s: %s", self.path, numbers)
        if quality.left_out:
            self.log.warning(
                "Near conflicts: %s of %s sentences were not compared with all others, because there were too many to "
                "compare; there may be more near conflicts",
                quality.left_out,
                quality.compared,
            )
        if exceeded:
            error = KoreAIQualityError(
                f"path={self.path!r:.200} exceeds its limits: {'; '.join(exceeded)}. All numbers: {numbers}. Correct the "
                "utterances or, if they are meant to be so, adjust the limit, and clear this task."
            )
            settle(self, on_violation, error, exceeded, result, context)
        return result

    def _check(self, limits: Limits) -> tuple[Quality, list[str]]:
        """Check the file, and write detail and report; return also what is beyond the limits."""
        from airflow_provider_koreai.storage.output import Output
        from airflow_provider_koreai.storage.paths import PathArgument
        from airflow_provider_koreai.utterances.detail import DetailWriter
        from airflow_provider_koreai.utterances.examining import examine
        from airflow_provider_koreai.utterances.quality import (
            DETAIL_COLUMNS,
            DETAIL_REQUIRED,
            Finding,
            Quality,
        )
        from airflow_provider_koreai.utterances.quality_report import html_report

        file_type = file_type_argument(self.file_type)
        storage_conn_id = self.storage_conn_id or None
        min_per_task = _or_default(whole_number("min_per_task", self.min_per_task), 5)
        similarity = _or_default(fraction("similarity", self.similarity), 0.9)
        near_pairs = self._near_pairs(similarity, is_needed=limits.max_near_conflicts is not None)
        with ExitStack() as stack:

            def output(name: str, path: str) -> Output:
                return stack.enter_context(Output(name, path, storage_conn_id=storage_conn_id, log=self.log))

            observe = None
            if self.detail_path:
                made = DetailWriter(output("detail_path", self.detail_path), DETAIL_COLUMNS, DETAIL_REQUIRED)
                detail = stack.enter_context(made)

                def observe(finding: Finding) -> None:
                    detail.write(finding.columns())

            quality = Quality(PathArgument.of_file(self.path).text, observe)
            try:
                examine(quality, file_type, storage_conn_id, min_per_task, near_pairs)
            except KoreAIFileError as error:
                raise KoreAIFileError(f"path={self.path!r:.200}: {error}") from error
            except FileNotFoundError as error:
                raise KoreAIFileError(f"path={self.path!r:.200} does not exist.") from error
            exceeded = limits.exceeded(quality.summary())
            if self.report_path:
                report = output("report_path", self.report_path)
                report.write(
                    html_report(quality, min_per_task, similarity, exceeded, str(self.bot_id or "").strip())
                )
        return quality, exceeded

    def _near_pairs(self, similarity: float, *, is_needed: bool) -> NearPairs | None:
        from airflow_provider_koreai.utterances.alike import NearPairs

        try:
            return NearPairs(similarity)
        except KoreAIConfigurationError as error:
            if is_needed:
                raise
            self.log.warning("%s. The result has None for near_conflicts.", error)
            return None


def _or_default(value: Any, default: Any) -> Any:
    return default if value is None else value
