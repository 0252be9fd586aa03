"""
Which exports are new to somebody who asks for a bot's latest one now and then. Without I/O.

The status call reports only the latest export, so of several that are made between two calls, only the last is noticed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.arguments import parse_time
from airflow_provider_koreai.jobs.export import ExportIdentity, ExportStatus, Verdict, judge

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_koreai.jobs.export import Export

_OVER = (ExportStatus.SUCCESS, ExportStatus.FAILED)
_NONE = ExportIdentity()


class NewExports:
    """
    Remembers the latest export that is over.

    At the first look, an export that is over is new if it was requested after ``since``; one that is running will be.

    :param file_type: the file type that is wanted; None: any.
    :param since: when the watch began; None: before the first look nothing is new.
    """

    def __init__(self, file_type: str | None = None, *, since: datetime | None = None) -> None:
        self._file_type = file_type
        self._since = since
        # None: nobody has looked yet. _NONE: no export was over when somebody did.
        self._latest: ExportIdentity | None = None

    @property
    def note(self) -> dict[str, str] | None:
        """What to keep for :meth:`go_on_from` over a restart, as JSON-safe values; None before the first look."""
        return None if self._latest is None else self._latest.as_dict()

    def go_on_from(self, note: Any) -> bool:
        """Go on from a :attr:`note`, unless it is not one; return whether it was."""
        if not isinstance(note, dict):
            return False
        values = [note.get(key) for key in _NONE.as_dict()]
        if not all(isinstance(value, str) for value in values):
            return False
        self._latest = ExportIdentity(*(value or None for value in values))
        return True

    def observe(self, export: Export | None) -> Export | None:
        """Take in the bot's latest export (None: it has none), and return it if it is new and has succeeded."""
        if export is None or export.status not in _OVER:
            self._latest = self._latest or _NONE
            return None
        is_new = self._is_new(export)
        if is_new or self._latest is None:
            self._latest = export.identity
        if not is_new or export.status is not ExportStatus.SUCCESS:
            return None
        has_other_type = ExportIdentity(file_type=self._file_type).has_other_type(export.identity)
        return None if has_other_type else export

    def _is_new(self, export: Export) -> bool:
        if self._latest is None:
            requested = parse_time(export.requested_time)
            return self._since is not None and requested is not None and requested >= self._since
        return self._latest == _NONE or judge(self._latest, export.identity) is Verdict.SUPERSEDED
