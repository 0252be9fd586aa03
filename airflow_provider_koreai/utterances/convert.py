"""Write an exported file as Parquet."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.storage.output import Output
from airflow_provider_koreai.utterances.parquet import COLUMNS, ParquetWriter
from airflow_provider_koreai.utterances.reading import read_utterances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_koreai.version_compat import Log

# Rows that are Python objects at a time; more would give the garbage collector work.
_BATCH = 1024


@dataclass(frozen=True)
class ConvertResult:
    """What was written."""

    path: str
    bytes: int
    rows: int
    sha256: str

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-safe values."""
        return asdict(self)


def convert_utterances(
    path: str,
    target: str,
    *,
    file_type: str | None = None,
    storage_conn_id: str | None = None,
    target_storage_conn_id: str | None = None,
    compression: str = "zstd",
    overwrite: bool = True,
    log: Log,
) -> ConvertResult:
    """Write an exported file as Parquet, whole or not at all; see the operator for the arguments."""
    with (
        Output(
            "target", target, storage_conn_id=target_storage_conn_id, overwrite=overwrite, log=log
        ) as output,
        ParquetWriter(output, COLUMNS, required=("sentence",), compression=compression) as writer,
    ):
        utterances = read_utterances(path, file_type, storage_conn_id)
        while rows := list(islice(utterances, _BATCH)):
            *texts, entities, extra = zip(*rows, strict=True)
            writer.write([*texts, _json_texts(entities), _json_texts(extra)])
    if writer.replaced:
        log.warning(
            "%s texts of %s contain an unpaired surrogate, which UTF-8 cannot express; %s has U+FFFD in its place",
            f"{writer.replaced:,}",
            path,
            output.argument.text,
        )
    return ConvertResult(output.argument.text, output.size, writer.rows, output.sha256)


def _json_texts(values: Sequence[Any]) -> list[str | None]:
    return [json.dumps(value, ensure_ascii=False) if value else None for value in values]
