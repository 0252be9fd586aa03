"""
Writing an exported file as Parquet, beside pyarrow's own CSV reader and Parquet writer on the same file.

Run it alone (``python benchmarks/bench_parquet.py``) or through ``make bench``. pyarrow streams, too, with the same types,
row groups and compression; it does not name the line of a broken row, and takes what the csv module refuses. Both use
all processor cores that pyarrow wants. The ways take turns, each in a process of its own; the medians are compared.
"""

from __future__ import annotations

import argparse
import json
import logging
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

from measuring import measured

if TYPE_CHECKING:
    from collections.abc import Callable

ROW_GROUP_SIZE = 122_880  # as the provider writes


def ours(path: str, target: str) -> int:
    """This provider."""
    from airflow_provider_koreai.utterances.convert import convert_utterances

    log = logging.getLogger(__name__)
    return convert_utterances(path, target, log=log).rows


def arrow(path: str, target: str) -> int:
    """pyarrow from end to end."""
    import pyarrow
    from pyarrow import csv, parquet

    names = ("taskName", "sentence", "type", "language")
    converted = csv.ConvertOptions(column_types=dict.fromkeys(names, pyarrow.string()))
    reader = csv.open_csv(
        path, parse_options=csv.ParseOptions(newlines_in_values=True), convert_options=converted
    )
    rows = 0
    batches: list[Any] = []
    with parquet.ParquetWriter(target, reader.schema, compression="zstd") as writer:

        def flush() -> None:
            writer.write_table(pyarrow.Table.from_batches(batches, reader.schema), ROW_GROUP_SIZE)
            batches.clear()

        for batch in reader:
            rows += batch.num_rows
            batches.append(batch)
            if sum(each.num_rows for each in batches) >= ROW_GROUP_SIZE:
                flush()
        flush()
    return rows


WAYS: dict[str, Callable[[str, str], int]] = {"this provider": ours, "pyarrow": arrow}


def child(way: str, path: str) -> None:
    """Convert the file in one way in this process, and print what that took."""
    target = f"{path}.parquet"
    WAYS[way](str(Path(path).with_suffix(".small.csv")), target)  # imports what it needs
    rows, figures = measured(lambda: WAYS[way](path, target))
    size = Path(target).stat().st_size
    print(json.dumps({"rows": rows, "size": size, **figures}))


def measure(path: Path, rounds: int) -> None:
    """Let both ways take turns, and print them."""
    results: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for turn in range(rounds):
        for way in list(WAYS)[:: 1 if turn % 2 else -1]:
            done = subprocess.run(
                [sys.executable, __file__, "--child", way, str(path)], stdout=subprocess.PIPE, check=True
            )
            results[way].append(json.loads(done.stdout.splitlines()[-1]))
    size = path.stat().st_size / (1 << 20)
    print(f"\nCSV of {size:,.0f} MiB to Parquet with zstd, {rounds} rounds in turn (medians)")
    print(f"{'':20}{'rows/s':>12}{'MiB/s':>8}{'ratio':>7}{'Parquet':>12}{'peak memory':>16}")
    medians = {way: statistics.median(each["seconds"] for each in found) for way, found in results.items()}
    for way, found in results.items():
        seconds = medians[way]
        peak = max(each["memory"] for each in found)
        print(
            f"{way:20}{found[0]['rows'] / seconds:12,.0f}{size / seconds:8.0f}{medians['pyarrow'] / seconds:7.2f}"
            f"{found[0]['size'] / (1 << 20):8.1f} MiB{peak:12.1f} MiB"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=100, help="MiB of the file (default 100)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each way takes its turn (default 5)")
    parser.add_argument("--child", nargs=2, metavar=("WAY", "PATH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    if subprocess.run([sys.executable, "-c", "import pyarrow"], capture_output=True, check=False).returncode:
        print("Not measured: pyarrow is not installed")
        return
    from airflow_provider_koreai.emulator.content import GeneratedContent

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "export.csv"
        for target, size in ((path, options.size << 20), (path.with_suffix(".small.csv"), 2000)):
            content = GeneratedContent("travel", "csv", size=size)
            target.write_bytes(b"".join(content.read(0, content.size)))
        measure(path, options.rounds)


if __name__ == "__main__":
    main()
