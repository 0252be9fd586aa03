"""
What docs/troubleshooting.md quotes as texts of errors are texts of errors.

Most are looked for in the package's source, where a value that is put into a text counts as ``...`` does on the page. Those
that are put together of several texts, or have Kore.ai's own words in them, are provoked.
"""

from __future__ import annotations

import ast
import json
import re
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import airflow_provider_koreai
from airflow_provider_koreai.exceptions import KoreAIError
from airflow_provider_koreai.hooks.koreai import KoreAIHook
from airflow_provider_koreai.operators.koreai import KoreAIExportUtterancesOperator
from tests.support.running import run_task

from .blocks import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_koreai.emulator.process import EmulatorControl


def start(settings: dict[str, Any]) -> Callable[..., None]:
    """Start an export of a bot with these settings."""

    def act(control: EmulatorControl, bot_id: str, folder: Path) -> None:
        control.configure_bot(bot_id, **settings)
        KoreAIHook(max_tries=1).start_export(bot_id)

    return act


def download(settings: dict[str, Any], **fault: Any) -> Callable[..., None]:
    """The same, and fetch its file, which meets a fault."""

    def act(control: EmulatorControl, bot_id: str, folder: Path) -> None:
        start(settings)(control, bot_id, folder)
        if fault:
            control.add_fault(bot_id, call="download", times=-1, **fault)
        KoreAIHook().download_export(bot_id, f"{folder}/")

    return act


def start_ahead(control: EmulatorControl, bot_id: str, folder: Path) -> None:
    """Start an export with a clock that is an hour ahead."""
    right = time.time
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: right() + 3600)
        start({"linked": False})(control, bot_id, folder)


def wait_too_short(control: EmulatorControl, bot_id: str, folder: Path) -> None:
    """Wait for an export that takes an hour."""
    control.configure_bot(bot_id, seconds=3600)
    run_task(
        KoreAIExportUtterancesOperator(
            task_id="export", bot_id=bot_id, wait_for_completion=True, timeout=0.01, deferrable=True
        )
    )


def ask_nobody(control: EmulatorControl, bot_id: str, folder: Path) -> None:
    """Call a port at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"https://127.0.0.1:{taken.getsockname()[1]}"
        connection = {"conn_type": "koreai", "host": host, "login": "cs-x", "password": "x" * 32}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AIRFLOW_CONN_KOREAI_NOBODY", json.dumps(connection))
            KoreAIHook("koreai_nobody", max_tries=1).start_export(bot_id)


# Texts that are put together of several, or have Kore.ai's own words in them, and how to come by them.
PROVOKED: dict[str, Callable[[EmulatorControl, str, Path], Any]] = {
    "Invalid SDK credentials (code 4002)": start({"linked": False}),
    "answered 403": start({"scope": False}),
    "Rate limit for this API has been reached": start({"start_per_minute": 0}),
    "this machine's clock is ... ahead of the server's": start_ahead,
    "got no answer from https://...": ask_nobody,
    "did not finish within ... seconds": wait_too_short,
    "reports that the export of bot ... failed": download({"fail_with": [{"msg": "no training data"}]}),
    "is not the CSV file of an export: it is HTML or XML": download({}, kind="html"),
}
# Other words of Kore.ai's, which the emulator takes from its documentation.
OF_THE_EMULATOR = (
    "possibly a replay",
    '"exp" must be <= 1 hour(s)',
    "Scope is incorrect",
    "Test Suite not found",
)
# Airflow's.
OF_AIRFLOW: tuple[str, ...] = ()
# No text, but code.
CODE: tuple[str, ...] = ()


def quoted() -> list[str]:
    """Give what is quoted in the first column of a table whose head says "text"."""
    found: list[str] = []
    for page in ("docs/troubleshooting.md",):
        in_table = False
        for line in (ROOT / page).read_text("utf-8").splitlines():
            cells = line.strip("| ").split(" | ")
            in_table = line.startswith("|") and (in_table or cells[0] == "text")
            if in_table:
                found += re.findall(r"`([^`]+)`", cells[0])
    return found


QUOTED = quoted()
OURS = [text for text in QUOTED if text not in (*PROVOKED, *OF_THE_EMULATOR, *OF_AIRFLOW, *CODE)]


def texts_of_the_package(folder: str = "") -> list[str]:
    """Give every text of the source, with a NUL for each value that is put into it."""
    texts = []
    for file in (Path(airflow_provider_koreai.__path__[0]) / folder).rglob("*.py"):
        if not folder and "emulator" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "\0" for part in node.values]
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(re.sub(r"%(?:[sdr]|\.\d[fs])", "\0", node.value))
    return texts


def is_said(text: str, texts: list[str]) -> bool:
    """Say whether the parts of a quoted text are in one of the texts, in that order, with a value between two of them."""
    parts = [re.escape(part) for part in re.split(r"'?\.\.\.'?", text.strip(". ")) if part.strip()]
    pattern = re.compile(r"(?:'?\0'?|[^\0]*\0[^\0]*)".join(parts))
    return any(pattern.search(each) for each in texts)


def test_a_text_that_nothing_says_is_noticed():
    assert not is_said("the moon is full", texts_of_the_package())
    assert not is_said("did not finish within ... parsecs", texts_of_the_package())


def test_the_pages_quote_texts():
    assert len(OURS) > 30
    assert set(PROVOKED) | set(OF_THE_EMULATOR) | set(OF_AIRFLOW) | set(CODE) <= set(QUOTED)


@pytest.mark.parametrize("text", OURS)
def test_the_package_says_a_text_that_is_quoted(text):
    assert is_said(text, texts_of_the_package())


@pytest.mark.parametrize("text", OF_THE_EMULATOR)
def test_the_emulator_says_a_text_that_is_quoted(text):
    assert is_said(text, texts_of_the_package("emulator"))


@pytest.mark.parametrize("text", PROVOKED)
def test_a_text_that_is_quoted_can_be_provoked(world, monkeypatch, tmp_path, text):
    monkeypatch.setenv("AIRFLOW_CONN_KOREAI_DEFAULT", world.connections["AIRFLOW_CONN_KOREAI_DEFAULT"])
    bot_id = "st-" + re.sub("[^a-z]", "", text)
    with pytest.raises(KoreAIError, match=".*".join(map(re.escape, text.split("...")))):
        PROVOKED[text](world.emulator.control, bot_id, tmp_path)
