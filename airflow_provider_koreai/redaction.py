"""What keeps secrets out of texts and tracebacks."""

from __future__ import annotations

import re
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def scrub(text: str) -> str:
    """
    Cut tokens, and the query of every URL, which may be a download link's signature, out of somebody else's text.

    :param text: any text; where it was cut off within a token, what is left of that goes too.
    """
    text = re.sub(r"eyJ[\w-]{12,}(?:\.[\w-]*)*", "<token>", text)
    return re.sub(r"\?[^\s\"'<>=]*=[^\s\"'<>]*", "?...", text)


@contextmanager
def without_locals() -> Iterator[None]:
    """
    Let errors pass, whatever their kind, but not the variables of the functions that they come from.

    Those hold tokens, links and keys, and error trackers send variables along with a traceback.
    """
    try:
        yield
    except BaseException as error:
        seen: list[BaseException] = []
        current: BaseException | None = error
        while current is not None and current not in seen:
            seen.append(current)
            traceback.clear_frames(current.__traceback__)
            current = current.__cause__ or current.__context__
        raise
