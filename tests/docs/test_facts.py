"""The table in docs/emulator.md of what is known of Kore.ai: each test that it names is there."""

from __future__ import annotations

import re

import pytest

from .blocks import ROOT

PAGE = (ROOT / "docs" / "emulator.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## How true it is")[2].partition("\n## ")[0]
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in SECTION.splitlines()
    if line.startswith("| ") and not line.startswith(("| --- ", "| fact "))
]
TEST = re.compile(r"`((?:[\w]+/)*test_\w+)\.(\w+)`")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_each_fact_has_its_provenance_and_a_test_on_either_side(row):
    _, source, client, emulator = row
    assert re.fullmatch(r"[DTCI](, [DTCI])*", source)
    assert TEST.search(client)
    assert TEST.search(emulator)


@pytest.mark.parametrize(("module", "name"), sorted(set(TEST.findall(SECTION))))
def test_each_test_that_is_named_exists(module, name):
    paths = ROOT.glob(f"tests/*/{module}.py")
    assert any(f"def test_{name}(" in path.read_text(encoding="utf-8") for path in paths)


def test_the_table_is_not_empty():
    assert len(ROWS) > 40
