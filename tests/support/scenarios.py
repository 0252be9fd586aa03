"""Runs that tests are about: how Kore.ai behaves in one, and which DAG is run."""

from __future__ import annotations

import itertools
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jwt
import pytest
import requests

from tests.support.deployment import Run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_koreai.emulator.process import EmulatorProcess
    from tests.support.deployment import Deployment

MODES = ("poke", "reschedule", "deferrable")
NEVER = 3600.0
_numbers = itertools.count(1)


@dataclass(frozen=True, eq=False)
class Scenario:
    """
    A run to start.

    :param dag: ID of the DAG.
    :param bot: settings of the run's own bot in the emulator.
    :param starts: start an export first, and name it to the run.
    :param faults: what goes wrong, in this order.
    :param conf: further params of the run.
    :param name: in the test's ID.
    """

    dag: str
    bot: Mapping[str, Any] = field(default_factory=dict)
    starts: bool = False
    faults: Sequence[Mapping[str, Any]] = ()
    conf: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None


def about(*scenarios: Scenario) -> pytest.MarkDecorator:
    """Say which run a test is about; several repeat the test."""
    return pytest.mark.parametrize(
        "run", [pytest.param(s, id=s.name or s.dag.removeprefix("e2e_")) for s in scenarios], indirect=True
    )


def in_every_mode(ending: str = "", **options: Any) -> pytest.MarkDecorator:
    """A wait for an export that somebody else has started, once in each mode of the sensor."""
    return about(*(Scenario(f"e2e_wait_{m}{ending}", starts=True, name=m, **options) for m in MODES))


class KoreAI:
    """The emulator, and a colleague who uses the same bots."""

    def __init__(self, emulator: EmulatorProcess) -> None:
        self._emulator = emulator
        self.control = emulator.control
        self._session = requests.Session()
        self._session.trust_env = False

    def start_export(self, bot: str, file_type: str = "csv") -> dict[str, Any]:
        """Start an export, as a person or another program would."""
        return self._call("POST", f"{bot}/mlexport?state=configured&type={file_type}")

    def status(self, bot: str) -> dict[str, Any]:
        """Ask for the latest export."""
        return self._call("GET", f"{bot}/mlexport/status")

    def calls(
        self, bot: str, call: str, *, since: float = 0.0, status: int | None = None
    ) -> list[dict[str, Any]]:
        """What was asked about a bot."""
        found = self.control.requests(bot, call)
        return [c for c in found if c["time"] >= since and status in (None, c["status"])]

    def _call(self, method: str, path: str) -> dict[str, Any]:
        now = int(time.time())
        client_id = self._emulator.client_id
        claims = {
            "appId": client_id,
            "sub": "colleague",
            "iat": now,
            "exp": now + 600,
            "jti": uuid.uuid4().hex,
        }
        token = jwt.encode({**claims, "iss": client_id}, self._emulator.client_secret, "HS256")
        url = f"{self._emulator.base_url}/api/public/bot/{path}"
        answer = self._session.request(method, url, headers={"auth": token}, timeout=30)
        answer.raise_for_status()
        document: dict[str, Any] = answer.json()
        return document


class Launched(Run):
    """The run of a scenario, with its bot."""

    bot: str
    koreai: KoreAI
    started: dict[str, Any]
    deployment: Deployment

    @classmethod
    def launch(cls, scenario: Scenario, deployment: Deployment, koreai: KoreAI) -> Launched:
        """Set up the bot, and start the run."""
        bot = f"st-e2e-{next(_numbers)}-{scenario.dag.removeprefix('e2e_').replace('_', '-')}"
        settings = {"too_soon_seconds": 0, **scenario.bot}
        koreai.control.configure_bot(bot, **settings)
        started: dict[str, Any] = {}
        conf = {"bot_id": bot, **scenario.conf}
        if scenario.starts:
            started = koreai.start_export(bot)
            conf |= {"request_id": started["_id"], "requested_time": started["requestedTime"]}
        for fault in scenario.faults:
            koreai.control.add_fault(bot, **fault)
        run = deployment.trigger(scenario.dag, **conf)
        launched = cls(deployment, run.dag_id, run.run_id)
        launched.bot, launched.koreai, launched.started = bot, koreai, started
        launched.deployment = deployment
        return launched

    def configure(self, **settings: Any) -> None:
        """Change what its bot does."""
        self.koreai.control.configure_bot(self.bot, **settings)

    def finish_export(self) -> None:
        """Let its running export be done."""
        self.configure(seconds=0)

    def wait_until_polled(self, *, since: float = 0.0, timeout: float = 120, call: str = "status") -> None:
        """Wait until a status call about its bot was answered; ``call`` is the emulator's name of that of another job."""
        self.deployment.wait_until(
            f"a status call about {self.bot}",
            lambda: self.koreai.calls(self.bot, call, since=since, status=200),
            timeout,
        )

    def wait_until_under_way(self) -> None:
        """
        Wait until it waits: a status call was answered, and, if that was the triggerer's, the worker is free.

        A wait that ends before the scheduler has heard that the worker is free may be taken for a task that has died:
        Airflow's affair, and not what a test here is about.
        """
        self.wait_until_polled()
        task = self.tasks()[0]
        if task["state"] == "deferred":
            self.deployment.wait_until("the worker is free", lambda: self.deployment.has_released(task["id"]))

    def trigger_row(self, task_id: str = "wait") -> dict[str, Any]:
        """The row of its wait in the database."""
        number = self.wait_for_task(task_id, "deferred")["trigger"]["id"]
        return next(row for row in self.deployment.trigger_rows() if row["id"] == number)

    def has_deferred(self, task_id: str) -> bool:
        """Whether a trigger waited for the task, and fired."""
        files = self.log_files(task_id)
        return any(".log.trigger." in name and "Trigger fired event" in text for name, text in files.items())
