"""
Resolve the newest releases that work together, for each Airflow version that is tested, into constraints/.

A file holds for every Python that its Airflow version runs on, and names no package index. Run it with
``make constraints``, then ``make test compat``. Arguments name the Airflow versions to resolve; default: all.
"""

# ruff: noqa: S603 - it runs this project's own programs

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

from compat import ROOT, find_uv

if TYPE_CHECKING:
    from collections.abc import Iterable

# What an Airflow version does not say of itself, but does not work without.
AIRFLOW_VERSIONS: dict[str, tuple[str, ...]] = {
    "2.11": (),
    # Later FastAPIs refuse the requests of Airflow 3.0's own task client; later paths are no ObjectStoragePath. See
    # compat.py for the provider.
    "3.0": ("fastapi<0.117", "universal-pathlib<0.3", "apache-airflow-providers-fab"),
    "3.1": (),
    # With later FastAPIs its execution API does not start, as Airflow 3.3 says of itself; with later svcs it does not
    # find its own services in `airflow dags test`.
    "3.2": ("fastapi<0.137", "svcs<26"),
    "3.3": (),
}
# The lowest Python of pyproject.toml; the resolver covers it and all later ones.
LOWEST_PYTHON = "3.10"
ELSEWHERE = re.compile(r"sys_platform == '(win32|emscripten|darwin|wasi)'")
PYTHON_CLAUSE = re.compile(r"python(?:_full)?_version (?:[<>=!]=?) '[^']+'")


def main() -> None:
    """Write the constraint files."""
    versions = sys.argv[1:] or list(AIRFLOW_VERSIONS)
    if unknown := set(versions) - set(AIRFLOW_VERSIONS):
        sys.exit(f"There is no {', '.join(sorted(unknown))}; there are {' '.join(AIRFLOW_VERSIONS)}")
    for version in versions:
        lines = resolve(find_uv(), (f"apache-airflow=={version}.*", *AIRFLOW_VERSIONS[version]))
        path = ROOT / "constraints" / f"airflow-{version}.txt"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        print(f"{path.relative_to(ROOT)}: {len(lines)} lines")


def resolve(uv: str, requirements: Iterable[str]) -> list[str]:
    """
    Resolve this package, all its extras and what its development needs.

    :param uv: path of the resolver.
    :param requirements: the Airflow version, and more.
    :return: lines of a constraint file.
    """
    command = [uv, "pip", "compile", "pyproject.toml", "-", "--all-extras"]
    command += ["--group", "dev", "--group", "docs", "--group", "cluster", "--group", "bench"]
    command += ["--universal", "--python-version", LOWEST_PYTHON, "--upgrade", "--quiet"]
    command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    answer = subprocess.run(
        command, cwd=ROOT, input="\n".join(requirements), capture_output=True, text=True, check=False
    )
    if answer.returncode != 0:
        sys.exit(answer.stderr)
    return [simplify(line) for line in answer.stdout.splitlines() if not ELSEWHERE.search(line)]


def simplify(line: str) -> str:
    """
    Drop markers about the platform: a constraint on a package that is not installed does no harm.

    :param line: ``name==version ; markers``.
    """
    pin, _, markers = line.partition(" ; ")
    clauses = PYTHON_CLAUSE.findall(markers)
    return f"{pin} ; {' and '.join(clauses)}" if clauses else pin


if __name__ == "__main__":
    main()
