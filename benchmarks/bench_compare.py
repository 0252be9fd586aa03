"""
Comparing two snapshots of a million utterances with 1 % changes, beside ``sort | comm`` on the same files.

Run it alone (``python benchmarks/bench_compare.py``, ``--rows 10000000``) or through ``make bench``. The command line is
``LC_ALL=C comm -3 <(sort before.csv) <(sort after.csv) | wc -l``; it only finds the lines, knows no quotes and no moves.
The provider also counts by task and language, and writes the detail. It is measured with the after-file in the order of
the before-file, as exports tend to be, and shuffled, which is its worst case. DuckDB is asked the same where it is
installed, with as much memory as it wants and with little. The ways take turns; the medians are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="koreai-bench-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")

from measuring import has, measured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HEADER = "taskName,sentence,type,language\n"
VOCABULARY = (
    "book cancel flight ticket hotel to from rome paris london please I want need the a for tomorrow today my change "
    "seat window luggage how can you help with order status Flüge 東京 réservation"
)
WORDS = VOCABULARY.split()
TASKS = [f"Task {number}" for number in range(120)]
SORT = "comm -3 <(sort before.csv) <(sort after.csv) | wc -l"


def row(chance: random.Random, number: int) -> str:
    """Make a row; one in twenty needs quotes."""
    sentence = f"{' '.join(chance.choices(WORDS, k=chance.randint(6, 16)))} {number}"
    if chance.random() < 0.05:
        sentence = f'"{sentence.replace(" ", ", ", 1)}"'
    return f"{chance.choice(TASKS)},{sentence},DialogIntent,{chance.choice(('en', 'de', 'fr', 'ja'))}\n"


def make(folder: Path, rows: int) -> None:
    """Write both snapshots: of 1000 rows 4 are replaced, 2 are moved, 2 are removed and 2 are new."""
    chance = random.Random(7)
    with (folder / "before.csv").open("w") as before, (folder / "after.csv").open("w") as after:
        before.write(HEADER)
        after.write(HEADER)
        for number in range(rows):
            line = row(chance, number)
            before.write(line)
            lot = chance.random()
            if lot < 0.006:
                line = row(chance, number + rows) if lot < 0.004 else ""
            elif lot < 0.008:
                line = f"{chance.choice(TASKS)},{line.partition(',')[2]}"
            elif lot < 0.010:
                line += row(chance, number + rows)
            after.write(line)


def shuffle(folder: Path) -> None:
    """Write the after-file's rows in another order."""
    subprocess.run(
        "(head -1 after.csv; tail -n +2 after.csv | shuf --random-source=after.csv) > shuffled.csv",
        shell=True,
        cwd=folder,
        check=True,
    )


def with_sort(folder: Path) -> dict[str, float]:
    """Measure the command line."""
    began = time.perf_counter()
    subprocess.run(
        ["bash", "-c", SORT],
        cwd=folder,
        env={**os.environ, "LC_ALL": "C"},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return {"seconds": time.perf_counter() - began}


def ours(folder: Path, after: str) -> int:
    """Compare as the task does; gives the number of changes."""
    from airflow_provider_koreai.operators.compare_utterances import KoreAICompareUtterancesOperator

    task = KoreAICompareUtterancesOperator(
        task_id="compare",
        before=str(folder / "before.csv"),
        after=str(folder / after),
        detail_path=str(folder / "detail.csv"),
    )
    result = task.execute({})
    return int(result["added"] + result["removed"] + result["moved"])


def duckdb(folder: Path, memory_limit: str) -> int:
    """Ask DuckDB for the rows that are on one side only."""
    import duckdb as library

    columns = dict.fromkeys(HEADER.strip().split(","), "VARCHAR")
    how = f"header=true, auto_detect=false, delim=',', quote='\"', escape='\"', columns={columns}"
    before, after = (f"read_csv('{folder / name}', {how})" for name in ("before.csv", "after.csv"))
    connection = library.connect()
    connection.execute("SET preserve_insertion_order=false")
    connection.execute(f"SET temp_directory='{folder}/duckdb'")
    if memory_limit:
        connection.execute(f"SET memory_limit='{memory_limit}'")
    found = connection.execute(
        f"SELECT sum(abs(n)) FROM (SELECT sum(side) AS n FROM (SELECT *, 1 AS side FROM {before} UNION ALL "
        f"SELECT *, -1 FROM {after}) GROUP BY taskName, sentence, type, language HAVING n <> 0)"
    ).fetchone()
    return int(found[0]) if found else 0


WAYS: dict[str, Callable[[Path], int]] = {
    "this provider": lambda folder: ours(folder, "after.csv"),
    "this provider, shuffled": lambda folder: ours(folder, "shuffled.csv"),
    "DuckDB": lambda folder: duckdb(folder, ""),
    "DuckDB, 150 MB": lambda folder: duckdb(folder, "150MB"),
}


def child(way: str, folder: Path) -> None:
    """Compare in one way in this process, and print what that took."""
    WAYS[way](folder / "small")  # imports what it needs
    changes, figures = measured(lambda: WAYS[way](folder))
    print(json.dumps({"changes": changes, **figures}))


def in_a_process(way: str, folder: Path) -> dict[str, float] | None:
    """Measure one way; None: it gave up."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", way, str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        if not way.startswith("DuckDB"):
            raise RuntimeError(done.stderr)
        return None
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def ways_to_measure() -> Iterator[str]:
    """Name what can be measured here."""
    yield from list(WAYS)[:2]
    if has("duckdb"):
        yield from list(WAYS)[2:]
    else:
        print("DuckDB: not measured; it is not installed")


def measure(folder: Path, rows: int, rounds: int) -> None:
    """Let all ways take turns, and print them."""
    ways: dict[str, Callable[[], dict[str, float] | None]] = {"sort | comm": lambda: with_sort(folder)}
    for way in ways_to_measure():
        ways[way] = lambda way=way: in_a_process(way, folder)  # type: ignore[misc]
    results: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    names = list(ways)
    for turn in range(rounds):
        for way in names[turn % len(names) :] + names[: turn % len(names)]:
            if found := ways[way]():
                results[way].append(found)
    size = (folder / "before.csv").stat().st_size / (1 << 20)
    print(f"\n{rows:,} rows, 1 % changed, {size:,.0f} MiB each, {rounds} rounds in turn (medians)")
    print(f"LC_ALL=C {SORT}")
    print(f"{'':26}{'seconds':>9}{'ratio':>7}{'changes':>10}{'peak memory':>16}")
    base = statistics.median(each["seconds"] for each in results["sort | comm"])
    for way, each_found in results.items():
        if not each_found:
            print(f"{way:26}{'gave up':>9}")
            continue
        seconds = statistics.median(each["seconds"] for each in each_found)
        peak = max(each.get("memory", 0) for each in each_found)
        changes = each_found[0].get("changes")
        print(
            f"{way:26}{seconds:9.2f}{seconds / base:7.2f}{f'{changes:,}' if changes else '-':>10}"
            f"{f'{peak:.1f} MiB' if peak else '-':>16}"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="of each snapshot (default 1,000,000)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each way takes its turn (default 3)")
    parser.add_argument("--child", nargs=2, metavar=("WAY", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], Path(options.child[1]))
        return
    missing = [name for name in ("bash", "sort", "comm", "shuf") if shutil.which(name) is None]
    if missing:
        sys.exit(f"Not measured: {', '.join(missing)} is not installed")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        (folder / "small").mkdir()
        for where, rows in ((folder / "small", 1000), (folder, options.rows)):
            make(where, rows)
            shuffle(where)
        measure(folder, options.rows, options.rounds)


if __name__ == "__main__":
    main()
