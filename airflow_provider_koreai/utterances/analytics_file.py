"""What users said, as a file: JSON lines or CSV (both also compressed), or Parquet, depending on its name."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any, Protocol, cast

from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIFileError
from airflow_provider_koreai.storage.compression import compressor_factory
from airflow_provider_koreai.text import encodable
from airflow_provider_koreai.utterances.detail import DetailWriter
from airflow_provider_koreai.utterances.reading import csv_reader, open_export

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_provider_koreai.storage.output import Output

# The columns of CSV and Parquet, and the fields of Kore.ai's that they hold. What has no column is JSON in the last.
FIELDS = {
    "timestamp": "timestamp",
    "utterance": "utterance",
    "intent": "intent",
    "task_name": "taskName",
    "language": "language",
    "channel": "channel",
    "user_id": "userId",
}
COLUMNS = (*FIELDS, "details")
SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".csv", ".csv.gz", ".csv.zst", ".parquet")


def kind_of(path: str, name: str = "path") -> str:
    """
    Return ``jsonl``, ``csv`` or ``parquet``.

    :raises KoreAIConfigurationError: the path, which comes from the argument ``name``, ends in none of them.
    """
    for suffix in SUFFIXES:
        if path.lower().endswith(suffix):
            return suffix.split(".")[1]
    raise KoreAIConfigurationError(
        f"{name}={path!r:.200} must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}."
    )


class Writer(Protocol):
    """Writes rows, as a context manager inside that of the output."""

    def __enter__(self) -> Writer: ...
    def __exit__(self, *error: object) -> None: ...
    def write(self, row: dict[str, Any]) -> None:
        """Add a row, as Kore.ai writes it."""


def analytics_writer(output: Output) -> Writer:
    """Return the writer for an output's kind of file."""
    return _Lines(output) if kind_of(output.argument.text) == "jsonl" else _Table(output)


def read_analytics(path: str, storage_conn_id: str | None = None) -> Iterator[dict[str, Any]]:
    """
    Read the rows of a file, as Kore.ai writes them.

    :raises KoreAIFileError: while reading, for a broken file.
    :raises OSError: while reading, for a file that cannot be read.
    """
    kind = kind_of(path)
    with open_export(path, None, storage_conn_id) as (_, stream):
        if kind == "jsonl":
            yield from _read_lines(stream)
        else:
            rows = _read_csv(stream) if kind == "csv" else _read_parquet(stream)
            for number, values in enumerate(rows, start=1):
                yield _row_of(number, values)


class _Lines:
    def __init__(self, output: Output) -> None:
        self._output = output
        compression = output.argument.compression
        self._compressor = compressor_factory(compression)() if compression else None

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None and self._compressor is not None:
            self._output.write(self._compressor.flush())

    def write(self, row: dict[str, Any]) -> None:
        data = encodable(json.dumps(row, ensure_ascii=False)).encode() + b"\n"
        self._output.write(data if self._compressor is None else self._compressor.compress(data))


class _Table:
    def __init__(self, output: Output) -> None:
        self._writer = DetailWriter(output, COLUMNS, required=())

    def __enter__(self) -> _Table:
        self._writer.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.__exit__(*error)

    def write(self, row: dict[str, Any]) -> None:
        self._writer.write(columns_of(row))


def columns_of(row: dict[str, Any]) -> tuple[str | None, ...]:
    """Return the values of :data:`COLUMNS`."""
    rest = dict(row)
    texts = [_text(rest.pop(field, None)) for field in FIELDS.values()]
    return (*texts, json.dumps(rest, ensure_ascii=False) if rest else None)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    return json.dumps(value, ensure_ascii=False)


def _row_of(number: int, values: Sequence[str | None]) -> dict[str, Any]:
    """Turn the values of the columns back into a row."""
    *texts, details = values
    row: dict[str, Any] = {field: text for field, text in zip(FIELDS.values(), texts, strict=True) if text}
    further = _json_object(details) if details else {}
    if further is None:
        raise KoreAIFileError(f"The file is broken: row {number}: details is not a JSON object.")
    return {**row, **further}


def _json_object(text: str | bytes) -> dict[str, Any] | None:
    """Return None for anything else; no error has the text, which is data, as its cause."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _read_lines(stream: io.BufferedReader) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(stream, start=1):
        row = _json_object(line)
        if row is None:
            raise KoreAIFileError(f"The file is broken: line {number} is not a JSON object.")
        yield row


def _read_csv(stream: io.BufferedReader) -> Iterator[Sequence[str | None]]:
    reader = csv_reader(io.TextIOWrapper(cast("Any", stream), encoding="utf-8", newline=""))
    try:
        if tuple(next(reader, ())) != COLUMNS:
            raise KoreAIFileError(f"The file is broken: line 1 is not the header {','.join(COLUMNS)}.")
        for cells in reader:
            if len(cells) != len(COLUMNS):
                raise KoreAIFileError(f"The file is broken: line {reader.line_num} has {len(cells)} columns.")
            yield [cell or None for cell in cells]
    except (csv.Error, UnicodeDecodeError):
        # Without its cause, which would hold the data.
        raise KoreAIFileError(f"The file is broken: line {reader.line_num} cannot be read.") from None


def _read_parquet(stream: io.BufferedReader) -> Iterator[Sequence[str | None]]:
    from airflow_provider_koreai.utterances.parquet import read_texts

    return read_texts(stream, COLUMNS, required=COLUMNS)
