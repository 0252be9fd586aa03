"""
Read an exported file: utterances out of CSV, JSON or Parquet, one by one, in bounded memory.

.. code-block:: python

    for utterance in read_utterances("s3://lake/koreai/utterances.csv", storage_conn_id="lake"):
        print(utterance.task_name, utterance.sentence)
"""

from __future__ import annotations

import csv
import io
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from airflow_provider_koreai.arguments import file_type_argument
from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIFileError
from airflow_provider_koreai.redaction import scrub
from airflow_provider_koreai.storage.compression import MAGIC, Unpacked
from airflow_provider_koreai.storage.paths import PathArgument, file_system, local_path
from airflow_provider_koreai.utterances.checks import MAX_LINE, REQUIRED_COLUMNS
from airflow_provider_koreai.utterances.json_array import JsonArrayError, JsonArrayParser
from airflow_provider_koreai.utterances.model import Utterance

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_CHUNK = 64 << 10
# Utterance() itself would take as long as the rest of a row.
_new = tuple.__new__
_PARQUET = b"PAR1"


def read_utterances(
    path: str, file_type: str | None = None, storage_conn_id: str | None = None
) -> Iterator[Utterance]:
    """
    Read the utterances of an exported file, compressed or not, or of a Parquet file made of one.

    :param path: a local path, or a URL that Airflow's ObjectStoragePath understands.
    :param file_type: ``csv`` or ``json``. Default None: determined by the path's suffix, else by the content.
    :param storage_conn_id: ID of the connection for an object store. Default None: the store's own default.
    :return: the utterances in the file's order. The file is opened when the first one is read, and closed after the
        last one or when the iterator is closed.
    :raises KoreAIConfigurationError: at once, for a wrong argument.
    :raises KoreAIFileError: while reading, for a broken file.
    :raises OSError: while reading, for a file that cannot be read.
    """
    _arguments(path, file_type)  # a generator would check them only when the first utterance is read
    return _read(path, file_type, storage_conn_id)


@contextmanager
def open_export(
    path: str, file_type: str | None = None, storage_conn_id: str | None = None
) -> Iterator[tuple[str, io.BufferedReader]]:
    """
    Open an exported file; the arguments are those of :func:`read_utterances`.

    :return: ``csv``, ``json`` or ``parquet``, and the content, decompressed.
    """
    text, kind = _arguments(path, file_type)
    with ExitStack() as stack:
        stored = stack.enter_context(_open(text, storage_conn_id))
        buffered: io.BufferedReader = io.BufferedReader(cast("io.RawIOBase", stored), _CHUNK)
        if buffered.peek(4)[:4] == _PARQUET:
            yield "parquet", buffered
            return
        stream = stack.enter_context(_decompressed(buffered))
        yield kind or ("json" if _looks_like_json(stream) else "csv"), stream


def _arguments(path: str, file_type: str | None) -> tuple[str, str | None]:
    argument = PathArgument.of_file(path)
    return argument.text, file_type_argument(file_type) or argument.file_type


def _read(path: str, file_type: str | None, storage_conn_id: str | None) -> Iterator[Utterance]:
    with open_export(path, file_type, storage_conn_id) as (kind, stream):
        yield from utterances_in(kind, stream)


def utterances_in(kind: str, stream: io.BufferedReader) -> Iterator[Utterance]:
    """Read the utterances of what :func:`open_export` opened."""
    if kind == "parquet":
        from airflow_provider_koreai.utterances.parquet import read_parquet

        yield from read_parquet(stream)
    elif kind == "json":
        yield from (utterance for utterance, _ in read_json(stream))
    else:
        yield from _read_csv(stream)


def _open(path: str, storage_conn_id: str | None) -> BinaryIO:
    local = local_path(path)
    if local is not None:
        return cast("BinaryIO", open(local, "rb", buffering=0))
    try:
        served, key = file_system(path, storage_conn_id)
        return cast("BinaryIO", served.open(key, "rb", block_size=4 << 20, cache_type="readahead"))
    except (KoreAIConfigurationError, OSError):
        raise
    except Exception as error:  # noqa: BLE001 - each store's library has errors of its own
        problem = f"{type(error).__name__}: {scrub(str(error))[:300]}"
    # Raised here, without its cause, which may carry a key or a signed link.
    raise OSError(f"{path!r:.200} cannot be opened (storage_conn_id={storage_conn_id!r}): {problem}.")


def _decompressed(stored: io.BufferedReader) -> io.BufferedReader:
    beginning = stored.peek(4)
    for name, magic in MAGIC.items():
        if beginning.startswith(magic):
            return io.BufferedReader(Unpacked(stored, name), _CHUNK)
    return stored


def _looks_like_json(stream: io.BufferedReader) -> bool:
    return stream.peek(64).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"[", b"{")


def csv_reader(lines: Iterable[str]) -> Any:
    """Read CSV more strictly than a download is checked: text after a closing quote is an error, not a guess."""
    # The library's limit on a cell, 128 KiB by default, applies to the whole process, so it is only ever raised.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE))
    return csv.reader(lines, strict=True)


class _CountingLines(io.BufferedIOBase):
    """Counts the lines that are read, so that a decoding error can be given its line."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._before = self._until = 0

    def readable(self) -> bool:
        return True

    def read1(self, size: int = -1, /) -> bytes:
        data = self._stream.read1(size)
        self._before, self._until = self._until, self._until + data.count(b"\n")
        return data

    def line_of(self, error: UnicodeDecodeError) -> int:
        """Return the line of the bytes that cannot be decoded, in the chunk that was read last."""
        return self._before + error.object.count(b"\n", 0, error.start) + 1


def _read_csv(stream: io.BufferedReader) -> Iterator[Utterance]:
    counting = _CountingLines(stream)
    text = io.TextIOWrapper(cast("BinaryIO", counting), encoding="utf-8-sig", newline="")
    reader = csv_reader(text)
    try:
        header = [name.strip() for name in next(reader, [])]
        if not set(REQUIRED_COLUMNS) <= set(header):
            raise _broken("CSV", f"line 1 is not a header with {' and '.join(REQUIRED_COLUMNS)}")
        yield from _rows(reader, header)
    except UnicodeDecodeError as error:
        # Its cause would hold the data.
        raise _broken("CSV", f"line {counting.line_of(error)}: not UTF-8") from None
    except csv.Error as error:
        raise _broken("CSV", f"line {reader.line_num}: {error}") from error


def _broken(kind: str, problem: str) -> KoreAIFileError:
    return KoreAIFileError(f"The {kind} file is broken: {problem}.")


def _rows(reader: Any, header: list[str]) -> Iterator[Utterance]:
    width = len(header)
    places = {name: index for index, name in reversed(list(enumerate(header)))}
    task, sentence = (places.pop(name) for name in REQUIRED_COLUMNS)
    # An absent column reads as an empty cell, which is None.
    kind, language = places.pop("type", width), places.pop("language", width)
    absent = width in (kind, language)
    for row in reader:
        if len(row) != width:
            if not row:
                continue
            raise csv.Error(f"{len(row)} columns; the header has {width}")
        if absent:
            row.append("")
        extra = {name: row[index] for name, index in places.items()} if places else {}
        values = (row[task] or None, row[sentence], row[kind] or None, row[language] or None, (), extra)
        yield _new(Utterance, values)


def read_json(stream: io.BufferedReader) -> Iterator[tuple[Utterance, bool]]:
    """Read the utterances of a JSON file, and whether each has the key ``entities``."""
    parser = JsonArrayParser()
    number = 0
    try:
        while chunk := stream.read1(_CHUNK):
            for element in parser.feed(chunk):
                number += 1
                has_entities = "entities" in element
                yield _utterance(element), has_entities
        parser.close()
    except JsonArrayError as error:
        raise _broken("JSON", str(error)) from error
    except _BrokenElementError as error:
        raise _broken("JSON", f"element {number}: {error}") from error


class _BrokenElementError(Exception):
    pass


def _utterance(element: dict[str, Any]) -> Utterance:
    sentence = element.pop("sentence", None)
    entities = element.pop("entities", None)
    task, kind = element.pop("taskName", None), element.pop("type", None)
    language = element.pop("language", None)
    if not isinstance(sentence, str):
        raise _BrokenElementError("'sentence' is missing or not a string")
    if not (entities is None or isinstance(entities, list)):
        raise _BrokenElementError("'entities' is not an array")
    if not ((task is None or isinstance(task, str)) and (kind is None or isinstance(kind, str))):
        raise _BrokenElementError("'taskName' or 'type' is not a string")
    if not (language is None or isinstance(language, str)):
        raise _BrokenElementError("'language' is not a string")
    values = (
        task or None,
        sentence,
        kind or None,
        language or None,
        tuple(entities) if entities else (),
        element,
    )
    return _new(Utterance, values)
