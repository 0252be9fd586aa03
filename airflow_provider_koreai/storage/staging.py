"""
Where the file goes: on a local disk or in an object store, and under its name only when it is whole.

Local: written beside its final name under a hidden, locked, unique one, synced, renamed. Object stores: an
upload becomes an object when it is completed, so it is completed at the very end, or aborted.
"""

from __future__ import annotations

import hashlib
import os
from typing import Protocol

from airflow_provider_koreai.exceptions import KoreAIConfigurationError


class Staging(Protocol):
    """A file in the making."""

    def write(self, data: bytes) -> None:
        """
        Add bytes.

        :param data: the bytes.
        :raises KoreAIDownloadError: they could not be written.
        """

    def restart(self) -> None:
        """
        Drop what was written, and begin again.

        :raises KoreAIDownloadError: that failed.
        """

    def publish(self) -> None:
        """
        Let the file appear under its name.

        :raises KoreAIDownloadError: that failed; the earlier file, if any, is still there.
        :raises KoreAIConfigurationError: there is a file by now, and it is not to be overwritten.
        """

    def discard(self) -> None:
        """Drop everything, unless it was published. Never raises."""


class Destination(Protocol):
    """A place for one file."""

    def refuse_if_taken(self) -> None:
        """
        Refuse early what :meth:`Staging.publish` would refuse.

        :raises KoreAIConfigurationError: there is a file and it is not to be overwritten, or what is there is no file.
        """

    def stage(self) -> Staging:
        """
        Begin the file.

        :raises KoreAIDownloadError: nothing can be written there.
        """


def digest(name: str) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:16]


def taken(path: str) -> KoreAIConfigurationError:
    return KoreAIConfigurationError(
        f"There is a file at {path!r} already, and overwrite=False. Set overwrite=True, or put something of the "
        "run into the path, such as {{ ds }}."
    )
