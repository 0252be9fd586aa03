"""
Parquet files of utterances, written and read with pyarrow, a row group at a time.

Columns are plain UTF-8 strings, entities and further columns JSON texts: nothing that DuckDB, pandas or Spark would
read differently. Few different values take little room all the same, because Parquet encodes them as a dictionary.
"""

from __future__ import annotations

import io
import json
import operator
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_provider_koreai.arguments import choice
from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIFileError
from airflow_provider_koreai.storage.output import Output
from airflow_provider_koreai.text import encodable
from airflow_provider_koreai.utterances.csv_lines import IrregularError, csv_columns
from airflow_provider_koreai.utterances.model import Utterance
from airflow_provider_koreai.utterances.reading import open_export, read_utterances

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_provider_koreai.version_compat import Log

    Columns = Sequence[Sequence[str | bytes | None]]

COLUMNS = ("task_name", "sentence", "type", "language", "entities", "extra")
COMPRESSIONS = ("zstd", "snappy", "gzip", "none")
# DuckDB's own; small enough for little memory, large enough to compress well.
ROW_GROUP_SIZE = 122_880
_METADATA_PREFIX = "koreai."
# Rows that are Python objects at a time; few, or the garbage collector looks at them again and again.
_BATCH = 1024


@dataclass(frozen=True)
class ConvertResult:
    """
    What was written.

    :param path: where.
    :param bytes: the file's size.
    :param rows: its utterances.
    :param sha256: its hash.
    """

    path: str
    bytes: int
    rows: int
    sha256: str

    def as_dict(self) -> dict[str, Any]:
        """Give JSON-safe values."""
        return asdict(self)


def convert_utterances(
    path: str,
    target: str,
    *,
    file_type: str | None = None,
    storage_conn_id: str | None = None,
    target_storage_conn_id: str | None = None,
    compression: str = "zstd",
    row_group_size: int = ROW_GROUP_SIZE,
    overwrite: bool = True,
    metadata: Mapping[str, str] | None = None,
    log: Log,
) -> ConvertResult:
    """
    Write an exported file as Parquet, whole or not at all.

    :param path: the exported file, see :func:`~airflow_provider_koreai.utterances.reading.read_utterances`.
    :param target: where the Parquet file goes: a local path, or a URL that ObjectStoragePath understands.
    :param file_type: ``csv`` or ``json``; None: as the path's suffix says, else as the content looks.
    :param storage_conn_id: the connection for an object store of ``path``.
    :param target_storage_conn_id: the connection for an object store of ``target``.
    :param compression: ``zstd`` (the default), ``snappy``, ``gzip`` or ``none``.
    :param row_group_size: rows of a row group; as many are in memory. Default 122,880.
    :param overwrite: whether an existing file may be replaced. Default True.
    :param metadata: what the file's metadata is to say, under keys with ``koreai.`` before; empty values are left out.
    :param log: for what is worth knowing.
    :raises KoreAIConfigurationError: an argument is wrong, or pyarrow is not installed.
    :raises KoreAIFileError: the exported file is broken.
    :raises KoreAIDownloadError: the Parquet file could not be written.
    :raises OSError: the exported file cannot be read.
    """
    with (
        Output(
            "target", target, storage_conn_id=target_storage_conn_id, overwrite=overwrite, log=log
        ) as output,
        ParquetWriter(
            output,
            COLUMNS,
            required=("sentence",),
            compression=compression,
            row_group_size=row_group_size,
            metadata=metadata,
        ) as writer,
    ):
        for columns in _columns_of(path, file_type, storage_conn_id):
            writer.write(columns)
    if writer.replaced:
        log.warning(
            "%s texts of %s hold half a surrogate pair, which UTF-8 does not have; %s has U+FFFD instead",
            f"{writer.replaced:,}",
            path,
            output.argument.text,
        )
    return ConvertResult(output.argument.text, output.size, writer.rows, output.sha256)


def _columns_of(path: str, file_type: str | None, storage_conn_id: str | None) -> Iterator[Columns]:
    done = 0
    # By the block where that can be done; from where it cannot, row by row, which names the line of a broken one.
    with suppress(IrregularError), open_export(path, file_type, storage_conn_id) as (kind, stream):
        if kind != "csv":
            raise IrregularError
        for task_names, sentences, *others in csv_columns(stream):
            nothing = [None] * len(sentences)
            names, kinds, languages = ([cell or None for cell in each] for each in (task_names, *others))
            yield [names, sentences, kinds, languages, nothing, nothing]
            done += len(sentences)
        return
    utterances = islice(read_utterances(path, file_type, storage_conn_id), done, None)
    while rows := list(islice(utterances, _BATCH)):
        *texts, entities, extra = zip(*rows, strict=True)
        yield [*texts, _json_texts(entities), _json_texts(extra)]


class ParquetWriter:
    """
    Writes rows of texts. Use it with ``with``.

    :param output: where the bytes go.
    :param columns: the columns' names.
    :param required: those that are never None.
    :param compression: one of :data:`COMPRESSIONS`.
    :param row_group_size: rows of a row group.
    :param metadata: for the file's own metadata.
    :raises KoreAIConfigurationError: ``compression`` is another, or pyarrow is not installed.
    """

    def __init__(
        self,
        output: Output,
        columns: Sequence[str],
        *,
        required: Sequence[str] = (),
        compression: str = "zstd",
        row_group_size: int = ROW_GROUP_SIZE,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        pyarrow = arrow_library()
        from pyarrow import parquet

        self.rows = 0
        #: Texts that held half a surrogate pair, which is U+FFFD now.
        self.replaced = 0
        self._arrow = pyarrow
        self._row_group_size = row_group_size
        self._schema = pyarrow.schema(
            [pyarrow.field(name, pyarrow.string(), nullable=name not in required) for name in columns],
            metadata={_METADATA_PREFIX + key: value for key, value in (metadata or {}).items() if value},
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

    def write(self, columns: Columns) -> None:
        """
        Add rows.

        :param columns: the values of each column, texts or their UTF-8; as many as are easily held in memory.
        :raises KoreAIDownloadError: they could not be written.
        """
        self._batches.append(
            self._arrow.RecordBatch.from_arrays([self._array(each) for each in columns], schema=self._schema)
        )
        self._waiting += len(columns[0])
        self.rows += len(columns[0])
        if self._waiting >= self._row_group_size:
            self._flush()

    def _array(self, values: Sequence[str | bytes | None]) -> Any:
        try:
            return self._arrow.array(values, self._arrow.string())
        except UnicodeEncodeError:
            whole = [encodable(value) if isinstance(value, str) else value for value in values]
            self.replaced += sum(map(operator.ne, values, whole))
            return self._arrow.array(whole, self._arrow.string())

    def _flush(self, *, to_the_end: bool = False) -> None:
        """Write full row groups, and at the end what is left."""
        if not self._batches:
            return
        table = self._arrow.Table.from_batches(self._batches)
        size = table.num_rows if to_the_end else table.num_rows // self._row_group_size * self._row_group_size
        self._writer.write_table(table.slice(0, size), row_group_size=self._row_group_size)
        self._batches = table.slice(size).to_batches()
        self._waiting = table.num_rows - size


def read_parquet(stream: BinaryIO) -> Iterator[Utterance]:
    """
    Read the utterances of a file that :func:`convert_utterances` wrote.

    :param stream: the content, seekable.
    :raises KoreAIConfigurationError: pyarrow is not installed.
    :raises KoreAIFileError: while reading: the file is broken, or of something else.
    """
    pyarrow = arrow_library()
    from pyarrow import parquet

    problem = ""
    try:
        file = parquet.ParquetFile(stream)
        schema = file.schema_arrow
        there = [name for name in COLUMNS if name in schema.names]
        if missing := [name for name in COLUMNS[:4] if name not in there]:
            problem = f"it has no column {', '.join(missing)}"
        elif wrong := [name for name in there if not _holds_texts(schema.field(name).type)]:
            problem = "; ".join(
                f"column {name} is {schema.field(name).type} instead of string" for name in wrong
            )
        else:
            yield from _rows(file, there)
    except _BrokenRowError as error:
        problem = str(error)
    except (pyarrow.ArrowException, ValueError) as error:
        problem = f"{type(error).__name__}: {str(error)[:200]}"
    if problem:
        raise KoreAIFileError(f"The Parquet file is broken: {problem}.")


class _BrokenRowError(Exception):
    pass


def _holds_texts(kind: Any) -> bool:
    types = arrow_library().types
    if types.is_dictionary(kind):
        kind = kind.value_type
    return bool(types.is_string(kind) or types.is_large_string(kind))


def _rows(file: Any, names: list[str]) -> Iterator[Utterance]:
    number = 0
    for batch in file.iter_batches(batch_size=_BATCH, columns=names):
        columns = {name: batch.column(name).to_pylist() for name in names}
        nothing = [None] * batch.num_rows
        rows = zip(*(columns.get(name, nothing) for name in COLUMNS), strict=True)
        for task, sentence, kind, language, entities, extra in rows:
            number += 1
            if sentence is None:
                raise _BrokenRowError(f"row {number}: it has no sentence")
            marked = tuple(_parsed(number, "entities", entities, list)) if entities else ()
            further = _parsed(number, "extra", extra, dict) if extra else {}
            yield Utterance(task, sentence, kind, language, marked, further)


def _parsed(number: int, name: str, text: str, kind: type) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, kind):
        raise _BrokenRowError(f"row {number}: {name} is no JSON {'array' if kind is list else 'object'}")
    return value


def arrow_library() -> Any:
    """
    Import pyarrow.

    :raises KoreAIConfigurationError: it is not installed.
    """
    try:
        import pyarrow
    except ImportError:
        pass
    else:
        return pyarrow
    raise KoreAIConfigurationError(
        "Parquet needs a library that is not installed: pip install 'airflow-provider-koreai[parquet]'"
    )


class _File(io.RawIOBase):
    """What pyarrow wants to write to."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._output.write(bytes(data))
        return len(data)


def _json_texts(values: Sequence[Any]) -> list[str | None]:
    if not any(values):
        return [None] * len(values)
    return [json.dumps(value, ensure_ascii=False) if value else None for value in values]
