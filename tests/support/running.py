"""Runs one task as Airflow does, without a scheduler: execute, defer, trigger, resume."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from airflow.providers.common.compat.module_loading import import_string
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS


class FakeTaskInstance:
    """What an operator asks of its task instance: a place for XComs. It keeps what Airflow stores of deferrals, too."""

    def __init__(self) -> None:
        self.xcoms: dict[str, Any] = {}
        self.stats_tags: dict[str, str] = {}
        self.max_tries = 0
        self.deferrals: list[Any] = []

    def xcom_push(self, key: str, value: Any, **_: Any) -> None:
        self.xcoms[key] = value


class FakeTaskStateStore:
    """What outlives a task's try on Airflow 3.3."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.history: list[Any] = []

    def get(self, key: str) -> Any:
        return self.values.get(key)

    def set(self, key: str, value: Any) -> None:
        self.values[key] = value
        self.history.append(value)

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


def new_context(**more: Any) -> dict[str, Any]:
    return {"ti": FakeTaskInstance(), **more}


def run_task(task: Any, context: dict[str, Any] | None = None) -> Any:
    """
    Run a task to its end, in the triggerer's place too where it defers.

    The trigger is made anew from what it serializes to, as its row in the database is all that a triggerer has.
    """
    context = new_context() if context is None else context
    try:
        return task.execute(context)
    except TaskDeferred as deferred:
        classpath, kwargs = deferred.trigger.serialize()
        if isinstance(context.get("ti"), FakeTaskInstance):
            context["ti"].deferrals.append([kwargs, deferred.kwargs])
        event = asyncio.run(first_event(import_string(classpath)(**kwargs)))
        next_kwargs = {**(deferred.kwargs or {}), "event": event.payload}
        return task.resume_execution(deferred.method_name, next_kwargs, context)


async def first_event(trigger: Any) -> Any:
    async for event in trigger.run():
        return event
    return None


def prepare_thread() -> None:
    """Let a thread that is not the main one run tasks, as a pool's ``initializer``: Airflow 2 wants that said."""
    if not AIRFLOW_V_3_0_PLUS:
        from airflow.models.baseoperator import ExecutorSafeguard

        ExecutorSafeguard._sentinel.callers = {}


class Lines(logging.Handler):
    """Collects what is logged, at every level."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
