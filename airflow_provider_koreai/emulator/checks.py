"""Checks of the JSON sent to the control endpoints; the messages name the accepted values."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class ControlError(Exception):
    """A 400 from a control endpoint. ``str()`` of it is the message."""


@dataclass(frozen=True)
class Rule:
    """What a value must be."""

    accepts: Callable[[Any], bool]
    meaning: str


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_base64(value: Any) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except (TypeError, ValueError):
        return False
    return True


def _is_header_name(value: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9-]+", value) is not None


def _is_header_value(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"([!-~]([ -~]*[!-~])?)?", value) is not None


BOOLEAN = Rule(lambda value: isinstance(value, bool), "true or false")
TEXT = Rule(lambda value: isinstance(value, str), "a string")
SECONDS = Rule(lambda value: _is_number(value) and value >= 0, "a number of seconds, at least 0")
COUNT = Rule(lambda value: _is_integer(value) and value >= 0, "a whole number, at least 0")
INTEGER = Rule(_is_integer, "a whole number")
STATUS = Rule(lambda value: _is_integer(value) and 200 <= value <= 599, "an HTTP status from 200 to 599")
LIST = Rule(lambda value: isinstance(value, list), "a list")
TEXTS = Rule(
    lambda value: isinstance(value, list) and all(isinstance(v, str) for v in value), "a list of strings"
)
HEADER_VALUE = Rule(_is_header_value, "printable ASCII")
HEADERS = Rule(
    lambda value: (
        isinstance(value, dict)
        and all(map(_is_header_name, value))
        and all(map(_is_header_value, value.values()))
    ),
    "an object of HTTP headers",
)
BASE64 = Rule(_is_base64, "base64")
ANYTHING = Rule(lambda value: True, "any JSON value")


SHARE = Rule(lambda value: _is_number(value) and 0 <= value <= 1, "a number from 0 to 1")


def at_least(minimum: int) -> Rule:
    """Return a rule for whole numbers with a minimum."""
    return Rule(lambda value: _is_integer(value) and value >= minimum, f"a whole number, at least {minimum}")


def more_than_zero() -> Rule:
    """Return a rule for positive numbers."""
    return Rule(lambda value: _is_number(value) and value > 0, "a number above 0")


def one_of(*values: str) -> Rule:
    """Return a rule for one of some strings."""
    return Rule(lambda value: value in values, "one of " + ", ".join(f'"{value}"' for value in values))


def some_of(*values: str) -> Rule:
    """Return a rule for a list of some strings."""
    return Rule(
        lambda value: isinstance(value, list) and all(item in values for item in value),
        "a list of any of " + ", ".join(f'"{value}"' for value in values),
    )


def check(what: str, document: Any, rules: dict[str, Rule], *, nullable: bool = False) -> dict[str, Any]:
    """Check an object's keys and values, and report everything that is wrong at once."""
    if not isinstance(document, dict):
        raise ControlError(f"the body must be a JSON object of {what}s")
    problems = []
    for key, value in document.items():
        rule = rules.get(key)
        if rule is None:
            problems.append(f'unknown {what} "{key}"; accepted: {", ".join(sorted(rules))}')
        elif not (value is None and nullable) and not rule.accepts(value):
            problems.append(f'{what} "{key}" must be {rule.meaning}')
    if problems:
        raise ControlError("; ".join(problems))
    return document
