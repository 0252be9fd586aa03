from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_koreai.api.settings import ConnectionSettings
from airflow_provider_koreai.download.links import LinkPolicy, redirect_target, split_link
from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIDownloadError, KoreAIError

SECRET = "s=c2VjcmV0&e=1700000000"


def policy(base_url: str = "https://bots.kore.ai", **settings: Any) -> LinkPolicy:
    return LinkPolicy(ConnectionSettings("koreai_default", base_url, "cs-1", "secret", **settings))


@pytest.mark.parametrize(
    "link",
    [
        "https://bots.kore.ai/api/getMediaStream/market/f-1.csv?n=1&" + SECRET,
        "https://BOTS.kore.ai:8443/f.csv",
        "https://media.eu.kore.ai/f.csv",
        "https://kore.ai/f.csv",
    ],
)
def test_the_vendors_hosts_are_allowed_when_the_api_is_there(link: str) -> None:
    policy().check(link)


@pytest.mark.parametrize(
    "link",
    [
        "https://kore.ai.evil.example/f.csv",
        "https://evilkore.ai/f.csv",
        "https://evil.example/bots.kore.ai",
        "https://evil.example/?x=https://bots.kore.ai/",
        "https://evil.example#@bots.kore.ai/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/f.csv",
    ],
)
def test_other_hosts_are_refused_for_good(link: str) -> None:
    with pytest.raises(KoreAIConfigurationError, match="download_hosts"):
        policy().check(link)


@pytest.mark.parametrize(
    "link",
    [
        "",
        "ftp://bots.kore.ai/f.csv",
        "file:///etc/passwd",
        "//bots.kore.ai/f.csv",
        "https:///f.csv",
        "https://bots.kore.ai@evil.example/f.csv",
        "https://user:password@bots.kore.ai/f.csv",
        "https://evil.example\\@bots.kore.ai/f.csv",
        "https://bots.kore.ai\t.evil.example/",
        "https://bots.kore.ai /f.csv",
        "https://bots.kore.ai/f.csv\r\nHost: evil.example",
        "https://bots.k\u043ere.ai/f.csv",  # a Cyrillic o
        "https://bots.kore.ai:99999/f.csv",
        "https://[bots.kore.ai/f.csv",
        "https://bots.kore.ai/" + "x" * 20_000,
    ],
)
def test_what_is_not_plainly_a_web_address_is_refused(link: str) -> None:
    with pytest.raises(KoreAIDownloadError, match="not a plain http"):
        policy().check(link)


def test_the_vendors_hosts_are_not_allowed_when_the_api_is_elsewhere() -> None:
    with pytest.raises(KoreAIConfigurationError):
        policy("https://kore.example.com").check("https://bots.kore.ai/f.csv")


def test_plain_http_is_refused_when_the_api_is_https() -> None:
    with pytest.raises(KoreAIConfigurationError, match="https"):
        policy().check("http://bots.kore.ai/f.csv")


@pytest.mark.parametrize("link", ["http://kore.local:9000/f.csv", "https://kore.local/f.csv"])
def test_either_scheme_will_do_when_the_api_is_http(link: str) -> None:
    policy("http://kore.local:8000").check(link)


@pytest.mark.parametrize(
    ("entry", "host", "allowed"),
    [
        ("files.example.com", "files.example.com", True),
        ("files.example.com", "files.example.com:9000", True),
        ("files.example.com", "x.files.example.com", False),
        ("files.example.com:9000", "files.example.com:9000", True),
        ("files.example.com:9000", "files.example.com", False),
        ("files.example.com:443", "files.example.com", True),
        ("*.example.com", "files.example.com", True),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "evilexample.com", False),
        ("[::1]:9000", "[::1]:9000", True),
        ("[::1]", "[::1]", True),
        ("[::1]:9000", "[::1]", False),
    ],
)
def test_download_hosts_allows_what_it_names(entry: str, host: str, allowed: bool) -> None:
    checked = policy(download_hosts=(entry,))
    if allowed:
        checked.check(f"https://{host}/f.csv")
    else:
        with pytest.raises(KoreAIConfigurationError):
            checked.check(f"https://{host}/f.csv")


@given(st.text(max_size=30), st.booleans())
def test_no_message_repeats_the_link(noise: str, redirected: bool) -> None:
    for link in (
        f"https://evil.example/{noise}/f.csv?{SECRET}",
        f"https://{noise}/f.csv?{SECRET}",
        f"{noise}?{SECRET}",
    ):
        try:
            policy().check(link, redirected=redirected)
        except KoreAIError as error:
            caught = error
        assert "c2VjcmV0" not in str(caught)
        assert caught.__cause__ is None


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/other?x=1", "https://bots.kore.ai/other?x=1"),
        ("//evil.example/f", "https://evil.example/f"),
        ("http://bots.kore.ai/f", "http://bots.kore.ai/f"),
        ("https://[::1", ""),
    ],
)
def test_a_redirect_is_resolved_before_it_is_checked(location: str, target: str) -> None:
    assert redirect_target("https://bots.kore.ai/api/f.csv?s=1", location) == target


def test_a_link_is_taken_apart() -> None:
    assert split_link("HTTPS://Bots.Kore.AI/f") == ("https", "bots.kore.ai", 443)
