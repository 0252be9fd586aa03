"""All that is logged while a test runs, whichever way: Airflow 3 logs through structlog, libraries through logging."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_koreai.version_compat import Log

# Those that speak of requests, and those that Airflow keeps apart from the root.
_LOGGERS = ("", "airflow.task", "asyncio", "httpcore", "httpx", "requests", "urllib3")


@contextlib.contextmanager
def everything_logged() -> Iterator[list[str]]:
    """Collect what any logger is told at DEBUG and above, formatted with its traceback."""
    lines: list[str] = []
    handler = _Keep(lines)
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        if logger is logging.root or not logger.propagate:
            logger.addHandler(handler)
    try:
        with _structlog_to(lines):
            yield lines
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
            logger.removeHandler(handler)


class _Keep(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self._lines = lines
        self._formatter = logging.Formatter("%(name)s %(levelname)s %(message)s")

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self._formatter.format(record))


@contextlib.contextmanager
def _structlog_to(lines: list[str]) -> Iterator[None]:
    try:
        import structlog
    except ModuleNotFoundError:  # Airflow 2
        yield
        return

    def keep(logger: Log, level: str, event: dict[str, Any]) -> dict[str, Any]:
        lines.append(f"{level.upper()} {event}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.processors.format_exc_info, keep],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
    )
    try:
        yield
    finally:
        structlog.configure(**before)
