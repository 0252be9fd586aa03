"""The hook, over real HTTP against the emulator."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import socket
import tracemalloc
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest
import zstandard
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowNotFoundException, BaseHook

from airflow_provider_koreai.emulator.process import EmulatorProcess
from airflow_provider_koreai.exceptions import (
    KoreAIAuthError,
    KoreAIConfigurationError,
    KoreAIGatewayError,
    KoreAIRateLimitError,
    KoreAIRefusedError,
    KoreAIRequestError,
    KoreAIServerError,
)
from airflow_provider_koreai.hooks import koreai as hooks
from airflow_provider_koreai.hooks.koreai import KoreAIHook
from airflow_provider_koreai.jobs.export import ExportStatus

from .download.conftest import ScriptedServer

BOT = "st-demo-travel"


@pytest.fixture(autouse=True)
def answers_at_once(emulator):
    emulator.control.configure_bot(BOT, too_soon_seconds=0)


@pytest.fixture
def hook(koreai_conn):
    return KoreAIHook(max_retry_wait=0.01)


def ask(hook: KoreAIHook, way: str):
    return hook.get_export(BOT) if way == "sync" else asyncio.run(hook.aget_export(BOT))


def status_calls(emulator) -> list[dict]:
    """The status calls, without the first one, which confirmed the start."""
    return emulator.control.requests(BOT, call="status")[1:]


both_clients = pytest.mark.parametrize("way", ["sync", "async"])


def test_a_start_answers_the_request_id_and_the_requested_time(hook, emulator):
    export = hook.start_export(BOT)
    assert export.request_id.startswith("ds-")
    assert export.requested_time.endswith("Z")
    assert (export.bot_id, export.file_type, export.status) == (BOT, "csv", ExportStatus.IN_PROGRESS)


def test_state_and_file_type_are_passed_on(hook, emulator):
    hook.start_export(BOT, state="published", file_type="json")
    (request,) = emulator.control.requests(BOT, call="start")
    assert request["params"] == {"state": "published", "type": "json"}


@both_clients
def test_the_status_names_the_export_that_was_started(hook, emulator, way):
    emulator.control.configure_bot(BOT, seconds=0, too_soon_seconds=0)
    started = hook.start_export(BOT)
    export = ask(hook, way)
    assert export.identity == started.identity
    assert export.status is ExportStatus.SUCCESS
    assert export.percent_complete == 100
    assert export.download_url.startswith(emulator.base_url)


def test_each_request_carries_all_claims_and_a_token_of_its_own(hook, emulator):
    hook.start_export(BOT)
    emulator.control.add_fault(BOT, "status", "http", status=503, times=3)
    hook.get_export(BOT)
    requests = emulator.control.requests(BOT)
    assert len({request["jti"] for request in requests}) == len(requests) >= 5
    claims = {"appId", "sub", "iss", "aud", "iat", "exp", "jti", "isAnonymous"}
    assert all(set(request["claims"]) == claims for request in requests)


@both_clients
@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("http", {"status": 500}),
        ("http", {"status": 502}),
        ("http", {"status": 503}),
        ("http", {"status": 504}),
        ("http", {"status": 408}),
        ("http", {"status": 429}),
        ("html", {}),
        ("empty", {}),
        ("truncated_json", {}),
        ("json_shape", {"value": [1, 2]}),
        ("json_shape", {"value": {}}),
        ("huge", {"size": 6 << 20}),
        ("drop", {"at": "before_headers"}),
        ("drop", {"at": "in_headers"}),
        ("drop", {"at": 20}),
        ("reset", {"at": 20}),
        ("lie_length", {"delta": 50}),
    ],
)
def test_trouble_with_a_status_call_is_retried(hook, emulator, way, kind, params):
    emulator.control.configure_bot(BOT, too_soon_seconds=0)
    started = hook.start_export(BOT)
    emulator.control.add_fault(BOT, "status", kind, **params)
    assert ask(hook, way).identity == started.identity
    assert len(status_calls(emulator)) == 2


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("http", {"status": 503}),
        ("drop", {"at": "before_headers"}),
        ("drop", {"at": 20}),
        ("http", {"status": 429}),
    ],
)
def test_trouble_with_a_start_is_retried(hook, emulator, kind, params):
    emulator.control.add_fault(BOT, "start", kind, **params)
    assert hook.start_export(BOT).request_id
    assert len(emulator.control.requests(BOT, call="start")) == 2


def test_a_start_whose_answer_cannot_be_read_is_not_repeated(hook, emulator):
    emulator.control.add_fault(BOT, "start", "html")
    with pytest.raises(KoreAIRequestError, match="not a JSON object") as caught:
        hook.start_export(BOT)
    assert not isinstance(caught.value, AirflowFailException)
    assert len(emulator.control.requests(BOT, call="start")) == 1


@both_clients
def test_a_401_is_asked_once_more_and_then_names_connection_message_and_causes(hook, emulator, way):
    emulator.control.configure_bot(BOT, linked=False)
    with pytest.raises(KoreAIAuthError, match="Invalid SDK credentials") as caught:
        ask(hook, way)
    text = str(caught.value)
    for part in ("koreai_default", "4002", "Client Secret", "scope", "linked", "clock"):
        assert part in text
    assert isinstance(caught.value, AirflowFailException)
    first, second = emulator.control.requests(BOT)
    assert first["jti"] != second["jti"]


@both_clients
def test_a_single_replay_is_not_believed(hook, emulator, way):
    started = hook.start_export(BOT)
    said = "error verifying the jwt: possibly a replay"
    emulator.control.add_fault(BOT, "status", "http", status=401, msg=said, code=401)
    assert ask(hook, way).identity == started.identity


@both_clients
def test_a_secret_that_was_rotated_meanwhile_is_read_anew(monkeypatch, koreai_conn, emulator, way):
    started = KoreAIHook().start_export(BOT)
    hook = KoreAIHook()

    async def on_one_loop():
        await hook.asettings()
        rotated()
        return await hook.aget_export(BOT)

    def rotated() -> None:
        monkeypatch.setenv("AIRFLOW_CONN_KOREAI_DEFAULT", emulator.connection_json())

    before = {**emulator.connection(), "password": "the-secret-before-it-was-rotated-at-Kore.ai"}
    monkeypatch.setenv("AIRFLOW_CONN_KOREAI_DEFAULT", json.dumps(before))
    if way == "async":
        assert asyncio.run(on_one_loop()).identity == started.identity
    else:
        hook.get_conn()
        rotated()
        assert hook.get_export(BOT).identity == started.identity


@both_clients
@pytest.mark.parametrize("body", ["default backend - 404", "<html>Not Found</html>", ""])
@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_gateways_4xx_is_trouble(hook, emulator, way, status, body):
    started = hook.start_export(BOT)
    emulator.control.add_fault(BOT, "status", "http", status=status, body=body)
    assert ask(hook, way).identity == started.identity
    emulator.control.add_fault(BOT, "status", "http", status=status, body=body, times=-1)
    with pytest.raises(KoreAIGatewayError, match=f"answered {status}.*gateway or proxy") as caught:
        ask(hook, way)
    assert not isinstance(caught.value, AirflowFailException)


@pytest.fixture
def look_ups_without_pauses(monkeypatch):
    monkeypatch.setattr(hooks, "LOOK_UP_PAUSES", (0.0, 0.0))


@both_clients
def test_a_secrets_backend_that_is_away_for_a_moment_is_asked_again(
    hook, emulator, way, monkeypatch, look_ups_without_pauses
):
    hook.start_export(BOT)
    variable = "AIRFLOW_CONN_KOREAI_DEFAULT"
    monkeypatch.delenv(variable)

    def comes_back(*said):
        monkeypatch.setenv(variable, emulator.connection_json())

    monkeypatch.setattr(KoreAIHook, "log", SimpleNamespace(warning=comes_back))
    assert ask(KoreAIHook(), way).bot_id == BOT


@both_clients
def test_a_missing_connection_is_a_configuration_error_that_is_not_retried(way, look_ups_without_pauses):
    with pytest.raises(KoreAIConfigurationError, match="'no_such_connection' does not exist") as caught:
        ask(KoreAIHook("no_such_connection"), way)
    assert isinstance(caught.value, AirflowFailException)


@both_clients
@pytest.mark.parametrize("status", [400, 404, 405, 410, 422])
def test_another_4xx_ends_it_after_one_request(hook, emulator, way, status):
    hook.start_export(BOT)
    emulator.control.add_fault(BOT, "status", "http", status=status, msg="No such thing")
    with pytest.raises(KoreAIRefusedError, match="No such thing"):
        ask(hook, way)
    assert len(status_calls(emulator)) == 1


@both_clients
def test_a_redirect_is_not_followed_and_the_token_goes_nowhere(hook, emulator, way):
    hook.start_export(BOT)
    emulator.control.add_fault(BOT, "status", "redirect", location=f"{emulator.base_url}/elsewhere", times=-1)
    with pytest.raises(KoreAIRequestError, match="without redirects"):
        ask(hook, way)
    assert not emulator.control.requests(call="other")


@both_clients
def test_retries_end_after_the_tries_that_were_set(koreai_conn, emulator, way):
    hook = KoreAIHook(max_tries=3, max_retry_wait=0.01)
    hook.start_export(BOT)
    emulator.control.add_fault(BOT, "status", "http", status=503, msg="Down", times=-1)
    with pytest.raises(KoreAIServerError, match=r"503.*Down"):
        ask(hook, way)
    assert len(status_calls(emulator)) == 3


@both_clients
def test_a_retry_that_would_come_too_late_is_not_waited_for(koreai_conn, emulator, way):
    hook = KoreAIHook(max_retry_seconds=30)
    hook.start_export(BOT)
    emulator.control.add_fault(BOT, "status", "http", status=429, headers={"Retry-After": "3600"}, times=-1)
    with pytest.raises(KoreAIRateLimitError) as caught:
        ask(hook, way)
    assert caught.value.retry_after == 3600
    assert len(status_calls(emulator)) == 1


@both_clients
def test_nobody_listening_is_a_server_error_that_names_host_and_connection(monkeypatch, way):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{unused.getsockname()[1]}"
        connection = {"conn_type": "koreai", "host": host, "login": "cs", "password": "x" * 64}
        monkeypatch.setenv("AIRFLOW_CONN_KOREAI_DEFAULT", json.dumps(connection))
        with pytest.raises(KoreAIServerError, match="koreai_default") as caught:
            ask(KoreAIHook(max_tries=2, max_retry_wait=0.01), way)
    assert host in str(caught.value)


@both_clients
def test_an_answer_that_drips_is_given_up_in_bounded_time(monkeypatch, emulator, way):
    monkeypatch.setenv("AIRFLOW_CONN_KOREAI_DEFAULT", emulator.connection_json(timeout=0.4))
    hook = KoreAIHook(max_tries=1)
    hook.start_export(BOT)
    emulator.control.add_fault(BOT, "status", "drip", bytes_per_second=20, times=-1)
    with pytest.raises(KoreAIServerError, match="too slowly"):
        ask(hook, way)


@both_clients
def test_a_silent_server_is_given_up_after_the_connections_timeout(monkeypatch, emulator, way):
    monkeypatch.setenv("AIRFLOW_CONN_KOREAI_DEFAULT", emulator.connection_json(timeout=0.3))
    hook = KoreAIHook(max_tries=1)
    hook.start_export(BOT)
    emulator.control.add_fault(BOT, "status", "stall", at=0, seconds=20)
    with pytest.raises(KoreAIServerError, match=r"nothing arrived for 0\.3 seconds|too slowly"):
        ask(hook, way)


@both_clients
def test_the_exception_leads_to_no_token(hook, emulator, way):
    hook.start_export(BOT)
    emulator.control.add_fault(BOT, "status", "drop", at="before_headers", times=-1)
    hook.max_tries = 1
    with pytest.raises(KoreAIServerError) as caught:
        ask(hook, way)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@both_clients
def test_a_connection_of_another_type_is_refused(monkeypatch, way):
    monkeypatch.setenv("AIRFLOW_CONN_KOREAI_DEFAULT", '{"conn_type": "http", "host": "example.com"}')
    with pytest.raises(KoreAIConfigurationError, match=r"'koreai_default'.*'http'.*'koreai'"):
        ask(KoreAIHook(), way)


@both_clients
def test_an_incomplete_connection_is_refused_with_all_that_is_missing(monkeypatch, way):
    monkeypatch.setenv(
        "AIRFLOW_CONN_KOREAI_DEFAULT", '{"conn_type": "koreai", "extra": {"algorithm": "none"}}'
    )
    with pytest.raises(KoreAIConfigurationError, match=r"login.*password.*algorithm"):
        ask(KoreAIHook(), way)


def set_connection(monkeypatch, connection):
    monkeypatch.setenv("AIRFLOW_CONN_KOREAI_DEFAULT", json.dumps(connection))
    try:
        BaseHook.get_connection("koreai_default")
    except AirflowNotFoundException:
        pytest.skip("this Airflow refuses such an extra itself, and the connection with it")


@both_clients
@pytest.mark.parametrize("extra", ["not JSON", '["HS512"]', '"HS512"', "12345"])
def test_an_extra_that_is_no_object_is_refused_and_not_repeated(monkeypatch, way, extra):
    connection = {"conn_type": "koreai", "login": "cs-1", "password": "x" * 32, "extra": extra}
    set_connection(monkeypatch, connection)
    with pytest.raises(
        KoreAIConfigurationError, match=r"'koreai_default'.*Extra must be a JSON object"
    ) as caught:
        ask(KoreAIHook(), way)
    assert extra not in str(caught.value)
    worked, said = KoreAIHook().test_connection()
    assert (worked, "Extra must be a JSON object" in said) == (False, True)


@both_clients
@pytest.mark.parametrize("extra", ["", " ", "{ }", "null"])
def test_an_empty_extra_is_none(monkeypatch, emulator, way, extra):
    set_connection(monkeypatch, {**json.loads(emulator.connection_json()), "extra": extra})
    KoreAIHook().start_export(BOT)
    ask(KoreAIHook(), way)


class Packed:
    """A server whose status answer is encoded in a way that nobody asked for."""

    def __init__(self, monkeypatch, emulator) -> None:
        self.server = ScriptedServer()
        connection = {
            **json.loads(emulator.connection_json()),
            "host": "http://127.0.0.1",
            "port": self.server.port,
        }
        monkeypatch.setenv("AIRFLOW_CONN_KOREAI_DEFAULT", json.dumps(connection))

    def answer(self, body, encoding):
        more = {"Content_Length": str(len(body)), "Connection": "close"}
        self.server.answer("200 OK", body, Content_Encoding=encoding, **more)


@pytest.fixture
def packed(monkeypatch, emulator):
    packed = Packed(monkeypatch, emulator)
    yield packed
    packed.server.stop()


@both_clients
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_an_answer_that_is_compressed_unasked_is_read(packed, way, encoding):
    text = b'{"_id": "ds-1", "status": "SUCCESS"}'
    packed.answer(gzip.compress(text) if encoding == "gzip" else zlib.compress(text), encoding)
    assert ask(KoreAIHook(), way).request_id == "ds-1"
    assert "accept-encoding: identity" in packed.server.asked[0].lower()


@both_clients
@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip", "zstd"])
def test_an_answer_that_would_become_huge_is_refused_in_little_memory(packed, way, encoding):
    huge = bytes(256 << 20)
    body = zstandard.compress(huge) if encoding == "zstd" else gzip.compress(huge, 1)
    packed.answer(gzip.compress(body) if encoding == "gzip, gzip" else body, encoding)
    del huge
    hook = KoreAIHook(max_tries=1)
    with pytest.raises(KoreAIRequestError):
        ask(hook, way)  # what is loaded once does not count
    packed.answer(gzip.compress(body) if encoding == "gzip, gzip" else body, encoding)
    tracemalloc.start()
    try:
        with pytest.raises(KoreAIRequestError, match="is larger than" if encoding == "gzip" else None):
            ask(hook, way)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


@both_clients
def test_a_ca_bundle_without_certificates_is_refused(monkeypatch, tmp_path, emulator, way):
    bundle = tmp_path / "ca.pem"
    bundle.write_text("not a certificate")
    monkeypatch.setenv("AIRFLOW_CONN_KOREAI_DEFAULT", emulator.connection_json(ca_bundle=str(bundle)))
    with pytest.raises(KoreAIConfigurationError, match=r"ca_bundle"):
        ask(KoreAIHook(max_tries=1), way)


def test_the_connections_uri_form_works(monkeypatch, emulator):
    host = emulator.base_url.removeprefix("http://")
    uri = f"koreai://{emulator.client_id}:{emulator.client_secret}@{host}/http"
    monkeypatch.setenv("AIRFLOW_CONN_KOREAI_DEFAULT", uri)
    assert KoreAIHook().start_export(BOT).request_id


def test_waits_on_one_event_loop_share_their_connections_and_close_them(monkeypatch):
    async def main(emulator: EmulatorProcess) -> tuple[int, int]:
        hooks = [KoreAIHook() for _ in range(20)]
        async with hooks[0].aopen():
            for _ in range(2):
                await asyncio.gather(*(hook.aget_export(BOT) for hook in hooks))
            during = open_connections(emulator)
        return during, open_connections(emulator)

    # Nobody else has connections to this one.
    with EmulatorProcess(seconds=0, too_soon_seconds=0) as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_KOREAI_DEFAULT", emulator.connection_json())
        starter = KoreAIHook()
        starter.start_export(BOT)
        before = open_connections(emulator)
        during, after = asyncio.run(main(emulator))
    assert 1 <= during - before <= 20
    assert after == before


def open_connections(emulator) -> int:
    """The connections of this process to the emulator, from the file system of the kernel."""
    inodes = {os.stat(f"/proc/self/fd/{fd}").st_ino for fd in descriptors()}
    lines = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return sum(
        fields[2].endswith(f":{emulator.port:04X}") and fields[3] == "01" and int(fields[9]) in inodes
        for fields in lines
    )


def descriptors() -> list[str]:
    return [fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")]


def test_the_test_button_says_that_the_connection_works(hook, emulator):
    hook.start_export(BOT)
    emulator.control.configure_bot(BOT, too_soon_seconds=0)
    works, message = hook.test_connection()
    assert works
    assert BOT in message


def test_the_test_button_takes_a_bot_without_exports_for_a_good_sign(hook):
    works, message = hook.test_connection()
    assert works
    assert message == "Kore.ai accepted the credentials; this bot has not been exported yet."


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"password": "wrong-secret-wrong-secret-wrong-secret"}, "Kore.ai refused the credentials."),
        ({"host": "http://127.0.0.1:9"}, "could not be reached: check the host"),
        ({"host": "http://127.0.0.1:9"}, "no answer from http://127.0.0.1:9: the connection failed"),
        ({"host": "https://127.0.0.1:{port}"}, "write http://<host>:<port>"),
        ({"login": ""}, "login is empty"),
        ({"extra": {}}, "bot_id"),
    ],
)
def test_the_test_button_says_what_is_wrong(monkeypatch, emulator, change, message):
    connection = json.dumps({**emulator.connection(), **change}).replace("{port}", str(emulator.port))
    monkeypatch.setenv("AIRFLOW_CONN_KOREAI_DEFAULT", connection)
    works, said = KoreAIHook().test_connection()
    assert not works
    assert message in said
    assert "wrong-secret" not in said
    # The button's own name for the connection would mean nothing to the user.
    assert "koreai_default" not in said


def test_the_test_button_does_not_take_another_servers_404_for_a_good_sign(hook, emulator):
    emulator.control.add_fault(BOT, "status", "http", status=404, body="<html>Not Found</html>")
    works, message = hook.test_connection()
    assert not works
    assert "404" in message


def test_the_test_button_does_not_take_another_refusal_for_a_good_sign(hook, emulator):
    emulator.control.add_fault(BOT, "status", "http", status=400, msg="Invalid StreamId")
    works, said = hook.test_connection()
    assert not works
    assert said.startswith("Kore.ai accepted the credentials, but refused the call.")


def test_the_test_button_works_with_the_printed_host_and_the_port_that_airflow_demands(monkeypatch, emulator):
    monkeypatch.setenv("AIRFLOW_CONN_KOREAI_DEFAULT", json.dumps({**emulator.connection(), "port": 443}))
    assert KoreAIHook().test_connection()[0]


@pytest.mark.parametrize("status", [401, 403])
def test_the_test_button_tells_a_missing_scope(hook, emulator, status):
    if status == 403:
        emulator.control.configure_bot(BOT, scope=False)
    else:
        said = "Permission denied. Scope is incorrect!"
        emulator.control.add_fault(BOT, "status", "http", status=status, msg=said, times=-1)
    works, said = hook.test_connection()
    assert not works
    assert said.startswith("Kore.ai accepted the credentials, but the app lacks a scope.")
