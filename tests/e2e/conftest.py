"""
One deployment and one emulator for the whole folder, and a way to let the runs of a module go at the same time.

A test names the run that it is about with :func:`scenarios.about`; when a module's first test begins, all runs
that its tests name are started.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_koreai.emulator.process import EmulatorProcess
from tests.support.deployment import Deployment
from tests.support.scenarios import KoreAI, Launched, Scenario

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

ROOT = Path(__file__).parents[2]
DAGS = {"e2e": Path(__file__).parent / "dags", "examples": ROOT / "example_dags"}
_LOG_EXCERPT = 6000


@pytest.fixture(scope="session")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess(client_secret=secrets.token_hex(24)) as process:
        yield process


@pytest.fixture(scope="session")
def deployment(emulator: EmulatorProcess, request: pytest.FixtureRequest) -> Iterator[Deployment]:
    if tuple(map(int, airflow_version.split(".")[:2])) < (3, 3):
        pytest.skip("a deployment of these components is that of Airflow 3.3 and later")
    since = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
    environment = {"KOREAI_ANALYTICS_SINCE": f"{since:%Y-%m-%dT%H:%M:%S}"}
    with Deployment(DAGS, {"core.test_connection": "Enabled"}, environment=environment) as running:
        # As users have it: in the database, encrypted.
        running.add_connection("koreai_default", emulator.connection())
        # Or the exports of other tests would start runs of it.
        running.api.call("PATCH", "dags/example_koreai_on_export", json={"is_paused": True})
        request.config.stash[_DEPLOYMENT] = running
        yield running
        del request.config.stash[_DEPLOYMENT]


@pytest.fixture(scope="session")
def koreai(emulator: EmulatorProcess) -> KoreAI:
    """Kore.ai as somebody else than Airflow sees it."""
    return KoreAI(emulator)


@pytest.fixture(scope="module")
def launched(
    request: pytest.FixtureRequest, deployment: Deployment, koreai: KoreAI
) -> dict[Scenario, Launched]:
    """The runs that the selected tests of this module are about, all of them under way."""
    runs: dict[Scenario, Launched] = {}
    for item in request.session.items:
        scenario = getattr(item, "callspec", None) and item.callspec.params.get("run")
        if item.path == request.path and scenario and scenario not in runs:
            runs[scenario] = Launched.launch(scenario, deployment, koreai)
    return runs


@pytest.fixture
def run(request: pytest.FixtureRequest, launched: dict[Scenario, Launched]) -> Launched:
    """The run that the test is about."""
    request.node.stash[_RUN] = launched[request.param]
    return launched[request.param]


_DEPLOYMENT = pytest.StashKey[Deployment]()
_RUN = pytest.StashKey[Launched]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show, with a failure, what all components and the run's tasks have logged."""
    report = yield
    running = item.config.stash.get(_DEPLOYMENT, None)
    if report.failed and running is not None:
        logs = {f"log of {name}": text for name, text in running.logs().items()}
        if (run := item.stash.get(_RUN, None)) is not None:
            logs |= {f"{run.dag_id}: {name}": text for name, text in run.log_files("*").items()}
        report.sections += [(name, text[-_LOG_EXCERPT:]) for name, text in logs.items() if text]
    return report
