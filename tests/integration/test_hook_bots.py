"""The hook's lists of bots and of linked apps, over real HTTP against the emulator, whose answers carry secrets."""

from __future__ import annotations

import contextlib
import http.server
import json
import logging
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_koreai.api.bots import Bot
from airflow_provider_koreai.exceptions import (
    KoreAIAuthError,
    KoreAIConfigurationError,
    KoreAIRequestError,
    KoreAIServerError,
)
from airflow_provider_koreai.hooks.koreai import KoreAIHook
from tests.support.running import Lines

if TYPE_CHECKING:
    from collections.abc import Iterator

UNIVERSAL = "st-demo-universal"
BUILT_IN = ["st-demo-travel", "st-demo-bank", "st-demo-retail", "st-demo-empty", UNIVERSAL]


@pytest.fixture
def hook(koreai_conn):
    return KoreAIHook(max_retry_wait=0.01)


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """All that is logged, by anybody, at every level."""
    lines, root = Lines(), logging.getLogger()
    level = root.level
    root.addHandler(lines)
    root.setLevel(logging.DEBUG)
    yield lines.lines
    root.setLevel(level)
    root.removeHandler(lines)


def secrets_of(emulator) -> list[str]:
    """The Client Secrets that the emulator tells with its bots, as a caller gets them."""
    import requests

    from airflow_provider_koreai.api.tokens import TokenSigner

    token = TokenSigner(KoreAIHook().settings).sign()
    url = f"{emulator.base_url}/api/public/bots?limit=50"
    bots = requests.get(url, headers={"auth": token}, timeout=20).json()["bots"]
    return [app["clientSecret"] for bot in bots for app in bot["jwtApps"]]


def test_all_bots_are_listed_with_name_status_and_language(hook):
    bots = hook.list_bots()
    assert [bot.bot_id for bot in bots] == BUILT_IN
    assert bots[0] == Bot("st-demo-travel", "Demo Travel", "published", "en")


def test_a_list_of_several_pages_is_read_to_its_end(hook, emulator):
    more = [f"st-more-{number}" for number in range(120)]
    for bot_id in more:
        emulator.control.configure_bot(bot_id)
    assert [bot.bot_id for bot in hook.list_bots()] == [*BUILT_IN, *more]
    asked = [request["params"] for request in emulator.control.requests(call="bots")]
    assert asked == [{"offset": str(offset), "limit": "50"} for offset in (0, 50, 100)]


def test_each_page_carries_a_token_of_its_own(hook, emulator):
    for number in range(60):
        emulator.control.configure_bot(f"st-more-{number}")
    hook.list_bots()
    requests = emulator.control.requests(call="bots")
    assert len({request["jti"] for request in requests}) == len(requests) == 2


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("http", {"status": 503}),
        ("http", {"status": 429}),
        ("html", {}),
        ("truncated_json", {}),
        ("json_shape", {"value": []}),
        ("json_shape", {"value": {"total": 1, "availableMore": False, "bots": [{}]}}),
        ("drop", {"at": 20}),
    ],
)
def test_trouble_with_the_list_is_retried(hook, emulator, kind, params):
    emulator.control.add_fault(None, "bots", kind, **params)
    assert [bot.bot_id for bot in hook.list_bots()] == BUILT_IN
    assert len(emulator.control.requests(call="bots")) == 2


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_ends_it_and_says_that_admin_credentials_are_needed(hook, emulator, status):
    emulator.control.add_fault(
        None, "bots", "http", status=status, times=-1, msg="Invalid SDK credentials", code=4002
    )
    with pytest.raises(KoreAIAuthError, match=r"Invalid SDK credentials.*koreai_default.*Admin app"):
        hook.list_bots()
    # A 401 is asked once more, with the connection read anew.
    assert len(emulator.control.requests(call="bots")) == (2 if status == 401 else 1)


@pytest.mark.parametrize(
    "answer",
    [
        {"total": 9, "availableMore": True, "bots": [{"_id": "st-1"}]},
        {"total": 9, "availableMore": True, "bots": []},
    ],
    ids=["repeats a page", "gives empty pages"],
)
def test_a_server_that_always_says_that_there_is_more_is_not_asked_for_ever(hook, emulator, answer):
    emulator.control.add_fault(None, "bots", "json_shape", value=answer, times=-1)
    with pytest.raises(KoreAIRequestError, match="of 9"):
        hook.list_bots()
    assert len(emulator.control.requests(call="bots")) <= 3


def test_no_secret_of_the_answer_is_returned_or_logged(hook, emulator, logged):
    secrets = secrets_of(emulator)
    assert len(secrets) == len(BUILT_IN)
    bots = hook.list_bots()
    seen = json.dumps([vars(bot) for bot in bots]) + repr(bots) + "\n".join(logged)
    assert "Demo Travel" in seen
    assert [secret for secret in secrets if secret in seen] == []


@pytest.mark.parametrize("kind", ["truncated_json", "lie_length", "drop"])
def test_no_secret_of_a_broken_answer_is_in_the_error_its_causes_or_its_frames(hook, emulator, logged, kind):
    """The fault leaves at least the first bot's secret in what arrives."""
    params = {"truncated_json": {}, "lie_length": {"delta": 50}, "drop": {"at": -10}}[kind]
    secrets = secrets_of(emulator)
    emulator.control.add_fault(None, "bots", kind, times=-1, **params)
    hook.max_tries = 2
    with pytest.raises((KoreAIRequestError, KoreAIServerError)) as caught:
        hook.list_bots()
    error = caught.value
    assert (error.__cause__, error.__context__) == (None, None)
    shown = [str(error), repr(error), *logged]
    traceback = error.__traceback__
    while traceback is not None:
        # Below the test itself, which knows the secrets.
        if traceback.tb_frame.f_code.co_filename != __file__:
            shown += [repr(value) for value in traceback.tb_frame.f_locals.values()]
            shown += [repr(getattr(value, "body", "")) for value in traceback.tb_frame.f_locals.values()]
        traceback = traceback.tb_next
    assert [secret for secret in secrets if any(secret in text for text in shown)] == []


def test_linked_apps_are_listed_for_both_versions_of_a_universal_bot(hook, emulator):
    emulator.control.configure_bot(UNIVERSAL, published_linked_apps=["st-demo-bank"])
    linked = hook.list_linked_apps(UNIVERSAL)
    assert [app.bot_id for app in linked.configured] == ["st-demo-travel", "st-demo-bank", "st-demo-retail"]
    assert linked.published == (Bot("st-demo-bank", "Demo Bank", None, "en"),)


def test_a_bot_that_links_nothing_has_no_linked_apps(hook):
    linked = hook.list_linked_apps("st-demo-travel")
    assert (linked.configured, linked.published) == ((), ())


def test_trouble_with_the_linked_apps_is_retried(hook, emulator):
    emulator.control.add_fault(UNIVERSAL, "linked_apps", "http", status=503)
    assert len(hook.list_linked_apps(UNIVERSAL).configured) == 3


def test_a_bot_that_the_app_may_not_ask_about_is_named(hook, emulator):
    emulator.control.configure_bot(UNIVERSAL, linked=False)
    with pytest.raises(KoreAIAuthError, match=rf"linked apps of bot {UNIVERSAL}.*Get linked App details"):
        hook.list_linked_apps(UNIVERSAL)
    assert len(emulator.control.requests(UNIVERSAL)) == 2


def test_a_wrong_bot_id_or_language_is_refused_before_anything_is_sent(hook, emulator):
    with pytest.raises(KoreAIConfigurationError, match="bot_id="):
        hook.list_linked_apps("a/b")
    with pytest.raises(KoreAIConfigurationError, match="language="):
        hook.list_linked_apps(UNIVERSAL, language="English, please")
    assert emulator.control.requests() == []


def test_the_linked_apps_are_asked_for_with_the_headers_that_the_documentation_requires(monkeypatch):
    received: list[tuple[str, dict[str, Any]]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            received.append((self.path, {key.lower(): value for key, value in self.headers.items()}))
            body = b'{"configuredLinkedApps": [], "publishedLinkedApps": []}'
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server, contextlib.ExitStack() as stack:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.shutdown)
        connection = {
            "conn_type": "koreai",
            "host": f"http://127.0.0.1:{server.server_port}",
            "login": "cs-1",
            "password": "a-secret-of-this-test-0123456789abcdef",
        }
        monkeypatch.setenv("AIRFLOW_CONN_KOREAI_DEFAULT", json.dumps(connection))
        KoreAIHook().list_linked_apps(UNIVERSAL, language="de")
    ((path, headers),) = received
    assert path == f"/api/1.1/public/bot/{UNIVERSAL}/universalbot/link?language=de"
    assert headers["bot-language"] == "de"
    assert {"app-language", "state", "client-app"} <= headers.keys()
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", headers["auth"])
