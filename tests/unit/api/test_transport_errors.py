"""What went wrong on the way, in words without a link."""

from __future__ import annotations

import socket
import ssl

import httpx
import pytest
import requests
import urllib3

from airflow_provider_koreai.api.transport_errors import explain, failed_before_sending

NOT_TLS = ssl.SSLError(1, "[SSL] wrong version number")
NOT_TLS.reason = "WRONG_VERSION_NUMBER"


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
        (wrapped(NOT_TLS), "does not speak https"),
        (httpx.ReadTimeout("/f.csv?s=secret"), "nothing arrived for 30 seconds"),
        (httpx.RemoteProtocolError("/f.csv?s=secret"), "ended early"),
        (wrapped(urllib3.exceptions.ProxyError("/f.csv?s=secret", OSError())), "proxy"),
        (urllib3.exceptions.IncompleteRead(1, 2), "ended early"),
        (requests.exceptions.InvalidURL("https://bots.kore.ai/f.csv?s=secret"), "InvalidURL"),
    ],
)
def test_an_error_is_explained_without_the_link_that_its_text_names(error: Exception, said: str) -> None:
    text = explain(error, 30.0)
    assert said in text
    assert "secret" not in text


@pytest.mark.parametrize(
    ("error", "is_before"),
    [
        (wrapped(urllib3.exceptions.NewConnectionError(None, "Connection refused")), True),  # type: ignore[arg-type]
        (requests.ConnectTimeout(urllib3.exceptions.ConnectTimeoutError(None, "late")), True),
        (requests.exceptions.SSLError(ssl.SSLCertVerificationError(1, "self-signed")), True),
        (requests.ReadTimeout("late"), False),
        (wrapped(ConnectionResetError(104, "Connection reset by peer")), False),
        (wrapped(urllib3.exceptions.ProtocolError("Connection aborted.")), False),
        (wrapped(urllib3.exceptions.ProxyError("/f.csv", OSError())), False),
    ],
)
def test_only_an_error_of_connecting_shows_that_nothing_was_sent(error: Exception, is_before: bool) -> None:
    assert failed_before_sending(error) is is_before


def test_an_error_that_the_caller_was_handling_does_not_count() -> None:
    error = requests.ReadTimeout("late")
    error.__context__ = wrapped(urllib3.exceptions.NewConnectionError(None, "Connection refused"))  # type: ignore[arg-type]
    assert not failed_before_sending(error)
