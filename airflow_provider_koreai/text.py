"""What JSON can express, but databases do not take, and UTF-8 in part: NUL characters and halves of surrogate pairs."""

from __future__ import annotations

import re

_REPLACEMENT = "\ufffd"
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_HALVES = re.compile("[\ud800-\udfff]")


def is_storable(text: str) -> bool:
    """
    Say whether a text holds nothing of that kind.

    :param text: the text; the longer, the better.
    """
    # Many times as fast as the pattern.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def storable(text: str) -> str:
    """
    Replace what is not storable with U+FFFD.

    :param text: the text.
    """
    return _UNSTORABLE.sub(_REPLACEMENT, text)


def encodable(text: str) -> str:
    """
    Replace what UTF-8 does not have, halves of surrogate pairs, with U+FFFD.

    :param text: the text.
    """
    return _HALVES.sub(_REPLACEMENT, text)
