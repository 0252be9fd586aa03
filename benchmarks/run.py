"""
Run the benchmarks one after the other: ``make bench``, or some of them: ``make bench BENCH="imports waiting"``.

Each is a script of its own, ``bench_<name>.py``, with options of its own (``--help``), which may follow the names:
``make bench BENCH="cluster --bots 100"``.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
# The quick ones first.
ORDER = ("imports", "waiting", "download")
HELP = ("-h", "--help")


def main() -> int:
    """Run them; the answer is the exit code."""
    found = {path.stem.removeprefix("bench_"): path for path in HERE.glob("bench_*.py")}
    names = sorted(found, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {' '.join(names)}; default: all")
    own = list(itertools.takewhile(lambda word: not word.startswith("-") or word in HELP, sys.argv[1:]))
    options = sys.argv[1 + len(own) :]
    chosen = parser.parse_args(own).names or names
    if unknown := [name for name in chosen if name not in found]:
        parser.error(f"there is no benchmark {' '.join(unknown)}; there are {' '.join(names)}")
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, "
        f"Airflow {version('apache-airflow')}"
    )
    failed = []
    for name in chosen:
        busy = os.getloadavg()[0]
        note = f" (the machine is busy: load {busy:.1f})" if busy > 0.5 * (os.cpu_count() or 1) else ""
        print(f"\n=== {name}{note}", flush=True)
        began = time.monotonic()
        environment = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")}
        command = [sys.executable, str(found[name]), *options]
        if subprocess.run(command, env=environment, check=False).returncode != 0:
            failed.append(name)
        print(f"--- {name}: {time.monotonic() - began:.0f} s", flush=True)
    if failed:
        print(f"\nFailed: {' '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
