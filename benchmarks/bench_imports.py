"""
What a DAG file pays to import the operators and sensors, next to those of airflow.providers.http.

Each sample is a fresh interpreter that imports Airflow's BaseOperator and BaseSensorOperator first and then takes the
time of the import in question. The two take turns, so that a noisy machine is equally noisy for both. The bytecode
is warm: one run of each goes before, unmeasured.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile

GOAL_MS = 25.0
CANDIDATES = {
    "airflow-provider-koreai": (
        "airflow_provider_koreai.operators.koreai",
        "airflow_provider_koreai.sensors.koreai",
    ),
    "airflow.providers.http": (
        "airflow.providers.http.operators.http",
        "airflow.providers.http.sensors.http",
    ),
}
BASES = "from airflow.providers.common.compat.sdk import BaseOperator, BaseSensorOperator"
PROBE = """
import sys, time
{bases}
before = len(sys.modules)
began = time.perf_counter()
{imports}
print("TOOK", time.perf_counter() - began, len(sys.modules) - before)
"""
IMPORT_TIME = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|(\s+)(\S+)")


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=15, help="interpreters for each (default 15)")
    parser.add_argument("--blame", action="store_true", help="show which modules our time goes to")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="koreai-bench-") as home:
        environment = {**os.environ, "AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        if options.blame:
            blame(environment)
            return
        samples: dict[str, list[tuple[float, int]]] = {name: [] for name in CANDIDATES}
        for number in range(options.samples + 1):
            for name, modules in CANDIDATES.items():
                sample = measure(modules, environment)
                if number > 0:
                    samples[name].append(sample)
    print(
        f"Import of operators and sensors beyond Airflow's own bases, {options.samples} fresh interpreters each"
    )
    print(f"{'':<26}{'median':>9}{'fastest':>9}{'slowest':>9}{'modules':>9}")
    medians = {}
    for name, taken in samples.items():
        times = [seconds * 1000 for seconds, _ in taken]
        medians[name] = statistics.median(times)
        print(
            f"{name:<26}{medians[name]:>6.1f} ms{min(times):>6.1f} ms{max(times):>6.1f} ms{taken[0][1]:>9}",
        )
    ours, theirs = medians.values()
    verdict = "met" if ours <= GOAL_MS else "missed"
    print(f"Ratio: ours takes {ours / theirs:.2f} of theirs. Goal for ours, {GOAL_MS:g} ms: {verdict}.")


def measure(modules: tuple[str, ...], environment: dict[str, str]) -> tuple[float, int]:
    """
    Import modules in a fresh interpreter.

    :param modules: the modules.
    :param environment: of the interpreter.
    :return: seconds, and how many modules were loaded.
    """
    code = PROBE.format(bases=BASES, imports="\n".join(f"import {module}" for module in modules))
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    if answer.returncode != 0:
        sys.exit(answer.stderr)
    # Airflow may have printed something before.
    seconds, loaded = answer.stdout.partition("TOOK")[2].split()
    return float(seconds), int(loaded)


def blame(environment: dict[str, str]) -> None:
    """
    Print the modules that our import loads, the dearest first.

    :param environment: of the interpreter.
    """
    modules = CANDIDATES["airflow-provider-koreai"]
    code = f"{BASES}\nimport this\n" + "\n".join(f"import {module}" for module in modules)
    answer = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [match for match in map(IMPORT_TIME.match, answer.stderr.splitlines()) if match]
    start = next(number for number, match in enumerate(lines) if match[4] == "this")
    print(f"{'self':>9}{'with all':>11}  module")
    for match in sorted(lines[start + 1 :], key=lambda match: -int(match[1]))[:25]:
        print(f"{int(match[1]) / 1000:>6.1f} ms{int(match[2]) / 1000:>8.1f} ms  {match[4]}")


if __name__ == "__main__":
    main()
