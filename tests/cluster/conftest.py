"""One cluster and one emulator for the whole folder."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_koreai.emulator.process import EmulatorProcess
from tests.support.cluster import Cluster, missing
from tests.support.scenarios import KoreAI

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

DAGS = {"cluster": Path(__file__).parent / "dags"}
_LOG_EXCERPT = 4000
_CLUSTER = pytest.StashKey[Cluster]()


@pytest.fixture(scope="session")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess(client_secret=secrets.token_hex(24)) as process:
        yield process


@pytest.fixture(scope="session")
def koreai(emulator: EmulatorProcess) -> KoreAI:
    """Kore.ai as somebody else than Airflow sees it."""
    return KoreAI(emulator)


@pytest.fixture(scope="session")
def cluster(emulator: EmulatorProcess, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    if reason := missing():
        pytest.skip(reason)
    with Cluster(DAGS) as running:
        running.add_connection("koreai_default", emulator.connection())
        request.config.stash[_CLUSTER] = running
        yield running
        del request.config.stash[_CLUSTER]


@pytest.fixture
def bots() -> int:
    """How many bots the large runs have; `.ci/run` takes fewer."""
    return int(os.environ.get("CLUSTER_BOTS") or 40)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show, with a failure, what all components have logged."""
    report = yield
    running = item.config.stash.get(_CLUSTER, None)
    if report.failed and running is not None:
        report.sections += [
            (f"log of {name}", text[-_LOG_EXCERPT:]) for name, text in running.logs().items() if text
        ]
    return report
