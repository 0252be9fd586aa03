"""The changes that a comparison found, as a file: CSV (also compressed) or Parquet, depending on its name."""

from __future__ import annotations

import csv
import io
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_koreai.compare.comparison import DETAIL_COLUMNS
from airflow_provider_koreai.exceptions import KoreAIConfigurationError
from airflow_provider_koreai.storage.compression import compressor_factory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_koreai.compare.comparison import Change
    from airflow_provider_koreai.storage.compression import Compressor
    from airflow_provider_koreai.storage.output import Output

# Changes that are Python objects at a time.
_BATCH = 4096
_REQUIRED = ("change", "sentence")


class DetailWriter:
    """Writes changes, as a context manager inside that of the output."""

    def __init__(self, output: Output) -> None:
        self._rows: list[tuple[str | None, ...]] = []
        self._stack = ExitStack()
        self._write = self._open(output)

    def __enter__(self) -> DetailWriter:
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            self._flush()
        self._stack.__exit__(*error)

    def write(self, change: Change) -> None:
        """Add a change."""
        self._rows.append(change.columns())
        if len(self._rows) >= _BATCH:
            self._flush()

    def _open(self, output: Output) -> Callable[[Sequence[Sequence[str | None]]], None]:
        argument = output.argument
        if argument.text.lower().endswith(".parquet"):
            from airflow_provider_koreai.utterances.parquet import ParquetWriter

            parquet = self._stack.enter_context(ParquetWriter(output, DETAIL_COLUMNS, required=_REQUIRED))
            return lambda rows: parquet.write(list(zip(*rows, strict=True)))
        if argument.file_type == "csv":
            compressor = compressor_factory(argument.compression)() if argument.compression else None
            return self._stack.enter_context(_CsvWriter(output, compressor)).write
        raise KoreAIConfigurationError(
            f"detail_path={argument.text!r:.200} must end in .csv, .csv.gz, .csv.zst or .parquet."
        )

    def _flush(self) -> None:
        if self._rows:
            self._write(self._rows)
            self._rows = []


class _CsvWriter:
    def __init__(self, output: Output, compressor: Compressor | None) -> None:
        self._output = output
        self._compressor = compressor

    def __enter__(self) -> _CsvWriter:
        self.write([DETAIL_COLUMNS])
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None and self._compressor is not None:
            self._output.write(self._compressor.flush())

    def write(self, rows: Sequence[Sequence[str | None]]) -> None:
        text = _csv(rows, csv.QUOTE_MINIMAL)
        if "\r" in text:  # older versions of Python do not quote it, and it would end the row
            text = _csv(rows, csv.QUOTE_ALL)
        data = text.encode("utf-8", "replace")
        self._output.write(data if self._compressor is None else self._compressor.compress(data))


def _csv(rows: Sequence[Sequence[str | None]], quoting: Literal[0, 1]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n", quoting=quoting).writerows(rows)
    return text.getvalue()
