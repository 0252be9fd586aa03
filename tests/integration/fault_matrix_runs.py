"""How the calls of the fault matrix are made: by the hook, by operators and sensors, in each way of waiting."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_koreai.hooks.koreai import KoreAIHook
from airflow_provider_koreai.operators.batch_test import KoreAIBatchTestOperator
from airflow_provider_koreai.operators.download_analytics import KoreAIDownloadAnalyticsOperator
from airflow_provider_koreai.operators.import_utterances import KoreAIImportUtterancesOperator
from airflow_provider_koreai.operators.koreai import (
    KoreAIDownloadUtterancesOperator,
    KoreAIExportUtterancesOperator,
)
from airflow_provider_koreai.operators.train import KoreAITrainOperator
from airflow_provider_koreai.sensors.koreai import KoreAIExportStatusSensor
from tests.support.running import FakeTaskInstance, FakeTaskStateStore, new_context, run_task

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_koreai.jobs.imports import UploadedFile

    from .fault_matrix import Cell

try:
    from airflow.sdk.exceptions import AirflowRescheduleException  # from Airflow 3.2 on
except ImportError:
    from airflow.exceptions import AirflowRescheduleException

POKE_INTERVAL = 0.02
#: Of a wait that ends by itself.
LONG_TIMEOUT = 30.0
MAX_BYTES = 32 << 20


@dataclass
class Run:
    """
    One cell on its way.

    :param cell: which.
    :param conn_id: its connection.
    :param bot: its bot.
    :param host: its host name.
    :param folder: for its file.
    :param tries: how often its hook sends a call.
    :param timeout: of a wait that does not end by itself, in seconds.
    """

    cell: Cell
    conn_id: str
    bot: str
    host: str
    folder: Path
    tries: int
    timeout: float
    stored: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self.hook = KoreAIHook(self.conn_id, max_tries=self.tries, max_retry_wait=0.01, max_retry_seconds=20)

    @property
    def variable(self) -> str:
        """Where Airflow finds the connection."""
        return f"AIRFLOW_CONN_{self.conn_id.upper()}"

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of its bot."""
        return {}

    def start(self, hook: KoreAIHook) -> dict[str, Any]:
        """Start the cell's job, and return what names it."""
        raise NotImplementedError

    def prepare(self) -> dict[str, Any]:
        """Do what comes before the call in question, and return what its result must contain."""
        raise NotImplementedError

    def go(self, known: dict[str, Any]) -> dict[str, Any]:
        """Make the call, in its mode."""
        raise NotImplementedError

    def _task(self) -> dict[str, str]:
        return {"task_id": self.conn_id, "bot_id": self.bot, "koreai_conn_id": self.conn_id}

    def _with_hook(self, task: Any) -> Any:
        task.__dict__["hook"] = self.hook
        return task

    def _run(self, task: Any) -> tuple[Any, dict[str, Any]]:
        """Run a task, and return its result and its XComs."""
        store, context = FakeTaskStateStore(), new_context()
        if AIRFLOW_V_3_3_PLUS:
            context["task_state_store"] = store
        instance = context["ti"]
        try:
            return run_task(self._with_hook(task), context), instance.xcoms
        finally:
            self.stored = json.dumps([instance.xcoms, instance.deferrals, store.history])

    @property
    def _wait_timeout(self) -> float:
        return self.timeout if self.cell.ends_by_timeout else LONG_TIMEOUT


class ExportRun(Run):
    """An export, its status, the wait for it, and its download."""

    @property
    def settings(self) -> dict[str, Any]:
        return {"rows": 200}

    @property
    def _file_type(self) -> str:
        # A CSV that is cut between two rows looks whole; so what it is compared with is JSON.
        return "json" if self.cell.fault.startswith("JSON") else "csv"

    def start(self, hook: KoreAIHook) -> dict[str, str]:
        return hook.start_export(self.bot, file_type=self._file_type).identity.as_dict()

    def prepare(self) -> dict[str, Any]:
        if self.cell.what == "export" or "one task" in self.cell.mode:
            return {}
        started = self.start(self.hook)
        # The next call needs a connection of its own.
        self.hook.get_conn().close()
        return started

    def go(self, known: dict[str, Any]) -> Any:
        what, mode = self.cell.what, self.cell.mode
        if what == "export status":
            asked = (
                self.hook.get_export(self.bot)
                if mode == "hook"
                else asyncio.run(self.hook.aget_export(self.bot))
            )
            return asked.identity.as_dict()
        if what == "download":
            return self._download(known)
        if what == "export wait" and "one task" not in mode:
            return self._run_rescheduled(known) if mode == "reschedule" else self._run(self._sensor(known))[0]
        task = KoreAIExportUtterancesOperator(
            **self._task(),
            file_type=self._file_type,
            wait_for_completion="one task" in mode,
            deferrable="deferrable" in mode,
            timeout=self._wait_timeout,
        )
        request_id, xcoms = self._run(task)
        return {"request_id": request_id, **xcoms}

    def _download(self, known: dict[str, Any]) -> Any:
        arguments = {
            "path": f"{self.folder}/utterances.{self._file_type}",
            "max_bytes": MAX_BYTES,
            **known,
        }
        if self.cell.mode == "hook":
            return self.hook.download_export(self.bot, **arguments).as_dict()
        return self._run(KoreAIDownloadUtterancesOperator(**self._task(), **arguments))[0]

    def _sensor(self, known: dict[str, Any]) -> Any:
        mode = self.cell.mode
        return KoreAIExportStatusSensor(
            **self._task(),
            **known,
            mode="reschedule" if mode == "reschedule" else "poke",
            deferrable=mode == "deferrable",
            timeout=self._wait_timeout,
            poke_interval=POKE_INTERVAL,
        )

    def _run_rescheduled(self, known: dict[str, Any]) -> Any:
        instance = RescheduledTaskInstance(self.conn_id)
        while True:
            # Each time a process of its own, as a worker would have.
            self.hook = KoreAIHook(self.conn_id)
            try:
                return self._with_hook(self._sensor(known)).execute({"ti": instance})
            except AirflowRescheduleException as again:
                time.sleep(max(0.0, (again.reschedule_date - datetime.now(timezone.utc)).total_seconds()))


class WayBackRun(Run):
    """A job whose operator starts it and waits for it, its start by the hook, and its status."""

    operator: ClassVar[type]
    # What the operator's result contains once the job is done, and what the status does.
    done: ClassVar[dict[str, Any]]
    finished: ClassVar[dict[str, Any]]

    @property
    def settings(self) -> dict[str, Any]:
        # Just long enough for a deferral.
        return {"seconds": 0.1} if self.cell.mode == "deferrable" else {}

    def prepare(self) -> dict[str, Any]:
        known: dict[str, Any] = self.done
        if self.cell.mode.startswith("hook"):
            known = {}
            if self.cell.call.kind == "ask":
                known = {**self.start(self.hook), **self.finished}
        # The next call needs a connection of its own.
        self.hook.get_conn().close()
        return known

    def go(self, known: dict[str, Any]) -> dict[str, Any]:
        if not self.cell.mode.startswith("hook"):
            task = self.operator(
                **self._task(),
                deferrable=self.cell.mode == "deferrable",
                timeout=self._wait_timeout,
                **self._arguments(),
            )
            return dict(self._run(task)[0])
        if self.cell.call.kind != "ask":
            return self.start(self.hook)
        asked = asyncio.run(self._aask(known)) if self.cell.mode == "hook, async" else self._ask(known)
        return dataclasses.asdict(asked)

    def _arguments(self) -> dict[str, Any]:
        return {}

    def _ask(self, known: dict[str, Any]) -> Any:
        raise NotImplementedError

    async def _aask(self, known: dict[str, Any]) -> Any:
        raise NotImplementedError


UTTERANCES = [
    {
        "taskName": "Book Flight",
        "sentence": sentence,
        "type": "DialogIntent",
        "entities": [],
        "language": "en",
    }
    for sentence in ("fly me to Oslo", "fly me to Zürich")
]


class ImportRun(WayBackRun):
    """An upload and an import."""

    operator: ClassVar = KoreAIImportUtterancesOperator
    done: ClassVar = {"rows": 2, "copied": 2}
    finished: ClassVar = {"copied": 2}
    _uploaded: UploadedFile | None = None

    def prepare(self) -> dict[str, Any]:
        if (self.cell.what, self.cell.mode) == ("import", "hook"):
            self._uploaded = self._upload(self.hook)
        return super().prepare()

    def start(self, hook: KoreAIHook) -> dict[str, Any]:
        uploaded = self._uploaded or self._upload(hook)
        if self.cell.what == "upload":
            return {"file_type": uploaded.file_name.rpartition(".")[2]}
        return {"import_id": hook.start_import(self.bot, uploaded.file_id, uploaded.file_name).import_id}

    def _upload(self, hook: KoreAIHook) -> UploadedFile:
        return hook.upload_file(io.BytesIO(json.dumps(UTTERANCES).encode()), file_type="json")

    def _arguments(self) -> dict[str, Any]:
        path = self.folder / "utterances.json"
        path.write_text(json.dumps(UTTERANCES))
        # With a hook of its own, and so with a connection of its own.
        upload_conn_id = None if self.cell.what == "upload" else self.conn_id
        return {"path": str(path), "upload_conn_id": upload_conn_id}

    def _ask(self, known: dict[str, Any]) -> Any:
        return self.hook.get_import(self.bot, known["import_id"])

    async def _aask(self, known: dict[str, Any]) -> Any:
        return await self.hook.aget_import(self.bot, known["import_id"])


class TrainingRun(WayBackRun):
    """A training."""

    operator: ClassVar = KoreAITrainOperator
    done: ClassVar = {"status": "Finished"}
    finished: ClassVar = {"status_word": "Finished", "train_version": 2}

    def start(self, hook: KoreAIHook) -> dict[str, Any]:
        started = hook.start_training(self.bot)
        # The status does not name the training.
        return {} if self.cell.call.kind == "ask" else {"training_id": started.training_id}

    def _ask(self, known: dict[str, Any]) -> Any:
        return self.hook.get_training(self.bot)

    async def _aask(self, known: dict[str, Any]) -> Any:
        return await self.hook.aget_training(self.bot)


class BatchTestRun(WayBackRun):
    """A batch test."""

    operator: ClassVar = KoreAIBatchTestOperator
    done: ClassVar = {"f1": 0.9}
    finished: ClassVar = {"f1": 0.9, "status_word": "completed"}

    def start(self, hook: KoreAIHook) -> dict[str, Any]:
        return {"request_id": hook.start_batch_test(self.bot).request_id}

    def _ask(self, known: dict[str, Any]) -> Any:
        return self.hook.get_batch_test(self.bot, known["request_id"])

    async def _aask(self, known: dict[str, Any]) -> Any:
        return await self.hook.aget_batch_test(self.bot, known["request_id"])


class AnalyticsRun(Run):
    """A page of analytics."""

    def prepare(self) -> dict[str, Any]:
        return {"rows": 8}

    def go(self, known: dict[str, Any]) -> dict[str, Any]:
        start, end = "2026-11-01T00:00:00+00:00", "2026-11-01T02:00:00+00:00"
        if self.cell.mode == "hook":
            found = self.hook.iter_analytics(self.bot, "unhandledutterance", start, end)
            return {"start": start, "rows": len(list(found))}
        path = str(self.folder / "said.jsonl")
        task = KoreAIDownloadAnalyticsOperator(**self._task(), path=path, start=start, end=end)
        return dict(self._run(task)[0])


RUNS: dict[str, type[Run]] = {
    "analytics": AnalyticsRun,
    "export": ExportRun,
    "import": ImportRun,
    "training": TrainingRun,
    "test": BatchTestRun,
}


class RescheduledTaskInstance(FakeTaskInstance):
    """Knows when a rescheduled task was first run, which Airflow has from its database."""

    first_dates: dict[str, datetime] = {}  # noqa: RUF012 - for all instances

    def __init__(self, task_id: str) -> None:
        super().__init__()
        self.task_id, self.dag_id, self.run_id, self.map_index, self.max_tries = task_id, "dag", "run", -1, 0
        self.first_dates[task_id] = datetime.now(timezone.utc)

    def get_first_reschedule_date(self, context: Any) -> datetime:
        """Airflow 3 asks this."""
        return self.first_dates[self.task_id]

    @classmethod
    def orig_start_date(cls, *, task_id: str, **_: Any) -> datetime:
        """In place of Airflow 2's query."""
        return cls.first_dates[task_id]
