"""What an exported file holds."""

from __future__ import annotations

from typing import Any, NamedTuple


class Utterance(NamedTuple):
    """
    One utterance.

    :param task_name: the dialog task, FAQ or other thing that it trains; None where the file has none.
    :param sentence: what a user may say.
    :param type: such as ``DialogIntent``; None where the file has none.
    :param language: such as ``en``; None where the file has none.
    :param entities: the entities that are marked in it; a CSV file has none.
    :param extra: further columns or keys.
    """

    task_name: str | None
    sentence: str
    type: str | None
    language: str | None
    entities: tuple[Any, ...]
    extra: dict[str, Any]
