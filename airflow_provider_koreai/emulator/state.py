"""Bots, their exports and files, and the log of requests."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
import time
import uuid
from collections import OrderedDict, deque
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from airflow_provider_koreai.emulator import settings as bot_settings
from airflow_provider_koreai.emulator.config import DEMO_BOT, EmulatorConfig
from airflow_provider_koreai.emulator.content import BytesContent
from airflow_provider_koreai.emulator.faults import FaultList
from airflow_provider_koreai.emulator.limits import RollingWindows
from airflow_provider_koreai.emulator.settings import AccountSettings, BotSettings
from airflow_provider_koreai.emulator.tokens import TokenCheck
from airflow_provider_koreai.emulator.utterance_store import UtteranceStore, language_of, read_entries

if TYPE_CHECKING:
    from airflow_provider_koreai.emulator.batch_tests import BatchTest
    from airflow_provider_koreai.emulator.content import Content
    from airflow_provider_koreai.emulator.imports import Import, Upload
    from airflow_provider_koreai.emulator.trainings import Training

MEDIA_PATH = "/api/getMediaStream/market/"
_MAX_FILES = 20_000
_MAX_LOG = 20_000
_MAX_UPLOADS = 100
#: Namespace of made-up IDs, so that they look like the vendor's and are the same on every start.
_IDS = uuid.UUID("6f1f5a3e-2a1d-4f0e-9d55-2b1f0e9a7c11")

_BUILT_IN = {
    DEMO_BOT: BotSettings(name="Demo Travel"),
    "st-demo-bank": BotSettings(name="Demo Bank", data="bank"),
    "st-demo-retail": BotSettings(name="Demo Retail", data="retail"),
    "st-demo-empty": BotSettings(name="Demo Empty", data="empty"),
    "st-demo-universal": BotSettings(
        name="Demo Universal", data="empty", linked_apps=[DEMO_BOT, "st-demo-bank", "st-demo-retail"]
    ),
}


def made_up_id(*parts: object) -> str:
    """Return a UUID that depends on nothing but the parts."""
    return str(uuid.uuid5(_IDS, "/".join(map(str, parts))))


def iso_time(milliseconds: int) -> str:
    """Return the vendor's form of a time."""
    moment = datetime.fromtimestamp(milliseconds // 1000, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


@dataclass
class StoredFile:
    """What a download link leads to."""

    bot_id: str
    content: Content
    file_type: str
    modified: float
    name: str


@dataclass
class Export:
    """One export of a bot. Times in seconds since the epoch, unless named otherwise."""

    record_id: str
    created_ms: int
    requested_ms: int
    started: float
    state: str
    file_type: str
    file_id: str
    finished: float | None = None
    asked: bool = False


@dataclass
class Bot:
    """A bot and what is going on with it."""

    id: str
    settings: BotSettings
    faults: FaultList = field(default_factory=FaultList)
    export: Export | None = None
    earlier: Export | None = None
    exports: int = 0
    store: UtteranceStore | None = None
    imports: dict[str, Import] = field(default_factory=dict)
    trainings: dict[str, Training] = field(default_factory=dict)
    tests: dict[str, BatchTest] = field(default_factory=dict)
    analytics_calls: int = 0
    jobs: int = 0

    def new_job_id(self, prefix: str) -> str:
        """Return the ID of the bot's next import or batch test."""
        self.jobs += 1
        return f"{prefix}-{made_up_id(prefix, self.id, self.jobs)}"

    @property
    def name(self) -> str:
        """Its name, made up if need be."""
        return self.settings.name or self.id


@dataclass
class LogEntry:
    """One request, without anything secret."""

    time: float
    call: str
    bot: str | None
    method: str
    path: str
    auth: bool
    client: str | None = None
    status: int | None = None
    jti: str | None = None
    claims: list[str] | None = None
    expires_in: float | None = None
    range: str | None = None
    if_range: str | None = None
    params: dict[str, str] | None = None
    user_agent: str | None = None
    fault: str | None = None
    sent: int = 0
    done: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the entry as the control endpoint shows it."""
        return asdict(self)


class State:
    """Everything that changes while the emulator runs."""

    def __init__(self, config: EmulatorConfig) -> None:
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Forget everything that happened and was set since the start, download links included."""
        self.bots: dict[str, Bot] = {id_: Bot(id_, settings) for id_, settings in _BUILT_IN.items()}
        self.faults = FaultList()
        self.files: OrderedDict[str, StoredFile] = OrderedDict()
        self.log: deque[LogEntry] = deque(maxlen=_MAX_LOG)
        self.account = AccountSettings()
        self.uploads: OrderedDict[str, Upload] = OrderedDict()
        self.tokens = TokenCheck(self.config)
        self.windows = RollingWindows()
        self._link_key = secrets.token_bytes(32)
        self._links = 0

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def configure(self, bot_id: str, document: Any) -> Bot:
        """Change a bot's settings; a new ID is a new bot."""
        bot = self.bots.get(bot_id) or Bot(bot_id, BotSettings())
        changed = bot_settings.change(bot.settings, document)
        now = self.now()
        if bot.export and not self.is_finished(bot, now):
            bot.settings = changed
            if self.is_finished(bot, now):
                bot.export.finished = now
        bot.settings = changed
        self.bots[bot_id] = bot
        if bot_settings.CONTENT & set(document):
            bot.store = None
            bot.imports.clear()
        return bot

    def seconds(self, bot: Bot, other: float | None = None) -> float:
        """Return how long exports of a bot take, and other jobs without a time of their own."""
        own = bot.settings.seconds if other is None else other
        return self.config.seconds if own is None else own

    def keep_upload(self, upload: Upload) -> str:
        """Keep a file for imports, and return its ID, which is a secret."""
        file_id = secrets.token_hex(12)
        self.uploads[file_id] = upload
        while len(self.uploads) > _MAX_UPLOADS:
            self.uploads.popitem(last=False)
        return file_id

    def settle_imports(self, bot: Bot) -> None:
        """Carry out the imports whose time is over."""
        now, seconds = self.now(), self.seconds(bot, bot.settings.import_seconds)
        for pending in bot.imports.values():
            if pending.status is None and now >= pending.started + seconds:
                bot.store = bot.store or self._original(bot)
                pending.finish(bot.store, bot.settings)

    @staticmethod
    def _original(bot: Bot) -> UtteranceStore:
        content = bot.settings.content("json")
        data = b"".join(content.read(0, content.size))
        file_type = "json" if data.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"[") else "csv"
        return UtteranceStore(read_entries(data, file_type))

    def utterances(self, bot: Bot, language: str, published: bool = False) -> int:
        """Return how many utterances a bot has in a language; imports leave the published bot as it is."""
        self.settle_imports(bot)
        store = self._original(bot) if published or bot.store is None else bot.store
        return sum(language_of(entry) == language for entry in store.entries)

    def too_soon(self, bot: Bot, export: Export | Import, now: float) -> bool:
        """Return whether a status call comes too soon: the first one does, unless a time is set."""
        first, export.asked = not export.asked, True
        own = bot.settings.too_soon_seconds
        limit = self.config.too_soon_seconds if own is None else own
        return first if limit is None else now - export.started < limit

    def is_finished(self, bot: Bot, now: float, export: Export | None = None) -> bool:
        """Return whether an export of a bot, by default its latest, is done."""
        export = export or bot.export
        if export is None:
            return False
        return export.finished is not None or now >= export.started + self.seconds(bot)

    def reported(self, bot: Bot, now: float) -> Export | None:
        """Return the export that the status call reports: a bot's latest, or for a while the one before it."""
        if bot.export and bot.earlier and now - bot.export.started < bot.settings.earlier_seconds:
            return bot.earlier
        return bot.export

    def start_export(self, bot: Bot, state: str, file_type: str, *, later_ms: int = 0) -> Export:
        """Start an export; it takes the place of the bot's earlier one."""
        now = self.now()
        milliseconds = int(now * 1000) + later_ms
        earlier = bot.export
        bot.exports += 1
        if earlier is not None:
            milliseconds = max(milliseconds, earlier.requested_ms + 1)
        reused = earlier if bot.settings.reuse_record else None
        file_id = "f-" + made_up_id("file", bot.id, bot.exports)
        self.settle_imports(bot)
        content = bot.settings.content(file_type)
        if bot.store is not None and state == "configured":
            content = BytesContent(bot.store.render(file_type, bom=bot.settings.bom))
        self.files[file_id] = StoredFile(
            bot_id=bot.id,
            content=content,
            file_type=file_type,
            modified=now,
            name=re.sub(r"[^A-Za-z0-9._-]", "_", f"{bot.id}-{state}.{file_type}"),
        )
        while len(self.files) > _MAX_FILES:
            self.files.popitem(last=False)
        bot.earlier = earlier
        bot.export = Export(
            record_id=reused.record_id if reused else "ds-" + made_up_id("record", bot.id, bot.exports),
            created_ms=reused.created_ms if reused else milliseconds - 1,
            requested_ms=milliseconds,
            started=now,
            state=state,
            file_type=file_type,
            file_id=file_id,
        )
        return bot.export

    def start_document(self, bot: Bot, export: Export) -> dict[str, Any]:
        """Return the answer to a start."""
        return self._document(
            bot, export, "IN_PROGRESS", 0, [], export.requested_ms, int(export.started * 1000)
        )

    def status_document(self, bot: Bot, export: Export, now: float, base_url: str) -> dict[str, Any]:
        """Return the answer to a status call, which may not repeat what the start said."""
        document = self._status_document(bot, export, now, base_url)
        if bot.settings.other_status_id:
            document["_id"] = "ds-" + made_up_id("status record", export.record_id)
        if bot.settings.status_without_time:
            document.pop("requestedTime", None)
        return document

    def _status_document(self, bot: Bot, export: Export, now: float, base_url: str) -> dict[str, Any]:
        settings = bot.settings
        finished = self.is_finished(bot, now, export)
        requested_ms = export.requested_ms + settings.requested_time_offset_ms
        ended = export.finished or export.started + self.seconds(bot)
        modified_ms = int((ended if finished else now) * 1000)
        if not finished:
            percent = self._percent(bot, export, now)
            return self._document(bot, export, "IN_PROGRESS", percent, [], requested_ms, modified_ms)
        if settings.fail_with is not None:
            status = settings.final_status or "FAILED"
            percent = self._percent(bot, export, now)
            return self._document(bot, export, status, percent, settings.fail_with, requested_ms, modified_ms)
        status = settings.final_status or "SUCCESS"
        document = self._document(bot, export, status, 100, [], requested_ms, modified_ms)
        ready = now >= ended + settings.empty_link_seconds
        key = "downloadURL" if settings.lower_case else "downloadUrl"
        document[key] = self.link(bot, export, now, base_url) if ready else ""
        return document

    def _percent(self, bot: Bot, export: Export, now: float) -> int:
        seconds = self.seconds(bot)
        part = min(1.0, max(0.0, (now - export.started) / seconds)) if seconds else 1.0
        curve = {"linear": part, "none": 0.0, "steps": math.floor(part * 4) / 4, "sqrt": math.sqrt(part)}
        return min(99, int(100 * curve[bot.settings.progress]))

    @staticmethod
    def _document(
        bot: Bot,
        export: Export,
        status: str,
        percent: int,
        logs: list[Any],
        requested_ms: int,
        modified_ms: int,
    ) -> dict[str, Any]:
        document: dict[str, Any] = {
            "status": status.lower() if bot.settings.lower_case else status,
            "percentageComplete": percent,
            "streamId": bot.id,
            "jobType": "ML_UTTERANCE",
            "action": "EXPORT",
            "countOfDockStatuses": 1,
            "createdBy": "u-" + made_up_id("user"),
            "fileType": export.file_type.upper(),
            "statusLogs": logs,
            "_id": export.record_id,
            "lMod": iso_time(modified_ms // 1000 * 1000),
            "createdOn": iso_time(export.created_ms),
            "requestedTime": iso_time(requested_ms),
            "__v": 0,
        }
        if bot.settings.legacy:
            del document["requestedTime"], document["countOfDockStatuses"]
        return document

    def link(self, bot: Bot, export: Export, now: float, base_url: str) -> str:
        """Return a signed download link."""
        return self._link(bot, f"{export.file_id}.{export.file_type}", now, base_url)

    def test_link(self, bot: Bot, run: BatchTest, now: float, base_url: str) -> str:
        """Return a signed link to the result of a batch test."""
        file_id = "f-" + made_up_id("test", bot.id, run.id)
        content = BytesContent(f"testSuite,utterances\n{run.suite},{run.utterances}\n".encode())
        self.files.setdefault(file_id, StoredFile(bot.id, content, "csv", now, "result.csv"))
        return self._link(bot, f"{file_id}.csv", now, base_url)

    def _link(self, bot: Bot, name: str, now: float, base_url: str) -> str:
        own = bot.settings.link_ttl
        expiry = int((now + (self.config.link_ttl if own is None else own)) * 1000)
        self._links += 1
        path = f"{MEDIA_PATH}{name}"
        number = str(self._links)
        query = urlencode({"n": number, "s": self._sign(path, number, str(expiry)), "e": str(expiry)})
        base = bot.settings.media_url or self.config.media_url or base_url
        return f"{base.rstrip('/')}{path}?{query}"

    def file_for(self, path: str, number: str, signature: str, expiry: str, now: float) -> StoredFile | None:
        """Return the file that a link leads to, if the link is good."""
        good = hmac.compare_digest(self._sign(path, number, expiry).encode(), signature.encode())
        if not good or int(expiry) <= now * 1000:
            return None
        return self.file_at(path)

    def file_at(self, path: str) -> StoredFile | None:
        """Return the file at a path, however one came to it."""
        return self.files.get(path.removeprefix(MEDIA_PATH).rpartition(".")[0])

    def _sign(self, path: str, number: str, expiry: str) -> str:
        message = f"{path}\n{number}\n{expiry}".encode()
        return hmac.new(self._link_key, message, hashlib.sha256).hexdigest()
