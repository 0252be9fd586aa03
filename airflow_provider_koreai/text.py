"""What JSON can express, but databases cannot store: NUL characters and unpaired surrogates."""

from __future__ import annotations

import re

_REPLACEMENT = "\ufffd"
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_HALVES = re.compile("[\ud800-\udfff]")


def is_storable(text: str) -> bool:
    """Return whether a text has neither; cheap for long texts."""
    # Much faster than the pattern.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def storable(text: str) -> str:
    """Replace both with U+FFFD."""
    return _UNSTORABLE.sub(_REPLACEMENT, text)


def encodable(text: str) -> str:
    """Replace unpaired surrogates, which UTF-8 cannot express, with U+FFFD."""
    return _HALVES.sub(_REPLACEMENT, text)
