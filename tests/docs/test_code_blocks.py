"""
Every code block of README.md, SECURITY.md, CONTRIBUTING.md and docs/ is run.

Some things are changed first: ``/data`` and ``/tmp/koreai`` are folders of the test, the emulator's address is the one of a
running emulator, and an editor writes the connections that the page shows. A block that makes tasks but no DAG is run inside
one.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS
from packaging.requirements import Requirement

from .blocks import BLOCKS, ROOT, of_kind

KINDS = ("dag", "tasks", "pytest", "python", "console")
# Commands that are not carried out here, and why; test_commands_run has what is done instead.
NOT_CARRIED_OUT = {
    "pip install": "it would change the environment that the tests run in",
    "make": "a target may take long, and this may be run by one; .ci/run runs them",
    "python -m airflow_provider_koreai.emulator": "it runs until it is stopped",
}
# What a page says to write in an editor.
TYPED = re.compile(r'`(\{"koreai_default": .*\})`')


def cases(*kinds: str) -> pytest.MarkDecorator:
    found = of_kind(*kinds)
    assert found, f"no block is of the kind {kinds}: has the search for blocks broken?"
    return pytest.mark.parametrize("block", found, ids=[block.id for block in found])


def test_each_block_is_of_a_kind_that_is_run():
    assert [block.id for block in BLOCKS if block.kind not in KINDS] == []


@cases("dag", "tasks")
def test_a_dag_runs_to_success(dag_outcomes, world, block):
    if "AssetWatcher" in block.code and not AIRFLOW_V_3_0_PLUS:
        pytest.skip("Airflow 2 has no asset watchers")
    outcome = dag_outcomes.get(block.name, {"error": "the file defines no DAG"})
    log = (world.folder / "dags" / "log").read_text()[-6000:]
    assert "error" not in outcome, outcome["error"]
    assert outcome["state"].endswith("success"), (outcome, log)
    assert outcome["tasks"]
    assert set(outcome["tasks"].values()) == {"success"}, (outcome, log)


@cases("python")
def test_other_python_runs(world, monkeypatch, block):
    for name, value in world.connections.items():
        monkeypatch.setenv(name, value)
    exec(compile(world.translated(block), block.id, "exec"), {"__name__": block.name})


@cases("pytest")
def test_tests_of_the_pages_pass(world, tmp_path, block):
    file = tmp_path / f"test_{block.name}.py"
    file.write_text(world.translated(block), "utf-8")
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file.name],
        cwd=tmp_path,
        env=world.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert f"{block.code.count('def test_')} passed" in answer.stdout


@cases("console")
def test_commands_run(world, tmp_path, block):
    typed = tmp_path / "typed"
    typed.write_text("".join(TYPED.findall((ROOT / block.page).read_text("utf-8"))), "utf-8")
    shell = Shell(world.environment(EDITOR=f"cp {typed}"))
    for command, shown in commands_of(world.translated(block)):
        kind = next((name for name in NOT_CARRIED_OUT if f"{command} ".startswith(f"{name} ")), None)
        if kind == "pip install":
            assert_installable(command)
        elif kind == "make":
            shell.run(command.replace("make", "make --dry-run", 1), cwd=ROOT)
        elif kind:
            assert_starts(command, shown, shell.environment)
        else:
            assert matches(shown, shell.run(command))
        if added := re.match(r"airflow connections add (\w+)", command):
            # Airflow 3 gives connections of its database to tasks only, so the hook gets it from the environment.
            shell.run(f"airflow connections export {tmp_path}/all.json --file-format json")
            stored = json.loads((tmp_path / "all.json").read_text())[added[1]]
            shell.run(f"export AIRFLOW_CONN_{added[1].upper()}={shlex.quote(json.dumps(stored))}")


class Shell:
    """
    Runs commands of a block one after the other; what one exports, the next one has.

    :param environment: of the first one.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def run(self, command: str, cwd: Path | None = None) -> str:
        """Run one; gives what it printed."""
        if command.startswith("curl ") and shutil.which("curl") is None:
            pytest.skip("curl is not installed")
        # An HTTP error is a failure here, which curl alone does not say.
        script = f'curl() {{ command curl --silent --fail-with-body "$@"; }}\n{command}\nstatus=$?\nprintf "\\0"\nenv -0\nexit $status\n'
        answer = subprocess.run(
            ["bash", "-c", script],
            env=self.environment,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        printed, _, variables = answer.stdout.partition("\0")
        assert answer.returncode == 0, (command, printed, answer.stderr)
        before = self.environment
        self.environment = dict(line.split("=", 1) for line in variables.split("\0") if "=" in line)
        changed = [
            name
            for name, value in self.environment.items()
            if name.startswith("AIRFLOW_") and before.get(name) != value
        ]
        # Kwargs belong to the backend: Airflow cannot start with the one and without the other.
        if changed and changed != ["AIRFLOW__SECRETS__BACKEND"]:
            self.check(*changed)
        return printed

    def check(self, *names: str) -> None:
        """Let Airflow and the provider read what is set."""
        program = Path(__file__).with_name("check_environment.py")
        checked = subprocess.run(
            [sys.executable, str(program), *names],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


def commands_of(code: str) -> list[tuple[str, str]]:
    """Split a console session into commands, each with the output that the page shows."""
    commands: list[tuple[str, str]] = []
    for line in code.splitlines():
        command, shown = commands[-1] if commands else ("", "")
        if line.startswith("$ "):
            # A comment is for the reader.
            commands.append((re.sub(r"\s+# .*", "", line[2:]), ""))
        elif not shown and (command.endswith("\\") or command.count("'") % 2):
            commands[-1] = (f"{command}\n{line}", "")
        else:
            commands[-1] = (command, f"{shown}{line}\n")
    assert commands, "a console block begins with $"
    return commands


def matches(shown: str, printed: str) -> bool:
    """Say whether a command printed what the page shows, where ``...`` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in shown.strip().split("..."))
    return not shown or re.search(pattern, printed, re.DOTALL) is not None


def assert_installable(command: str) -> None:
    """Check that this package, of the extras that it has, or a known one, is what would be installed."""
    _, _, arguments = command.partition("install ")
    ours = metadata("airflow-provider-koreai")
    for argument in re.findall(r"'([^']+)'|(\S+)", arguments):
        text = argument[0] or argument[1]
        if text.startswith("-"):
            continue
        requirement = Requirement(text)
        assert requirement.name == ours["Name"], f"{text}: what is it for?"
        assert requirement.extras <= set(ours.get_all("Provides-Extra") or ())
        assert requirement.specifier.contains(ours["Version"], prereleases=True)


def assert_starts(command: str, shown: str, environment: dict[str, str]) -> None:
    """Start the emulator, on a free port, and see that it prints what the page shows."""
    with subprocess.Popen(
        ["bash", "-c", f"exec {command} --port 0 --exit-with-parent"],
        env={**environment, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        printed = ""
        try:
            for line in child.stdout:
                printed += line
                if "AIRFLOW_CONN_KOREAI_DEFAULT" in line:
                    break
        finally:
            child.terminate()
    # The port is the one thing that differs. The page's address is a running emulator's already.
    address = re.compile(r"http://127\.0\.0\.1:\d+")
    assert "AIRFLOW_CONN_KOREAI_DEFAULT" in printed
    assert matches(address.sub("<address>", shown), address.sub("<address>", printed))


def test_no_page_shows_an_empty_block():
    assert [block.id for block in BLOCKS if not block.code.strip()] == []


def test_two_blocks_never_share_a_name():
    names = [block.name for block in BLOCKS]
    assert len(set(names)) == len(names)
