"""What a task has seen of the job that it waits for: the part that all kinds of jobs share. Without I/O."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from airflow_provider_koreai.exceptions import KoreAITimeoutError

if TYPE_CHECKING:
    from airflow_provider_koreai.exceptions import KoreAIError
    from airflow_provider_koreai.jobs.status import JobStatus
    from airflow_provider_koreai.version_compat import Log

Answer = TypeVar("Answer")


class Watch(ABC, Generic[Answer]):
    """
    Turns the answers of a status call into "done" or "not yet", and logs each surprise once.

    :param bot_id: the bot.
    :param log: where surprises are logged; None: nowhere.
    """

    # What is waited for, in messages: export, import, training, batch test.
    job: ClassVar[str]
    # The error of a wait past its timeout.
    timeout_error: ClassVar[type[KoreAITimeoutError]] = KoreAITimeoutError

    def __init__(self, bot_id: str, *, log: Log | None = None) -> None:
        self.bot_id = bot_id
        self._log = log
        self._logged: set[str] = set()

    @property
    def name(self) -> str:
        """The job in messages."""
        return f"{self.job} of bot {self.bot_id}"

    @property
    def full_name(self) -> str:
        """The job in messages, with what distinguishes it from the bot's others."""
        return self.name

    @abstractmethod
    def observe(self, answer: Answer) -> Answer | None:
        """
        Take in a status answer.

        :return: the answer when it is about our job and the job is done; None while there is something to wait for.
        :raises KoreAIError: our job failed.
        """

    @abstractmethod
    def result(self, answer: Answer) -> dict[str, Any]:
        """Return what a task needs of a job that is done, as JSON-safe values."""

    def expects(self, error: KoreAIError) -> bool:
        """Whether an error of the status call only means that there is nothing to report yet."""
        return False

    def tell_once(self, kind: str, message: str, *args: object) -> bool:
        """Log a surprise, once for each kind of it; return whether it was new."""
        if kind in self._logged:
            return False
        self._logged.add(kind)
        if self._log is not None:
            self._log.warning(message, *args)
        return True

    def tell(self, message: str, *args: object) -> None:
        """Log what is worth knowing."""
        if self._log is not None:
            self._log.info(message, *args)

    def tell_of_unknown(self, status: JobStatus, word: str) -> None:
        """Log a status word that this provider does not know."""
        if status is status.UNKNOWN:
            self.tell_once(
                f"status {word}",
                "Kore.ai reports a status that this provider does not know, %r, for the %s. Waiting.",
                word[:80],
                self.name,
            )
