"""
Checking 50,000 sentences of one language on one core, beside a plain loop that compares each with each.

Run it alone (``python benchmarks/bench_check.py``, ``--sentences 100000``) or through ``make bench``. One in ten sentences is a
variant of another one, with a few letters changed, so that there is something to find. The check does all that the task
does: it reads the CSV file, looks for findings of each kind, and writes detail and report. The loop only calls rapidfuzz
for each pair, with the same threshold. It is measured on the first sentences, where both must find the same pairs, and
its time for all of them is extrapolated: the number of pairs grows with the square.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="koreai-bench-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")

from measuring import measured, peak_and_now

VOCABULARY = (
    "book cancel change confirm find show pay send open close a an the my our your flight ticket hotel room seat order "
    "invoice refund address password account car train from to in on at for with without rome paris london berlin tokyo "
    "please I want need would like can you how do when where is are tomorrow today tonight next week morning evening Flüge "
    "réservation 東京 quickly again not"
)
WORDS = VOCABULARY.split()
TASKS = [f"Task {number}" for number in range(120)]
SIMILARITIES = (0.9, 0.85)


def make(path: Path, sentences: int) -> None:
    """Write a file."""
    chance = random.Random(7)
    made: list[str] = []
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["taskName", "sentence", "type", "language"])
        for _ in range(sentences):
            if made and chance.random() < 0.1:
                letters = list(chance.choice(made))
                for _ in range(chance.randint(1, 2)):
                    letters[chance.randrange(len(letters))] = chance.choice(["", "e", "ss", "x"])
                sentence = "".join(letters)
            else:
                sentence = " ".join(chance.choices(WORDS, k=chance.randint(3, 12)))
                made.append(sentence)
            writer.writerow([chance.choice(TASKS), sentence, "DialogIntent", "en"])


def check(path: Path, similarity: float) -> dict[str, int]:
    """Check as the task does."""
    from airflow_provider_koreai.operators.check_utterances import KoreAICheckUtterancesOperator

    task = KoreAICheckUtterancesOperator(
        task_id="check",
        path=str(path),
        similarity=similarity,
        detail_path=str(path.with_name("detail.csv")),
        report_path=str(path.with_name("report.html")),
    )
    result: dict[str, int] = task.execute({})
    return result


def each_with_each(path: Path, similarity: float, sentences: int) -> int:
    """Count the near conflicts among the first sentences."""
    from rapidfuzz.distance import Indel

    from airflow_provider_koreai.utterances.folding import folded

    with path.open(encoding="utf-8", newline="") as file:
        tasks: dict[str, set[str]] = {}
        for _, row in zip(range(sentences), csv.DictReader(file), strict=False):
            tasks.setdefault(folded(row["sentence"]), set()).add(row["taskName"])
    found = 0
    for (one, of_one), (other, of_other) in combinations(tasks.items(), 2):
        # rapidfuzz rounds, and may take exactly 0.85 for less than 0.85.
        if (
            Indel.normalized_similarity(one, other, score_cutoff=similarity - 1e-6)
            and len(of_one | of_other) > 1
        ):
            found += 1
    return found


def child(path: Path, similarity: float) -> None:
    """Check in this process, and print what that took."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    small = path.with_name("small.csv")
    check(small, similarity)  # imports what it needs
    began = time.process_time()
    result, figures = measured(lambda: check(path, similarity))
    print(
        json.dumps(
            {"result": result, **figures, "cpu": time.process_time() - began, "peak": peak_and_now()[0]}
        )
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sentences", type=int, default=50_000, help="(default 50,000)")
    parser.add_argument("--loop", type=int, default=3_000, help="sentences of the plain loop (default 3,000)")
    parser.add_argument("--child", nargs=2, metavar=("PATH", "SIMILARITY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(Path(options.child[0]), float(options.child[1]))
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path, some = Path(folder) / "utterances.csv", Path(folder) / "some.csv"
        make(Path(folder) / "small.csv", 200)
        make(path, options.sentences)
        with path.open(encoding="utf-8", newline="") as file:
            some.write_text(
                "".join(line for line, _ in zip(file, range(options.loop + 1), strict=False)), "utf-8"
            )
        print(f"{options.sentences:,} sentences of one language in {len(TASKS)} tasks, one core")
        print(f"{'':34}{'seconds':>9}{'CPU s':>8}{'near conflicts':>16}{'peak memory':>18}")
        for similarity in SIMILARITIES:
            command = [sys.executable, __file__, "--child", str(path), str(similarity)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise RuntimeError(done.stderr)
            found = json.loads(done.stdout.splitlines()[-1])
            print(
                f"{f'this provider, similarity {similarity}':34}{found['seconds']:9.1f}{found['cpu']:8.1f}"
                f"{found['result']['near_conflicts']:16,}{found['peak']:9.0f} MiB in all"
            )
            each_with_each(some, similarity, 10)  # imports what it needs
            began = time.process_time()
            pairs = each_with_each(path, similarity, options.loop)
            seconds = (time.process_time() - began) * (options.sentences / options.loop) ** 2
            print(
                f"{f'each with each, similarity {similarity}':34}{'':9}{seconds:8.0f}   (from {options.loop:,})"
            )
            assert check(some, similarity)["near_conflicts"] == pairs, "both must find the same"


if __name__ == "__main__":
    main()
