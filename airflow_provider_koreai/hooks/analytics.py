"""Reading a bot's analytics page by page, whole or not at all."""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.api.analytics import (
    MOST_PAGES,
    MOST_READINGS,
    Page,
    Query,
    Reading,
    changed_too_often,
    in_interval,
    page_request,
    without_personal,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO

    from airflow_provider_koreai.api.calls import ApiRequest

# Bytes of rows that are kept in memory while the pages are read, more in a temporary file.
_IN_MEMORY = 4 << 20
# Pages that are read without a pause, and the seconds between two later ones: at most 58 a minute and 1,745 an hour, of
# the 60 and 1,800 that Kore.ai allows for everything that calls for the bot.
_PAGES_AT_ONCE = 30
_PAUSE = 2.1


def read_whole(
    query: Query, base_url: str, ask: Callable[[ApiRequest], Page], *, include_user_ids: bool
) -> Iterator[dict[str, Any]]:
    """Yield the rows of an interval once all pages were read; see ``KoreAIHook.iter_analytics``."""
    calls = itertools.count()  # of all readings together, as the limits count them

    def ask_in_turn(request: ApiRequest) -> Page:
        if next(calls) >= _PAGES_AT_ONCE:
            time.sleep(_PAUSE)
        return ask(request)

    for _ in range(MOST_READINGS):
        with tempfile.SpooledTemporaryFile(
            _IN_MEMORY, "w+", encoding="utf-8", errors="surrogatepass"
        ) as spool:
            if not _read(query, base_url, ask_in_turn, spool, include_user_ids=include_user_ids):
                continue
            spool.seek(0)
            yield from map(json.loads, spool)
            return
    raise changed_too_often(query)


def _read(
    query: Query,
    base_url: str,
    ask: Callable[[ApiRequest], Page],
    spool: IO[str],
    *,
    include_user_ids: bool,
) -> bool:
    """Write all rows; return False if they changed meanwhile."""
    reading = Reading()
    for _ in range(MOST_PAGES):
        rows = reading.take(ask(page_request(base_url, query, reading.skip)))
        if rows is None:
            return False
        for row in in_interval(query, rows):
            spool.write(json.dumps(row if include_user_ids else without_personal(row)) + "\n")
        if reading.is_over:
            return True
    return False
