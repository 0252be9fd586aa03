"""From an exported file to Parquet and back: nothing is lost, and other readers see the same."""

from __future__ import annotations

import builtins
import gzip
import hashlib
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIDownloadError, KoreAIFileError
from airflow_provider_koreai.utterances import Utterance, read_utterances
from airflow_provider_koreai.utterances.convert import ConvertResult, convert_utterances

if TYPE_CHECKING:
    from pathlib import Path

parquet = pytest.importorskip("pyarrow.parquet")

HEADER = b"taskName,sentence,type,language\n"
DATA = HEADER + 'Flüge,"to ""Rio"",\nplease",DialogIntent,en\n,no task,,\n'.encode()
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)


def convert(source: Path, target: Path, **arguments: Any) -> ConvertResult:
    return convert_utterances(str(source), str(target), log=logging.getLogger(__name__), **arguments)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "utterances.csv"
    file.write_bytes(DATA)
    return file


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "utterances.parquet"


def test_the_result_says_what_was_written(source: Path, target: Path) -> None:
    data = convert(source, target)
    content = target.read_bytes()
    assert data.as_dict() == {
        "path": str(target),
        "bytes": len(content),
        "rows": 2,
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def test_the_columns_are_plain_strings_and_only_a_sentence_is_required(source: Path, target: Path) -> None:
    convert(source, target)
    schema = parquet.read_schema(target)
    assert [(field.name, str(field.type), field.nullable) for field in schema] == [
        ("task_name", "string", True),
        ("sentence", "string", False),
        ("type", "string", True),
        ("language", "string", True),
        ("entities", "string", True),
        ("extra", "string", True),
    ]
    # What Spark looks at.
    columns = parquet.ParquetFile(target).schema
    assert {str(columns.column(index).logical_type) for index in range(6)} == {"String"}
    assert {columns.column(index).physical_type for index in range(6)} == {"BYTE_ARRAY"}


@pytest.mark.parametrize("compression", ["zstd", "snappy", "gzip", "none"])
def test_duckdb_reads_it(source: Path, target: Path, compression: str) -> None:
    duckdb = pytest.importorskip("duckdb")
    convert(source, target, compression=compression)
    assert duckdb.sql(f"select * from read_parquet('{target}')").fetchall() == [
        ("Flüge", 'to "Rio",\nplease', "DialogIntent", "en", None, None),
        (None, "no task", None, None, None, None),
    ]


def test_pandas_reads_it(source: Path, target: Path) -> None:
    pandas = pytest.importorskip("pandas")
    convert(source, target)
    assert list(pandas.read_parquet(target)["sentence"]) == ['to "Rio",\nplease', "no task"]


def test_it_is_compressed_with_zstd_unless_told_otherwise(source: Path, target: Path) -> None:
    convert(source, target)
    assert parquet.ParquetFile(target).metadata.row_group(0).column(1).compression == "ZSTD"


def test_an_export_without_rows_is_a_file_without_rows(tmp_path: Path, target: Path) -> None:
    source = tmp_path / "x.csv"
    source.write_bytes(HEADER)
    assert convert(source, target).rows == 0
    assert list(read_utterances(str(target))) == []


utterances = st.lists(
    st.builds(
        lambda task, sentence, kind, language, entities, extra: Utterance(
            task or None, sentence, kind or None, language or None, tuple(entities), {"x": extra}
        ),
        *[texts] * 4,
        st.lists(json_values, max_size=2),
        json_values,
    ),
    max_size=5,
)


@given(utterances)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_nothing_is_lost_on_the_way(tmp_path: Path, given: list[Utterance]) -> None:
    source, target = tmp_path / "x.json", tmp_path / "x.parquet"
    names = ("taskName", "sentence", "type", "language", "entities")
    document = [{**dict(zip(names, each[:5], strict=True)), **each.extra} for each in given]
    source.write_text(json.dumps(document))
    convert(source, target)
    assert list(read_utterances(str(target))) == given


def test_half_a_character_is_replaced_and_that_is_said(
    tmp_path: Path, target: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "x.json"
    source.write_text('[{"sentence": "a\\ud83d"}, {"sentence": "b"}]')
    convert(source, target)
    assert [each.sentence for each in read_utterances(str(target))] == ["a\ufffd", "b"]
    assert "1 texts of" in caplog.text


def test_a_compressed_export_is_read(tmp_path: Path, target: Path) -> None:
    source = tmp_path / "x.csv.gz"
    source.write_bytes(gzip.compress(DATA))
    assert convert(source, target).rows == 2


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "line 1 is not a header"),
        (HEADER + b"A,b,c,en\n" * 9000 + b"A,b\n", "line 9002: 2 columns"),
        (HEADER + b"A,b,c,en\n" * 9000 + b"A,\xff,c,en\n", "not UTF-8"),
        (b"PAR1 and no more", "Parquet file is broken"),
    ],
)
def test_of_a_broken_export_nothing_is_written_and_the_earlier_file_stays(
    tmp_path: Path, data: bytes, said: str
) -> None:
    source, target = tmp_path / "x", tmp_path / "utterances.parquet"
    source.write_bytes(data)
    target.write_text("yesterday's")
    with pytest.raises(KoreAIFileError, match=said):
        convert(source, target)
    assert target.read_text() == "yesterday's"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["utterances.parquet", "x"]


def test_a_parquet_file_of_something_else_is_refused(tmp_path: Path) -> None:
    import pyarrow

    file = tmp_path / "x.parquet"
    parquet.write_table(pyarrow.table({"sentence": ["a"]}), file)
    with pytest.raises(KoreAIFileError, match="no column task_name, type, language"):
        list(read_utterances(str(file)))


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"task_name": [1, 2]}, "column task_name is int64 instead of string"),
        ({"sentence": ["a", None]}, "row 2: no sentence"),
        ({"entities": [None, "5"]}, "row 2: entities is not a JSON array"),
        ({"extra": ["{}", "[]"]}, "row 2: extra is not a JSON object"),
        ({"extra": ["{", None]}, "row 1: extra is not a JSON object"),
    ],
)
def test_a_parquet_file_with_other_values_is_told_by_its_row(
    tmp_path: Path, columns: dict[str, Any], said: str
) -> None:
    import pyarrow

    texts = {name: ["a", "b"] for name in ("task_name", "sentence", "type", "language")}
    file = tmp_path / "x.parquet"
    parquet.write_table(pyarrow.table({**texts, **columns}), file)
    with pytest.raises(KoreAIFileError, match=said):
        list(read_utterances(str(file)))


def test_a_parquet_file_may_have_its_texts_as_a_dictionary_or_as_large_ones(tmp_path: Path) -> None:
    import pyarrow

    column = pyarrow.array(["a", "a"])
    kinds = {"task_name": column.dictionary_encode(), "sentence": column.cast(pyarrow.large_string())}
    file = tmp_path / "x.parquet"
    parquet.write_table(pyarrow.table({**kinds, "type": column, "language": column}), file)
    assert [each[:4] for each in read_utterances(str(file))] == [("a", "a", "a", "a")] * 2


def test_a_parquet_column_without_any_value_may_have_no_type(tmp_path: Path) -> None:
    import pyarrow

    columns = {"task_name": ["a"], "sentence": ["b"], "type": [None], "language": [None], "entities": [None]}
    file = tmp_path / "x.parquet"
    parquet.write_table(pyarrow.table(columns), file)
    assert list(read_utterances(str(file))) == [Utterance("a", "b", None, None, (), {})]


def test_a_full_disk_is_told_and_leaves_nothing(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_koreai.storage import local

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(local.os, "write", full)
    with pytest.raises(KoreAIDownloadError, match="No space left"):
        convert(source, target)
    assert list(target.parent.iterdir()) == []


def test_an_existing_file_is_kept_when_that_is_asked_for(source: Path, target: Path) -> None:
    target.parent.mkdir()
    target.write_text("yesterday's")
    with pytest.raises(KoreAIConfigurationError, match="overwrite=False"):
        convert(source, target, overwrite=False)
    assert target.read_text() == "yesterday's"


@pytest.mark.parametrize("compression", ["lz5", 5, None])
def test_an_unknown_compression_is_refused(source: Path, target: Path, compression: Any) -> None:
    with pytest.raises(KoreAIConfigurationError, match=r"compression=.* zstd, snappy, gzip, none"):
        convert(source, target, compression=compression)


def test_a_target_that_is_a_folder_is_refused(source: Path) -> None:
    with pytest.raises(KoreAIConfigurationError, match="target='/data/' is a folder"):
        convert_utterances(str(source), "/data/", log=logging.getLogger(__name__))


def test_a_missing_library_is_named(source: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "pyarrow":
            raise ImportError(name)
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(KoreAIConfigurationError, match=r"airflow-provider-koreai\[parquet\]"):
        convert(source, target)
