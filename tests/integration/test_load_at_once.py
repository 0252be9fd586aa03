"""
Loads that meet: of other bots, of the same bot, and of a database that goes away in the middle.

The file of a load is a pipe here, so that the load stands still where the test wants it to.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_koreai.exceptions import KoreAIDatabaseError
from airflow_provider_koreai.operators.load_utterances import KoreAILoadUtterancesOperator
from airflow_provider_koreai.warehouse import database
from airflow_provider_koreai.warehouse.table import lock_key
from tests.support.deployment import free_ports, wait_until
from tests.support.running import prepare_thread, run_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from tests.support.warehouses import Warehouse

HEADER = b"taskName,sentence,type,language\n"
DAY = "2026-11-24"


class Loading:
    """
    A load that has begun to write, in a thread, and that waits for the rest of its file.

    :param warehouse: where it loads to.
    :param pipe: the path of its file.
    :param pool: gives the thread.
    """

    def __init__(self, warehouse: Warehouse, pipe: Path, pool: ThreadPoolExecutor, **more: Any) -> None:
        os.mkfifo(pipe)
        self.future: Future[Any] = pool.submit(load, warehouse, pipe, **more)
        self._file = open_pipe(pipe, has_ended=self.future.done)
        self._file.write(HEADER + b"A,first half,c,en\n" * 5000)

    def finish(self) -> Any:
        """Give it the rest, and wait for its end."""
        self._file.write(b"A,second half,c,en\n" * 10)
        self._file.close()
        return self.future.result(60)


def open_pipe(pipe: Path, has_ended: Callable[[], object]) -> BinaryIO:
    """Open a pipe for writing when its reader has come. A plain open() would wait for ever for one that has failed."""

    def opened() -> int | None:
        with contextlib.suppress(OSError):  # nobody reads yet
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        return None

    def alive() -> None:
        assert not has_ended(), "the load ended before it had opened its file"

    descriptor = wait_until("the load opens its file", opened, 30, every=0.01, alive=alive)
    os.set_blocking(descriptor, True)
    return open(descriptor, "wb", buffering=0)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(initializer=prepare_thread) as pool:
        yield pool


def load(warehouse: Warehouse, path: Path, bot_id: str = "st-one", **more: Any) -> Any:
    arguments = {"table": warehouse.table, "conn_id": warehouse.conn_id, "snapshot": DAY, **more}
    return run_task(KoreAILoadUtterancesOperator(task_id="load", path=str(path), bot_id=bot_id, **arguments))


def export(path: Path, *sentences: str) -> Path:
    path.write_bytes(HEADER + b"".join(f"A,{sentence},c,en\n".encode() for sentence in sentences))
    return path


def begun(warehouse: Warehouse, pipe: Path, pool: ThreadPoolExecutor, **more: Any) -> Loading:
    """Start a load, and wait until PostgreSQL has rows of it."""
    loading = Loading(warehouse, pipe, pool, **more)
    wait_until("rows arrive", lambda: backend(warehouse), 30, every=0.05)
    return loading


def backend(warehouse: Warehouse) -> int | None:
    """The process of PostgreSQL that takes rows in."""
    found = warehouse.run(
        "SELECT pid FROM pg_stat_progress_copy WHERE tuples_processed > 0 AND relid = to_regclass(%s)",
        warehouse.table,
    )
    return found[0][0] if found else None


def is_waiting(warehouse: Warehouse) -> bool:
    return bool(warehouse.run("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))


def check_that_the_later_one_is_left(warehouse: Warehouse, first: Loading, second: Future[Any]) -> None:
    """The second load, of ``one`` and ``two``, waits for the first one, and replaces what that has loaded."""
    wait_until("the second waits", lambda: is_waiting(warehouse), 30, every=0.05)
    first.finish()
    assert second.result(60)["replaced"] == 5010
    assert [row.sentence for row in warehouse.rows()] == ["one", "two"]


# -- PostgreSQL -------------------------------------------------------------------------------------------------------


def test_another_bots_load_does_not_wait(postgresql, tmp_path, pool, monkeypatch):
    loading = begun(postgresql, tmp_path / "pipe", pool)
    monkeypatch.setattr(database, "LOCK_TIMEOUT", 1)
    load(postgresql, export(tmp_path / "x.csv", "other"), bot_id="st-other")
    # And nobody sees a part of what is still being loaded.
    assert [row.sentence for row in postgresql.rows()] == ["other"]
    assert loading.finish()["inserted"] == 5010
    assert len(postgresql.rows()) == 5011


def test_two_loads_of_the_same_snapshot_leave_one_whole(postgresql, tmp_path, pool):
    loading = begun(postgresql, tmp_path / "pipe", pool)
    second = pool.submit(load, postgresql, export(tmp_path / "x.csv", "one", "two"))
    check_that_the_later_one_is_left(postgresql, loading, second)


def test_a_table_with_its_schemas_name_is_the_same_as_without(postgresql, tmp_path, pool):
    loading = begun(postgresql, tmp_path / "pipe", pool)
    path = export(tmp_path / "x.csv", "one", "two")
    second = pool.submit(load, postgresql, path, table=f"public.{postgresql.table}")
    check_that_the_later_one_is_left(postgresql, loading, second)


def test_a_stricter_isolation_level_of_the_connection_makes_no_difference(
    postgresql, tmp_path, pool, monkeypatch
):
    connection = json.loads(os.environ["AIRFLOW_CONN_POSTGRES_TEST"])
    connection["extra"]["options"] += r" -c default_transaction_isolation=repeatable\ read"
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_TEST", json.dumps(connection))
    loading = begun(postgresql, tmp_path / "pipe", pool)
    second = pool.submit(load, postgresql, export(tmp_path / "x.csv", "one", "two"))
    check_that_the_later_one_is_left(postgresql, loading, second)


def test_a_load_that_has_waited_long_enough_says_so(postgresql, tmp_path, pool, monkeypatch):
    loading = begun(postgresql, tmp_path / "pipe", pool)
    monkeypatch.setattr(database, "LOCK_TIMEOUT", 0.2)
    with pytest.raises(KoreAIDatabaseError, match=r"lock timeout.*longer than 0\.2 s") as caught:
        load(postgresql, export(tmp_path / "x.csv", "one"))
    assert not isinstance(caught.value, AirflowFailException)
    assert loading.finish()["inserted"] == 5010


def test_the_first_loads_of_many_bots_at_once_make_one_table(postgresql, tmp_path, pool):
    path = export(tmp_path / "x.csv", "one")
    loads = [pool.submit(load, postgresql, path, bot_id=f"st-{number}") for number in range(6)]
    assert [each.result(60)["inserted"] for each in loads] == [1] * 6
    assert len(postgresql.rows()) == 6


def test_a_database_that_is_killed_midway_keeps_the_earlier_snapshot(postgresql, tmp_path, pool):
    load(postgresql, export(tmp_path / "x.csv", "earlier"))
    loading = begun(postgresql, tmp_path / "pipe", pool)
    process = backend(postgresql)
    assert process is not None
    # PostgreSQL ends all others of its processes then, and recovers from its log.
    os.kill(process, signal.SIGKILL)
    with pytest.raises(
        KoreAIDatabaseError, match=r"server closed the connection|terminating connection"
    ) as caught:
        loading.finish()
    assert not isinstance(caught.value, AirflowFailException)
    wait_until("PostgreSQL is back", lambda: answers(postgresql), 30, every=0.05)
    assert [row.sentence for row in postgresql.rows()] == ["earlier"]
    assert load(postgresql, export(tmp_path / "x.csv", "retried"))["replaced"] == 1


def answers(warehouse: Warehouse) -> bool:
    import psycopg2

    try:
        warehouse.run("SELECT 1")
    except psycopg2.OperationalError:
        return False
    return True


def test_a_database_that_is_not_there_is_an_error_to_retry(postgresql, tmp_path, monkeypatch):
    (port,) = free_ports(1)
    there = json.loads(os.environ["AIRFLOW_CONN_POSTGRES_TEST"])
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_TEST", json.dumps({**there, "port": port}))
    with pytest.raises(KoreAIDatabaseError, match=r"conn_id='postgres_test' reported: .*refused") as caught:
        load(postgresql, export(tmp_path / "x.csv", "one"))
    assert not isinstance(caught.value, AirflowFailException)
    assert there["password"] not in str(caught.value)


def test_a_connection_whose_cursors_give_dicts_will_do(postgresql, tmp_path, monkeypatch):
    there = json.loads(os.environ["AIRFLOW_CONN_POSTGRES_TEST"])
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_TEST", json.dumps({**there, "extra": {"cursor": "dictcursor"}}))
    for _ in range(2):
        load(postgresql, export(tmp_path / "x.csv", "one"), keep="latest")
    assert [row.sentence for row in postgresql.rows()] == ["one"]


# -- MariaDB ----------------------------------------------------------------------------------------------------------


def test_mariadbs_first_loads_of_many_bots_at_once_make_one_table(mariadb, tmp_path, pool):
    path = export(tmp_path / "x.csv", "one")
    loads = [pool.submit(load, mariadb, path, bot_id=f"st-{number}") for number in range(6)]
    assert [each.result(60)["inserted"] for each in loads] == [1] * 6
    assert len(mariadb.rows()) == 6


def test_a_load_of_the_same_bot_into_mariadb_that_has_waited_long_enough_says_so(
    mariadb, tmp_path, pool, monkeypatch
):
    load(mariadb, export(tmp_path / "x.csv", "earlier"))
    loading = Loading(mariadb, tmp_path / "pipe", pool)
    wait_until(
        "it holds the lock", lambda: mariadb.run(LOCKED, f"koreai {key_of(mariadb)}")[0][0], 30, every=0.05
    )
    monkeypatch.setattr(database, "LOCK_TIMEOUT", 0.1)
    with pytest.raises(KoreAIDatabaseError, match=r"longer than 0\.1 s.*rolled back") as caught:
        load(mariadb, export(tmp_path / "x.csv", "one"))
    assert not isinstance(caught.value, AirflowFailException)
    assert loading.finish()["replaced"] == 1
    assert len(mariadb.rows()) == 5010


LOCKED = "SELECT IS_USED_LOCK(%s) IS NOT NULL"


def key_of(warehouse: Warehouse) -> int:
    return lock_key(warehouse.table)


# -- SQLite -----------------------------------------------------------------------------------------------------------


def test_sqlites_second_writer_waits(sqlite, tmp_path, pool):
    loading = Loading(sqlite, tmp_path / "pipe", pool)
    second = pool.submit(load, sqlite, export(tmp_path / "x.csv", "other"), bot_id="st-other")
    loading.finish()
    second.result(60)
    assert len(sqlite.rows()) == 5011


def test_sqlites_second_writer_says_that_it_has_waited_long_enough(sqlite, tmp_path, monkeypatch):
    load(sqlite, export(tmp_path / "x.csv", "earlier"))
    monkeypatch.setattr(database, "LOCK_TIMEOUT", 0.1)
    with sqlite.connect() as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(KoreAIDatabaseError, match=r"database is locked.*longer than 0\.1 s") as caught:
            load(sqlite, export(tmp_path / "x.csv", "one"))
    assert not isinstance(caught.value, AirflowFailException)
    assert [row.sentence for row in sqlite.rows()] == ["earlier"]


TASK = """
import sys
from airflow_provider_koreai.operators.load_utterances import KoreAILoadUtterancesOperator
path, table = sys.argv[1:]
KoreAILoadUtterancesOperator(
    task_id="load", path=path, table=table, conn_id="sqlite_test", bot_id="st-one", snapshot="2026-11-24"
).execute({})
"""


def test_a_task_that_is_killed_midway_keeps_the_earlier_snapshot(sqlite, tmp_path):
    load(sqlite, export(tmp_path / "x.csv", "earlier"))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with (
        subprocess.Popen([sys.executable, "-c", TASK, str(pipe), sqlite.table]) as task,
        open_pipe(pipe, has_ended=lambda: task.poll() is not None) as file,
    ):
        # More than the pipe and the task's buffers hold: when all is written, the task has inserted some.
        file.write(HEADER + b"A,first half,c,en\n" * 50_000)
        task.kill()
        task.wait()
    assert [row.sentence for row in sqlite.rows()] == ["earlier"]
