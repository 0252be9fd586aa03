"""Files of analytics that somebody else wrote, or that cannot be read to their end."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_koreai.exceptions import KoreAIFileError
from airflow_provider_koreai.storage.output import Output
from airflow_provider_koreai.utterances.analytics_file import COLUMNS, analytics_writer, read_analytics


@pytest.fixture
def parquet_file(tmp_path: Path) -> Any:
    """Writes a file with these columns instead of the usual ones; None leaves one out."""
    pytest.importorskip("pyarrow")
    import pyarrow
    from pyarrow import parquet

    def write(**columns: Any) -> str:
        given = {**{name: [None, "x"] for name in COLUMNS}, "details": [None, "{}"], **columns}
        path = str(tmp_path / "said.parquet")
        parquet.write_table(pyarrow.table({name: each for name, each in given.items() if each}), path)
        return path

    return write


def read(path: str) -> list[dict[str, Any]]:
    return list(read_analytics(path))


def test_a_parquet_file_that_lacks_columns_is_refused_by_their_names(parquet_file):
    with pytest.raises(KoreAIFileError, match="it has no column intent, channel"):
        read(parquet_file(intent=None, channel=None))


def test_a_parquet_file_of_utterances_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    import pyarrow
    from pyarrow import parquet

    from airflow_provider_koreai.utterances.parquet import COLUMNS as OF_UTTERANCES

    path = str(tmp_path / "utterances.parquet")
    parquet.write_table(pyarrow.table({name: ["x"] for name in OF_UTTERANCES}), path)
    with pytest.raises(KoreAIFileError, match="it has no column timestamp, utterance, intent"):
        read(path)


def test_a_parquet_column_that_holds_no_texts_is_refused_by_its_name(parquet_file):
    with pytest.raises(KoreAIFileError, match="column timestamp is int64 instead of string"):
        read(parquet_file(timestamp=[1, 2]))


def test_what_is_no_parquet_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "said.parquet").write_text("timestamp,utterance")
    with pytest.raises(KoreAIFileError, match="Parquet file is broken"):
        read(str(tmp_path / "said.parquet"))


@pytest.mark.parametrize("details", ["[1]", "{", "5"])
def test_parquet_details_that_are_no_object_are_told_by_their_row(parquet_file, details):
    with pytest.raises(KoreAIFileError, match="row 2: details is not a JSON object"):
        read(parquet_file(details=[None, details]))


@pytest.mark.parametrize("details", ["[1]", "{", "5"])
def test_csv_details_that_are_no_object_are_told_by_their_row(tmp_path, details):
    path = tmp_path / "said.csv"
    path.write_text(f"{','.join(COLUMNS)}\n{',' * 7}\n{',' * 7}{details}\n")
    with pytest.raises(KoreAIFileError, match="row 2: details is not a JSON object"):
        read(str(path))


def test_a_connection_that_breaks_while_parquet_is_read_may_be_retried(parquet_file):
    from airflow_provider_koreai.utterances.parquet import read_texts

    class Dropped(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise ConnectionResetError("dropped")

    with open(parquet_file(), "rb") as file:
        stream = Dropped(file.read())
    with pytest.raises(ConnectionResetError, match="dropped"):
        list(read_texts(stream, COLUMNS, required=COLUMNS))


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_half_a_character_is_replaced(tmp_path, suffix):
    path = f"{tmp_path}/said.{suffix}"
    output = Output("path", path, storage_conn_id=None, log=logging.getLogger(__name__))
    with output, analytics_writer(output) as writer:
        writer.write({"utterance": "a\ud83d"})
    assert "a\ufffd" in Path(path).read_text(encoding="utf-8")
