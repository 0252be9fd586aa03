"""OpenLineage: what tasks read and write, under OpenLineage's names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_koreai.assets.koreai import asset_uri
from airflow_provider_koreai.storage.paths import PathArgument, local_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_koreai.download.export_file import DownloadResult
    from airflow_provider_koreai.utterances.convert import ConvertResult

# Other schemes for the same object store.
_SCHEMES = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}
_JSON_COLUMNS = ("taskName", "sentence", "type", "entities", "language")


def dataset_name(path: object) -> tuple[str, str]:
    """
    Return a file's namespace and name, see https://openlineage.io/docs/spec/naming.

    A connection ID in a URL is not part of the name.
    """
    text = PathArgument.parse(path).text
    local = local_path(text)
    if local is not None:
        return "file", local
    # Not urlsplit: an object's key may contain # and ?.
    scheme, _, rest = text.partition("://")
    authority, _, key = rest.partition("/")
    scheme = scheme.lower()
    return f"{_SCHEMES.get(scheme, scheme)}://{authority.rpartition('@')[2]}", key


def bot_name(base_url: str, bot_id: str) -> tuple[str, str]:
    """Return a bot's namespace and name, which are those of its asset."""
    uri = urlsplit(asset_uri(bot_id, base_url))
    return f"{uri.scheme}://{uri.netloc}", uri.path.lstrip("/")


def lineage_of_download(base_url: str, bot_id: str, result: DownloadResult) -> OperatorLineage[Any, Any]:
    """Return a download's input and output. Needs the openlineage provider, as all these functions do."""
    from airflow.providers.common.compat.openlineage.facet import (
        Dataset,
        SchemaDatasetFacet,
        SchemaDatasetFacetFields,
    )
    from openlineage.client.generated.dataset_version_dataset import DatasetVersionDatasetFacet

    schema = SchemaDatasetFacet(
        fields=[
            SchemaDatasetFacetFields(name=name, type="array" if name == "entities" else "string")
            for name in result.columns or _JSON_COLUMNS
        ]
    )
    # A bot's utterances have no version, but an export has a time.
    moment = {"version": DatasetVersionDatasetFacet(result.requested_time)} if result.requested_time else {}
    bot = Dataset(*bot_name(base_url, bot_id), facets={"schema": schema, **moment})
    return _lineage([bot], [_written_file(result, schema=schema)])


def lineage_of_import(base_url: str, bot_id: str, path: str) -> OperatorLineage[Any, Any]:
    """Return an import's input and output."""
    return _lineage([dataset_name(path)], [bot_name(base_url, bot_id)])


def lineage_of_conversion(path: str, result: ConvertResult) -> OperatorLineage[Any, Any]:
    """Return a conversion's input and output."""
    return _lineage([dataset_name(path)], [_written_file(result)])


def lineage_of_load(path: str, conn_id: str, table: str, inserted: int) -> OperatorLineage[Any, Any]:
    """Return a load's input and, where the database's hook can name its tables, its output."""
    tables = [_written(name, {}, rowCount=inserted) for name in _table_names(conn_id, table)]
    return _lineage([dataset_name(path)], tables)


def lineage_of_comparison(
    read: Iterable[str], conn_id: str | None, table: str | None, written: Iterable[str]
) -> OperatorLineage[Any, Any]:
    """Return a comparison's inputs, files and perhaps a table, and the files that it wrote."""
    tables = _table_names(conn_id, table) if conn_id and table else []
    return _lineage([*map(dataset_name, read), *tables], map(dataset_name, written))


def _lineage(inputs: Iterable[Any], outputs: Iterable[Any]) -> OperatorLineage[Any, Any]:
    """Return the lineage of datasets, or of their names."""
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.providers.openlineage.extractors import OperatorLineage

    def datasets(them: Iterable[Any]) -> list[Any]:
        return [Dataset(*each) if isinstance(each, tuple) else each for each in them]

    return OperatorLineage(inputs=datasets(inputs), outputs=datasets(outputs))


def _written_file(result: DownloadResult | ConvertResult, **facets: Any) -> Any:
    from openlineage.client.generated.dataset_version_dataset import DatasetVersionDatasetFacet

    version = DatasetVersionDatasetFacet(f"sha256:{result.sha256}")
    return _written(
        dataset_name(result.path),
        {**facets, "version": version},
        rowCount=result.rows,
        size=result.bytes,
        fileCount=1,
    )


def _written(name: tuple[str, str], facets: dict[str, Any], **statistics: Any) -> Any:
    from airflow.providers.common.compat.openlineage.facet import (
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
    )

    counts = OutputStatisticsOutputDatasetFacet(**statistics)
    return OutputDataset(*name, facets=facets, outputFacets={"outputStatistics": counts})


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
