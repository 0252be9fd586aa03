"""
The tables that are loaded into: their columns, whether an existing table fits, their statements. No I/O.

SQLAlchemy writes the statements: it quotes identifiers and names types as each database wants them.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, DateTime, Index, MetaData, String, Table, Unicode, UnicodeText
from sqlalchemy.dialects import mssql, mysql
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.types import JSON

from airflow_provider_koreai.exceptions import KoreAIConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy.engine import Dialect

# The columns that differ from row to row stand together, so that the text on both sides of them is made once.
BEFORE = ("bot_id", "snapshot")
AFTER = ("export_request_id", "requested_time", "loaded_at")
COLUMNS = (*BEFORE, "task_name", "sentence", "type", "language", "entities", *AFTER)
# Marks of columns: rows are found by these times, so they must not be rounded; and JSON columns will do for JSON text.
_EXACT, _JSON = {"exact": True}, {"json": True}
# No % and no control characters: drivers take a % for a placeholder.
_PART = r'[^".%\x00-\x1f]+|"(?:[^"%\x00-\x1f]|"")+"'
_NAME = re.compile(rf"(?:(?:(?P<catalog>{_PART})\.)?(?P<schema>{_PART})\.)?(?P<table>{_PART})")
# Those whose SQLAlchemy dialects split a schema at its dot.
_WITH_CATALOGS = {"mssql", "snowflake", "duckdb"}
_WITHOUT_INDEXES = {"snowflake", "bigquery", "redshift", "trino"}
MYSQL = ("mysql", "mariadb")
# Compared by code points: another bot's ID differs perhaps only in case.
_MYSQL_OPTIONS = {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_bin"}
_MSSQL_COLLATION = "Latin1_General_100_BIN2"


def _time() -> Any:
    kind: Any = DateTime(timezone=True)
    # MySQL's default rounds to whole seconds, and would not find a snapshot again.
    for name in MYSQL:
        kind = kind.with_variant(mysql.DATETIME(fsp=6), name)
    return kind


def _text() -> Any:
    # SQL Server's NTEXT, the default, is deprecated; MySQL's TEXT ends after 64 KiB, Redshift's after 256 bytes.
    kind: Any = UnicodeText().with_variant(mssql.NVARCHAR(None, collation=_MSSQL_COLLATION), "mssql")
    kind = kind.with_variant(String(65535), "redshift")
    for name in MYSQL:
        kind = kind.with_variant(mysql.LONGTEXT(), name)
    return kind


def utterances_table(name: object) -> Table:
    """Describe the table of utterances; the name is that of :func:`_table`."""
    # Not unique: an export may have an utterance twice, and a snapshot has what the export has.
    return _table(
        name,
        "utterances",
        ("bot_id", "snapshot"),
        Column("bot_id", Unicode(255), nullable=False),
        Column("snapshot", _time(), nullable=False, info=_EXACT),
        Column("task_name", _text()),
        Column("sentence", _text(), nullable=False),
        Column("type", _text()),
        Column("language", _text()),
        Column("entities", _text(), info=_JSON),
        Column("export_request_id", _text()),
        Column("requested_time", _time()),
        Column("loaded_at", _time()),
    )


def analytics_table(name: object) -> Table:
    """Describe the table of analytics; the name is that of :func:`_table`."""
    # Not unique: users say the same thing twice.
    return _table(
        name,
        "analytics",
        ("bot_id", "analytics_type", "event_time"),
        Column("bot_id", Unicode(255), nullable=False),
        Column("analytics_type", Unicode(64), nullable=False),
        Column("event_time", _time(), info=_EXACT),
        Column("utterance", _text()),
        Column("intent", _text()),
        Column("task_name", _text()),
        Column("language", _text()),
        Column("channel", _text()),
        Column("user_id", _text()),
        Column("details", _text()),
        Column("interval_start", _time(), nullable=False, info=_EXACT),
        Column("interval_end", _time()),
        Column("loaded_at", _time()),
    )


def _table(name: object, content: str, index: tuple[str, ...], *columns: Column[Any]) -> Table:
    """
    Describe a table. What it cannot do without is not nullable.

    :param name: ``table``, ``schema.table`` or ``database.schema.table``, each as the database spells it, in double
        quotes if it contains a dot.
    :raises KoreAIConfigurationError: it is not such a name.
    """
    match = _NAME.fullmatch(name) if isinstance(name, str) else None
    parts = {key: _unquoted(part) for key, part in match.groupdict().items() if part} if match else {}
    catalog, schema = parts.get("catalog"), parts.get("schema")
    if match is None or (catalog and "." in f"{catalog}{schema}"):
        raise KoreAIConfigurationError(
            f"table={name!r:.200} is not a table name. Use table, schema.table or database.schema.table; put a name that "
            "contains a dot in double quotes. Names must not contain % or control characters."
        )
    # SQLAlchemy shortens an index name that is too long for the database.
    metadata = MetaData(naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s"})
    options: dict[str, Any] = {
        f"{name}_{key}": value for name in MYSQL for key, value in _MYSQL_OPTIONS.items()
    }
    table: Table = Table(
        parts["table"],
        metadata,
        *columns,
        schema=f"{catalog}.{schema}" if catalog else schema,
        info={"name": name, "has_catalog": bool(catalog), "content": content},
        **options,
    )
    Index(None, *(table.c[column] for column in index))
    return table


def _unquoted(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part


def as_utc(value: datetime) -> datetime:
    """Return a time of the table in UTC; databases without time zones return it without one."""
    return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)


def create_statements(table: Table, dialect: Dialect) -> list[str]:
    """Return the statements that create the table and, where the database has indexes, its index."""
    elements: list[Any] = [CreateTable(table)]
    if dialect.name not in {"postgresql", *_WITHOUT_INDEXES}:
        elements += map(CreateIndex, table.indexes)
    texts = [str(element.compile(dialect=dialect)) for element in elements]
    if dialect.name == "postgresql":
        # PostgreSQL then chooses a free name: a table that was renamed keeps its index's name.
        name = dialect.identifier_preparer.format_table(table)
        columns = (", ".join(index.columns.keys()) for index in table.indexes)
        texts += [f"CREATE INDEX ON {name} ({each})" for each in columns]
    return [
        text.replace(", \n\t", ", ").replace("\n)", ") ").replace("\n", "").replace("\t", "").strip()
        for text in texts
    ]


def _add_statements(table: Table, names: Iterable[str], dialect: Any) -> list[str]:
    compiler = dialect.ddl_compiler(dialect, None)
    name = dialect.identifier_preparer.format_table(table)
    return [
        f"ALTER TABLE {name} ADD {compiler.get_column_specification(table.c[column])}" for column in names
    ]


def check_columns(table: Table, found: Iterable[Mapping[str, Any]], dialect: Dialect) -> None:
    """
    Compare an existing table's columns, as SQLAlchemy's inspector returns them, with those needed; others are allowed.

    :raises KoreAIConfigurationError: a column is missing or of the wrong type. The text has the statements to run.
    """
    existing = {column["name"]: column["type"] for column in found}
    missing = [column.name for column in table.c if column.name not in existing]
    problems = [f"it has no column {', '.join(missing)}"] if missing else []
    wrong = [
        f"{column.name} is {existing[column.name]!s:.40} instead of {column.type.compile(dialect=dialect)}"
        for column in table.c
        if column.name in existing and not _fits(column, existing[column.name], dialect)
    ]
    if not missing and not wrong:
        return
    remedy = "Name a table that does not exist yet; it is then created"
    # A table without the columns that are not nullable is a table of something else.
    if not wrong and all(table.c[name].nullable for name in missing):
        remedy += f". Or add what is missing: {'; '.join(_add_statements(table, missing, dialect))}"
    raise KoreAIConfigurationError(
        f"table={table.info['name']!r} cannot hold {table.info['content']}: {'; '.join(problems + wrong)}. {remedy}"
    )


def _fits(column: Column[Any], kind: Any, dialect: Dialect) -> bool:
    # SQLAlchemy 1.4, which Airflow has up to 3.0, wraps a type that has variants.
    if not isinstance(getattr(column.type, "impl", column.type), DateTime):
        return isinstance(kind, (String, JSON) if column.info == _JSON else String)
    if not isinstance(kind, DateTime):
        return False
    if dialect.name == "postgresql":
        # Without a time zone PostgreSQL would compare in the session's.
        return bool(getattr(kind, "timezone", False))
    return dialect.name not in MYSQL or column.info != _EXACT or getattr(kind, "fsp", None) == 6


def check_name(table: Table, dialect: Dialect) -> None:
    """
    Refuse a name that the database does not have: of three parts, or longer than PostgreSQL's, which it would cut.

    :raises KoreAIConfigurationError: it is such a name.
    """
    name = table.info["name"]
    if table.info["has_catalog"] and dialect.name not in _WITH_CATALOGS:
        raise KoreAIConfigurationError(
            f"table={name!r} has three parts, and {dialect.name} has no names of the form database.schema.table. Use table "
            "or schema.table, and choose the database in the connection."
        )
    longest = dialect.max_identifier_length
    if dialect.name == "postgresql" and any(
        len(part.encode()) > longest for part in (table.name, table.schema or "")
    ):
        raise KoreAIConfigurationError(
            f"table={name!r} is too long: a name in PostgreSQL has at most {longest} bytes."
        )


def lock_key(*what: object) -> int:
    """Return the number, of 64 bits with a sign, of the lock of something."""
    name = "\0".join(map(str, ("airflow_provider_koreai", *what)))
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
