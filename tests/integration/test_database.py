"""What is said of a database's errors."""

from __future__ import annotations

import json
import os
import sqlite3
from typing import TYPE_CHECKING

import pytest

from airflow_provider_koreai.exceptions import KoreAIDatabaseError
from airflow_provider_koreai.warehouse.database import Database

if TYPE_CHECKING:
    from tests.support.warehouses import Warehouse


def said_of(warehouse: Warehouse, error: str) -> str:
    """What a driver's error becomes."""
    with (
        Database(warehouse.conn_id) as database,
        pytest.raises(KoreAIDatabaseError) as caught,
        database.transaction(),
    ):
        raise sqlite3.OperationalError(error)
    return str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        "database is locked",
        "database table is locked: utterances",
        "Lock wait timeout exceeded; try restarting transaction",
        "canceling statement due to lock timeout",
    ],
)
def test_a_lock_that_another_task_held_too_long_is_explained(sqlite, error):
    assert "Another task was writing to the table" in said_of(sqlite, error)


@pytest.mark.parametrize(
    "error",
    [
        "Deadlock found when trying to get lock; try restarting transaction",
        "host is blocked because of many connection errors",
        "could not read block 12",
        "the account is locked",
    ],
)
def test_an_error_that_only_resembles_a_lock_is_not(sqlite, error):
    assert "Another task" not in said_of(sqlite, error)


def test_a_password_is_hidden_where_the_quote_is_cut(postgresql):
    password = json.loads(os.environ["AIRFLOW_CONN_POSTGRES_TEST"])["password"]
    assert password[:6] not in said_of(postgresql, f"{'x' * 290} {password}")
