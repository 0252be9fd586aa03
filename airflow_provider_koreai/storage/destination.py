"""Which place a path means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_koreai.storage.local import LocalDestination
from airflow_provider_koreai.storage.object_store import ObjectDestination
from airflow_provider_koreai.storage.paths import local_path

if TYPE_CHECKING:
    from airflow_provider_koreai.storage.staging import Destination
    from airflow_provider_koreai.version_compat import Log


def destination_for(path: str, *, storage_conn_id: str | None, overwrite: bool, log: Log) -> Destination:
    """
    Give the destination that a path means.

    :param path: a local path or a URL, naming a file.
    :param storage_conn_id: the connection for an object store.
    :param overwrite: whether an existing file may be replaced.
    :param log: for what is worth knowing.
    :raises KoreAIConfigurationError: nothing serves such a URL.
    """
    local = local_path(path)
    if local is not None:
        return LocalDestination(local, overwrite=overwrite, log=log)
    return ObjectDestination(path, storage_conn_id=storage_conn_id, overwrite=overwrite)
