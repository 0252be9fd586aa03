"""A file that a task writes: hashed and counted on its way, and published whole or not at all."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from airflow_provider_koreai.storage.destination import destination_for
from airflow_provider_koreai.storage.paths import PathArgument

if TYPE_CHECKING:
    from types import TracebackType

    from airflow_provider_koreai.storage.staging import Staging
    from airflow_provider_koreai.version_compat import Log


class Output:
    """
    A context manager: the file is published at its end, or dropped if an error ends it.

    ``name`` is the argument that ``path`` comes from; a path that cannot be used is refused by that name.
    """

    def __init__(
        self, name: str, path: object, *, storage_conn_id: str | None, overwrite: bool = True, log: Log
    ) -> None:
        self.argument = PathArgument.of_file(path, name)
        self.size = 0
        self._hasher = hashlib.sha256()
        self._destination = destination_for(
            self.argument.text, name=name, storage_conn_id=storage_conn_id, overwrite=overwrite, log=log
        )
        self._staging: Staging | None = None

    def __enter__(self) -> Output:
        self._destination.refuse_if_taken()
        self._staging = self._destination.stage()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        staging, self._staging = self._staging, None
        if staging is None:
            return
        try:
            if kind is None:
                staging.publish()
        finally:
            staging.discard()

    @property
    def sha256(self) -> str:
        """Hash of what was written."""
        return self._hasher.hexdigest()

    def write(self, data: bytes) -> None:
        """Add bytes. After the end they are dropped, because a library may still want to close its file."""
        if self._staging is not None and data:
            self._staging.write(data)
            self._hasher.update(data)
            self.size += len(data)
