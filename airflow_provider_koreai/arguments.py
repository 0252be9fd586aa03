"""A task's arguments, read after rendering; each is refused by its own name."""

from __future__ import annotations

from typing import Any

from airflow_provider_koreai.exceptions import KoreAIConfigurationError

FILE_TYPES = ("csv", "json")


def choice(name: str, value: object, accepted: tuple[str, ...]) -> str:
    """
    Check an argument that has a few accepted values.

    :param name: the argument's name, for the message.
    :param value: its value after rendering.
    :param accepted: the accepted values.
    :raises KoreAIConfigurationError: it is none of them.
    """
    if isinstance(value, str) and value.strip().lower() in accepted:
        return value.strip().lower()
    raise KoreAIConfigurationError(f"{name}={value!r} is not accepted; use one of {', '.join(accepted)}.")


def file_type_argument(value: object) -> str | None:
    """
    Check a task's ``file_type``.

    :param value: ``csv`` or ``json`` in any case; None and ``""`` mean that any will do.
    :raises KoreAIConfigurationError: it is something else.
    """
    return None if value is None or value == "" else choice("file_type", value, FILE_TYPES)


def whole_number(name: str, value: Any) -> int | None:
    """
    Check an argument that is a number of things, and may have been rendered from a template.

    :param name: the argument's name, for the message.
    :param value: its value after rendering; None and ``""`` mean that there is none.
    :raises KoreAIConfigurationError: it is no whole number from 0 up.
    """
    if value is None or value == "":
        return None
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = -1
    if isinstance(value, (bool, float)) or number < 0:
        raise KoreAIConfigurationError(f"{name}={value!r:.40} is not accepted; use a whole number from 0 up.")
    return number
