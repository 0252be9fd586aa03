"""
Parquet files of utterances, written and read with pyarrow, a row group at a time.

All columns are plain UTF-8 strings, with entities and further columns as JSON, so that DuckDB, pandas and Spark read
them alike. Parquet's dictionaries keep repeated values small.
"""

from __future__ import annotations

import io
import json
import operator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_provider_koreai.arguments import choice
from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIFileError
from airflow_provider_koreai.text import encodable
from airflow_provider_koreai.utterances.model import Utterance

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_provider_koreai.storage.output import Output

COLUMNS = ("task_name", "sentence", "type", "language", "entities", "extra")
COMPRESSIONS = ("zstd", "snappy", "gzip", "none")
# DuckDB's default: small enough for little memory, large enough to compress well.
_ROW_GROUP_SIZE = 122_880
# Rows that are Python objects at a time; more would give the garbage collector work.
_BATCH = 1024


class ParquetWriter:
    """
    Writes columns of texts, as a context manager.

    :param required: the columns that are never None.
    :raises KoreAIConfigurationError: ``compression`` is not one of :data:`COMPRESSIONS`, or pyarrow is not installed.
    """

    def __init__(
        self,
        output: Output,
        columns: Sequence[str],
        *,
        required: Sequence[str] = (),
        compression: str = "zstd",
    ) -> None:
        pyarrow = arrow_library()
        from pyarrow import parquet

        self.rows = 0
        #: The number of texts in which an unpaired surrogate became U+FFFD.
        self.replaced = 0
        self._arrow = pyarrow
        self._schema = pyarrow.schema(
            [pyarrow.field(name, pyarrow.string(), nullable=name not in required) for name in columns]
        )
        self._batches: list[Any] = []
        self._waiting = 0
        self._writer = parquet.ParquetWriter(
            pyarrow.PythonFile(_File(output), mode="w"),
            self._schema,
            compression=choice("compression", compression, COMPRESSIONS),
            # A dictionary of sentences would be as large as they are.
            use_dictionary=[name for name in columns if name != "sentence"],
        )

    def __enter__(self) -> ParquetWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush(to_the_end=True)
            self._writer.close()
        else:
            with suppress(Exception):  # the error that led here matters more
                self._writer.close()

    def write(self, columns: Sequence[Sequence[str | None]]) -> None:
        """Add rows, given as the values of each column."""
        self._batches.append(
            self._arrow.RecordBatch.from_arrays([self._array(each) for each in columns], schema=self._schema)
        )
        self._waiting += len(columns[0])
        self.rows += len(columns[0])
        if self._waiting >= _ROW_GROUP_SIZE:
            self._flush()

    def _array(self, values: Sequence[str | None]) -> Any:
        try:
            return self._arrow.array(values, self._arrow.string())
        except UnicodeEncodeError:
            whole = [value and encodable(value) for value in values]
            self.replaced += sum(map(operator.ne, values, whole))
            return self._arrow.array(whole, self._arrow.string())

    def _flush(self, *, to_the_end: bool = False) -> None:
        """Write full row groups, and at the end what is left."""
        if not self._batches:
            return
        table = self._arrow.Table.from_batches(self._batches)
        size = table.num_rows if to_the_end else table.num_rows // _ROW_GROUP_SIZE * _ROW_GROUP_SIZE
        self._writer.write_table(table.slice(0, size), row_group_size=_ROW_GROUP_SIZE)
        self._batches = table.slice(size).to_batches()
        self._waiting = table.num_rows - size


def read_parquet(stream: BinaryIO) -> Iterator[Utterance]:
    """Read the utterances of a Parquet file that the convert task wrote; the stream must be seekable."""
    rows = read_texts(stream, COLUMNS, required=COLUMNS[:4])
    for number, (task, sentence, kind, language, entities, extra) in enumerate(rows, start=1):
        if sentence is None:
            raise _broken(f"row {number}: no sentence")
        marked = tuple(_parsed(number, "entities", entities, list)) if entities else ()
        further = _parsed(number, "extra", extra, dict) if extra else {}
        yield Utterance(task, sentence, kind, language, marked, further)


def read_texts(
    stream: BinaryIO, columns: Sequence[str], required: Sequence[str]
) -> Iterator[tuple[str | None, ...]]:
    """
    Read columns of texts, row by row; the stream must be seekable.

    :param required: the columns that the file must have; another one that it lacks is None.
    :raises KoreAIFileError: while reading, for a file that is broken or has other columns.
    """
    pyarrow = arrow_library()
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(stream)
        schema = file.schema_arrow
        there = [name for name in columns if name in schema.names]
        if missing := [name for name in required if name not in there]:
            raise _broken(f"it has no column {', '.join(missing)}")
        if wrong := [name for name in there if not _holds_texts(schema.field(name).type)]:
            kinds = (f"column {name} is {schema.field(name).type} instead of string" for name in wrong)
            raise _broken("; ".join(kinds))
        for batch in file.iter_batches(batch_size=_BATCH, columns=there):
            values = {name: batch.column(name).to_pylist() for name in there}
            nothing = [None] * batch.num_rows
            yield from zip(*(values.get(name, nothing) for name in columns), strict=True)
    except (pyarrow.ArrowException, ValueError) as error:
        raise _broken(f"{type(error).__name__}: {str(error)[:200]}") from error


def _broken(problem: str) -> KoreAIFileError:
    return KoreAIFileError(f"The Parquet file is broken: {problem}.")


def _holds_texts(kind: Any) -> bool:
    types = arrow_library().types
    if types.is_dictionary(kind):
        kind = kind.value_type
    # Of a column without any value, some libraries do not know that it has texts.
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind))


def _parsed(number: int, name: str, text: str, kind: type) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, kind):
        raise _broken(f"row {number}: {name} is not a JSON {'array' if kind is list else 'object'}")
    return value


def arrow_library() -> Any:
    """Import pyarrow, or say how to install it."""
    try:
        import pyarrow
    except ImportError as error:
        raise KoreAIConfigurationError(
            "Parquet needs pyarrow, which is not installed: pip install 'airflow-provider-koreai[parquet]'"
        ) from error
    return pyarrow


class _File(io.RawIOBase):
    """The output, as the file object that pyarrow writes to."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._output.write(bytes(data))
        return len(data)
