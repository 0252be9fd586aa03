"""
What Kore.ai can import: a copy of a file's content, checked line by line before anything is sent.

Kore.ai's limit on a sentence is in its documentation; that an import replaces the utterances of the tasks which the
file names is what its builder does, and what this module protects from.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import tempfile
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice, repeat
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

from airflow_provider_koreai.arguments import choice
from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIFileError
from airflow_provider_koreai.utterances.checks import BYTE_ORDER_MARK
from airflow_provider_koreai.utterances.detail import csv_text
from airflow_provider_koreai.utterances.json_array import JsonArrayParser
from airflow_provider_koreai.utterances.model import LONGEST_SENTENCE
from airflow_provider_koreai.utterances.parquet import read_parquet
from airflow_provider_koreai.utterances.reading import (
    csv_reader,
    open_export,
    read_json,
    utterances_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_provider_koreai.utterances.model import Utterance
    from airflow_provider_koreai.version_compat import Log

ON_INVALID = ("fail", "drop")
CSV_COLUMNS = ("taskName", "sentence", "type", "language")
_HEADER = f"Kore.ai accepts the header {','.join(CSV_COLUMNS)}."
# Files up to this size are kept in memory while they are sent, larger ones in a temporary file.
_IN_MEMORY = 1 << 20
_CHUNK = 1 << 20
# Problems, or tasks, that an error names.
_MOST_NAMED = 10


@dataclass(frozen=True)
class ImportFile:
    """
    What is sent to Kore.ai.

    :param path: where it came from.
    :param kind: ``csv``, ``json`` or ``parquet``, what it was there.
    :param content: the content, decompressed, in a temporary file.
    :param sha256: of the content.
    """

    path: str
    kind: str
    content: BinaryIO
    sha256: str

    @property
    def file_type(self) -> str:
        """``csv`` or ``json``, what the content is: Parquet is sent as JSON."""
        return "csv" if self.kind == "csv" else "json"

    def utterances(self) -> Iterator[Utterance]:
        """Read its utterances, from the beginning."""
        return (utterance for utterance, _ in _rows(self))


class _Problem(NamedTuple):
    row: int
    # None: the row repeats the first one.
    text: str | None
    first: int


@contextmanager
def import_file(
    path: str, file_type: str | None = None, storage_conn_id: str | None = None
) -> Iterator[ImportFile]:
    """
    Copy a file's content: each try sends it from its beginning, and it is what was checked.

    The arguments are those of :func:`~airflow_provider_koreai.utterances.reading.read_utterances`.

    :raises KoreAIFileError: the file does not exist, is empty or cannot be decompressed.
    """
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spooled:
        copy = cast("BinaryIO", spooled)
        digest = hashlib.sha256()
        try:
            with open_export(path, file_type, storage_conn_id) as (kind, stream):
                for chunk in _json_of(read_parquet(stream)) if kind == "parquet" else _text_of(stream):
                    digest.update(chunk)
                    copy.write(chunk)
        except FileNotFoundError as error:
            raise KoreAIFileError(f"path={path!r:.200} does not exist.") from error
        except KoreAIFileError as error:
            raise KoreAIFileError(f"path={path!r:.200}: {error}") from error
        if copy.tell() == 0:
            raise KoreAIFileError(f"path={path!r:.200} is empty, so there is nothing to import.")
        yield ImportFile(path, kind, copy, digest.hexdigest())


@contextmanager
def checked_file(
    path: str,
    file_type: str | None = None,
    storage_conn_id: str | None = None,
    *,
    on_invalid: str = "fail",
    log: Log,
) -> Iterator[tuple[ImportFile, int]]:
    """
    Copy a file's content as :func:`import_file` does, and check it.

    :param on_invalid: ``fail``, or ``drop`` to leave out the rows that Kore.ai cannot import.
    :return: the file, and how many utterances it has, all of which Kore.ai can import.
    :raises KoreAIFileError: as :func:`import_file`; or the file has no utterances, or some that Kore.ai cannot import.
    """
    drops = choice("on_invalid", on_invalid, ON_INVALID) == "drop"
    with import_file(path, file_type, storage_conn_id) as file:
        kept = _without_invalid(file, log) if drops else file
        yield kept, _check(kept)


def _check(file: ImportFile) -> int:
    rows, problems = _problems(file)
    if rows == 0:
        raise KoreAIFileError(f"path={file.path!r:.200} has no utterances, so there is nothing to import.")
    if problems:
        raise KoreAIFileError(
            f"path={file.path!r:.200} cannot be imported: {_in_words(file, problems)}. Correct the file, or leave these rows "
            "out with on_invalid='drop'. Nothing was sent to Kore.ai."
        )
    return rows


def _without_invalid(file: ImportFile, log: Log) -> ImportFile:
    rows, problems = _problems(file)
    if not problems or len(problems) == rows:
        return file
    log.warning("Left out of the import: %s", _in_words(file, problems))
    dropped = {problem.row for problem in problems}
    digest = hashlib.sha256()
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as kept:
        for chunk in _kept_json(file, dropped) if file.file_type == "json" else _kept_csv(file, dropped):
            digest.update(chunk)
            kept.write(chunk)
        kept.seek(0)
        file.content.seek(0)
        file.content.truncate()
        shutil.copyfileobj(kept, file.content)
    return replace(file, sha256=digest.hexdigest())


def check_against(file: ImportFile, current_path: str, storage_conn_id: str | None = None) -> None:
    """
    Compare a file with a fresh JSON export of the bot, and refuse what would be lost.

    :raises KoreAIFileError: the file names a task that the export lacks, or would drop annotated entities.
    :raises KoreAIConfigurationError: ``current_path`` is not a JSON export.
    """
    tasks: set[str | None] = set()
    annotated: set[tuple[str, str | None]] = set()
    try:
        with open_export(current_path, None, storage_conn_id) as (kind, stream):
            if kind != "json":
                raise KoreAIConfigurationError(
                    f"current_path={current_path!r:.200} is {_NAMES[kind]}, not a JSON export, which alone is sure to have the "
                    "bot's entities. Export the bot with file_type='json'."
                )
            for utterance in utterances_in(kind, stream):
                tasks.add(utterance.task_name)
                if utterance.entities:
                    annotated.add((utterance.sentence, utterance.language))
    except FileNotFoundError as error:
        raise KoreAIFileError(f"current_path={current_path!r:.200} does not exist.") from error
    except KoreAIFileError as error:
        raise KoreAIFileError(f"current_path={current_path!r:.200}: {error}") from error
    unknown: dict[str, None] = {}
    losing = 0
    for utterance, has_entities in _rows(file):
        if utterance.task_name is not None and utterance.task_name not in tasks:
            unknown[utterance.task_name] = None
        losing += not has_entities and (utterance.sentence, utterance.language) in annotated
    if unknown:
        raise KoreAIFileError(
            f"path={file.path!r:.200} has utterances of tasks that are not in current_path={current_path!r:.200}: "
            f"{_first_few(map(repr, unknown), len(unknown))}. Kore.ai does not create tasks when it imports. Correct their "
            "names, create them in Kore.ai's builder first, or leave current_path out if they exist without utterances. "
            "Nothing was sent to Kore.ai."
        )
    if losing:
        raise KoreAIFileError(
            f"path={file.path!r:.200} would drop the entities that are annotated in {losing} of its sentences according to "
            f"current_path={current_path!r:.200}. {_REMEDY_FOR_ENTITIES[file.kind]} Nothing was sent to Kore.ai."
        )


_NAMES = {"csv": "CSV", "parquet": "Parquet"}
_REMEDY_FOR_ENTITIES = {
    "csv": "CSV has no entities: import JSON, with the 'entities' of the export.",
    "json": "Give these sentences the 'entities' of the export, or an empty array to drop them on purpose.",
    "parquet": "Parquet made of a CSV export has no entities: convert a JSON export. To drop them on purpose, import JSON.",
}


def _text_of(stream: BinaryIO) -> Iterator[bytes]:
    """Read a file without the byte-order mark that spreadsheets write, and that would be part of the first column's name."""
    beginning = b""
    while len(beginning) < len(BYTE_ORDER_MARK) and (data := stream.read(_CHUNK)):
        beginning += data
    yield beginning.removeprefix(BYTE_ORDER_MARK)
    yield from _chunks(stream)


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk


def _json_of(utterances: Iterable[Utterance]) -> Iterator[bytes]:
    """Write utterances as Kore.ai's JSON, with all that they have."""
    separator = "["
    for each in utterances:
        item = {
            "taskName": each.task_name,
            "sentence": each.sentence,
            "type": each.type,
            "entities": list(each.entities),
            "language": each.language,
            **each.extra,
        }
        text = json.dumps({key: value for key, value in item.items() if value is not None})
        yield f"{separator}\n{text}".encode()
        separator = ","
    yield b"[]" if separator == "[" else b"\n]\n"


def _rows(file: ImportFile) -> Iterator[tuple[Utterance, bool]]:
    """
    Read a file's utterances, and whether each has entities.

    An empty array in JSON is a decision; Parquet does not tell it from a file that never had entities.
    """
    file.content.seek(0)
    stream = cast("io.BufferedReader", _Reader(file.content))
    try:
        if file.file_type == "csv":
            _check_header(file)
            file.content.seek(0)
            yield from zip(utterances_in("csv", stream), repeat(False))
        elif file.kind == "parquet":
            yield from ((utterance, bool(utterance.entities)) for utterance, _ in read_json(stream))
        else:
            yield from read_json(stream)
    except KoreAIFileError as error:
        raise KoreAIFileError(f"path={file.path!r:.200}: {error} Nothing was sent to Kore.ai.") from error


def _check_header(file: ImportFile) -> None:
    with io.TextIOWrapper(
        cast("BinaryIO", _Reader(file.content)), "utf-8-sig", "replace", newline=""
    ) as text:
        try:
            header: list[str] = next(csv_reader(text), [])
        except csv.Error:
            # The csv module's complaint would mislead: the file may be no CSV at all.
            raise KoreAIFileError(f"Line 1 is not a CSV header. {_HEADER}") from None
    missing = [name for name in CSV_COLUMNS if name not in header]
    if missing:
        raise KoreAIFileError(f"Its first line has no column {' and no column '.join(missing)}. {_HEADER}")


class _Reader(io.BufferedIOBase):
    """A stream of a file that stays open when the stream is closed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        return self._file.read(-1 if size is None else size)

    def read1(self, size: int = -1, /) -> bytes:
        return self._file.read(_CHUNK if size < 0 else size)


def _problems(file: ImportFile) -> tuple[int, list[_Problem]]:
    """Return how many rows a file has, and which of them Kore.ai cannot import."""
    problems: list[_Problem] = []
    number = 0
    # Of each task and language, the digests of the sentences, which may be long, and their first rows.
    places: defaultdict[tuple[str | None, str | None], dict[bytes, int]] = defaultdict(dict)
    for number, ((task, sentence, _, language, _, _), _) in enumerate(_rows(file), start=1):
        # JSON may have an unpaired surrogate.
        digest = hashlib.blake2b(sentence.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        first = places[task, language].setdefault(digest, number)
        text = _problem(task, sentence)
        if text or first != number:
            problems.append(_Problem(number, text, first))
    return number, problems


def _problem(task: str | None, sentence: str) -> str | None:
    if not sentence or sentence.isspace():
        return "has no sentence"
    if len(sentence) > LONGEST_SENTENCE:
        return f"has a sentence of {len(sentence):,} characters (Kore.ai accepts {LONGEST_SENTENCE:,})"
    if not task or task.isspace():
        return "has no taskName"
    return None


def _kept_json(file: ImportFile, dropped: set[int]) -> Iterator[bytes]:
    file.content.seek(0)
    parser = JsonArrayParser()
    number, separator = 0, b"[\n"
    for chunk in _chunks(file.content):
        for element in parser.feed(chunk):
            number += 1
            if number not in dropped:
                yield separator + json.dumps(element).encode()
                separator = b",\n"
    yield b"\n]\n"


def _kept_csv(file: ImportFile, dropped: set[int]) -> Iterator[bytes]:
    with _csv_text(file) as text:
        reader = csv_reader(text)
        yield csv_text([next(reader)]).encode()
        for number, cells in enumerate(filter(None, reader), start=1):
            if number not in dropped:
                yield csv_text([cells]).encode()


def _csv_text(file: ImportFile) -> io.TextIOWrapper:
    file.content.seek(0)
    return io.TextIOWrapper(cast("BinaryIO", _Reader(file.content)), "utf-8-sig", newline="")


def _in_words(file: ImportFile, problems: list[_Problem]) -> str:
    """Describe the first few problems by their lines."""
    named = problems[:_MOST_NAMED]
    places = _places(file, {row for each in named for row in (each.row, each.first)})
    texts = (
        f"{places[row]} {text or f'repeats {places[first]} for the same task and language'}"
        for row, text, first in named
    )
    return _first_few(texts, len(problems), "; ")


def _places(file: ImportFile, rows: set[int]) -> dict[int, str]:
    """Return where rows are, counted from 1: lines of a CSV file, elements of a JSON array."""
    if file.file_type == "json":
        return {row: f"element {row}" for row in rows}
    places: dict[int, str] = {}
    with _csv_text(file) as text:
        reader = csv_reader(text)
        next(reader)
        number, line = 0, reader.line_num + 1
        for cells in reader:
            # An empty line is not a row.
            number += bool(cells)
            if cells and number in rows:
                places[number] = f"line {line}"
            line = reader.line_num + 1
    return places


def _first_few(texts: Iterable[str], total: int, separator: str = ", ") -> str:
    shown = list(islice(texts, _MOST_NAMED))
    more = f"{separator}and {total - len(shown)} more" if total > len(shown) else ""
    return separator.join(shown) + more
