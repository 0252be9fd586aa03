"""How one bot behaves."""

from __future__ import annotations

import base64
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_koreai.emulator import checks
from airflow_provider_koreai.emulator.checks import ControlError, Rule
from airflow_provider_koreai.emulator.content import (
    MIN_SIZE,
    BytesContent,
    Content,
    DataSetContent,
    FileContent,
    GeneratedContent,
)
from airflow_provider_koreai.emulator.utterance_store import SEMANTICS

BUILT_IN_SUITE = "Developer defined utterances"

DATA_SETS = ("travel", "bank", "retail", "empty")


@dataclass(frozen=True)
class BotSettings:
    """Settings of one bot; docs/emulator.md explains each. ``None`` means the default of the emulator."""

    name: str | None = None
    data: str = "travel"
    rows: int | None = None
    size: int | None = None
    content_b64: str | None = None
    file: str | None = None
    bom: bool = False
    gzip: bool = False
    ranges: bool = True
    etag: str = "strong"
    media_url: str | None = None
    link_ttl: float | None = None
    seconds: float | None = None
    too_soon_seconds: float | None = None
    progress: str = "linear"
    empty_link_seconds: float = 0.0
    fail_with: list[Any] | None = None
    final_status: str | None = None
    lower_case: bool = False
    legacy: bool = False
    reuse_record: bool = True
    requested_time_offset_ms: int = 0
    other_status_id: bool = False
    status_without_time: bool = False
    earlier_seconds: float = 0.0
    overtaken_ms: int | None = None
    linked: bool = True
    scope: bool = True
    linked_apps: list[str] | None = None
    published_linked_apps: list[str] | None = None
    retry_after: str = "seconds"
    missing_scopes: list[str] = field(default_factory=list)
    import_seconds: float | None = None
    import_semantics: str = "replace"
    import_lost_rows: int = 0
    import_counts: str = "copied"
    import_fail_with: list[Any] | None = None
    import_final_status: str | None = None
    train_seconds: float | None = None
    train_answer: str = "list"
    train_fail: bool = False
    train_stale_seconds: float = 0.0
    train_versions: str = "counted"
    test_seconds: float | None = None
    test_suites: list[str] = field(default_factory=lambda: [BUILT_IN_SUITE])
    test_f1: float = 0.9
    test_precision: float = 0.9
    test_recall: float = 0.9
    test_fail: bool = False
    analytics_events: list[Any] | None = None
    analytics_per_hour: int = 4
    analytics_late_seconds: float = 0.0
    analytics_page: int = 50
    analytics_paging: str = "right"
    rate_limit_texts: str = "old"
    rate_limit_status: int = 429
    start_per_minute: int = 60
    start_per_hour: int = 1800
    status_per_minute: int = 60
    status_per_hour: int = 1800

    def content(self, file_type: str) -> Content:
        """Return the file that an export with these settings produces."""
        if self.content_b64 is not None:
            return BytesContent(base64.b64decode(self.content_b64))
        if self.file is not None:
            return FileContent(self.file)
        if self.rows is not None or self.size is not None:
            return GeneratedContent(self.data, file_type, rows=self.rows, size=self.size, bom=self.bom)
        return DataSetContent(self.data, file_type, bom=self.bom)


#: ``data`` is not among them: rows and size take their sentences from it.
_SOURCES = ("rows", "size", "content_b64", "file")
#: Any of them says anew which utterances a bot has.
CONTENT = frozenset({"data", *_SOURCES})
RULES: dict[str, Rule] = {
    "name": checks.TEXT,
    "data": checks.one_of(*DATA_SETS),
    "rows": checks.COUNT,
    "size": checks.at_least(MIN_SIZE),
    "content_b64": checks.BASE64,
    "file": Rule(lambda value: isinstance(value, str) and Path(value).is_file(), "path of a file"),
    "bom": checks.BOOLEAN,
    "gzip": checks.BOOLEAN,
    "ranges": checks.BOOLEAN,
    "etag": checks.one_of("strong", "weak", "none"),
    "media_url": checks.HEADER_VALUE,
    "link_ttl": checks.SECONDS,
    "seconds": checks.SECONDS,
    "too_soon_seconds": checks.SECONDS,
    "progress": checks.one_of("linear", "none", "steps", "sqrt"),
    "empty_link_seconds": checks.SECONDS,
    "fail_with": checks.LIST,
    "final_status": checks.TEXT,
    "lower_case": checks.BOOLEAN,
    "legacy": checks.BOOLEAN,
    "reuse_record": checks.BOOLEAN,
    "requested_time_offset_ms": checks.INTEGER,
    "other_status_id": checks.BOOLEAN,
    "status_without_time": checks.BOOLEAN,
    "earlier_seconds": checks.SECONDS,
    "overtaken_ms": checks.COUNT,
    "linked": checks.BOOLEAN,
    "scope": checks.BOOLEAN,
    "linked_apps": checks.TEXTS,
    "published_linked_apps": checks.TEXTS,
    "retry_after": checks.one_of("seconds", "date", "none"),
    "missing_scopes": checks.some_of("import", "train", "test", "metrics"),
    "import_seconds": checks.SECONDS,
    "import_semantics": checks.one_of(*SEMANTICS),
    "import_lost_rows": checks.COUNT,
    "import_counts": checks.one_of("copied", "sent"),
    "import_fail_with": checks.LIST,
    "import_final_status": checks.TEXT,
    "train_seconds": checks.SECONDS,
    "train_answer": checks.one_of("list", "object"),
    "train_fail": checks.BOOLEAN,
    "train_stale_seconds": checks.SECONDS,
    "train_versions": checks.one_of("counted", "same", "absent"),
    "test_seconds": checks.SECONDS,
    "test_suites": checks.TEXTS,
    "test_f1": checks.SHARE,
    "test_precision": checks.SHARE,
    "test_recall": checks.SHARE,
    "test_fail": checks.BOOLEAN,
    "analytics_events": checks.LIST,
    "analytics_per_hour": checks.COUNT,
    "analytics_late_seconds": checks.SECONDS,
    "analytics_page": checks.COUNT,
    "analytics_paging": checks.one_of("right", "endless", "repeats", "shrinks", "grows"),
    "rate_limit_texts": checks.one_of("old", "new"),
    "rate_limit_status": checks.STATUS,
    "start_per_minute": checks.COUNT,
    "start_per_hour": checks.COUNT,
    "status_per_minute": checks.COUNT,
    "status_per_hour": checks.COUNT,
}


def change(settings: BotSettings, document: Any) -> BotSettings:
    """Apply changes; what is not named stays, ``null`` brings a default back.

    Of the settings that say what is exported, naming one drops the others.
    """
    changes = dict(checks.check("setting", document, RULES, nullable=True))
    named = [key for key in _SOURCES if changes.get(key) is not None]
    if len(named) > 1:
        raise ControlError(f"settings {' and '.join(named)} exclude each other")
    for key in [key for key in changes if changes[key] is None]:
        changes[key] = getattr(BotSettings(), key)
    if named or "data" in changes:
        changes = {**dict.fromkeys(_SOURCES), **changes}
    return dataclasses.replace(settings, **changes)


@dataclass(frozen=True)
class AccountSettings:
    """
    Settings of what belongs to no bot.

    :param upload_by: which apps may upload: ``any``, or only the ``admin`` app.
    :param upload_per_minute: rate limit of uploads, per app.
    :param upload_per_hour: likewise.
    :param shared_limit: how many calls, of whatever kind, all apps and bots together may make in ``shared_seconds``; ``None``:
        any number.
    :param shared_seconds: how long that window is.
    """

    upload_by: str = "any"
    upload_per_minute: int = 60
    upload_per_hour: int = 1800
    shared_limit: int | None = None
    shared_seconds: float = 60.0


ACCOUNT_RULES: dict[str, Rule] = {
    "upload_by": checks.one_of("any", "admin"),
    "upload_per_minute": checks.COUNT,
    "upload_per_hour": checks.COUNT,
    "shared_limit": checks.COUNT,
    "shared_seconds": checks.more_than_zero(),
}


def change_account(settings: AccountSettings, document: Any) -> AccountSettings:
    """Apply changes; ``null`` brings a default back."""
    changes = checks.check("setting", document, ACCOUNT_RULES, nullable=True)
    defaults = dataclasses.asdict(AccountSettings())
    return dataclasses.replace(
        settings, **{key: defaults[key] if value is None else value for key, value in changes.items()}
    )
