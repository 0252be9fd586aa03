"""Whether a database has transactions."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from airflow_provider_koreai.exceptions import KoreAIConfigurationError
from airflow_provider_koreai.warehouse.transactions import refuse_without_transactions


def of_dialect(monkeypatch: pytest.MonkeyPatch, name: str, **more: object):
    """SQLite under another name."""
    monkeypatch.setattr(SQLiteDialect_pysqlite, "name", name)
    return create_engine("sqlite://", **more).connect()


@pytest.mark.parametrize(
    "name", ["bigquery", "trino", "hive", "databricks", "clickhouse", "awsathena", "presto"]
)
def test_a_database_without_transactions_is_refused(monkeypatch, name):
    with (
        of_dialect(monkeypatch, name) as connection,
        pytest.raises(
            KoreAIConfigurationError,
            match=rf"The database of conn_id='x' \({name}\) does not undo writes on rollback.*known to work: PostgreSQL.*staging",
        ),
    ):
        refuse_without_transactions(connection, "x")


def test_a_database_that_nobody_knows_is_tried_and_will_do_if_a_rollback_takes_back(monkeypatch):
    with of_dialect(monkeypatch, "nobody") as connection:
        refuse_without_transactions(connection, "x")
        # Nothing is left open, or in the way of a second look.
        refuse_without_transactions(connection, "x")
        with connection.begin():
            pass


def test_a_database_that_nobody_knows_is_refused_if_a_rollback_takes_nothing_back(monkeypatch):
    engine = {"isolation_level": "AUTOCOMMIT"}
    with (
        of_dialect(monkeypatch, "nobody", **engine) as connection,
        pytest.raises(KoreAIConfigurationError, match="does not undo writes on rollback"),
    ):
        refuse_without_transactions(connection, "x")


def test_a_database_without_temporary_tables_counts_as_one_without_transactions(monkeypatch):
    with of_dialect(monkeypatch, "nobody") as connection:
        with connection.begin():
            connection.exec_driver_sql("CREATE TEMPORARY TABLE koreai_rollback_probe (n INTEGER)")
        with pytest.raises(KoreAIConfigurationError, match="does not undo writes on rollback"):
            refuse_without_transactions(connection, "x")
