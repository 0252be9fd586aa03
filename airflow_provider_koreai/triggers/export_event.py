"""The trigger that starts DAGs when somebody has exported a bot."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime, timezone
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_koreai.api.calls import bot_id_argument
from airflow_provider_koreai.arguments import file_type_argument, seconds
from airflow_provider_koreai.exceptions import (
    KoreAIConfigurationError,
    KoreAIRateLimitError,
    KoreAIRefusedError,
)
from airflow_provider_koreai.jobs.new_exports import NewExports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from airflow.triggers.base import BaseEventTrigger

    from airflow_provider_koreai.hooks.koreai import KoreAIHook
    from airflow_provider_koreai.jobs.export import Export
else:
    try:
        from airflow.triggers.base import BaseEventTrigger
    except ImportError:
        # Airflow 2 has none; DAG files that import other triggers from triggers.koreai go on working.
        BaseEventTrigger = BaseTrigger

T = TypeVar("T")

# Spreads the watchers that a triggerer starts all at once.
JITTER = 0.1


class KoreAIExportEventTrigger(BaseEventTrigger):
    """
    Fires for each new export of a bot that succeeds, whoever started it. For ``AssetWatcher``, on Airflow 3.

    It never ends: whatever goes wrong is logged once, and it asks again after ``poll_interval``. An export that was
    done before the watch began does not count. From Airflow 3.3 on, what was seen is kept with the
    asset, so that a restart of the triggerer neither repeats nor misses the latest export; before that, exports that are
    done while no triggerer runs are missed.

    The event's payload is ``{"bot_id", "request_id", "requested_time", "file_type"}``, always strings. In the DAG it is the
    ``payload`` of the asset event's ``extra``.

    :param bot_id: the bot, for example ``st-ab12cd34-...``.
    :param file_type: fire only for exports of this file type, ``csv`` or ``json``. Default None: any.
    :param poll_interval: the pause between two status calls, in seconds, give or take a tenth. Default 300. Of several
        exports within one pause, only the last is noticed.
    :param koreai_conn_id: ID of a connection of type ``koreai``. Default ``koreai_default``.
    :raises KoreAIConfigurationError: an argument is not accepted, or this is Airflow 2.
    """

    def __init__(
        self,
        *,
        bot_id: str,
        file_type: str | None = None,
        poll_interval: float = 300.0,
        koreai_conn_id: str = "koreai_default",
        **kwargs: Any,
    ) -> None:
        if BaseEventTrigger is BaseTrigger:
            raise KoreAIConfigurationError(
                "KoreAIExportEventTrigger needs Airflow 3: Airflow 2 has no AssetWatcher. Use a scheduled DAG with "
                "KoreAIExportStatusSensor and newer_than instead."
            )
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        bot_id_argument(bot_id)
        self.bot_id = bot_id.strip()
        self.file_type = file_type_argument(file_type)
        self.poll_interval = seconds("poll_interval", poll_interval)
        self.koreai_conn_id = koreai_conn_id
        self._logged: set[str] = set()

    def serialize(self) -> tuple[str, dict[str, Any]]:
        cls = type(self)
        names = ("bot_id", "file_type", "poll_interval", "koreai_conn_id")
        return f"{cls.__module__}.{cls.__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        from airflow_provider_koreai.hooks.koreai import KoreAIHook

        hook = KoreAIHook(self.koreai_conn_id)
        # Airflow sets the store after __init__, on 3.3 and later.
        kept = _Kept(
            getattr(self, "asset_state_store", None), f"koreai_export:{self.bot_id}:{self.file_type or 'any'}"
        )
        exports = NewExports(self.file_type, since=datetime.now(timezone.utc))
        while True:
            errors: list[Exception] = []
            export = await _collecting(self._look(hook, kept, exports), errors)
            if export is not None:
                payload = {"bot_id": self.bot_id, **export.identity.as_dict()}
                yield TriggerEvent(payload)  # type: ignore[no-untyped-call]
            await _collecting(kept.write(exports.note), errors)
            self._tell(errors)
            await asyncio.sleep(self._pause(errors))

    async def _look(self, hook: KoreAIHook, kept: _Kept, exports: NewExports) -> Export | None:
        begins = exports.note is None and not exports.go_on_from(await kept.read(self.log))
        latest = None
        try:
            latest = await hook.aget_export(self.bot_id, max_tries=1)
        except KoreAIRefusedError as error:
            # The bot was never exported.
            if error.http_status != HTTPStatus.NOT_FOUND:
                raise
        if begins:
            self.log.info("From now on, watching bot %s for exports.", self.bot_id)
        return exports.observe(latest)

    def _tell(self, errors: list[Exception]) -> None:
        """Log each kind of trouble once, and its end."""
        for error in errors:
            kind = type(error).__name__
            if kind not in self._logged:
                self._logged.add(kind)
                self.log.warning(
                    "Watching bot %s for exports continues despite an error. %s: %s", self.bot_id, kind, error
                )
        if self._logged and not errors:
            self._logged.clear()
            self.log.info("Watching bot %s for exports works again.", self.bot_id)

    def _pause(self, errors: list[Exception]) -> float:
        spread = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 (no secret)
        asked = [error.retry_after or 0.0 for error in errors if isinstance(error, KoreAIRateLimitError)]
        return max([self.poll_interval * spread, *asked])


class _Kept:
    """
    A value that Airflow keeps for the asset that is watched; before Airflow 3.3 it keeps none.

    :param store: the asset's state store, None where there is none.
    """

    def __init__(self, store: Any, key: str) -> None:
        self._store = store
        self._key = key
        self._value: Any = None

    async def read(self, log: Any) -> Any:
        """Return the value, None where there is none."""
        try:
            self._value = await self._call("get")
        except ValueError:
            # Identical triggers of several assets are one to Airflow, and share no state.
            log.warning(
                "Several assets have the same KoreAIExportEventTrigger, so a restart of the triggerer may miss an export. "
                "Give the assets slightly different poll_interval values, or use one asset."
            )
            self._store = None
        return self._value

    async def write(self, value: Any) -> None:
        """Keep a value, unless it is kept already."""
        if value is not None and value != self._value:
            await self._call("set", value)
            self._value = value

    async def _call(self, method: str, *arguments: Any) -> Any:
        if self._store is None:
            return None
        # Airflow 3.3.0 and 3.3.1 have only what blocks the event loop.
        if hasattr(self._store, f"a{method}"):
            return await getattr(self._store, f"a{method}")(self._key, *arguments)
        return await asyncio.to_thread(getattr(self._store, method), self._key, *arguments)


async def _collecting(outcome: Awaitable[T], errors: list[Exception]) -> T | None:
    """Await an outcome, and add an error to the others: a watch that ended would only be started again, at once."""
    try:
        return await outcome
    except Exception as error:  # noqa: BLE001 (nothing is to end the watch)
        errors.append(error)
        return None
