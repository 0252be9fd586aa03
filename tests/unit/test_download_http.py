from __future__ import annotations

import logging
import socket
import ssl
import threading

import pytest
import requests
import urllib3

from airflow_provider_koreai.api.content_encoding import content_encoding
from airflow_provider_koreai.download.transfer import content_range, explain, quiet_http_logs, validator_of

NOW = "Tue, 14 Nov 2023 22:13:20 GMT"
SECOND_BEFORE = "Tue, 14 Nov 2023 22:13:19 GMT"


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"ETag": '"abc"'}, '"abc"'),
        ({"ETag": '"abc"', "Last-Modified": SECOND_BEFORE, "Date": NOW}, '"abc"'),
        ({"ETag": 'W/"abc"'}, None),
        # With an ETag, even a weak one, the date must not be used.
        ({"ETag": 'W/"abc"', "Last-Modified": SECOND_BEFORE, "Date": NOW}, None),
        ({"ETag": "abc"}, None),
        ({"Last-Modified": SECOND_BEFORE, "Date": NOW}, SECOND_BEFORE),
        ({"Last-Modified": NOW, "Date": NOW}, None),
        ({"Last-Modified": SECOND_BEFORE}, None),
        ({"Last-Modified": "yesterday", "Date": NOW}, None),
        ({}, None),
    ],
)
def test_only_what_proves_the_same_file_is_a_validator(
    headers: dict[str, str], validator: str | None
) -> None:
    assert validator_of(headers) == validator


@pytest.mark.parametrize(
    ("value", "span"),
    [
        ("bytes 5-9/10", (5, 9, 10)),
        ("bytes 5-9/*", (5, 9, None)),
        ("bytes */10", None),
        ("bytes 9-5/10", None),
        ("items 5-9/10", None),
        ("bytes 5-9", None),
        ("", None),
    ],
)
def test_a_content_range_is_read(value: str, span: tuple[int, int, int | None] | None) -> None:
    assert content_range({"Content-Range": value}) == span


@pytest.mark.parametrize(("value", "encoding"), [("GZIP ", "gzip"), ("identity", ""), ("", ""), ("br", "br")])
def test_a_content_encoding_is_read(value: str, encoding: str) -> None:
    assert content_encoding({"Content-Encoding": value}) == encoding


def wrapped(cause: BaseException) -> requests.ConnectionError:
    pool = urllib3.HTTPSConnectionPool("bots.kore.ai", 443)
    return requests.ConnectionError(urllib3.exceptions.MaxRetryError(pool, "/f.csv?s=secret", cause))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (requests.ReadTimeout("/f.csv?s=secret"), "nothing arrived for 30 seconds"),
        (TimeoutError("timed out"), "nothing arrived for 30 seconds"),
        (wrapped(ConnectionRefusedError(111, "Connection refused")), "Connection refused"),
        (wrapped(socket.gaierror(-2, "Name or service not known")), "Name or service not known"),
        (wrapped(ssl.SSLError(1, "[SSL] wrong version number")), "wrong version number"),
        (wrapped(urllib3.exceptions.ProxyError("/f.csv?s=secret", OSError())), "proxy"),
        (urllib3.exceptions.IncompleteRead(1, 2), "ended early"),
        (requests.exceptions.InvalidURL("https://bots.kore.ai/f.csv?s=secret"), "InvalidURL"),
    ],
)
def test_an_error_is_explained_without_the_link_that_its_text_names(error: Exception, said: str) -> None:
    text = explain(error, 30.0)
    assert said in text
    assert "secret" not in text


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
