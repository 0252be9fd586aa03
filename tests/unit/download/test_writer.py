from __future__ import annotations

import gzip
import hashlib
import threading

import pytest

from airflow_provider_koreai.download.writer import Writer
from airflow_provider_koreai.exceptions import KoreAIDownloadError
from airflow_provider_koreai.storage.compression import compressor_factory


class Memory:
    """Stages in memory; fails, or waits, at a given piece."""

    def __init__(self, fail_at: int = -1, wait: threading.Event | None = None) -> None:
        self.pieces: list[bytes] = []
        self._fail_at = fail_at
        self._wait = wait

    def write(self, data: bytes) -> None:
        if self._wait is not None:
            self._wait.wait(10)
        if len(self.pieces) == self._fail_at:
            raise KoreAIDownloadError("disk full")
        self.pieces.append(data)

    def restart(self) -> None: ...
    def publish(self) -> None: ...
    def discard(self) -> None: ...


def test_pieces_are_stored_in_order_and_hashed() -> None:
    memory = Memory()
    writer = Writer(memory, None)
    for number in range(100):
        writer.put(b"%d," % number)
    writer.finish()
    data = b"".join(b"%d," % number for number in range(100))
    assert b"".join(memory.pieces) == data
    assert (writer.size, writer.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_what_is_hashed_and_measured_is_what_is_stored() -> None:
    memory = Memory()
    writer = Writer(memory, compressor_factory("gzip")())
    writer.put(b"a" * 100_000)
    writer.finish()
    stored = b"".join(memory.pieces)
    assert gzip.decompress(stored) == b"a" * 100_000
    assert (writer.size, writer.sha256) == (len(stored), hashlib.sha256(stored).hexdigest())


def test_the_thread_ends_even_if_abandoning_is_interrupted() -> None:
    gate = threading.Event()
    writer = Writer(Memory(wait=gate), None)
    thread = next(each for each in threading.enumerate() if each.name == "koreai-download")
    for _ in range(4):  # one is being written, and the queue is full
        writer.put(b"x")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(thread, "join", interrupted)
        put = writer._queue.put
        # Where it is full, it would wait, and that would be interrupted.
        patched.setattr(writer._queue, "put", lambda piece: put(piece, block=False))
        with pytest.raises(KeyboardInterrupt):
            writer.abandon()
    gate.set()
    thread.join(10)
    assert not thread.is_alive()


def test_an_error_comes_out_at_the_end() -> None:
    writer = Writer(Memory(fail_at=0), None)
    writer.put(b"x")
    with pytest.raises(KoreAIDownloadError, match="disk full"):
        writer.finish()


def test_after_an_error_nothing_waits_in_vain() -> None:
    writer = Writer(Memory(fail_at=1), None)
    taken = 0
    with pytest.raises(KoreAIDownloadError, match="disk full"):  # noqa: PT012 - at which piece, is not certain
        for _ in range(10_000):
            writer.put(b"x")
            taken += 1
    assert taken > 0


def test_abandoning_stores_nothing_more_and_ends_the_thread() -> None:
    go = threading.Event()
    memory = Memory(wait=go)
    writer = Writer(memory, None)
    for _ in range(3):
        writer.put(b"x")
    threading.Timer(0.01, go.set).start()
    writer.abandon()
    assert len(memory.pieces) <= 1
    assert not writer._thread.is_alive()


def test_abandoning_twice_or_after_the_end_is_nothing() -> None:
    writer = Writer(Memory(), None)
    writer.finish()
    writer.abandon()
    writer.abandon()
