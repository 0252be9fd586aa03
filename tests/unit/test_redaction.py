"""Links in texts lose their query; the HTTP libraries' logs are kept quiet where they would print one."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_koreai.redaction import quiet_http_logs, scrub

LINK = "https://bots.kore.ai/api/getMediaStream/market/f-1.csv?n=1&s=SIGNATURE&e=2"


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


class TestScrub:
    @pytest.mark.parametrize(
        "text", ["", "no link", "why? because", "https://bots.kore.ai/path", "what?!", "st-1: 50% done, x=1"]
    )
    def test_a_text_without_a_query_is_kept(self, text):
        assert scrub(text) == text

    def test_the_url_is_kept_up_to_its_query(self):
        assert scrub(f"got {LINK}.") == "got https://bots.kore.ai/api/getMediaStream/market/f-1.csv?..."

    @given(st.text(), st.text(alphabet="abcdefghijkl/._-", max_size=20), st.text())
    def test_whatever_stands_around_a_link(self, before, path, after):
        assert "SIGNATURE" not in scrub(f"{before} https://h/{path}?s=SIGNATURE {after}")
