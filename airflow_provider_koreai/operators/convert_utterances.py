"""The operator that writes an exported file as Parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_koreai.arguments import FILE_TYPES, refuse_literals
from airflow_provider_koreai.exceptions import KoreAIFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_koreai.utterances.convert import ConvertResult

# As in utterances.parquet, which a DAG file need not load.
COMPRESSIONS = ("zstd", "snappy", "gzip", "none")


class KoreAIConvertUtterancesOperator(BaseOperator):
    """
    Write an exported file as Parquet, whole or not at all. Requires ``airflow-provider-koreai[parquet]``.

    The columns are ``task_name``, ``sentence`` (never null), ``type``, ``language``, ``entities`` and ``extra`` (further
    columns). All are UTF-8 strings, the last two JSON or null, so that DuckDB, pandas and Spark read them alike.

    :param path: the file, as the download task stored it: CSV or JSON, also compressed; a local path, or a URL that
        Airflow's ObjectStoragePath understands. (templated)
    :param target: the Parquet file to write: a local path or a URL, like ``path``. (templated)
    :param file_type: ``csv`` or ``json``. Default None: determined by the path's suffix, else by the content.
        (templated)
    :param compression: ``zstd`` (the default), ``snappy``, ``gzip`` or ``none``. (templated)
    :param overwrite: whether an existing file is replaced. Default True; False fails the task.
    :param storage_conn_id: ID of the connection for the object store of ``path``. Default None. (templated)
    :param target_storage_conn_id: ID of the connection for the object store of ``target``. Default None. (templated)

    Returns ``{"path", "bytes", "rows", "sha256"}``, and pushes each entry under its own key as well:
    ``convert.output["path"]``. Assets in ``outlets`` get the same as the extra of their event. OpenLineage gets both files.
    """

    template_fields: Sequence[str] = (
        "path",
        "target",
        "file_type",
        "compression",
        "storage_conn_id",
        "target_storage_conn_id",
    )
    ui_color = "#c6dfe0"

    def __init__(
        self,
        *,
        path: str,
        target: str,
        file_type: str | None = None,
        compression: str = "zstd",
        overwrite: bool = True,
        storage_conn_id: str | None = None,
        target_storage_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        refuse_literals(file_type=(file_type, FILE_TYPES), compression=(compression, COMPRESSIONS))
        self.path = path
        self.target = target
        self.file_type = file_type
        self.compression = compression
        self.overwrite = overwrite
        self.storage_conn_id = storage_conn_id
        self.target_storage_conn_id = target_storage_conn_id
        self._result: ConvertResult | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_koreai.utterances.convert import convert_utterances

        try:
            result = convert_utterances(
                self.path,
                self.target,
                file_type=self.file_type or None,
                storage_conn_id=self.storage_conn_id or None,
                target_storage_conn_id=self.target_storage_conn_id or None,
                compression=self.compression,
                overwrite=self.overwrite,
                log=self.log,
            )
        except KoreAIFileError as error:
            raise KoreAIFileError(f"path={self.path!r:.200}: {error} Nothing was written.") from error
        except FileNotFoundError as error:
            raise KoreAIFileError(f"path={self.path!r:.200} does not exist. Nothing was written.") from error
        self._result = result
        if self.outlets:
            from airflow_provider_koreai.assets.koreai import tell_outlets

            tell_outlets(self.outlets, context["outlet_events"], result.as_dict())
        return result.as_dict()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        if self._result is None:
            return None
        from airflow_provider_koreai.assets.lineage import lineage_of_conversion

        return lineage_of_conversion(self.path, self._result)
