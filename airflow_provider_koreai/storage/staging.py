"""
A file in the making, which appears under its own name only when it is whole.

On a local disk it is written beside that name under a hidden, locked, unique one, synced and renamed. In an object store
an upload becomes an object when it is committed, so that is done at the very end, or never.
"""

from __future__ import annotations

import secrets
from typing import Protocol

from airflow_provider_koreai.exceptions import KoreAIConfigurationError


class Staging(Protocol):
    """A file in the making; what fails raises KoreAIDownloadError."""

    def write(self, data: bytes) -> None:
        """Add bytes."""

    def restart(self) -> None:
        """Drop what was written and start again."""

    def publish(self) -> None:
        """Make the file appear under its name; if that fails, an earlier file is still there."""

    def discard(self) -> None:
        """Drop everything unless it was published. Never raises."""


class Destination(Protocol):
    """A place for one file."""

    def refuse_if_taken(self) -> None:
        """Raise KoreAIConfigurationError if there is a file that must not be replaced, or something that is not a file."""

    def holds(self, sha256: str) -> bool:
        """Return whether the file that is there has this content."""

    def stage(self) -> Staging:
        """Start the file, and remove what killed tasks have left in its folder."""


def new_part() -> str:
    """Return a name for a file in the making."""
    return f".koreai-{secrets.token_hex(16)}.part"


def is_part(name: str) -> bool:
    """Return whether a file of this name is, or was, in the making."""
    return name.startswith(".koreai-") and name.endswith(".part")


def taken(path: str) -> KoreAIConfigurationError:
    """Return the error for a file that must not be replaced."""
    return KoreAIConfigurationError(
        f"{path!r} already exists, and overwrite=False. Set overwrite=True, or make the path differ from run to run, "
        "for example with {{ run_id }}."
    )
