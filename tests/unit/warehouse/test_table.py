"""What is written for databases that the tests cannot run, and whether a database has transactions."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine
from sqlalchemy.dialects import mssql, mysql, oracle, postgresql
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine.default import DefaultDialect

from airflow_provider_koreai.exceptions import KoreAIConfigurationError
from airflow_provider_koreai.warehouse.table import check_name, create_statements, utterances_table
from airflow_provider_koreai.warehouse.transactions import refuse_without_transactions


def dialect(name: str) -> DefaultDialect:
    found = DefaultDialect()
    found.name = name
    return found


def test_sql_server_gets_types_that_are_not_deprecated():
    create, index = create_statements(utterances_table("dbo.utterances"), mssql.dialect())
    assert create.startswith(
        "CREATE TABLE dbo.utterances (bot_id NVARCHAR(255) NOT NULL, snapshot DATETIMEOFFSET NOT NULL, "
        "task_name NVARCHAR(max) COLLATE Latin1_General_100_BIN2 NULL, "
        "sentence NVARCHAR(max) COLLATE Latin1_General_100_BIN2 NOT NULL"
    )
    assert "NTEXT" not in create
    assert index == "CREATE INDEX ix_utterances_bot_id_snapshot ON dbo.utterances (bot_id, snapshot)"


def test_mysql_gets_an_engine_with_transactions_all_characters_and_microseconds():
    create, _ = create_statements(utterances_table("utterances"), mysql.dialect())
    assert "snapshot DATETIME(6) NOT NULL" in create
    assert "sentence LONGTEXT NOT NULL" in create
    # SQLAlchemy 1.4 and 2 write them in another order.
    assert all(option in create for option in ("ENGINE=InnoDB", "CHARSET=utf8mb4", "COLLATE utf8mb4_bin"))


@pytest.mark.parametrize("name", ["snowflake", "bigquery", "redshift", "trino"])
def test_a_database_without_indexes_gets_none(name):
    (create,) = create_statements(utterances_table("utterances"), dialect(name))
    assert create.startswith("CREATE TABLE utterances (bot_id VARCHAR(255) NOT NULL")


def test_redshift_gets_texts_longer_than_its_default_of_256_bytes():
    (create,) = create_statements(utterances_table("utterances"), dialect("redshift"))
    assert "sentence VARCHAR(65535) NOT NULL" in create


def test_a_name_of_three_parts_is_that_of_a_table_in_another_database():
    table = utterances_table("lake.raw.utterances")
    check_name(table, mssql.dialect())
    assert create_statements(table, mssql.dialect())[0].startswith("CREATE TABLE lake.raw.utterances (")


@pytest.mark.parametrize("found", [postgresql.dialect(), mysql.dialect(), oracle.dialect()])
def test_a_name_of_three_parts_is_refused_elsewhere(found):
    with pytest.raises(KoreAIConfigurationError, match=f"three parts, and {found.name} has no names"):
        check_name(utterances_table("a.b.c"), found)


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
