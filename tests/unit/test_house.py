"""The package's wings: what may import what."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import airflow_provider_koreai

ROOT = Path(airflow_provider_koreai.__file__).parent
PACKAGE = "airflow_provider_koreai"

# From the ground up; a wing or a module at the root imports its own floor's and lower ones'. One list is one floor.
FLOORS = (
    ("__init__", "exceptions", "text", "version_compat"),
    ("arguments", "redaction", "connection_form", "reports"),
    ("metrics",),
    ("api",),
    ("jobs",),
    ("storage",),
    ("utterances",),
    ("download", "warehouse"),
    ("compare",),
    ("assets", "hooks"),
    ("links",),
    ("triggers",),
    ("deferral",),
    ("operators", "sensors"),
    ("task_groups", "get_provider_info"),
)
FLOOR_OF = {name: number for number, names in enumerate(FLOORS) for name in names}
MOST_MODULES_AT_THE_ROOT = 12

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sorted(ROOT.rglob("*.py"))
}


def imports_of(path: Path) -> set[str]:
    """The modules of this package that a module imports anywhere, without the package's name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE:
            base = node.module.removeprefix(PACKAGE).lstrip(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}".lstrip(".")
                found.add(inner if inner in MODULES else base or "__init__")
        elif isinstance(node, ast.Import):
            found |= {a.name.removeprefix(f"{PACKAGE}.") for a in node.names if a.name.startswith(PACKAGE)}
    return found


IMPORTS = {module: imports_of(path) for module, path in MODULES.items()}


def wing(module: str) -> str:
    return module.split(".")[0]


@pytest.mark.parametrize("module", [m for m in MODULES if wing(m) not in ("__init__", "emulator")])
def test_a_module_imports_its_own_wing_and_lower_floors_only(module):
    above = {
        other
        for other in IMPORTS[module]
        if wing(other) != wing(module) and FLOOR_OF[wing(other)] >= FLOOR_OF[wing(module)]
    }
    assert not above


def test_no_modules_import_each_other_in_a_circle():
    def file_of(module: str) -> str:
        return module if module in MODULES else f"{module}.__init__"

    graph = {module: {file_of(other) for other in others} for module, others in IMPORTS.items()}
    assert list(TopologicalSorter(graph).static_order())


def test_the_emulator_stands_alone():
    for path in (ROOT / "emulator").rglob("*.py"):
        assert {wing(module) for module in imports_of(path)} <= {"__init__", "emulator"}, path


def test_the_root_holds_few_modules():
    assert len(list(ROOT.glob("*.py"))) <= MOST_MODULES_AT_THE_ROOT


@pytest.mark.parametrize(
    "path", [p for p in ROOT.rglob("__init__.py") if p.parent != ROOT], ids=lambda p: p.parent.name
)
def test_each_wing_says_what_lives_in_it(path):
    assert ast.get_docstring(ast.parse(path.read_text()))
