"""What an exported file holds."""

from __future__ import annotations

from typing import Any, NamedTuple

# Characters; Kore.ai's limit.
LONGEST_SENTENCE = 3000


class Utterance(NamedTuple):
    """
    One utterance.

    :param task_name: the dialog, FAQ or other task that it trains; None where the file has none.
    :param sentence: what a user may say.
    :param type: for example ``DialogIntent``; None where the file has none.
    :param language: for example ``en``; None where the file has none.
    :param entities: the entities annotated in it; a CSV file has none.
    :param extra: further columns or keys.
    """

    task_name: str | None
    sentence: str
    type: str | None
    language: str | None
    entities: tuple[Any, ...]
    extra: dict[str, Any]
