"""Starts of one bot's exports, one after the other on a machine, so that each is confirmed before the next."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Seconds.
_RETRY = 0.01


@contextlib.contextmanager
def one_start_at_a_time(subject: str, limit: float) -> Iterator[None]:
    """
    Wait while another task on this machine starts an export of the same subject, for at most ``limit`` seconds.

    Two branches of a DAG often start at the same moment. Between two starts that nothing tells apart, the first would
    meet the second one's export. Where no lock can be had, the start goes on without it.
    """
    name = hashlib.sha256(subject.encode()).hexdigest()[:32]
    path = os.path.join(tempfile.gettempdir(), f"airflow-provider-koreai-{os.getuid()}-{name}.lock")
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            stack.callback(os.close, file)
            _lock(file, limit)
        yield


def _lock(file: int, limit: float) -> None:
    """Closing the file, or the end of the process, unlocks it."""
    end = time.monotonic() + limit
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return None
        time.sleep(_RETRY)
