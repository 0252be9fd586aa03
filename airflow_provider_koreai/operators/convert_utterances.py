"""The operator that writes an exported file as Parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_koreai.arguments import whole_number
from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context


class KoreAIConvertUtterancesOperator(BaseOperator):
    """
    Write an exported file as Parquet, whole or not at all; it needs ``airflow-provider-koreai[parquet]``.

    Its columns are ``task_name``, ``sentence`` (never null), ``type``, ``language``, ``entities`` and ``extra`` (further
    columns), all of them UTF-8 strings, the last two JSON texts or null: DuckDB, pandas and Spark read them alike.

    :param path: the file, as the download task stored it: CSV or JSON, also compressed; a local path, or a URL that
        Airflow's ObjectStoragePath understands. (templated)
    :param target: where the Parquet file goes, likewise. (templated)
    :param file_type: ``csv`` or ``json``; None: as the path's suffix says, else as the content looks. (templated)
    :param compression: ``zstd`` (the default), ``snappy``, ``gzip`` or ``none``. (templated)
    :param row_group_size: rows of a row group; as many are in memory. Default 122,880.
    :param overwrite: replace a file that is there (the default); False fails.
    :param bot_id: kept in the file's metadata, as ``koreai.bot_id``. (templated)
    :param request_id: the export's request ID, kept as ``koreai.request_id``. (templated)
    :param requested_time: the export's requested time, kept as ``koreai.requested_time``. (templated)
    :param storage_conn_id: ID of the connection for the object store of ``path``. (templated)
    :param target_storage_conn_id: ID of the connection for the object store of ``target``. (templated)

    Returns ``{"path", "bytes", "rows", "sha256"}``, and pushes each entry under its own key as well:
    ``convert.output["path"]``.
    """

    template_fields: Sequence[str] = (
        "path",
        "target",
        "file_type",
        "compression",
        "bot_id",
        "request_id",
        "requested_time",
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
        row_group_size: int = 122_880,
        overwrite: bool = True,
        bot_id: str | None = None,
        request_id: str | None = None,
        requested_time: str | None = None,
        storage_conn_id: str | None = None,
        target_storage_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        self.path = path
        self.target = target
        self.file_type = file_type
        self.compression = compression
        self.row_group_size = row_group_size
        self.overwrite = overwrite
        self.bot_id = bot_id
        self.request_id = request_id
        self.requested_time = requested_time
        self.storage_conn_id = storage_conn_id
        self.target_storage_conn_id = target_storage_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Write the file.

        :param context: Airflow's.
        :return: what was written.
        """
        from airflow_provider_koreai.utterances.parquet import convert_utterances

        row_group_size = whole_number("row_group_size", self.row_group_size)
        if not row_group_size:
            raise KoreAIConfigurationError(
                f"row_group_size={self.row_group_size!r} is not accepted; use a number from 1 up."
            )
        try:
            result = convert_utterances(
                self.path,
                self.target,
                file_type=self.file_type or None,
                storage_conn_id=self.storage_conn_id or None,
                target_storage_conn_id=self.target_storage_conn_id or None,
                compression=self.compression,
                row_group_size=row_group_size,
                overwrite=self.overwrite,
                metadata={
                    "bot_id": self.bot_id or "",
                    "request_id": self.request_id or "",
                    "requested_time": self.requested_time or "",
                },
                log=self.log,
            )
        except KoreAIFileError as error:
            problem = str(error)
        except FileNotFoundError:
            problem = "There is no such file."
        else:
            return result.as_dict()
        raise KoreAIFileError(f"path={self.path!r:.200}: {problem} Nothing was written.")
