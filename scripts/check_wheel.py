"""
Look into the wheel and the sdist in dist/, and install the wheel alone into bare Airflows, the oldest and the newest.

``make wheel`` builds them first. The environments are .venvs/wheel-*, made anew each time.
"""

# ruff: noqa: S603 - it runs this project's own programs

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from compat import ROOT, find_python, find_uv

PACKAGE = "airflow_provider_koreai"
DISTRIBUTION = "airflow-provider-koreai"
# The Airflow versions, each with the Pythons to try, the newest first.
AIRFLOWS = {"2.11": ("3.12", "3.11", "3.10"), "3.3": ("3.13", "3.12", "3.11", "3.10")}
# What needs the extra of the same name to be imported.
NEED_EXTRAS = (f"{PACKAGE}.emulator",)
CHATTY = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "check": False, "timeout": 300}

# Prints where the package is, and which of its modules cannot be imported, with the reason.
IMPORT_ALL = """
import importlib, json, pkgutil, sys
import airflow_provider_koreai as package

refused, imported = {}, []
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if module.name.startswith(tuple(sys.argv[1:])):
        continue
    try:
        importlib.import_module(module.name)
    except Exception as error:
        refused[module.name] = f"{type(error).__name__}: {error}"
    else:
        imported.append(module.name)
print("PROBED" + json.dumps({"file": package.__file__, "refused": refused, "imported": imported}))
"""


class Mistake(Exception):
    """Something that must not be published."""


def main() -> int:
    """Check what is in dist/; the answer is the exit code."""
    began = time.monotonic()
    try:
        wheel, sdist = only("*.whl"), only("*.tar.gz")
        print(check_contents(wheel))
        print(check_sdist(sdist, wheel))
        for airflow in AIRFLOWS:
            print(check_in_airflow(airflow, wheel))
    except Mistake as mistake:
        print(f"make wheel: {mistake}", file=sys.stderr)
        return 1
    print(f"Checked in {time.monotonic() - began:.0f} s")
    return 0


def only(pattern: str) -> Path:
    """
    Give the one file in dist/ of a kind.

    :param pattern: of its name.
    """
    found = sorted((ROOT / "dist").glob(pattern))
    if len(found) != 1:
        raise Mistake(f"dist/ should have one {pattern}, and has {len(found)}; run make build")
    return found[0]


def check_contents(wheel: Path) -> str:
    """
    Compare the wheel's files with the package's: all of them, and nothing else but metadata.

    :param wheel: the file.
    :return: what there is to say about it.
    """
    files = read(wheel)
    version = version_of(wheel)
    dist_info = f"{PACKAGE}-{version}.dist-info/"
    packed = {name for name in files if not name.startswith(dist_info)}
    ours = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / PACKAGE).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    if packed != ours:
        raise Mistake(
            f"{wheel.name} has more than the package: {sorted(packed - ours)}, or less: {sorted(ours - packed)}"
        )
    if f"{PACKAGE}/py.typed" not in packed:
        raise Mistake(f"{wheel.name} has no py.typed")
    metadata = HeaderParser().parsestr(files[f"{dist_info}METADATA"].decode())
    if (metadata["Name"], metadata["Version"]) != (DISTRIBUTION, version) or not metadata[
        "License-Expression"
    ]:
        raise Mistake(f"the metadata of {wheel.name} lack name, version or license: {metadata.items()}")
    if not any(name.startswith(f"{dist_info}licenses/") for name in files):
        raise Mistake(f"{wheel.name} has no license file")
    return f"{wheel.name}: {len(packed)} files of the package, and no other"


def check_sdist(sdist: Path, wheel: Path) -> str:
    """
    Build a wheel from the sdist alone, and compare it with the one in dist/.

    :param sdist: the file.
    :param wheel: the wheel in dist/.
    :return: what there is to say about it.
    """
    with tempfile.TemporaryDirectory() as folder:
        run([find_uv(), "build", "--quiet", "--wheel", str(sdist), "--out-dir", folder], cwd=folder)
        (built,) = Path(folder).glob("*.whl")
        first, second = read(wheel), read(built)
    if first != second:
        differ = sorted(n for n in first.keys() | second.keys() if first.get(n) != second.get(n))
        raise Mistake(f"{sdist.name} builds another wheel than {wheel.name}: {differ}")
    return f"{sdist.name}: builds the same wheel"


def check_in_airflow(airflow: str, wheel: Path) -> str:
    """
    Install the wheel, without extras, beside a bare Airflow, and ask that Airflow about it.

    :param airflow: its version, as in constraints/.
    :param wheel: the file.
    :return: what there is to say about it.
    """
    pythons = {version: path for version in AIRFLOWS[airflow] if (path := find_python(version))}
    if not pythons:
        raise Mistake(f"Airflow {airflow} needs one of the Pythons {', '.join(AIRFLOWS[airflow])}")
    version, interpreter = next(iter(pythons.items()))
    venv = ROOT / ".venvs" / f"wheel-{airflow}"
    python = str(venv / "bin" / "python")
    uv = find_uv()
    constraints = str(ROOT / "constraints" / f"airflow-{airflow}.txt")
    run([uv, "venv", "--quiet", "--clear", "--python", interpreter, str(venv)])
    # With bytecode, as pip does it: else each of the commands below would compile Airflow for itself.
    install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, "-c", constraints]
    run([*install, f"apache-airflow=={airflow}.*", str(wheel)])
    run([uv, "pip", "check", "--quiet", "--python", python])
    with tempfile.TemporaryDirectory() as home:
        environment = {n: v for n, v in os.environ.items() if not n.startswith(("AIRFLOW", "PYTHON"))}
        environment |= {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "COLUMNS": "10000"}

        def ask(*arguments: str) -> Any:
            said = run([python, "-m", "airflow", *arguments, "-o", "json"], cwd=home, env=environment)
            return json.loads(said[said.index("[{") :])  # warnings may stand before it

        probed = run([python, "-c", IMPORT_ALL, *NEED_EXTRAS], cwd=home, env=environment)
        check_imports(json.loads(probed.partition("PROBED")[2]), airflow, venv)
        check_listings(ask, airflow, version_of(wheel))
    return f"Airflow {airflow} on Python {version}: lists the wheel, imports all of it without extras"


def check_imports(probed: Any, airflow: str, venv: Path) -> None:
    """
    Look at what :data:`IMPORT_ALL` has found.

    :param probed: its answer.
    :param airflow: the Airflow version.
    :param venv: where the package has to be.
    """
    if venv not in Path(probed["file"]).parents:
        raise Mistake(f"Airflow {airflow} does not import the wheel, but {probed['file']}")
    if probed["refused"]:
        raise Mistake(f"without extras, on Airflow {airflow}, cannot be imported: {probed['refused']}")
    names = {name.split(".")[1] for name in probed["imported"]}
    missing = {"operators", "sensors", "hooks", "triggers", "links", "task_groups", "utterances"} - names
    if missing:
        raise Mistake(f"the wheel has no {sorted(missing)}")


def check_listings(ask: Any, airflow: str, version: str) -> None:
    """
    Look at what Airflow lists.

    :param ask: runs an ``airflow`` command, gives its rows.
    :param airflow: the Airflow version.
    :param version: the package's.
    """
    listed = [row["version"] for row in ask("providers", "list") if row["package_name"] == DISTRIBUTION]
    hooks = [row["class"] for row in ask("providers", "hooks") if row["connection_type"] == "koreai"]
    links = {row["extra_link_class_name"] for row in ask("providers", "links")}
    if listed != [version]:
        raise Mistake(f"airflow providers list, on {airflow}, has the versions {listed}, not {version}")
    if hooks != [f"{PACKAGE}.hooks.koreai.KoreAIHook"]:
        raise Mistake(f"airflow providers hooks, on {airflow}, has for the connection type koreai: {hooks}")
    for name in ("KoreAIBotLink", "KoreAIExportedFileLink"):
        if f"{PACKAGE}.links.koreai.{name}" not in links:
            raise Mistake(f"airflow providers links, on {airflow}, has no {name}")


def read(wheel: Path) -> dict[str, bytes]:
    """
    Give the contents of the files in a wheel.

    :param wheel: the file.
    """
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def version_of(wheel: Path) -> str:
    """
    Give the version in a wheel's name.

    :param wheel: the file.
    """
    return wheel.name.split("-")[1]


def run(command: list[str], **options: Any) -> str:
    """
    Run a program that must succeed.

    :param command: the program and its arguments.
    :param options: of ``subprocess.run``.
    :return: its standard output.
    """
    answer = subprocess.run(command, **{**CHATTY, **options})
    if answer.returncode != 0:
        raise Mistake(f"{' '.join(command)} failed:\n{answer.stdout}{answer.stderr}")
    said: str = answer.stdout
    return said


if __name__ == "__main__":
    sys.exit(main())
