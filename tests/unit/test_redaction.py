"""The HTTP libraries' logs, kept quiet where they would print a link."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from airflow_provider_koreai.redaction import quiet_http_logs


@pytest.fixture
def records() -> list[str]:
    return []


@pytest.fixture
def logger(records: list[str]) -> logging.Logger:
    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record.getMessage())

    logger = logging.getLogger("urllib3.connectionpool")
    handler, level = Keep(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_the_http_libraries_are_quiet_at_every_level(logger: logging.Logger, records: list[str]) -> None:
    with quiet_http_logs():
        logger.debug("GET /f.csv?s=secret")
        logger.critical("GET /f.csv?s=secret")
    assert records == []


def test_they_are_heard_again_afterwards(logger: logging.Logger, records: list[str]) -> None:
    with pytest.raises(ValueError, match="x"), quiet_http_logs():
        raise ValueError("x")
    logger.debug("GET /status")
    assert records == ["GET /status"]


def test_filters_do_not_pile_up(logger: logging.Logger) -> None:
    for _ in range(3):
        with quiet_http_logs():
            pass
    assert len(logger.filters) == 1


def test_other_threads_are_heard_meanwhile(logger: logging.Logger, records: list[str]) -> None:
    with quiet_http_logs():
        thread = threading.Thread(target=logger.debug, args=("GET /theirs",))
        thread.start()
        thread.join()
    assert records == ["GET /theirs"]


def test_other_tasks_of_the_event_loop_are_heard_meanwhile(
    logger: logging.Logger, records: list[str]
) -> None:
    async def theirs(is_quiet: asyncio.Event) -> None:
        await is_quiet.wait()
        logger.debug("GET /theirs")

    async def main() -> None:
        is_quiet = asyncio.Event()
        task = asyncio.ensure_future(theirs(is_quiet))
        with quiet_http_logs():
            is_quiet.set()
            await task
            await asyncio.to_thread(logger.debug, "GET /ours")

    asyncio.run(main())
    assert records == ["GET /theirs"]
