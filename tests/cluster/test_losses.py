"""A part of the cluster is lost while bots are exported: nothing is lost with it, and nothing happens twice."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cluster import TRIGGERERS, WORKERS
from tests.support.fleet import Fleet
from tests.support.scenarios import NEVER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.cluster import Cluster
    from tests.support.deployment import Run
    from tests.support.scenarios import KoreAI

# So many rows that S3 gets their file in parts, and PostgreSQL in pieces.
MANY_ROWS = 150_000
_LOCK = 4711


def tasks(run: Run, task_id: str) -> list[dict[str, Any]]:
    return [task for task in run.tasks() if task["task_id"].endswith(task_id)]


def kill_worker_of(cluster: Cluster, task: dict[str, Any]) -> str:
    name = str(task["hostname"])
    assert name in WORKERS
    cluster.kill_component(name)
    return name


@pytest.fixture
def all_workers(cluster: Cluster) -> Iterator[None]:
    """Start again, at the end, what the test has killed."""
    yield
    for name in (*WORKERS, *TRIGGERERS):
        if not cluster.is_running(name):
            cluster.start_component(name)
    cluster.wait_until_ready()


# -- a worker ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("all_workers")
def test_a_file_is_stored_and_loaded_once_when_a_worker_is_killed_in_mid_download(
    cluster: Cluster, koreai: KoreAI, tmp_path: Path
) -> None:
    fleet = Fleet(koreai, tmp_path, 1, rows=MANY_ROWS, seconds=0)
    fleet.add_faults(
        {"call": "download", "kind": "stall", "at": -10_000, "seconds": NEVER, "then": "close"},
    )
    run = fleet.export(cluster)
    cluster.wait_until("a part is in the store", lambda: cluster.lake.uploads(f"{fleet.prefix}/"), 180)
    (fetch,) = tasks(run, "fetch")
    assert fetch["state"] == "running"
    killed = kill_worker_of(cluster, fetch)
    assert cluster.lake.keys(fleet.prefix) == []

    fleet.check_success(cluster, run, timeout=400)
    fleet.check_whole(cluster, run)
    assert set(fleet.starts().values()) == {1}
    (fetch,) = tasks(run, "fetch")
    assert (fetch["try_number"], fetch["hostname"] != killed) == (2, True)
    # The upload of the killed worker: nobody but a lifecycle rule can know that it is not going on.
    assert len(cluster.lake.uploads(f"{fleet.prefix}/")) == 1


@pytest.mark.usefixtures("all_workers")
def test_a_snapshot_is_whole_when_a_worker_is_killed_in_mid_load(
    cluster: Cluster, koreai: KoreAI, tmp_path: Path
) -> None:
    fleet = Fleet(koreai, tmp_path, 1, rows=MANY_ROWS, seconds=0)
    with copy_that_stops(cluster, fleet, row=MANY_ROWS // 2):
        run = fleet.export(cluster)
        cluster.wait_until("the COPY has come to the row", lambda: waiting_for_the_lock(cluster), 240)
        (load,) = tasks(run, "load")
        assert load["state"] == "running"
        kill_worker_of(cluster, load)
    cluster.wait_until("the killed COPY is gone", lambda: not copying(cluster), 60)
    assert cluster.warehouse.run(f"SELECT count(*) FROM {fleet.table}") == [(0,)]

    fleet.check_success(cluster, run, timeout=400)
    fleet.check_whole(cluster, run)
    assert set(fleet.starts().values()) == {1}
    assert tasks(run, "load")[0]["try_number"] == 2


@pytest.mark.usefixtures("all_workers")
def test_a_file_is_imported_once_when_a_worker_is_killed_in_mid_import(
    cluster: Cluster, koreai: KoreAI, tmp_path: Path
) -> None:
    fleet = Fleet(koreai, tmp_path, 1, import_seconds=NEVER)
    ((bot, file),) = fleet.files.items()
    cluster.lake.put(file)
    run = cluster.trigger("cluster_import", bot_id=bot, path=cluster.lake.path)

    def polls(since: float = 0.0) -> list[dict[str, Any]]:
        return koreai.calls(bot, "import_status", since=since, status=200)

    cluster.wait_until("a status call about the import", polls, 180)
    killed = kill_worker_of(cluster, run.task("import"))
    cluster.wait_until("a second try", lambda: run.task("import")["try_number"] == 2, 180)
    retried = time.time()
    cluster.wait_until("a status call of the second try", lambda: polls(since=retried), 180)
    koreai.control.configure_bot(bot, import_seconds=0)
    fleet.check_success(cluster, run, timeout=180)
    assert run.task("import")["hostname"] != killed
    assert run.xcoms("import")["copied"] == len(file.splitlines()) - 1
    assert len(koreai.calls(bot, "import")) == 1


@contextlib.contextmanager
def copy_that_stops(cluster: Cluster, fleet: Fleet, row: int) -> Iterator[None]:
    """Let the first load into the fleet's table wait at this row, until the end."""
    table, run = fleet.table, cluster.warehouse.run
    run(
        f"CREATE TABLE {table} (bot_id text, snapshot timestamptz, task_name text, sentence text, type text, language text, "
        "entities text, export_request_id text, requested_time timestamptz, loaded_at timestamptz)"
    )
    run(
        f"CREATE FUNCTION stop_{table}() RETURNS trigger LANGUAGE plpgsql AS "
        f"'BEGIN PERFORM pg_advisory_xact_lock_shared({_LOCK}); RETURN NEW; END'"
    )
    run(
        f"CREATE TRIGGER stop BEFORE INSERT ON {table} FOR EACH ROW "
        f"WHEN (NEW.sentence = 'sentence {row} of {fleet.bots[0]}') EXECUTE FUNCTION stop_{table}()"
    )
    with contextlib.closing(cluster.warehouse.connect()) as connection:
        connection.cursor().execute(f"SELECT pg_advisory_lock({_LOCK})")
        yield


def waiting_for_the_lock(cluster: Cluster) -> bool:
    statement = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted"
    return bool(cluster.warehouse.run(statement, _LOCK))


def copying(cluster: Cluster) -> bool:
    return bool(cluster.warehouse.run("SELECT 1 FROM pg_stat_progress_copy"))


# -- a triggerer ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("all_workers")
def test_the_other_triggerer_takes_the_waits_over(
    cluster: Cluster, koreai: KoreAI, tmp_path: Path, bots: int
) -> None:
    fleet = Fleet(koreai, tmp_path, bots, seconds=NEVER)
    exports = [{"bot_id": bot, **started_export(koreai, bot)} for bot in fleet.bots]
    run = cluster.trigger("cluster_waits", exports=exports)
    rows = cluster.wait_until("all wait", lambda: rows_of(cluster, bots), 400)
    numbers = {row["triggerer_id"] for row in rows}
    (victim, *_), holders = numbers, cluster.triggerers()
    cluster.kill_component(holders[victim])
    killed = time.time()

    def taken_over() -> bool:
        found = {row["triggerer_id"] for row in cluster.trigger_rows()}
        return victim not in found and None not in found

    cluster.wait_until("the other triggerer has all", taken_over, 120)
    for bot in fleet.bots:
        cluster.wait_until(
            f"a poll about {bot}",
            lambda bot=bot: koreai.calls(bot, "status", since=killed, status=200),
            120,
        )
        koreai.control.configure_bot(bot, seconds=0)
    fleet.check_success(cluster, run, timeout=400)
    assert {task["try_number"] for task in tasks(run, "wait")} == {1}
    # Each by whoever has started it: none by a wait.
    assert set(fleet.starts().values()) == {1}


def started_export(koreai: KoreAI, bot: str) -> dict[str, str]:
    started = koreai.start_export(bot)
    return {"request_id": started["_id"], "requested_time": started["requestedTime"]}


def rows_of(cluster: Cluster, count: int) -> list[dict[str, Any]]:
    """The rows of the waits, once all are there and each has a triggerer."""
    rows = cluster.trigger_rows()
    return rows if len(rows) == count and all(row["triggerer_id"] for row in rows) else []


# -- what they have in common ------------------------------------------------------------------------------------------


def test_bots_get_into_the_table_when_the_api_server_is_restarted(
    cluster: Cluster, koreai: KoreAI, tmp_path: Path
) -> None:
    fleet = Fleet(koreai, tmp_path, 8, seconds=10)
    run = fleet.export(cluster)
    cluster.wait_until(
        "exports are under way", lambda: any(fleet.starts().values()) and tasks(run, "export"), 120
    )
    cluster.kill_component("api-server")
    cluster.start_component("api-server")
    cluster.wait_until_healthy()
    fleet.check_success(cluster, run, timeout=500)
    fleet.check_whole(cluster, run)


def test_bots_get_into_the_table_when_redis_is_emptied(
    cluster: Cluster, koreai: KoreAI, tmp_path: Path
) -> None:
    # More than the workers can take at once, so that messages are lost with it.
    fleet = Fleet(koreai, tmp_path, 16, seconds=10)
    run = fleet.export(cluster)
    redis = cluster.redis.client()
    cluster.wait_until("tasks are queued", lambda: redis.llen("default"), 120)
    lost, _ = redis.pipeline().llen("default").flushall().execute()
    assert lost
    fleet.check_success(cluster, run, timeout=600)
    fleet.check_whole(cluster, run)
    assert set(fleet.starts().values()) == {1}
