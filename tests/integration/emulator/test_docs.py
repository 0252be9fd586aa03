"""The guide names everything that there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_provider_koreai.emulator import __main__ as command
from airflow_provider_koreai.emulator.faults import ACCOUNT_CALLS, CALLS, KINDS
from airflow_provider_koreai.emulator.process import EmulatorControl, EmulatorProcess
from airflow_provider_koreai.emulator.settings import ACCOUNT_RULES, RULES
from airflow_provider_koreai.emulator.state import LogEntry

GUIDE = (Path(__file__).resolve().parents[3] / "docs" / "emulator.md").read_text("utf-8")


def section(title: str) -> str:
    return GUIDE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_cells(text: str) -> set[str]:
    """Names in the first column of a section's table."""
    cells = re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_guide_has_exactly_the_settings():
    assert first_cells(section("Settings of a bot")) == set(RULES)


def test_guide_has_exactly_the_settings_of_the_account():
    assert first_cells(section("Settings of the account")) == set(ACCOUNT_RULES)


def test_guide_names_every_call():
    text = section("Faults")
    assert [call for call in (*CALLS, *ACCOUNT_CALLS) if f'`"{call}"`' not in text] == []


def test_guide_has_exactly_the_faults_and_all_their_parameters():
    text = section("Faults")
    assert first_cells(text) == set(KINDS)
    for name, kind in KINDS.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
        assert set(kind.rules) <= set(re.findall(r"`(\w+)`", row))


def test_guide_has_exactly_the_options(capsys):
    with pytest.raises(SystemExit):
        command.parse_arguments(["--help"])
    options = set(re.findall(r"^\s+(--[a-z-]+)", capsys.readouterr().out, re.MULTILINE)) - {"--help"}
    assert first_cells(section("Options of the command")) == options


def test_guide_has_exactly_the_bots(client):
    url = client.emulator.base_url + "/_emulator/bots"
    bots = {bot["id"] for bot in client.call("GET", url).json()["bots"]}
    assert first_cells(section("Bots and their data")) == bots


def test_guide_names_every_field_of_the_log():
    text = section("What was asked")
    assert {name for name in LogEntry.__dataclass_fields__ if f"`{name}`" not in text} == set()


@pytest.mark.parametrize("kind", [EmulatorControl, EmulatorProcess])
def test_guide_names_every_public_method(kind):
    public = [name for name in vars(kind) if not name.startswith("_")]
    text = section("In your tests")
    assert [name for name in public if f"{name}(" not in text and f".{name}`" not in text] == []
