"""What is written for databases that the tests cannot run."""

from __future__ import annotations

import pytest
from sqlalchemy.dialects import mssql, mysql, oracle, postgresql
from sqlalchemy.engine.default import DefaultDialect

from airflow_provider_koreai.exceptions import KoreAIConfigurationError
from airflow_provider_koreai.warehouse.table import check_name, create_statements, utterances_table


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
