"""OpenLineage: what tasks read and write, under OpenLineage's names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_koreai.assets.koreai import asset_uri
from airflow_provider_koreai.storage.paths import local_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_koreai.download.export_file import DownloadResult
    from airflow_provider_koreai.utterances.convert import ConvertResult

# Other schemes for the same object store.
_SCHEMES = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}
_JSON_COLUMNS = ("taskName", "sentence", "type", "entities", "language")


def dataset_name(path: str) -> tuple[str, str]:
    """
    Return a file's namespace and name, see https://openlineage.io/docs/spec/naming.

    A connection ID in a URL is not part of the name.
    """
    local = local_path(path)
    if local is not None:
        return "file", local
    # Not urlsplit: an object's key may contain # and ?.
    scheme, _, rest = path.partition("://")
    authority, _, key = rest.partition("/")
    scheme = scheme.lower()
    return f"{_SCHEMES.get(scheme, scheme)}://{authority.rpartition('@')[2]}", key


def bot_name(base_url: str, bot_id: str) -> tuple[str, str]:
    """Return a bot's namespace and name, which are those of its asset."""
    uri = urlsplit(asset_uri(bot_id, base_url))
    return f"{uri.scheme}://{uri.netloc}", uri.path.lstrip("/")


def lineage_of_download(base_url: str, bot_id: str, result: DownloadResult) -> OperatorLineage[Any, Any]:
    """Return a download's input and output. Needs the openlineage provider."""
    from airflow.providers.common.compat.openlineage.facet import (
        Dataset,
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
        SchemaDatasetFacet,
        SchemaDatasetFacetFields,
    )
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.generated.dataset_version_dataset import DatasetVersionDatasetFacet

    schema = SchemaDatasetFacet(
        fields=[
            SchemaDatasetFacetFields(name=name, type="array" if name == "entities" else "string")
            for name in result.columns or _JSON_COLUMNS
        ]
    )
    bot, file = bot_name(base_url, bot_id), dataset_name(result.path)
    # A bot's utterances have no version, but an export has a time.
    moment = {"version": DatasetVersionDatasetFacet(result.requested_time)} if result.requested_time else {}
    return OperatorLineage(
        inputs=[Dataset(*bot, facets={"schema": schema, **moment})],
        outputs=[
            OutputDataset(
                *file,
                facets={"schema": schema, "version": DatasetVersionDatasetFacet(f"sha256:{result.sha256}")},
                outputFacets={
                    "outputStatistics": OutputStatisticsOutputDatasetFacet(
                        rowCount=result.rows, size=result.bytes, fileCount=1
                    )
                },
            )
        ],
    )


def lineage_of_import(base_url: str, bot_id: str, path: str) -> OperatorLineage[Any, Any]:
    """Return an import's input and output. Needs the openlineage provider."""
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.providers.openlineage.extractors import OperatorLineage

    return OperatorLineage(
        inputs=[Dataset(*dataset_name(path))], outputs=[Dataset(*bot_name(base_url, bot_id))]
    )


def lineage_of_conversion(path: str, result: ConvertResult) -> OperatorLineage[Any, Any]:
    """Return a conversion's input and output. Needs the openlineage provider."""
    from airflow.providers.common.compat.openlineage.facet import (
        Dataset,
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
    )
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.generated.dataset_version_dataset import DatasetVersionDatasetFacet

    statistics = OutputStatisticsOutputDatasetFacet(rowCount=result.rows, size=result.bytes, fileCount=1)
    target = OutputDataset(
        *dataset_name(result.path),
        facets={"version": DatasetVersionDatasetFacet(f"sha256:{result.sha256}")},
        outputFacets={"outputStatistics": statistics},
    )
    return OperatorLineage(inputs=[Dataset(*dataset_name(path))], outputs=[target])


def lineage_of_load(path: str, conn_id: str, table: str, inserted: int) -> OperatorLineage[Any, Any]:
    """Return a load's input and, where the database's hook can name its tables, its output. Needs the openlineage provider."""
    from airflow.providers.common.compat.openlineage.facet import (
        Dataset,
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
    )
    from airflow.providers.openlineage.extractors import OperatorLineage

    statistics = OutputStatisticsOutputDatasetFacet(rowCount=inserted)
    return OperatorLineage(
        inputs=[Dataset(*dataset_name(path))],
        outputs=[
            OutputDataset(*name, outputFacets={"outputStatistics": statistics})
            for name in _table_names(conn_id, table)
        ],
    )


def lineage_of_comparison(
    read: Iterable[str], conn_id: str | None, table: str | None, written: Iterable[str]
) -> OperatorLineage[Any, Any]:
    """
    Return a comparison's inputs, files and perhaps a table, and the files that it wrote. Needs the openlineage provider.
    """
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.providers.openlineage.extractors import OperatorLineage

    names = [*map(dataset_name, read), *(_table_names(conn_id, table) if conn_id and table else ())]
    return OperatorLineage(
        inputs=[Dataset(*name) for name in names],
        outputs=[Dataset(*dataset_name(path)) for path in written],
    )


def _table_names(conn_id: str, table: str) -> list[tuple[str, str]]:
    """Return a table's namespace and name, the only one; none where the database's hook does not know how it is named."""
    from airflow.providers.common.compat.sdk import BaseHook
    from airflow.providers.openlineage.sqlparser import SQLParser

    connection: Any = BaseHook.get_connection(conn_id)
    hook = connection.get_hook()
    info = hook.get_openlineage_database_info(connection)
    if info is None:
        return []
    from airflow_provider_koreai.warehouse.table import utterances_table

    described = utterances_table(table)
    schema = described.schema or hook.get_openlineage_default_schema()
    parts = (info.database or connection.schema, schema, described.name)
    return [(SQLParser.create_namespace(info), ".".join(filter(None, parts)))]
