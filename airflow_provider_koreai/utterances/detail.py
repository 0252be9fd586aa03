"""What a task found, one finding a line: CSV (also compressed) or Parquet, depending on the file's name."""

from __future__ import annotations

import csv
import io
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_koreai.exceptions import KoreAIConfigurationError
from airflow_provider_koreai.storage.compression import compressor_factory
from airflow_provider_koreai.text import encodable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_koreai.storage.compression import Compressor
    from airflow_provider_koreai.storage.output import Output

# Rows that are Python objects at a time.
_BATCH = 4096


class DetailWriter:
    """
    Writes rows of texts, as a context manager inside that of the output.

    :param required: the columns that are never None.
    """

    def __init__(self, output: Output, columns: Sequence[str], required: Sequence[str]) -> None:
        self._columns, self._required = columns, required
        self._rows: list[Sequence[str | None]] = []
        self._stack = ExitStack()
        self._write = self._open(output)

    def __enter__(self) -> DetailWriter:
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            self._flush()
        self._stack.__exit__(*error)

    def write(self, row: Sequence[str | None]) -> None:
        """Add a row."""
        self._rows.append(row)
        if len(self._rows) >= _BATCH:
            self._flush()

    def _open(self, output: Output) -> Callable[[Sequence[Sequence[str | None]]], None]:
        argument = output.argument
        if argument.text.lower().endswith(".parquet"):
            from airflow_provider_koreai.utterances.parquet import ParquetWriter

            parquet = self._stack.enter_context(ParquetWriter(output, self._columns, required=self._required))
            return lambda rows: parquet.write(list(zip(*rows, strict=True)))
        if argument.file_type == "csv":
            compressor = compressor_factory(argument.compression)() if argument.compression else None
            return self._stack.enter_context(_CsvWriter(output, self._columns, compressor)).write
        raise KoreAIConfigurationError(
            f"detail_path={argument.text!r:.200} must end in .csv, .csv.gz, .csv.zst or .parquet."
        )

    def _flush(self) -> None:
        if self._rows:
            self._write(self._rows)
            self._rows = []


class _CsvWriter:
    def __init__(self, output: Output, columns: Sequence[str], compressor: Compressor | None) -> None:
        self._output = output
        self._columns = columns
        self._compressor = compressor

    def __enter__(self) -> _CsvWriter:
        self.write([self._columns])
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None and self._compressor is not None:
            self._output.write(self._compressor.flush())

    def write(self, rows: Sequence[Sequence[str | None]]) -> None:
        data = encodable(csv_text(rows)).encode()
        self._output.write(data if self._compressor is None else self._compressor.compress(data))


def csv_text(rows: Sequence[Sequence[str | None]]) -> str:
    """Return rows as lines of CSV."""
    text = _csv(rows, csv.QUOTE_MINIMAL)
    # Older versions of Python do not quote it, and it would end the row.
    return _csv(rows, csv.QUOTE_ALL) if "\r" in text else text


def _csv(rows: Sequence[Sequence[str | None]], quoting: Literal[0, 1]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n", quoting=quoting).writerows(rows)
    return text.getvalue()
