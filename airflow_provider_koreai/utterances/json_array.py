"""
A JSON array of objects, read piece by piece in bounded memory.

The standard library parses each element; this module only finds where they begin. The streaming parser ijson (3.6,
yajl) was tried instead: 400 kB of nested brackets made it take all memory, and a lone surrogate silently became a
question mark.
"""

from __future__ import annotations

import codecs
import json
import re
from enum import Enum
from typing import Any

# Characters of one element; utterances have a few hundred.
MAX_ELEMENT = 16 << 20
_SPACE = re.compile(r"[ \t\n\r]*")
# A text that was cut here or a few characters before its end may be valid with more of it.
_LONGEST_TOKEN = 16


class JsonArrayError(Exception):
    """It is not a JSON array of objects. The message says where and why, without the data."""


class _Step(Enum):
    """What must come next."""

    ARRAY = "the array"
    FIRST = "its first element or its end"
    ELEMENT = "an element"
    SEPARATOR = "a comma or the end"
    NOTHING = "nothing"


class JsonArrayParser:
    """Takes pieces of bytes, cut anywhere, and returns the elements that they complete."""

    def __init__(self) -> None:
        self.count = 0
        self._decode = codecs.getincrementaldecoder("utf-8-sig")("strict").decode
        self._decoder = json.JSONDecoder(parse_constant=_refuse_constant)
        self._text = ""
        self._step = _Step.ARRAY

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Take the next piece, and return the elements that are complete now."""
        try:
            text = self._decode(data, False)
        except UnicodeDecodeError:
            text = None
        if text is None:
            raise self._error("is not UTF-8")
        self._text += text
        elements: list[dict[str, Any]] = []
        at = self._open(self._skip(0))
        if self._step in (_Step.FIRST, _Step.ELEMENT, _Step.SEPARATOR) and at < len(self._text):
            at = self._take_each(at, elements)
        if self._step is _Step.NOTHING:
            at = self._skip(at)
            if at < len(self._text):
                raise JsonArrayError("there is something after the end of the JSON array")
        self._text = self._text[at:]
        if len(self._text) > MAX_ELEMENT:
            raise self._error("is longer than 16 Mi characters")
        return elements

    def close(self) -> None:
        """End the input: the array must be complete."""
        try:
            self._decode(b"", True)
        except UnicodeDecodeError:
            self._step = _Step.ELEMENT
        if self._step is _Step.ARRAY and not self._text:
            raise JsonArrayError("it is empty")
        if self._step is not _Step.NOTHING:
            raise JsonArrayError(f"the JSON array is not complete: it ends after {self.count} whole elements")

    def _open(self, at: int) -> int:
        if self._step is not _Step.ARRAY or at >= len(self._text):
            return at
        if self._text[at] != "[":
            raise JsonArrayError(
                "it is HTML or XML, not JSON"
                if self._text[at] == "<"
                else "it is a JSON object, not an array"
                if self._text[at] == "{"
                else "it is not a JSON array"
            )
        at = self._skip(at + 1)
        self._step = _Step.FIRST
        return at

    def _take_each(self, at: int, elements: list[dict[str, Any]]) -> int:
        """Parse element by element; an element that is not complete yet is left for the next piece."""
        text = self._text
        while True:
            at = self._skip(at)
            if at >= len(text):
                return at
            if self._step is _Step.SEPARATOR or (self._step is _Step.FIRST and text[at] == "]"):
                if text[at] not in ",]":
                    raise self._error("is not followed by a comma", self.count)
                self._step = _Step.ELEMENT if text[at] == "," else _Step.NOTHING
                at += 1
                if self._step is _Step.NOTHING:
                    return at
                continue
            if text[at] != "{":
                raise self._error("is not an object")
            found = self._take_one(at)
            if found is None:
                return at
            element, at = found
            elements.append(element)
            self.count += 1
            self._step = _Step.SEPARATOR

    def _take_one(self, at: int) -> tuple[dict[str, Any], int] | None:
        problem = ""
        try:
            element, end = self._decoder.raw_decode(self._text, at)
        except json.JSONDecodeError as error:
            cut = error.pos >= len(self._text) - _LONGEST_TOKEN or error.msg.startswith("Unterminated string")
            problem = "" if cut else f"is broken ({error.msg})"
            if cut:
                return None
        except (ValueError, RecursionError) as error:
            problem = f"is broken ({type(error).__name__})"
        if problem:
            raise self._error(problem)
        return element, end

    def _skip(self, at: int) -> int:
        match = _SPACE.match(self._text, at)
        return match.end() if match else at

    def _error(self, problem: str, number: int | None = None) -> JsonArrayError:
        return JsonArrayError(f"element {self.count + 1 if number is None else number} {problem}")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
