from __future__ import annotations

import csv
import gzip
import io
import json
import pickle
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_koreai.exceptions import KoreAIConfigurationError
from airflow_provider_koreai.utterances import KoreAIFileError, Utterance, read_utterances

if TYPE_CHECKING:
    from pathlib import Path

HEADER = b"taskName,sentence,type,language\n"
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=8)


def read(tmp_path: Path, data: bytes, name: str = "utterances.csv", **arguments: str) -> list[Utterance]:
    file = tmp_path / name
    file.write_bytes(data)
    return list(read_utterances(str(file), **arguments))


def test_a_csv_row_is_an_utterance(tmp_path: Path) -> None:
    assert read(tmp_path, HEADER + 'Flüge,"to ""Rio"",\nplease",DialogIntent,en\n'.encode()) == [
        Utterance("Flüge", 'to "Rio",\nplease', "DialogIntent", "en", (), {})
    ]


def test_a_json_element_is_an_utterance(tmp_path: Path) -> None:
    element = {"taskName": "A", "sentence": "b", "type": "c", "entities": [{"d": 1}], "language": "en"}
    assert read(tmp_path, json.dumps([element]).encode(), "x.json") == [
        Utterance("A", "b", "c", "en", ({"d": 1},), {})
    ]


def test_further_columns_are_extra(tmp_path: Path) -> None:
    data = b"note,language,sentence,taskName,type,x\n1,en,b,A,c,2\n"
    assert read(tmp_path, data) == [Utterance("A", "b", "c", "en", (), {"note": "1", "x": "2"})]


def test_further_keys_are_extra(tmp_path: Path) -> None:
    assert read(tmp_path, b'[{"sentence":"b","note":{"x":1}}]', "x.json") == [
        Utterance(None, "b", None, None, (), {"note": {"x": 1}})
    ]


def test_absent_columns_and_empty_cells_are_none(tmp_path: Path) -> None:
    assert read(tmp_path, b"taskName,sentence\n,b\nA,\n") == [
        Utterance(None, "b", None, None, (), {}),
        Utterance("A", "", None, None, (), {}),
    ]


def test_an_entry_may_have_no_task_name(tmp_path: Path) -> None:
    assert (
        read(tmp_path, b'[{"sentence":"b"},{"sentence":"c","taskName":null}]', "x.json")[1].task_name is None
    )


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_line_ends_and_empty_lines_are_no_rows(tmp_path: Path, end: bytes) -> None:
    data = HEADER.replace(b"\n", end) + end + b"A,b,c,en" + end + end
    assert len(read(tmp_path, data)) == 1


@pytest.mark.parametrize(
    ("name", "data"), [("x.csv", HEADER + b"A,b,c,en\n"), ("x.json", b'[{"sentence":"b"}]')]
)
def test_a_byte_order_mark_is_tolerated(tmp_path: Path, name: str, data: bytes) -> None:
    assert len(read(tmp_path, b"\xef\xbb\xbf" + data, name)) == 1


@pytest.mark.parametrize("data", [HEADER + b"A,b,c,en\n", b' \n[{"sentence":"b"}]'])
def test_without_a_suffix_the_content_tells_the_file_type(tmp_path: Path, data: bytes) -> None:
    assert read(tmp_path, data, "utterances")[0].sentence == "b"


def test_the_argument_goes_before_the_suffix(tmp_path: Path) -> None:
    assert read(tmp_path, b'[{"sentence":"b"}]', "x.csv", file_type="JSON")[0].sentence == "b"


@pytest.mark.parametrize("name", ["x.csv.gz", "x.csv", "x"])
def test_a_gzip_file_is_read_whatever_its_name(tmp_path: Path, name: str) -> None:
    assert len(read(tmp_path, gzip.compress(HEADER + b"A,b,c,en\n" * 1000), name)) == 1000


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "line 1 is not a header"),
        (b"taskName,type\nA,b\n", "line 1 is not a header with taskName and sentence"),
        (HEADER + b"A,b,c,en\nA,b,c\n", "line 3: 3 columns; the header has 4"),
        (HEADER + b'A,"b\nb",c,en\nA,b,c,en,x\n', "line 4: 5 columns"),
        (HEADER + b'A,"b,c,en\n', "line 2: unexpected end of data"),
        (HEADER + b'A,"b"x,c,en\n', "line 2: "),
        (HEADER + b"A,b,c,en\n\xff,b,c,en\n", "line 3: not UTF-8"),
        (
            b"\xef\xbb\xbf" + HEADER + b'A,"b\nb",c,en\n' * 5000 + b"A,\xe9,c,en\n",
            "line 10002: not UTF-8",
        ),
        (gzip.compress(HEADER + b"A,b,c,en\n" * 1000)[:-20], "compressed file is damaged"),
    ],
)
def test_a_broken_csv_is_reported_with_its_line(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(KoreAIFileError, match=said):
        read(tmp_path, data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b'[{"sentence":"a"},{"taskName":"b"}]', "element 2: 'sentence' is missing"),
        (b'[{"sentence":"a"},{"sentence":5}]', "element 2: 'sentence' is missing or not a string"),
        (b'[{"sentence":"a","entities":{}}]', "element 1: 'entities' is not an array"),
        (b'[{"sentence":"a","language":5}]', "element 1: 'language' is not a string"),
        (b'[{"sentence":"a"},["b"]]', "element 2 is not an object"),
        (b'[{"sentence":"a"}', "not complete"),
    ],
)
def test_a_broken_json_is_reported_with_its_element(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(KoreAIFileError, match=said):
        read(tmp_path, data, "x.json")


@pytest.mark.parametrize("name", ["x.csv", "x.json"])
def test_a_sentence_may_be_longer_than_the_csv_modules_limit(tmp_path: Path, name: str) -> None:
    sentence = "é" * 200_000
    data = HEADER + f"A,{sentence},c,en\n".encode() if name == "x.csv" else json_bytes(sentence)
    assert [each.sentence for each in read(tmp_path, data, name)] == [sentence]


def json_bytes(*sentences: str) -> bytes:
    return json.dumps([{"sentence": sentence} for sentence in sentences]).encode()


def test_what_is_whole_comes_before_the_error(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_bytes(HEADER + b"A,b,c,en\nbroken\n")
    utterances = read_utterances(str(file))
    assert next(utterances).sentence == "b"
    with pytest.raises(KoreAIFileError):
        next(utterances)


@pytest.mark.parametrize("path", ["", "/data/", "file://server/x.csv"])
def test_a_wrong_path_is_refused(path: str) -> None:
    with pytest.raises(KoreAIConfigurationError):
        next(read_utterances(path))


def test_a_missing_file_is_pythons_own_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        next(read_utterances(str(tmp_path / "x.csv")))


def test_the_file_is_closed_with_the_iterator(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_bytes(HEADER + b"A,b,c,en\n" * 2)
    utterances = read_utterances(str(file))
    next(utterances)
    utterances.close()  # type: ignore[attr-defined]
    assert list(utterances) == []


def test_an_utterance_can_be_pickled(tmp_path: Path) -> None:
    utterances = read(tmp_path, HEADER + b"A,b,c,en\n")
    assert pickle.loads(pickle.dumps(utterances)) == utterances


@given(st.lists(st.tuples(texts, texts, texts, texts), max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_file_types_give_the_same_utterances(
    tmp_path: Path, rows: list[tuple[str, str, str, str]]
) -> None:
    names = ["taskName", "sentence", "type", "language"]
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    document = json.dumps([dict(zip(names, row, strict=True)) for row in rows])
    expected = [Utterance(a or None, b, c or None, d or None, (), {}) for a, b, c, d in rows]
    assert read(tmp_path, out.getvalue().encode()) == expected
    assert read(tmp_path, document.encode(), "x.json") == expected
