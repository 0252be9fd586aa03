"""
Reading an exported file: rows a second, beside what the parsers below it take alone, and peak memory.

Run it alone (``python benchmarks/bench_utterances.py``) or through ``make bench``. All ways take turns in one run, each
in a process of its own; the medians are compared. The lines of ijson and pyarrow need those packages.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="koreai-bench-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")

from measuring import has, measured

if TYPE_CHECKING:
    from collections.abc import Callable


def ours(path: str) -> int:
    """This provider: typed, checked."""
    from airflow_provider_koreai.utterances import read_utterances

    return sum(1 for _ in read_utterances(path))


def bare_csv(path: str) -> int:
    """The csv module's reader: lists of texts, unchecked."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        return sum(1 for _ in csv.reader(file)) - 1


def dict_csv(path: str) -> int:
    """The csv module's DictReader: what most tasks use."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        return sum(1 for _ in csv.DictReader(file))


def bare_json(path: str) -> int:
    """The json module: the whole file in memory."""
    with open(path, encoding="utf-8") as file:
        return len(json.load(file))


def streamed_json(path: str) -> int:
    """ijson, with its fastest back end."""
    import ijson

    with open(path, "rb") as file:
        return sum(1 for _ in ijson.items(file, "item", use_float=True))


def arrow_csv(path: str) -> int:
    """pyarrow's streaming CSV reader: columns, no rows for Python."""
    from pyarrow import csv as arrow

    options = arrow.ParseOptions(newlines_in_values=True)
    return sum(batch.num_rows for batch in arrow.open_csv(path, parse_options=options))


WAYS: dict[str, dict[str, Callable[[str], int]]] = {
    "csv": {
        "read_utterances": ours,
        "csv.reader": bare_csv,
        "csv.DictReader": dict_csv,
        "pyarrow (columns)": arrow_csv,
    },
    "json": {"read_utterances": ours, "json.load": bare_json, "ijson.items": streamed_json},
}


def child(file_type: str, way: str, path: str) -> None:
    """Read the file in one way, and print what that took."""
    read = WAYS[file_type][way]
    small = Path(path).with_suffix(f".small.{file_type}")
    read(str(small))  # imports what it needs
    rows, figures = measured(lambda: read(path))
    print(json.dumps({"rows": rows, **figures}))


def measure(file_type: str, path: Path, rounds: int) -> None:
    """Let all ways take turns, and print them."""
    ways = dict(WAYS[file_type])
    for way, module in (("pyarrow (columns)", "pyarrow"), ("ijson.items", "ijson")):
        if way in ways and not has(module):
            del ways[way]
            print(f"\n{way}: not measured; {module} is not installed")
    results: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for turn in range(rounds):
        names = list(ways)
        for way in names[turn % len(names) :] + names[: turn % len(names)]:
            done = subprocess.run(
                [sys.executable, __file__, "--child", file_type, way, str(path)],
                stdout=subprocess.PIPE,
                check=True,
            )
            results[way].append(json.loads(done.stdout.splitlines()[-1]))
    size = path.stat().st_size / (1 << 20)
    print(f"\n{file_type.upper()}, {size:,.0f} MiB, {rounds} rounds in turn (medians)")
    print(f"{'':20}{'rows/s':>12}{'MiB/s':>8}{'ratio':>7}{'peak memory':>16}")
    rates = {}
    for way, found in results.items():
        seconds = statistics.median(each["seconds"] for each in found)
        rates[way] = found[0]["rows"] / seconds
        ratio = rates[way] / rates["read_utterances"]
        peak = max(each["memory"] for each in found)
        print(f"{way:20}{rates[way]:12,.0f}{size / seconds:8.0f}{ratio:7.2f}{peak:12.1f} MiB")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=100, help="MiB of each file (default 100)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each way takes its turn (default 5)")
    parser.add_argument("--child", nargs=3, metavar=("FILE_TYPE", "WAY", "PATH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    from airflow_provider_koreai.emulator.content import GeneratedContent

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for file_type in WAYS:
            path = Path(folder) / f"export.{file_type}"
            for target, size in ((path, options.size << 20), (path.with_suffix(f".small.{file_type}"), 2000)):
                content = GeneratedContent("travel", file_type, size=size)
                target.write_bytes(b"".join(content.read(0, content.size)))
            measure(file_type, path, options.rounds)


if __name__ == "__main__":
    main()
