"""What the benchmarks share: the time and the memory of what runs in a process of its own."""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def peak_and_now() -> tuple[float, float]:
    """The highest and the present resident memory of this process, in MiB."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) / 1024, int(lines["VmRSS"].split()[0]) / 1024


def measured(action: Callable[[], T]) -> tuple[T, dict[str, float]]:
    """Do something; give its result, and its seconds, its memory above that of the process before it, and that."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    idle = peak_and_now()[1]
    began = time.perf_counter()
    result = action()
    seconds = time.perf_counter() - began
    return result, {"seconds": seconds, "memory": peak_and_now()[0] - idle, "idle": idle}


def has(module: str) -> bool:
    """Whether a module can be imported."""
    done = subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True, check=False)
    return done.returncode == 0
