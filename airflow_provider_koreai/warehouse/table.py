"""
The table that utterances are loaded into: its columns, whether an existing one fits, its statements. No I/O.

SQLAlchemy writes the statements, so that identifiers are quoted and types are named as each database wants it.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, DateTime, Index, MetaData, String, Table, Unicode, UnicodeText
from sqlalchemy.dialects import mysql
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.types import JSON

from airflow_provider_koreai.exceptions import KoreAIConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy.engine import Dialect

# The columns that differ from row to row stand together, so that what is before and behind them is made once.
BEFORE = ("bot_id", "snapshot")
VARYING = ("task_name", "sentence", "type", "language", "entities", "row_hash")
BEHIND = ("export_request_id", "requested_time", "loaded_at")
COLUMNS = (*BEFORE, *VARYING, *BEHIND)
# A table without these is a table of something else, which no parameter may add columns to.
_ESSENTIAL = ("bot_id", "snapshot", "sentence")
# Nothing that a driver takes for a placeholder, and no control characters.
_PART = r'[^".%\x00-\x1f]+|"(?:[^"%\x00-\x1f]|"")+"'
_NAME = re.compile(rf"(?:(?P<schema>{_PART})\.)?(?P<table>{_PART})")
# MySQL would round to whole seconds, and not find a snapshot again.
_time = DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql")


def utterances_table(name: object) -> Table:
    """
    Describe the table.

    :param name: ``table`` or ``schema.table``, each literally as the database knows it; in double quotes where it
        has a dot itself.
    :raises KoreAIConfigurationError: it is no such name.
    """
    match = _NAME.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        raise KoreAIConfigurationError(
            f"table={name!r:.200} is no table's name; use table or schema.table, in double quotes where one has a dot. "
            "It may hold no % and no control characters."
        )
    parts = {key: _unquoted(part) for key, part in match.groupdict().items() if part}
    # SQLAlchemy shortens a name that is too long for the database.
    metadata = MetaData(naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s"})
    table = Table(
        parts["table"],
        metadata,
        Column("bot_id", Unicode(255), nullable=False),
        Column("snapshot", _time, nullable=False),
        Column("task_name", UnicodeText),
        Column("sentence", UnicodeText, nullable=False),
        Column("type", UnicodeText),
        Column("language", UnicodeText),
        Column("entities", UnicodeText),
        Column("row_hash", String(64)),
        Column("export_request_id", UnicodeText),
        Column("requested_time", _time),
        Column("loaded_at", _time),
        schema=parts.get("schema"),
        info={"name": name},
    )
    # Not unique with row_hash: an export may have an utterance twice, and a snapshot is what the export has.
    Index(None, table.c.bot_id, table.c.snapshot)
    return table


def _unquoted(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part


def as_utc(value: datetime) -> datetime:
    """
    Read a time of the table; databases without time zones give it without one.

    :param value: what the database gave.
    """
    return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)


def create_statements(table: Table, dialect: Dialect) -> list[str]:
    """
    Write what makes the table and its index.

    :param table: from :func:`utterances_table`.
    :param dialect: the database's.
    """
    elements: list[Any] = [CreateTable(table)]
    if dialect.name != "postgresql":
        elements += map(CreateIndex, table.indexes)
    texts = [str(element.compile(dialect=dialect)) for element in elements]
    if dialect.name == "postgresql":
        # Without a name: it finds one that is free. A table that was put aside keeps its index's name.
        name = dialect.identifier_preparer.format_table(table)
        texts.append(f"CREATE INDEX ON {name} (bot_id, snapshot)")
    return [text.replace(", \n\t", ", ").replace("\n", "").replace("\t", "").strip() for text in texts]


def add_statements(table: Table, names: Iterable[str], dialect: Any) -> list[str]:
    """
    Write what adds columns to the table.

    :param table: from :func:`utterances_table`.
    :param names: the columns.
    :param dialect: the database's.
    """
    compiler = dialect.ddl_compiler(dialect, None)
    name = dialect.identifier_preparer.format_table(table)
    return [
        f"ALTER TABLE {name} ADD {compiler.get_column_specification(table.c[column])}" for column in names
    ]


def missing_columns(
    table: Table, found: Iterable[Mapping[str, Any]], dialect: Dialect, *, may_add: bool
) -> tuple[str, ...]:
    """
    Compare the table that there is with the one that is needed. Further columns are left alone.

    :param table: from :func:`utterances_table`.
    :param found: its columns, as SQLAlchemy's inspector gives them.
    :param dialect: the database's.
    :param may_add: missing columns may be added.
    :return: the columns to add.
    :raises KoreAIConfigurationError: a column is of the wrong kind, or one is missing and must not be added; the text
        has the statements that mend it.
    """
    there = {column["name"]: column["type"] for column in found}
    missing = tuple(name for name in COLUMNS if name not in there)
    wrong = [
        f"{name} is {there[name]!s:.40} instead of {table.c[name].type.compile(dialect=dialect)}"
        for name in COLUMNS
        if name in there and not _fits(name, there[name], dialect)
    ]
    if not wrong and (not missing or (may_add and not set(missing) & set(_ESSENTIAL))):
        return missing
    problems = [f"it has no column {', '.join(missing)}"] if missing else []
    remedy = "Name another table, which is then created"
    if not wrong and not set(missing) & set(_ESSENTIAL):
        remedy += f"; or pass add_columns=True, or run: {'; '.join(add_statements(table, missing, dialect))}"
    raise KoreAIConfigurationError(
        f"table={table.info['name']!r} cannot hold utterances: {'; '.join(problems + wrong)}. {remedy}"
    )


def _fits(name: str, kind: Any, dialect: Dialect) -> bool:
    if name in ("snapshot", "requested_time", "loaded_at"):
        # Without a time zone PostgreSQL would compare it in the session's.
        return isinstance(kind, DateTime) and (
            dialect.name != "postgresql" or bool(getattr(kind, "timezone", False))
        )
    return isinstance(kind, (String, JSON) if name == "entities" else String)


def check_name(table: Table, dialect: Dialect) -> None:
    """
    Refuse a name that is too long: PostgreSQL would cut it, and not find the table again.

    :param table: from :func:`utterances_table`.
    :param dialect: the database's.
    :raises KoreAIConfigurationError: it is too long.
    """
    most = dialect.max_identifier_length
    if dialect.name != "postgresql" or all(
        len(name.encode()) <= most for name in (table.name, table.schema or "")
    ):
        return
    raise KoreAIConfigurationError(
        f"table={table.info['name']!r} is too long; a name in PostgreSQL has at most {most} bytes."
    )


def lock_key(*what: object) -> int:
    """
    Give the number of an advisory lock, 64 bits with a sign.

    :param what: what is locked, in words or numbers.
    """
    name = "\0".join(map(str, ("airflow_provider_koreai", *what)))
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
