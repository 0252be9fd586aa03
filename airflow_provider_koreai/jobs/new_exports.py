"""
Which exports are new to somebody who asks for a bot's latest one now and then. Without I/O.

The status call reports only the latest export, so of several that are made between two calls, only the last is noticed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.jobs.export import ExportIdentity, ExportStatus, Verdict, judge

if TYPE_CHECKING:
    from airflow_provider_koreai.jobs.export import Export

_OVER = (ExportStatus.SUCCESS, ExportStatus.FAILED)
_NONE = ExportIdentity()


class NewExports:
    """
    Remembers the latest export that is over.

    An export that is already over at the first look is not new; one that is still running then will be.

    :param file_type: the file type that is wanted; None: any.
    """

    def __init__(self, file_type: str | None = None) -> None:
        self._file_type = file_type
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
        before = self._latest
        is_over = export is not None and export.status in _OVER
        if export is None or not is_over:
            self._latest = _NONE if before is None else before
            return None
        if before not in (None, _NONE) and judge(before, export.identity) is not Verdict.SUPERSEDED:
            return None
        self._latest = export.identity
        if before is None or export.status is not ExportStatus.SUCCESS:
            return None
        has_other_type = ExportIdentity(file_type=self._file_type).has_other_type(export.identity)
        return None if has_other_type else export
