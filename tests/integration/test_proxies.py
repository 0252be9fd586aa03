"""Proxies of the environment: the sync call, the async call and the download go the same way."""

from __future__ import annotations

import asyncio
import json
import os
import re

import pytest

from airflow_provider_koreai.download import attempts
from airflow_provider_koreai.emulator.process import EmulatorProcess
from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIError
from airflow_provider_koreai.hooks.koreai import KoreAIHook
from airflow_provider_koreai.jobs import polling
from tests.support.certificates import Authority
from tests.support.logs import everything_logged
from tests.support.proxy import LoopbackProxy

BOT = "st-demo-travel"
# A name that nothing resolves: only the proxy knows where that is.
HIDDEN = "bots.koreai.invalid"
STATUS = f"/api/public/bot/{BOT}/mlexport/status"


def ask(hook: KoreAIHook, folder) -> None:
    hook.get_export(BOT)


def ask_async(hook: KoreAIHook, folder) -> None:
    asyncio.run(hook.aget_export(BOT))


def download(hook: KoreAIHook, folder) -> None:
    hook.download_export(BOT, f"{folder}/", link_wait=0.3)


every_call = pytest.mark.parametrize("call", [ask, ask_async, download], ids=lambda call: call.__name__)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    """No proxies but a test's own, and pauses of a few milliseconds."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(polling, "SHORTEST", 0.02)
    monkeypatch.setattr(attempts, "FIRST_PAUSE", 0.01)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("company"))


@pytest.fixture(scope="module")
def https_process(authority):
    certificate = authority.sign("127.0.0.1", HIDDEN)
    with EmulatorProcess(
        seconds=0, too_soon_seconds=0, ssl_certfile=certificate.chain, ssl_keyfile=certificate.key
    ) as process:
        yield process


@pytest.fixture(params=["http", "https"])
def scheme(request):
    return request.param


@pytest.fixture
def server(request, scheme):
    """An emulator that speaks the scheme, with a finished export."""
    process = request.getfixturevalue("https_process" if scheme == "https" else "emulator_process")
    process.control.reset()
    return process


@pytest.fixture
def proxy(server):
    proxy = LoopbackProxy(server.port)
    yield proxy
    proxy.stop()


@pytest.fixture
def refusing_proxy(server):
    proxy = LoopbackProxy(server.port, refuse=True)
    yield proxy
    proxy.stop()


@pytest.fixture
def connect(monkeypatch, server, scheme, authority):
    """Set the connection up for a name of the server; gives a hook for it."""

    def connect(name: str) -> KoreAIHook:
        connection = server.connection(timeout=5, **{"ca_bundle": str(authority.bundle)})
        connection["host"] = f"{scheme}://{name}:{server.port}"
        monkeypatch.setenv("AIRFLOW_CONN_KOREAI_DEFAULT", json.dumps(connection))
        return KoreAIHook(max_tries=2, max_retry_wait=0.01)

    connect("127.0.0.1").start_export(BOT)
    return connect


def expected(server, scheme: str, call) -> list[str]:
    """What a proxy is asked, as patterns."""
    place = f"{re.escape(HIDDEN)}:{server.port}"
    if scheme == "https":
        return [f"CONNECT {place}"] * (2 if call is download else 1)
    file = [rf"GET http://{place}/api/getMediaStream/market/\S+"] if call is download else []
    return [f"GET http://{place}{STATUS}", *file]


@every_call
@pytest.mark.parametrize("variable", ["{}_proxy", "all_proxy"])
@pytest.mark.parametrize("case", [str.upper, str.lower], ids=["upper case", "lower case"])
def test_the_environments_proxy_is_used(
    monkeypatch, connect, server, proxy, scheme, tmp_path, call, variable, case
):
    monkeypatch.setenv(case(variable.format(scheme)), proxy.url)
    call(connect(HIDDEN), tmp_path)
    patterns = expected(server, scheme, call)
    assert len(proxy.asked) == len(patterns), proxy.asked
    assert all(map(re.fullmatch, patterns, proxy.asked)), proxy.asked


@every_call
def test_a_proxy_may_be_given_as_host_and_port(monkeypatch, connect, proxy, scheme, tmp_path, call):
    monkeypatch.setenv(f"{scheme}_proxy", proxy.address)
    call(connect(HIDDEN), tmp_path)
    assert proxy.asked


@every_call
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("NO_PROXY", "127.0.0.1"),
        ("no_proxy", "127.0.0.1"),
        ("NO_PROXY", "*"),
        ("NO_PROXY", "elsewhere.example, 127.0.0.1"),
        ("NO_PROXY", "127.0.0.0/8"),
    ],
)
def test_no_proxy_keeps_calls_away_from_it(
    monkeypatch, connect, proxy, scheme, tmp_path, call, variable, value
):
    monkeypatch.setenv(f"{scheme}_proxy", proxy.url)
    monkeypatch.setenv(variable, value)
    call(connect("127.0.0.1"), tmp_path)
    assert proxy.asked == []


@every_call
@pytest.mark.parametrize("value", ["koreai.invalid", ".koreai.invalid"])
def test_no_proxy_takes_a_domain_for_its_hosts_too(
    monkeypatch, connect, proxy, scheme, tmp_path, call, value
):
    monkeypatch.setenv(f"{scheme}_proxy", proxy.url)
    monkeypatch.setenv("NO_PROXY", value)
    with pytest.raises(KoreAIError):
        call(connect(HIDDEN), tmp_path)
    assert proxy.asked == []


@every_call
def test_no_proxy_for_another_host_changes_nothing(monkeypatch, connect, proxy, scheme, tmp_path, call):
    monkeypatch.setenv(f"{scheme}_proxy", proxy.url)
    monkeypatch.setenv("NO_PROXY", "elsewhere.example,10.0.0.0/8")
    call(connect(HIDDEN), tmp_path)
    assert proxy.asked


@every_call
def test_the_other_schemes_proxy_is_not_used(monkeypatch, connect, proxy, scheme, tmp_path, call):
    monkeypatch.setenv("https_proxy" if scheme == "http" else "http_proxy", proxy.url)
    call(connect("127.0.0.1"), tmp_path)
    assert proxy.asked == []


@every_call
def test_a_proxys_credentials_are_given_to_it(monkeypatch, connect, proxy, scheme, tmp_path, call):
    monkeypatch.setenv(f"{scheme}_proxy", f"http://me:mine@{proxy.address}")
    call(connect(HIDDEN), tmp_path)
    assert set(proxy.credentials) == {"Basic bWU6bWluZQ=="}


@every_call
@pytest.mark.parametrize("trouble", ["refuses", "is not there", "has no name"])
def test_a_proxy_that_fails_is_named_for_the_cause_without_its_password(
    monkeypatch, connect, refusing_proxy, scheme, tmp_path, call, trouble
):
    address = {
        "refuses": refusing_proxy.address,
        "is not there": "127.0.0.1:9",
        "has no name": "proxy.koreai.invalid:3128",
    }[trouble]
    monkeypatch.setenv(f"{scheme}_proxy", f"http://me:hidden-word@{address}")
    with everything_logged() as lines, pytest.raises(KoreAIError) as caught:
        call(connect(HIDDEN), tmp_path)
    assert "proxy" in str(caught.value)
    assert "hidden-word" not in str(caught.value) + "\n".join(lines)
    assert "bWU6" not in str(caught.value) + "\n".join(lines)


@every_call
@pytest.mark.parametrize("address", ["ftp://me:hidden-word@127.0.0.1:21", "http://me:hidden-word@:x"])
def test_a_proxy_that_is_none_is_a_configuration_error(monkeypatch, connect, scheme, tmp_path, call, address):
    monkeypatch.setenv(f"{scheme}_proxy", address)
    with pytest.raises(KoreAIConfigurationError, match="proxy") as caught:
        call(connect(HIDDEN), tmp_path)
    assert "hidden-word" not in str(caught.value)
