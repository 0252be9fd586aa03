"""The task that deletes old snapshots, on real databases."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy

from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIDatabaseError
from airflow_provider_koreai.operators.delete_snapshots import KoreAIDeleteSnapshotsOperator
from airflow_provider_koreai.operators.load_utterances import KoreAILoadUtterancesOperator
from airflow_provider_koreai.warehouse import retention
from airflow_provider_koreai.warehouse.database import Database
from airflow_provider_koreai.warehouse.table import utterances_table
from airflow_provider_koreai.warehouse.target import Target
from tests.support.running import new_context, prepare_thread, run_task

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.warehouses import Warehouse

DAYS = ("2026-11-21", "2026-11-22", "2026-11-23", "2026-11-24")


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    """Each database, with four snapshots of one bot, of two rows each, and an old one of another."""
    found: Warehouse = request.getfixturevalue(request.param)
    path = tmp_path / "utterances.csv"
    path.write_text("taskName,sentence,type,language\nA,one,DialogIntent,en\nA,two,DialogIntent,en\n")
    for bot_id, day in [*(("st-1", day) for day in DAYS), ("ST-1", "2026-01-01")]:
        load(found, path, bot_id, day)
    return found


def load(warehouse: Warehouse, path: Path, bot_id: str, snapshot: str) -> None:
    where = {"table": warehouse.table, "conn_id": warehouse.conn_id, "bot_id": bot_id, "snapshot": snapshot}
    run_task(KoreAILoadUtterancesOperator(task_id="load", path=str(path), **where))


def delete(warehouse: Warehouse, **arguments: Any) -> Any:
    # The run of the 24th at six.
    run = SimpleNamespace(logical_date=datetime(2026, 11, 24, 6, tzinfo=timezone.utc))
    where = {"table": warehouse.table, "conn_id": warehouse.conn_id}
    task = KoreAIDeleteSnapshotsOperator(task_id="delete", **{**where, **arguments})
    return run_task(task, new_context(dag_run=run))


def days(warehouse: Warehouse, bot_id: str = "st-1") -> list[str]:
    return sorted({day for day, _ in warehouse.sentences(bot_id)})


def test_what_is_beyond_the_number_of_a_bot_is_deleted(warehouse):
    assert delete(warehouse, max_snapshots=2) == {
        "table": warehouse.table,
        "snapshots": 2,
        "rows": 4,
        "bots": {"st-1": 2},
    }
    assert days(warehouse) == ["2026-11-23", "2026-11-24"]


def test_what_is_too_old_is_deleted(warehouse):
    assert delete(warehouse, max_age_days="2")["snapshots"] == 2
    assert days(warehouse) == ["2026-11-23", "2026-11-24"]


def test_with_both_limits_either_is_enough(warehouse):
    assert delete(warehouse, max_age_days=2, max_snapshots=1)["bots"] == {"st-1": 3}


def test_a_bots_latest_snapshot_stays_however_old(warehouse):
    delete(warehouse, max_age_days=1, max_snapshots=1)
    assert days(warehouse, "ST-1") == ["2026-01-01"]


def test_only_the_bots_that_are_named_lose_snapshots(warehouse):
    assert delete(warehouse, max_snapshots=1, bot_ids="ST-1, st-2")["bots"] == {}
    assert days(warehouse) == list(DAYS)


@pytest.mark.parametrize("bot_ids", [[], (), "", " , "])
def test_an_empty_list_of_bots_is_not_all_of_them(warehouse, bot_ids):
    assert delete(warehouse, max_snapshots=1, bot_ids=bot_ids) == {
        "table": warehouse.table,
        "snapshots": 0,
        "rows": 0,
        "bots": {},
    }
    assert days(warehouse) == list(DAYS)


def test_once_more_there_is_nothing_to_delete(warehouse):
    delete(warehouse, max_snapshots=1)
    assert delete(warehouse, max_snapshots=1)["rows"] == 0


@pytest.mark.parametrize("warehouse", ["mariadb"], indirect=True)
def test_a_table_without_transactions_is_refused(warehouse):
    index = f"ix_{warehouse.table}_bot_id_snapshot"
    warehouse.run(f"ALTER TABLE {warehouse.table} DROP INDEX {index}, ENGINE=MyISAM")
    with pytest.raises(KoreAIConfigurationError, match="MyISAM"):
        delete(warehouse, max_snapshots=1)
    assert days(warehouse) == list(DAYS)


def test_what_fails_midway_deletes_nothing(warehouse, tmp_path, monkeypatch):
    load(warehouse, tmp_path / "utterances.csv", "st-2", "2026-11-23")
    load(warehouse, tmp_path / "utterances.csv", "st-2", "2026-11-24")
    lock = Target.lock

    def fails_at_the_second_bot(target: Target, connection: Any, bot_id: str) -> None:
        if bot_id == "st-2":
            connection.exec_driver_sql("SELECT * FROM nothing_here")
        lock(target, connection, bot_id)

    monkeypatch.setattr(Target, "lock", fails_at_the_second_bot)
    with pytest.raises((KoreAIDatabaseError, KoreAIConfigurationError), match="nothing_here"):
        delete(warehouse, max_snapshots=1, bot_ids=["st-1", "st-2"])
    assert days(warehouse) == list(DAYS)


def started_deletion(warehouse):
    task = threading.Thread(target=lambda: (prepare_thread(), delete(warehouse, max_snapshots=1)))
    task.start()
    return task


# SQLite has one writer at a time anyway.
@pytest.mark.parametrize("warehouse", ["postgresql", "mariadb"], indirect=True)
def test_it_waits_for_a_load_of_the_bot(warehouse):
    table = utterances_table(warehouse.table)
    with Database(warehouse.conn_id) as database, database.transaction() as connection:
        Target(database, table, create_table=False).lock(connection, "st-1")
        task = started_deletion(warehouse)
        task.join(0.5)
        assert task.is_alive()
        assert days(warehouse) == list(DAYS)
    task.join(30)
    assert days(warehouse) == ["2026-11-24"]


@pytest.mark.parametrize("warehouse", ["postgresql"], indirect=True)
def test_it_does_not_wait_for_a_load_of_a_bot_that_loses_nothing(warehouse):
    table = utterances_table(warehouse.table)
    with Database(warehouse.conn_id) as database, database.transaction() as connection:
        Target(database, table, create_table=False).lock(connection, "ST-1")
        task = started_deletion(warehouse)
        task.join(30)
        assert days(warehouse) == ["2026-11-24"]


@pytest.mark.parametrize("warehouse", ["postgresql", "mariadb"], indirect=True)
def test_of_many_bots_it_locks_the_table_and_waits_for_what_is_being_written(warehouse, monkeypatch):
    monkeypatch.setattr(retention, "_MOST_LOCKS", 0)
    table = utterances_table(warehouse.table)
    with Database(warehouse.conn_id) as database, database.transaction() as connection:
        Target(database, table, create_table=False).lock(connection, "st-1")
        connection.execute(sqlalchemy.delete(table).where(table.c.bot_id == "st-1"))
        task = started_deletion(warehouse)
        task.join(0.5)
        assert task.is_alive()
    task.join(30)
    assert days(warehouse) == []
    assert days(warehouse, "ST-1") == ["2026-01-01"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "Neither max_age_days nor max_snapshots is set"),
        ({"max_snapshots": 0}, "max_snapshots=0 is not accepted; use a whole number from 1 up"),
        ({"max_age_days": 1, "table": "nothing"}, "table='nothing' does not exist"),
    ],
)
def test_what_cannot_be_meant_is_refused(sqlite, arguments, text):
    with pytest.raises(KoreAIConfigurationError, match=text):
        delete(sqlite, **arguments)
