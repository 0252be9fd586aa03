"""
Run the tests on other versions of Airflow and Python, each combination in a virtual environment under .venvs/.

``make compat`` runs all combinations, ``make compat COMPAT="2.11-py3.10 3.3-py3.13"`` some. A Python that this
machine does not have is skipped with a message, unless COMPAT_STRICT=1 is set: then that is a failure. ``lowest``
is one more combination: the lowest versions of the direct dependencies that pyproject.toml allows. COMPAT_SHORT=1
leaves out some tests that take long.
"""

# ruff: noqa: S603 - it runs this project's own programs

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ALL = ("2.11-py3.10", "2.11-py3.12", "3.0-py3.11", "3.1-py3.12", "3.2-py3.12", "3.3-py3.11", "3.3-py3.13")
LOWEST = "lowest"
LOWEST_PYTHONS = ("3.10", "3.11", "3.12")
# What Airflow 2.11.0 does not say of itself: later paths are no ObjectStoragePath; and what its web login does not: later
# ones need a newer PyJWT than they ask for.
LOWEST_WITH = ("universal-pathlib<0.3", "flask-jwt-extended<4.7.2")
# Airflow 3.0 shows a connection's own fields only where this is installed.
MORE = {"3.0": ("apache-airflow-providers-fab",)}
EXTRAS = ".[emulator,jwe]"
SKIPPED, PASSED, FAILED = "skipped", "passed", "FAILED"


def main() -> int:
    """Run what the command line asks for; the answer is the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "combinations", nargs="*", help=f"of {' '.join(ALL)} {LOWEST}; default: all but {LOWEST}"
    )
    parser.add_argument("--list", action="store_true", help="print the combinations and end")
    parser.add_argument("--find", metavar="COMBINATION", help="only look whether its Python is there")
    options = parser.parse_args()
    if options.find:
        return 0 if find_python(options.find.partition("-py")[2]) else 1
    if options.list:
        print(*ALL, LOWEST, sep="\n")
        return 0
    outcomes = {}
    for name in options.combinations or ALL:
        began = time.monotonic()
        outcome, detail = run(name)
        outcomes[name] = (outcome, detail or f"{time.monotonic() - began:.0f} s")
    print("\nAirflow and Python")
    for name, (outcome, detail) in outcomes.items():
        print(f"  {name:<12} {outcome}  {detail}")
    words = [outcome for outcome, _ in outcomes.values()]
    if FAILED in words or PASSED not in words:
        return 1
    return 1 if SKIPPED in words and os.environ.get("COMPAT_STRICT") == "1" else 0


def run(name: str) -> tuple[str, str]:
    """
    Set one combination up and run the tests on it.

    :param name: the combination.
    :return: the outcome, and what there is to say about it.
    """
    airflow, _, version = name.partition("-py")
    if name == LOWEST:
        versions: tuple[str, ...] = LOWEST_PYTHONS
    elif version and (ROOT / "constraints" / f"airflow-{airflow}.txt").is_file():
        versions = (version,)
    else:
        return FAILED, f"there is no such combination; there are {' '.join(ALL)} {LOWEST}"
    found = next(filter(None, map(find_python, versions)), None)
    if found is None:
        return SKIPPED, f"Python {versions[0]} is not installed here"
    print(f"\n=== {name}", flush=True)
    venv = ROOT / ".venvs" / name
    python = venv / "bin" / "python"
    if not set_up(venv, found, install_arguments(name, airflow)):
        return FAILED, "could not be installed"
    # The emulator has no Airflow in it; `make test` runs its own tests.
    integration = ["tests/integration", "--ignore=tests/integration/emulator"]
    if name == LOWEST:
        tests = ["tests/unit"]
    elif os.environ.get("COMPAT_SHORT") == "1":
        # For .ci/run: without what takes long, what has little to do with Airflow, and the unit tests, which run on the
        # lowest versions there.
        slow = ("test_dbt.py", "test_concurrency.py", "test_fault_matrix.py", "download")
        tests = [*integration, *(f"--ignore=tests/integration/{file}" for file in slow)]
    else:
        tests = ["tests/unit", *integration, "tests/docs"]
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    return (PASSED, "") if code == 0 else (FAILED, f"pytest exited {code}")


def install_arguments(name: str, airflow: str) -> list[str]:
    """
    Say what is installed, and in which versions.

    :param name: the combination.
    :param airflow: its Airflow version.
    """
    if name == LOWEST:
        return ["--resolution", "lowest-direct", "-e", EXTRAS, "--group", "test", *LOWEST_WITH]
    constraints = f"constraints/airflow-{airflow}.txt"
    return ["-c", constraints, "-e", EXTRAS, "--group", "test", *MORE.get(airflow, ())]


def set_up(venv: Path, python: str, arguments: list[str]) -> bool:
    """
    Make the environment, unless it is there and nothing that it was made from has changed.

    :param venv: its folder.
    :param python: the interpreter.
    :param arguments: of ``uv pip install``.
    :return: whether it can be used.
    """
    sources = [ROOT / "pyproject.toml", *(ROOT / a for a in arguments if a.startswith("constraints/"))]
    parts = [python.encode(), repr(arguments).encode(), *(path.read_bytes() for path in sources)]
    fingerprint = hashlib.sha256(b"\0".join(parts)).hexdigest()
    stamp = venv / ".ready"
    if stamp.is_file() and stamp.read_text() == fingerprint:
        return True
    uv = find_uv()
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", python, str(venv)],
        [uv, "pip", "install", "--quiet", "--python", str(venv / "bin" / "python"), *arguments],
    ):
        if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
            return False
    stamp.write_text(fingerprint)
    return True


def find_uv() -> str:
    """Look for uv, beside this Python first; without it this is the end."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    return uv or sys.exit("uv is not installed; use make, which installs it")


def find_python(version: str) -> str | None:
    """
    Look for an interpreter on this machine: this one, in PATH, or in pyenv.

    :param version: such as ``3.12``.
    :return: its path.
    """
    candidates = [sys.executable, shutil.which(f"python{version}")]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates += [str(path) for path in sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True)]
    # The base interpreter, not a virtual environment's: that one may go away.
    ask = (
        "import sys; print('%d.%d' % sys.version_info[:2], getattr(sys, '_base_executable', sys.executable))"
    )
    for candidate in filter(None, candidates):
        # A pyenv shim exists for each version that any of its Pythons has, and may refuse to run.
        answer = subprocess.run([candidate, "-c", ask], capture_output=True, text=True, check=False)
        found, _, path = answer.stdout.strip().partition(" ")
        if answer.returncode == 0 and found == version:
            return path
    return None


if __name__ == "__main__":
    sys.exit(main())
