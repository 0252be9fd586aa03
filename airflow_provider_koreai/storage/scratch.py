"""A temporary SQLite database: it grows on the disk, not in memory, and vanishes with the process."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from airflow_provider_koreai.exceptions import KoreAIError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SETTINGS = (
    "PRAGMA page_size = 32768",
    "PRAGMA cache_size = -16384",  # KiB; sorting takes as much again
    "PRAGMA temp_store = FILE",
    "PRAGMA journal_mode = OFF",  # nothing is ever rolled back
)


@contextmanager
def scratch_database(table: str, room: str) -> Iterator[sqlite3.Connection]:
    """
    Open a database with a table, inside a transaction.

    :param table: the statement that creates the table.
    :param room: how much room is needed, for the error when there is not enough.
    """
    try:
        with closing(sqlite3.connect("", isolation_level=None)) as database:
            for statement in (*_SETTINGS, table, "BEGIN"):
                database.execute(statement)
            yield database
    except sqlite3.Error as error:
        folder = os.environ.get("TMPDIR") or "/var/tmp"  # noqa: S108 - SQLite's choice
        raise KoreAIError(
            f"The temporary database in {folder!r} failed: {error}. {room}; set TMPDIR to use another folder."
        ) from error
