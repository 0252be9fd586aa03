"""The operator that trains a bot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_koreai.arguments import language_code
from airflow_provider_koreai.exceptions import KoreAIRefusedError, KoreAITrainingFailedError
from airflow_provider_koreai.jobs.training import Training, TrainingWatch
from airflow_provider_koreai.links.koreai import KoreAIBotLink
from airflow_provider_koreai.operators.job import JobOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger


class KoreAITrainOperator(JobOperator):
    """
    Train a bot's model in one language (``ml/train``), with the utterances of the copy that is in development.

    Kore.ai's status call names a language and no training, so right after the start it may still report the training
    before. The task asks for the status before it starts, and accepts an answer as its own if ``trainVersion`` has changed,
    if the training was seen running, or if the answer has not changed for 60 seconds. If somebody else's training is
    running at the start, the task waits for its end, too.

    :param bot_id: the bot, for example ``st-ab12cd34-...``. (templated)
    :param language: the language to train, for example ``en`` (the default). (templated)
    :param wait_for_completion: wait in this task until the training is done. Default True.
    :param timeout: seconds (or a timedelta) to wait for completion at most. Default 3600.
    :param deferrable: wait in the triggerer, without a worker slot. Default: Airflow's
        ``[operators] default_deferrable``.
    :param koreai_conn_id: ID of a connection of type ``koreai``. Default ``koreai_default``. (templated)

    Returns ``{"training_id", "language", "status", "train_version"}``, and pushes each entry under its own key as well.
    ``status`` is Kore.ai's word, for example ``Finished``; ``Queued`` if the task does not wait. ``train_version`` is a
    number, ``""`` where Kore.ai does not report it.

    A training that fails raises :class:`~airflow_provider_koreai.exceptions.KoreAITrainingFailedError`, and one that takes
    longer than ``timeout`` :class:`~airflow_provider_koreai.exceptions.KoreAITimeoutError`. Airflow may retry both: a retry
    trains again, and so does clearing the task. On Airflow 3.3 and later, when the worker dies while it waits without
    ``deferrable``, the retry goes on waiting for the same training.
    """

    template_fields: Sequence[str] = ("bot_id", "language", "koreai_conn_id")
    external_id_key = "koreai_training"
    result_keys = ("training_status", "train_version")
    lost_errors = (KoreAITrainingFailedError,)
    operator_extra_links = (KoreAIBotLink(),)
    ui_color = "#e6d7ee"

    def __init__(
        self,
        *,
        bot_id: str,
        language: str = "en",
        wait_for_completion: bool = True,
        timeout: float | timedelta = 3600,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        koreai_conn_id: str = "koreai_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        self.bot_id = bot_id
        self.language = language
        self.wait_for_completion = wait_for_completion
        self.timeout = timeout
        self.deferrable = deferrable
        self.koreai_conn_id = koreai_conn_id

    def submit_job(self, context: Context) -> dict[str, Any]:
        language = language_code(self.language)
        before = self._latest(language) if self.wait_for_completion else None
        started = self.hook.start_training(self.bot_id, language)
        context["ti"].xcom_push(key="training_id", value=started.training_id)
        self.log.info(
            "Started the training of bot %s in language %s: training ID %s",
            self.bot_id,
            language,
            started.training_id,
        )
        return {
            "training_id": started.training_id,
            "language": language,
            "before": before.note() if before else None,
            "asked_for": self.asked_for(context),
            "until": self.until(),
        }

    def _latest(self, language: str) -> Training | None:
        try:
            return self.hook.get_training(self.bot_id, language)
        except KoreAIRefusedError as error:
            # It is not documented what Kore.ai answers for a bot that was never trained.
            self.log.info("No earlier training was found. %s", error)
            return None

    def watch_for(self, note: dict[str, Any]) -> TrainingWatch:
        before = Training.of_note(self.bot_id, note["language"], note["before"])
        return TrainingWatch(self.bot_id, note["language"], before=before, log=self.log)

    def ask(self, note: dict[str, Any], max_tries: int | None = None) -> Training:
        return self.hook.get_training(self.bot_id, note["language"], max_tries=max_tries)

    def trigger(self, watch: Any, note: dict[str, Any], **wait: Any) -> BaseTrigger:
        from airflow_provider_koreai.triggers.koreai import KoreAITrainingStatusTrigger

        return KoreAITrainingStatusTrigger(
            bot_id=self.bot_id,
            language=note["language"],
            before=note["before"],
            seen_running=watch.seen_running,
            **wait,
        )

    def started(self, note: dict[str, Any], context: Context) -> dict[str, Any]:
        return _returned(note, {"training_status": "Queued"})

    def finish(self, note: dict[str, Any], result: Mapping[str, Any], context: Context) -> dict[str, Any]:
        self.log.info("The training of bot %s in language %s is done", self.bot_id, note["language"])
        return _returned(note, result)


def _returned(note: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    version = result.get("train_version")
    return {
        "training_id": note["training_id"],
        "language": note["language"],
        "status": result["training_status"],
        # Never None, which breaks rendering downstream on Airflow 3.3.
        "train_version": "" if version is None else version,
    }
