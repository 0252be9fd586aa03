"""What the waits of one event loop share of what is known of a connection."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest

from airflow_provider_koreai.api import shared_connections
from airflow_provider_koreai.api.shared_connections import shared

LOG = logging.getLogger(__name__)
BACKEND_SECONDS = 0.05


class Backend:
    """A secrets backend that takes its time, and may be away."""

    def __init__(self) -> None:
        self.look_ups = 0
        self.is_away = False

    async def read(self) -> Any:
        await asyncio.sleep(BACKEND_SECONDS)
        self.look_ups += 1
        if self.is_away:
            raise ConnectionError("away")
        return f"connection {self.look_ups}"


@pytest.fixture
def backend() -> Backend:
    return Backend()


def test_two_hundred_waits_begin_with_one_look_up(backend):
    async def main() -> set[Any]:
        return set(await asyncio.gather(*(shared("c", backend.read, LOG) for _ in range(200))))

    began = time.monotonic()
    assert asyncio.run(main()) == {"connection 1"}
    assert time.monotonic() - began < 1
    assert backend.look_ups == 1


def test_it_is_read_again_when_its_time_is_over(backend, monkeypatch):
    async def main() -> list[Any]:
        first = await shared("c", backend.read, LOG)
        again = await shared("c", backend.read, LOG)
        monkeypatch.setattr(shared_connections, "LIFETIME", 0.0)
        later = await shared("c", backend.read, LOG, refused=again)
        return [first, again, later, await shared("c", backend.read, LOG)]

    assert asyncio.run(main()) == ["connection 1", "connection 1", "connection 2", "connection 3"]


def test_what_was_refused_is_read_again_once_for_all(backend):
    async def main() -> set[Any]:
        refused = await shared("c", backend.read, LOG)
        again = (shared("c", backend.read, LOG, refused=refused) for _ in range(50))
        return set(await asyncio.gather(*again))

    assert asyncio.run(main()) == {"connection 2"}


def test_a_backend_that_is_away_for_a_moment_ends_no_wait(backend, monkeypatch):
    async def main() -> list[Any]:
        monkeypatch.setattr(shared_connections, "LIFETIME", 0.0)
        known = await shared("c", backend.read, LOG)
        backend.is_away = True
        return [known, await shared("c", backend.read, LOG)]

    assert asyncio.run(main()) == ["connection 1", "connection 1"]


def test_a_first_look_up_that_fails_is_raised_and_tried_again(backend):
    async def main() -> Any:
        backend.is_away = True
        with pytest.raises(ConnectionError):
            await shared("c", backend.read, LOG)
        backend.is_away = False
        return await shared("c", backend.read, LOG)

    assert asyncio.run(main()) == "connection 2"


def test_a_wait_that_is_cancelled_does_not_end_the_look_up_of_the_others(backend):
    async def main() -> Any:
        first, other = (asyncio.ensure_future(shared("c", backend.read, LOG)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        return await other

    assert asyncio.run(main()) == "connection 1"


def test_connections_are_apart(backend):
    async def main() -> list[Any]:
        return [await shared(name, backend.read, LOG) for name in ("a", "b")]

    assert asyncio.run(main()) == ["connection 1", "connection 2"]
