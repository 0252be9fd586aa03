"""The trigger of asset watchers, against the emulator: what fires it, what it survives, and what it remembers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import Asset
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_koreai.api import async_client
from airflow_provider_koreai.exceptions import KoreAIConfigurationError
from airflow_provider_koreai.triggers.koreai import KoreAIExportEventTrigger
from tests.support.logs import everything_logged
from tests.support.scenarios import KoreAI

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

BOT = "st-demo-travel"
LIMIT = 20

needs_watchers = pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="Airflow 2 has no asset watchers")


class Store:
    """An asset's state store, as Airflow 3.3.2 has it."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.broken = False

    async def aget(self, key: str) -> Any:
        return self._get(key)

    async def aset(self, key: str, value: Any) -> None:
        self._set(key, value)

    def _get(self, key: str) -> Any:
        if self.broken:
            raise RuntimeError("the store does not answer")
        return self.values.get(key)

    def _set(self, key: str, value: Any) -> None:
        if self.broken:
            raise RuntimeError("the store does not answer")
        self.values[key] = value


class BlockingStore(Store):
    """As Airflow 3.3.0 has it."""

    get, set = Store._get, Store._set
    aget = aset = property()  # type: ignore[assignment]


class Watch:
    """A trigger that runs, and a colleague who exports."""

    def __init__(self, emulator: Any, trigger: KoreAIExportEventTrigger) -> None:
        self._emulator = emulator
        self._colleague = KoreAI(emulator)
        self._trigger = trigger
        self._events: asyncio.Queue[Any] = asyncio.Queue()

    async def consume(self) -> None:
        async for event in self._trigger.run():
            await self._events.put(event.payload)

    async def event(self) -> dict[str, str]:
        return await asyncio.wait_for(self._events.get(), LIMIT)

    def no_event(self) -> bool:
        return self._events.empty()

    async def export(self, file_type: str = "csv") -> dict[str, Any]:
        return await asyncio.to_thread(self._colleague.start_export, BOT, file_type)

    async def configure(self, **settings: Any) -> None:
        await asyncio.to_thread(self._emulator.control.configure_bot, BOT, **settings)

    async def looks(self, count: int = 2) -> None:
        """Wait for so many more answers; the one before the last has then been dealt with."""
        seen = len(await self._calls())
        await until(lambda: self._more_than(seen + count - 1))

    async def _more_than(self, count: int) -> bool:
        return len(await self._calls()) > count

    async def _calls(self) -> list[Any]:
        return await asyncio.to_thread(self._colleague.calls, BOT, "status")


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + LIMIT
    while not await check():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def of(started: dict[str, Any]) -> dict[str, str]:
    """The payload for an export."""
    return {
        "bot_id": BOT,
        "request_id": started["_id"],
        "requested_time": started["requestedTime"],
        "file_type": started["fileType"].lower(),
    }


@contextlib.asynccontextmanager
async def watching(emulator: Any, store: Any = None, **arguments: Any) -> AsyncIterator[Watch]:
    trigger = KoreAIExportEventTrigger(bot_id=BOT, poll_interval=0.02, **arguments)
    # As a triggerer does: made anew from its row, and given the store.
    trigger = type(trigger)(**trigger.serialize()[1])
    if store is not None:
        trigger.asset_state_store = store
    watch = Watch(emulator, trigger)
    task = asyncio.create_task(watch.consume())
    try:
        yield watch
        assert not task.done()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture(autouse=True)
def quick(emulator, koreai_conn):
    emulator.control.configure_bot(BOT, status_per_minute=100_000, status_per_hour=100_000)


@needs_watchers
def test_each_export_that_somebody_makes_fires_once(emulator):
    async def scenario() -> None:
        async with watching(emulator) as watch:
            await watch.looks()
            for _ in range(2):
                started = await watch.export()
                assert await watch.event() == of(started)
                await watch.looks()
                assert watch.no_event()

    asyncio.run(scenario())


@needs_watchers
def test_an_export_from_before_the_watch_does_not_fire(emulator):
    async def scenario() -> None:
        KoreAI(emulator).start_export(BOT)
        async with watching(emulator) as watch:
            await watch.looks(3)
            assert watch.no_event()

    asyncio.run(scenario())


@needs_watchers
def test_an_export_fires_that_was_made_before_the_first_look_succeeded(emulator):
    emulator.control.add_fault(BOT, call="status", kind="http", status=503, times=-1)

    async def scenario() -> None:
        async with watching(emulator) as watch:
            await watch.looks()
            started = await watch.export()
            await asyncio.to_thread(emulator.control.clear_faults, BOT)
            assert await watch.event() == of(started)

    asyncio.run(scenario())


@needs_watchers
def test_an_export_fires_when_it_is_done(emulator):
    async def scenario() -> None:
        async with watching(emulator) as watch:
            await watch.configure(seconds=3600)
            await watch.looks()
            started = await watch.export()
            await watch.looks()
            assert watch.no_event()
            await watch.configure(seconds=0)
            assert await watch.event() == of(started)

    asyncio.run(scenario())


@needs_watchers
def test_only_the_file_type_that_is_wanted_fires(emulator):
    async def scenario() -> None:
        async with watching(emulator, file_type="json") as watch:
            await watch.looks()
            await watch.export("csv")
            await watch.looks()
            assert watch.no_event()
            started = await watch.export("json")
            assert await watch.event() == of(started)

    asyncio.run(scenario())


@needs_watchers
@pytest.mark.parametrize("store_class", [Store, BlockingStore])
def test_a_restart_neither_repeats_the_latest_export_nor_misses_one_from_in_between(emulator, store_class):
    store = store_class()

    async def scenario() -> None:
        async with watching(emulator, store) as watch:
            await watch.looks()
            first = await watch.export()
            assert await watch.event() == of(first)
            await watch.looks()
        async with watching(emulator, store) as watch:
            await watch.looks()
            assert watch.no_event()
        second = await watch.export()
        async with watching(emulator, store) as watch:
            assert await watch.event() == of(second)

    asyncio.run(scenario())


@needs_watchers
def test_what_is_kept_is_the_time_of_the_latest_export_and_nothing_secret(emulator):
    store = Store()

    async def scenario() -> None:
        async with watching(emulator, store, file_type="csv") as watch:
            await watch.looks()
            started = await watch.export()
            await watch.event()
            await watch.looks()
            kept = {key: value for key, value in of(started).items() if key != "bot_id"}
            assert store.values == {f"koreai_export:{BOT}:csv": kept}

    asyncio.run(scenario())


@needs_watchers
def test_while_the_store_does_not_answer_nothing_is_taken_for_seen(emulator):
    store = Store()

    async def scenario() -> None:
        async with watching(emulator, store) as watch:
            await watch.looks()
        store.broken = True
        async with watching(emulator, store) as watch:
            started = await watch.export()
            await asyncio.sleep(0.1)
            assert watch.no_event()
            store.broken = False
            assert await watch.event() == of(started)

    asyncio.run(scenario())


@needs_watchers
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"status": 503}, "503"),
        ({"status": 401}, "401"),
        ({"status": 429}, "429"),
        ({"kind": "reset"}, "no answer"),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_trouble_is_logged_once_and_does_not_end_the_watch(emulator, fault, said):
    async def scenario() -> None:
        async with watching(emulator) as watch:
            await watch.looks()
            await asyncio.to_thread(
                emulator.control.add_fault, BOT, call="status", **{"kind": "http", "times": -1, **fault}
            )
            await watch.looks(5)
            await asyncio.to_thread(emulator.control.clear_faults, BOT)
            started = await watch.export()
            assert await watch.event() == of(started)
            await watch.looks()

    with everything_logged() as logged:
        asyncio.run(scenario())
    lines = [line for line in logged if "Watching bot" in line]
    assert len(lines) == 2, lines
    assert "continues despite an error" in lines[0]
    assert said in lines[0]
    assert "works again" in lines[1]


@needs_watchers
def test_a_pause_that_the_service_asks_for_is_kept(emulator):
    emulator.control.add_fault(BOT, call="status", kind="http", status=429, headers={"retry-after": "1"})

    async def scenario() -> None:
        async with watching(emulator) as watch:
            await watch.looks()

    asyncio.run(scenario())
    refused, first, *_ = emulator.control.requests(BOT, "status")
    assert refused["status"] == 429
    assert first["time"] - refused["time"] >= 1


@needs_watchers
def test_a_watch_that_is_cancelled_just_as_an_answer_arrives_ends(emulator, monkeypatch):
    exchange = async_client._exchange
    watches: list[asyncio.Task[None]] = []

    async def cancelled_at_the_end(*arguments: Any) -> Any:
        answer = await exchange(*arguments)
        watches[0].cancel()
        return answer

    async def scenario() -> None:
        trigger = KoreAIExportEventTrigger(bot_id=BOT, poll_interval=3600)
        watches.append(asyncio.create_task(Watch(emulator, trigger).consume()))
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(watches[0]), LIMIT)

    monkeypatch.setattr(async_client, "_exchange", cancelled_at_the_end)
    asyncio.run(scenario())


@needs_watchers
def test_a_connection_that_does_not_exist_yet_does_not_end_the_watch(emulator, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_KOREAI_DEFAULT")

    async def scenario() -> None:
        async with watching(emulator) as watch:
            await asyncio.sleep(0.1)
            monkeypatch.setenv("AIRFLOW_CONN_KOREAI_DEFAULT", emulator.connection_json())
            await watch.looks()
            started = await watch.export()
            assert await watch.event() == of(started)

    asyncio.run(scenario())


@needs_watchers
def test_identical_triggers_of_two_assets_go_on_without_a_store_and_say_so(emulator):
    context = pytest.importorskip("airflow.sdk.execution_time.context")
    if not hasattr(context, "AssetStateStoreAccessors"):
        pytest.skip("Airflow keeps state for an asset from 3.3 on")
    store = context.AssetStateStoreAccessors(inlets=[Asset(name="one"), Asset(name="two")])

    async def scenario() -> None:
        async with watching(emulator, store) as watch:
            await watch.looks()
            started = await watch.export()
            assert await watch.event() == of(started)

    with everything_logged() as logged:
        asyncio.run(scenario())
    assert sum("Several assets have the same" in line for line in logged) == 1


@needs_watchers
def test_an_asset_takes_it_as_a_watcher():
    from airflow.sdk import AssetWatcher

    from airflow_provider_koreai.assets.koreai import koreai_asset

    watcher = AssetWatcher(name="exports", trigger=KoreAIExportEventTrigger(bot_id=BOT))
    assert koreai_asset(BOT, watchers=[watcher]).watchers == [watcher]


@needs_watchers
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"bot_id": "not a bot"}, "bot_id='not a bot'"),
        ({"bot_id": BOT, "file_type": "xml"}, "file_type='xml'"),
        ({"bot_id": BOT, "poll_interval": 0}, "poll_interval=0"),
        ({"bot_id": BOT, "poll_interval": "300"}, "poll_interval='300'"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value),
)
def test_a_wrong_argument_is_refused_by_name_when_the_dag_file_is_read(arguments, named):
    with pytest.raises(KoreAIConfigurationError, match=named):
        KoreAIExportEventTrigger(**arguments)


@pytest.mark.skipif(AIRFLOW_V_3_0_PLUS, reason="Airflow 3 has asset watchers")
def test_airflow_2_refuses_it_with_what_to_use_instead():
    with pytest.raises(KoreAIConfigurationError, match=r"needs Airflow 3.*newer_than"):
        KoreAIExportEventTrigger(bot_id=BOT)
