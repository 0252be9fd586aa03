"""Whom the clients trust: the sync hook, the async hook, the trigger and the download alike."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time

import pytest

from airflow_provider_koreai.api import shared_connections
from airflow_provider_koreai.download import attempts
from airflow_provider_koreai.emulator.process import EmulatorProcess
from airflow_provider_koreai.exceptions import (
    KoreAIConfigurationError,
    KoreAIDownloadError,
    KoreAIError,
    KoreAIServerError,
    from_payload,
)
from airflow_provider_koreai.hooks.koreai import KoreAIHook
from airflow_provider_koreai.jobs import polling
from airflow_provider_koreai.triggers.koreai import KoreAIExportStatusTrigger
from tests.support.certificates import Authority
from tests.support.logs import everything_logged
from tests.support.running import first_event

BOT = "st-demo-travel"
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


def start(hook: KoreAIHook, folder) -> None:
    hook.start_export(BOT)


def ask(hook: KoreAIHook, folder) -> None:
    hook.get_export(BOT)


def ask_async(hook: KoreAIHook, folder) -> None:
    asyncio.run(hook.aget_export(BOT))


def wait_in_trigger(hook: KoreAIHook, folder) -> None:
    trigger = KoreAIExportStatusTrigger(bot_id=BOT, poll_interval=0.1, deadline=time.time() + 0.3)
    event = asyncio.run(first_event(trigger)).payload
    if event["status"] != "success":
        raise from_payload(event)


def download(hook: KoreAIHook, folder) -> None:
    hook.download_export(BOT, f"{folder}/", link_wait=0.3)


CALLS = (start, ask, ask_async, wait_in_trigger, download)
every_call = pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
both_clients = pytest.mark.parametrize("call", [ask, ask_async], ids=["sync", "async"])


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("company"))


@pytest.fixture(scope="module")
def emulator(authority):
    """An emulator on https, with a finished export."""
    certificate = authority.sign("127.0.0.1")
    with EmulatorProcess(
        seconds=0, too_soon_seconds=0, ssl_certfile=certificate.chain, ssl_keyfile=certificate.key
    ) as process:
        yield process


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, emulator):
    """No CAs of the environment's, pauses of a few milliseconds, and an export to ask for."""
    for name in CA_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(polling, "SHORTEST", 0.02)
    monkeypatch.setattr(attempts, "FIRST_PAUSE", 0.01)
    emulator.control.reset()


@pytest.fixture
def connect(monkeypatch, emulator, authority):
    """Set the connection up, with what a test wants otherwise; gives a hook for it."""

    def connect(host: str | None = None, **extra) -> KoreAIHook:
        connection = emulator.connection(**extra)
        connection["host"] = host or connection["host"]
        monkeypatch.setenv("AIRFLOW_CONN_KOREAI_DEFAULT", json.dumps(connection))
        return KoreAIHook(max_tries=2, max_retry_wait=0.01)

    trusting = connect(ca_bundle=str(authority.bundle))
    trusting.start_export(BOT)
    return connect


@every_call
def test_a_private_ca_in_ca_bundle_is_trusted(connect, authority, tmp_path, call):
    call(connect(ca_bundle=str(authority.bundle)), tmp_path)


@every_call
@pytest.mark.parametrize("variable", CA_VARIABLES)
def test_without_ca_bundle_the_environments_cas_are_trusted(
    connect, monkeypatch, authority, tmp_path, call, variable
):
    monkeypatch.setenv(variable, str(authority.bundle))
    call(connect(ca_bundle=None), tmp_path)


@every_call
@pytest.mark.parametrize("variable", CA_VARIABLES)
def test_ca_bundle_is_not_overruled_by_the_environment(connect, monkeypatch, tmp_path, call, variable):
    stranger = Authority(tmp_path / "stranger")
    monkeypatch.setenv(variable, str(stranger.bundle))
    call(connect(), tmp_path)


def test_a_ca_file_that_is_replaced_under_a_running_event_loop_is_noticed(
    connect, monkeypatch, authority, tmp_path
):
    bundle, stranger = tmp_path / "ca.pem", Authority(tmp_path / "stranger")

    def replace_by(other: Authority) -> None:
        shutil.copy(other.bundle, tmp_path / "new.pem")
        os.replace(tmp_path / "new.pem", bundle)

    async def waits_of_one_triggerer(hook: KoreAIHook) -> None:
        async with hook.aopen():
            await hook.aget_export(BOT)
            replace_by(stranger)
            with pytest.raises(KoreAIServerError, match="certificate was not accepted"):
                await hook.aget_export(BOT)
            replace_by(authority)
            await hook.aget_export(BOT)

    # What is known of a connection counts for a minute.
    monkeypatch.setattr(shared_connections, "LIFETIME", 0.0)
    replace_by(authority)
    asyncio.run(waits_of_one_triggerer(connect(ca_bundle=str(bundle))))


@every_call
def test_a_ca_that_nobody_trusts_is_refused_and_the_remedy_named(connect, tmp_path, call):
    with pytest.raises(KoreAIError, match=r"certificate was not accepted.*ca_bundle") as caught:
        call(connect(ca_bundle=None), tmp_path)
    assert "self-signed certificate in certificate chain" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_server_that_nobody_trusts_is_refused_and_the_remedy_named(connect, emulator, tmp_path):
    stranger = Authority(tmp_path / "stranger").sign("127.0.0.1")
    with EmulatorProcess(ssl_certfile=stranger.chain, ssl_keyfile=stranger.key) as elsewhere:
        emulator.control.configure_bot(BOT, media_url=elsewhere.base_url)
        with pytest.raises(KoreAIDownloadError, match=r"certificate was not accepted.*ca_bundle"):
            download(connect(), tmp_path)


@every_call
def test_a_certificate_of_another_host_is_refused(connect, emulator, tmp_path, call):
    elsewhere = f"https://localhost:{emulator.port}"
    with pytest.raises(KoreAIError, match=r"Hostname mismatch, certificate is not valid for 'localhost'"):
        call(connect(host=elsewhere), tmp_path)


@every_call
@pytest.mark.parametrize("extra", [{"verify": False}, {"verify": "false"}, {"ca_bundle": ""}], ids=str)
def test_no_setting_turns_verification_off(connect, tmp_path, call, extra):
    with pytest.raises(KoreAIError, match="certificate"):
        call(connect(**{"ca_bundle": None, **extra}), tmp_path)


@every_call
def test_no_variable_of_the_environment_turns_verification_off(connect, monkeypatch, tmp_path, call):
    for name in (*CA_VARIABLES, "PYTHONHTTPSVERIFY"):
        monkeypatch.setenv(name, "0" if name == "PYTHONHTTPSVERIFY" else "")
    with pytest.raises(KoreAIError, match="certificate"):
        call(connect(ca_bundle=None), tmp_path)


@every_call
@pytest.mark.parametrize("value", [False, True, 0, "/no/such/file.pem", os.devnull], ids=str)
def test_a_ca_bundle_that_is_none_is_refused_by_name(connect, tmp_path, call, value):
    with pytest.raises(KoreAIConfigurationError, match=r"'koreai_default'.*ca_bundle"):
        call(connect(ca_bundle=value), tmp_path)


@both_clients
def test_cas_of_the_environment_that_cannot_be_read_are_named(connect, monkeypatch, tmp_path, call):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/file.pem")
    with pytest.raises(KoreAIConfigurationError, match=r"environment's CA bundle.*/no/such/file\.pem"):
        call(connect(ca_bundle=None), tmp_path)


@both_clients
def test_a_server_that_does_not_speak_tls_gets_no_token(connect, emulator_process, tmp_path, call):
    hook = connect(host=emulator_process.base_url.replace("http:", "https:"))
    emulator_process.control.reset()
    with pytest.raises(KoreAIServerError, match="does not speak https on this port"):
        call(hook, tmp_path)
    assert emulator_process.control.requests() == []


def settings_of(hook: KoreAIHook, way: str):
    return hook.settings if way == "sync" else asyncio.run(hook.asettings())


both_ways = pytest.mark.parametrize("way", ["sync", "async"])


@both_ways
def test_a_host_without_a_scheme_means_https(connect, way):
    with everything_logged() as lines:
        assert settings_of(connect(host="kore.example.com"), way).base_url == "https://kore.example.com"
    assert "unencrypted" not in "\n".join(lines)


@both_ways
def test_plain_http_to_another_machine_is_warned_of(connect, way):
    with everything_logged() as lines:
        settings_of(connect(host="http://kore.example.com"), way)
    (warning,) = (line for line in lines if "WARNING" in line)
    assert "'koreai_default' uses plain http to reach kore.example.com" in warning
    assert "unencrypted" in warning


@both_ways
@pytest.mark.parametrize("host", ["http://127.0.0.1:8077", "http://localhost:8077", "http://[::1]:8077"])
def test_plain_http_to_this_machine_is_not(connect, way, host):
    with everything_logged() as lines:
        settings_of(connect(host=host), way)
    assert "unencrypted" not in "\n".join(lines)
