"""
An error of a real call carries no secret along: not in its text, not in its attributes, and not in the variables
of the functions that it comes from, which error trackers send with a traceback.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_koreai.api.tokens import TokenSigner
from airflow_provider_koreai.exceptions import (
    KoreAIAuthError,
    KoreAIConfigurationError,
    KoreAIDownloadError,
    KoreAIError,
    KoreAIRequestError,
    KoreAIServerError,
)
from airflow_provider_koreai.hooks.koreai import KoreAIHook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from airflow_provider_koreai.emulator.process import EmulatorProcess

BOT = "st-demo-travel"
SECRET = "a-client-secret-that-nobody-may-see-0123456789"
SIGNATURE = "5ignature0f1inks"
TOKEN = re.compile(r"eyJ[\w-]{8,}")
LINK = re.compile(r"[?&]s=\w{8,}")


@pytest.fixture
def connect(emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch) -> Callable[..., KoreAIHook]:
    """Make a hook of a connection to the emulator with some fields changed; it does not try again."""

    def make(extra: dict[str, Any] | None = None, **fields: Any) -> KoreAIHook:
        connection = emulator.connection(timeout=5, **(extra or {}))
        monkeypatch.setenv("AIRFLOW_CONN_KOREAI_DEFAULT", json.dumps({**connection, **fields}))
        return KoreAIHook(max_tries=1)

    return make


def everything_about(error: BaseException) -> str:
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next  # what the test itself holds is its own affair
    with_locals = traceback.TracebackException(type(error), error, frames, capture_locals=True)
    return "".join(with_locals.format()) + repr(error) + repr(vars(error))


def assert_keeps_secrets(error: BaseException, *more: str) -> None:
    told = everything_about(error)
    # It can fail: variables are captured, and these are among them.
    assert "request = " in told or "settings = " in told or "self = " in told
    assert not [secret for secret in (SECRET, SIGNATURE, *more) if secret in told]
    assert not TOKEN.findall(told)
    assert not LINK.findall(told)


def both_ways(hook: KoreAIHook) -> Iterator[Callable[[], object]]:
    """A status call by each of the two clients."""
    yield lambda: hook.get_export(BOT)
    yield lambda: asyncio.run(hook.aget_export(BOT))


def test_a_refused_token(connect: Callable[..., KoreAIHook]) -> None:
    for call in both_ways(connect(password=SECRET)):
        with pytest.raises(KoreAIAuthError) as caught:
            call()
        assert_keeps_secrets(caught.value)


def test_no_answer(connect: Callable[..., KoreAIHook], emulator: EmulatorProcess) -> None:
    emulator.control.add_fault(BOT, "status", "drop", times=-1)
    for call in both_ways(connect()):
        with pytest.raises(KoreAIServerError) as caught:
            call()
        assert_keeps_secrets(caught.value, emulator.client_secret)


def test_half_an_answer_with_a_link_in_it(
    connect: Callable[..., KoreAIHook], emulator: EmulatorProcess
) -> None:
    body = json.dumps({"downloadUrl": f"https://bots.kore.ai/f.csv?n=1&s={SIGNATURE}&e=2"})
    for text in (body, body[:-1]):
        emulator.control.add_fault(BOT, "status", "http", status=200, body=text, times=2)
        for call in both_ways(connect()):
            with pytest.raises(KoreAIRequestError) as caught:
                call()
            assert_keeps_secrets(caught.value)


@pytest.mark.parametrize(
    ("extra", "fields"),
    [
        ({"token_ttl": "soon"}, {}),
        ({"algorithm": "RS256"}, {}),
        ({"jwe_public_key": {"kty": "RSA", "n": "A", "e": "A"}}, {}),
        ({}, {"conn_type": "http"}),
    ],
    ids=["a wrong setting", "no key", "no public key", "another type of connection"],
)
def test_a_connection_that_cannot_be_used(
    extra: dict[str, Any], fields: dict[str, Any], connect: Callable[..., KoreAIHook]
) -> None:
    for call in both_ways(connect(extra, password=SECRET, **fields)):
        with pytest.raises(KoreAIConfigurationError) as caught:
            call()
        assert_keeps_secrets(caught.value)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (
            {"kind": "redirect", "location": f"https://elsewhere.example/f.csv?s={SIGNATURE}"},
            KoreAIConfigurationError,
        ),
        (
            {"kind": "redirect", "location": f"ftp://elsewhere.example/f.csv?s={SIGNATURE}"},
            KoreAIDownloadError,
        ),
        ({"kind": "html", "body": f"<a href='/f.csv?s={SIGNATURE}'>"}, KoreAIDownloadError),
        ({"kind": "expired"}, KoreAIDownloadError),
    ],
    ids=["a redirect to another host", "a redirect to another scheme", "a page", "an expired link"],
)
def test_a_download(
    fault: dict[str, Any],
    kind: type[KoreAIError],
    connect: Callable[..., KoreAIHook],
    emulator: EmulatorProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("airflow_provider_koreai.download.attempts.FIRST_PAUSE", 0.0)
    hook = connect()
    hook.start_export(BOT)
    emulator.control.add_fault(BOT, "download", times=-1, **fault)
    with pytest.raises(kind) as caught:
        hook.download_export(BOT, str(tmp_path / "x.csv"))
    assert_keeps_secrets(caught.value, emulator.client_secret)


@contextmanager
def interruption_after(seconds: float) -> Iterator[None]:
    """Interrupt this thread as Airflow does when a task's ``execution_timeout`` is over."""

    def interrupt(*_: object) -> None:
        raise AirflowTaskTimeout("execution_timeout")

    earlier = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)


@pytest.mark.parametrize("call", ["status", "download"])
def test_a_task_that_is_interrupted_in_the_midst_of_a_call(
    call: str, connect: Callable[..., KoreAIHook], emulator: EmulatorProcess, tmp_path: Path
) -> None:
    hook = connect()
    hook.start_export(BOT)
    emulator.control.add_fault(BOT, call, "stall", at="before_headers", seconds=4)
    with pytest.raises(AirflowTaskTimeout) as caught, interruption_after(1):
        hook.download_export(BOT, str(tmp_path / "x.csv"))
    assert_keeps_secrets(caught.value, emulator.client_secret)
    assert "interrupt" in everything_about(caught.value)


def test_the_line_that_an_error_comes_from_is_still_told(connect: Callable[..., KoreAIHook]) -> None:
    with pytest.raises(KoreAIAuthError) as caught:
        connect(password=SECRET).get_export(BOT)
    assert "airflow_provider_koreai/api/calls.py" in everything_about(caught.value)


def test_what_a_task_may_have_at_hand_shows_no_secret(
    connect: Callable[..., KoreAIHook], emulator: EmulatorProcess
) -> None:
    hook = connect()
    hook.start_export(BOT)
    export = hook.get_export(BOT)
    assert export.download_url
    shown = repr((hook, hook.settings, TokenSigner(hook.settings), export, hook.get_conn(), export.identity))
    assert emulator.client_secret not in shown
    assert not LINK.findall(shown)
    assert LINK.findall(export.download_url)
