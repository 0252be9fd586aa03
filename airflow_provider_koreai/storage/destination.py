"""Which place a path means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_koreai.storage.local import LocalDestination
from airflow_provider_koreai.storage.object_store import ObjectDestination
from airflow_provider_koreai.storage.paths import local_path

if TYPE_CHECKING:
    from airflow_provider_koreai.storage.staging import Destination
    from airflow_provider_koreai.version_compat import Log


def destination_for(
    path: str, *, name: str = "path", storage_conn_id: str | None, overwrite: bool, log: Log
) -> Destination:
    """Return the destination that ``path``, the value of the argument ``name``, means."""
    local = local_path(path, name)
    if local is not None:
        return LocalDestination(local, name=name, overwrite=overwrite, log=log)
    return ObjectDestination(path, name=name, storage_conn_id=storage_conn_id, overwrite=overwrite, log=log)
