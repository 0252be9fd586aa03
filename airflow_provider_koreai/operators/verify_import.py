"""The operator that checks, after an import, that the bot has what was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_koreai.arguments import refuse_literals
from airflow_provider_koreai.exceptions import KoreAIComparisonError
from airflow_provider_koreai.operators.import_utterances import ON_INVALID
from airflow_provider_koreai.operators.job import WithHook, push_result

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

# Tasks that an error names.
_MOST_NAMED = 5


class KoreAIVerifyImportOperator(WithHook, BaseOperator):
    """
    Compare an imported file, row by row, with an export that was made after the import.

    :param bot_id: the bot, for example ``st-ab12cd34-...``. (templated)
    :param path: the file that was imported. (templated)
    :param exported_path: the export of the bot in development that was made afterwards. (templated)
    :param backup_path: the export that was made before the import, for the error. Default None. (templated)
    :param file_type: ``csv`` or ``json``, of ``path``. Default None: from the path's suffix, else from the content.
        (templated)
    :param on_invalid: as for the import: ``drop`` if rows without a task or a sentence, and repeats, were left out. Default
        ``fail``. (templated)
    :param storage_conn_id: ID of the connection for the object store of all paths. Default None. (templated)
    :param koreai_conn_id: ID of a connection of type ``koreai``; only the asset of an ``AssetAlias`` needs it. Default
        ``koreai_default``. (templated)

    Returns ``{"rows", "missing", "unexpected", "untouched"}``, and pushes each entry under its own key as well:
    ``unexpected`` utterances were not sent, but are in a task and language of the file; ``untouched`` ones are in tasks and
    languages that the file does not have. If any are missing or unexpected, the XComs are pushed all the same, and the task
    fails with :class:`~airflow_provider_koreai.exceptions.KoreAIComparisonError`, which Airflow does not retry and which
    says how to restore the backup. Assets in ``outlets`` get the numbers as the extra of their event.
    """

    template_fields: Sequence[str] = (
        "bot_id",
        "path",
        "exported_path",
        "backup_path",
        "file_type",
        "on_invalid",
        "storage_conn_id",
        "koreai_conn_id",
    )
    ui_color = "#dbe9c9"

    def __init__(
        self,
        *,
        bot_id: str,
        path: str,
        exported_path: str,
        backup_path: str | None = None,
        file_type: str | None = None,
        on_invalid: str = "fail",
        storage_conn_id: str | None = None,
        koreai_conn_id: str = "koreai_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        refuse_literals(on_invalid=(on_invalid, ON_INVALID))
        self.bot_id = bot_id
        self.path = path
        self.exported_path = exported_path
        self.backup_path = backup_path
        self.file_type = file_type
        self.on_invalid = on_invalid
        self.storage_conn_id = storage_conn_id
        self.koreai_conn_id = koreai_conn_id

    def execute(self, context: Context) -> dict[str, int]:
        from airflow_provider_koreai.compare.comparing import FileSource
        from airflow_provider_koreai.compare.verifying import verify
        from airflow_provider_koreai.utterances.importable import checked_file

        storage = self.storage_conn_id or None
        with checked_file(
            self.path, self.file_type or None, storage, on_invalid=self.on_invalid, log=self.log
        ) as (sent, _):
            verification = verify(sent, FileSource(self.exported_path, storage, "exported_path"))
        result = verification.as_dict()
        if verification.missing or verification.unexpected:
            push_result(result, context)
            raise KoreAIComparisonError(self._text(verification.missing, verification.unexpected))
        self.log.info(
            "Bot %s has all %s utterances that were imported, and %s in tasks and languages that the file does not have",
            self.bot_id,
            result["rows"],
            result["untouched"],
        )
        if self.outlets:
            from airflow_provider_koreai.assets.koreai import koreai_asset, tell_outlets

            tell_outlets(
                self.outlets,
                context["outlet_events"],
                result,
                lambda: koreai_asset(self.bot_id, host=self.hook.settings.base_url),
            )
        return result

    def _text(self, missing: Counter[tuple[str, str]], unexpected: Counter[tuple[str, str]]) -> str:
        problems = []
        if missing:
            problems.append(f"{missing.total()} missing ({_named(missing)})")
        if unexpected:
            problems.append(f"{unexpected.total()} that were not sent ({_named(unexpected)})")
        text = (
            f"After the import of path={self.path!r:.200}, the utterances of bot {self.bot_id} are not those that were sent: "
            f"{'; '.join(problems)}. The export is {self.exported_path}."
        )
        if self.backup_path:
            connections = ""
            if self.storage_conn_id:
                connections += f", storage_conn_id={self.storage_conn_id!r}"
            if self.koreai_conn_id != "koreai_default":
                connections += f", koreai_conn_id={self.koreai_conn_id!r}"
            text += (
                f" To restore the bot, import its backup: KoreAIImportUtterancesOperator(task_id='restore', "
                f"bot_id={self.bot_id!r}, path={self.backup_path!r}, on_invalid='drop'{connections})."
            )
        return text


def _named(places: Counter[tuple[str, str]]) -> str:
    named = [f"{task!r} {language}: {count}" for (task, language), count in places.most_common(_MOST_NAMED)]
    return ", ".join(named) + (", ..." if len(places) > len(named) else "")
