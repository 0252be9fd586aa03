"""What went wrong on the way, in words without a link."""

from __future__ import annotations

import socket
import ssl

import httpx
import pytest
import requests
import urllib3

from airflow_provider_koreai.api.transport_errors import explain

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
