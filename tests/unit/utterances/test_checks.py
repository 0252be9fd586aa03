from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_koreai.utterances import checks
from airflow_provider_koreai.utterances.checks import ContentError, CsvCheck, JsonCheck, check_for

HEADER = b"taskName,sentence,type,language\n"

# Few characters, so that quotes, separators and line ends meet in every order.
csv_bodies = st.lists(st.sampled_from(['"', '""', ",", "\n", "\r\n", "\r", "a", "é", " "]), max_size=40).map(
    "".join
)
cuts = st.lists(st.integers(0, 80), max_size=8)


def pieces_of(data: bytes, at: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(place for place in at if place < len(data))})
    return [data[start:end] for start, end in itertools.pairwise(places)]


def rows_of(data: bytes) -> int:
    return sum(1 for row in csv.reader(io.StringIO(data.decode(), newline="")) if row) - 1


def feed(check: CsvCheck | JsonCheck, *pieces: bytes) -> CsvCheck | JsonCheck:
    for piece in pieces:
        check.feed(piece)
    check.finish()
    return check


@given(csv_bodies, cuts)
@example('"a""b",x\n"\n\n",\n', [])
@example('"""a"" b",c\n', [33])
@example('a"b\n"c"\n', [])
@example('""\n\n""\n', [])
@example('"a"b"c\nd"\n', [])
@example('x,""\n"', [])
@example("\r\n\n\r\na", [])
@example('""\ra', [])
@example('5" x,"a,b\nc,d",6" y\n', [])
@example('A,5" pipe,b,c\nA,6" pipe,b,c\n', [])
def test_rows_are_counted_as_the_csv_module_counts_them_wherever_the_pieces_are_cut(
    body: str, at: list[int]
) -> None:
    data = HEADER + body.encode() + b"\n"
    ends_quoted = rows_of(data + b"one more\n") == rows_of(data)
    check = CsvCheck()
    for piece in pieces_of(data, [len(HEADER) + place - 8 for place in at]):
        check.feed(piece)
    with pytest.raises(ContentError, match="quoted") if ends_quoted else contextlib.nullcontext():
        check.finish()
    assert ends_quoted or check.rows == rows_of(data)


@given(csv_bodies)
def test_a_fast_count_equals_the_exact_one(body: str) -> None:
    data = body.encode() + b"\n"
    fast, exact = CsvCheck(), CsvCheck()
    for check in (fast, exact):
        check.feed(HEADER)
    fast._count(data)
    exact._scan(data)
    assert (fast.rows, fast._quoted) == (exact.rows, exact._quoted)


@given(
    st.lists(
        st.lists(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
            min_size=4,
            max_size=4,
        )
    ),
    cuts,
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_the_csv_module_writes_is_counted_right(
    rows: list[list[str]], at: list[int], end: str, quoting: int
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=end, quoting=quoting)
    writer.writerow(["taskName", "sentence", "type", "language"])
    writer.writerows(rows)
    data = out.getvalue().encode()
    # Not len(rows): before Python 3.13 the writer leaves a lone carriage return unquoted, which ends a row.
    assert feed(CsvCheck(), *pieces_of(data, at)).rows == rows_of(data)


def test_a_newline_inside_quotes_ends_no_row() -> None:
    assert feed(CsvCheck(), HEADER, b'A,"one\ntwo\n\nthree",DialogIntent,en\n').rows == 1


def test_a_header_alone_is_an_export_without_utterances() -> None:
    assert feed(CsvCheck(), HEADER).rows == 0


def test_columns_may_come_in_any_order_and_number() -> None:
    assert feed(CsvCheck(), b"note,language,sentence,taskName\n1,2,3,4\n").rows == 1


@pytest.mark.parametrize("size", [1, 2, 3, 4, 100])
def test_a_byte_order_mark_is_tolerated_however_it_is_cut(size: int) -> None:
    data = b"\xef\xbb\xbf" + HEADER + b"a,b,c,d\n"
    assert feed(CsvCheck(), *(data[at : at + size] for at in range(0, len(data), size))).rows == 1


def test_a_last_row_without_line_end_counts() -> None:
    assert feed(CsvCheck(), HEADER, b"a,b,c,d\n", b"a,b,c", b",d").rows == 2


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"\xef", "no columns taskName and sentence"),
        (b"\n" + HEADER, "no columns taskName and sentence"),
        (b"taskName,type\nA,b\n", "no columns taskName and sentence, but 'taskName', 'type'"),
        (b"<!DOCTYPE html>\n<html>", "HTML"),
        (b'{"errors":[{"msg":"no"}]}', "JSON"),
        (b'[{"taskName":"A","sentence":"b"}]', "JSON"),
        (b"\x1f\x8b\x08\x00\x00\n", "binary"),
        (b'taskName,"sentence\n' + b"x\n" * 40_000, "header"),
        (b"x" * 70_000, "first line is longer"),
        (HEADER + b'A,"never closed,DialogIntent,en\n', "ends inside a quoted field"),
        (HEADER + b"A,b,DialogInt", "cut off"),
    ],
)
def test_what_is_no_csv_of_an_export_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(ContentError, match=said):
        feed(CsvCheck(), data)


def test_an_endless_line_is_refused_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "MAX_LINE", 1000)
    check = CsvCheck()
    check.feed(HEADER)
    for _ in range(10):
        check.feed(b"x" * 100)
    with pytest.raises(ContentError, match="longer than"):
        check.feed(b"x")


@given(
    st.lists(
        st.dictionaries(st.text(max_size=3), st.integers() | st.text() | st.lists(st.text())), max_size=6
    ),
    cuts,
)
def test_elements_of_a_json_array_are_counted_wherever_it_is_cut(
    elements: list[dict[str, object]], at: list[int]
) -> None:
    data = json.dumps([{"sentence": "x", **element} for element in elements]).encode()
    assert feed(JsonCheck(), *pieces_of(data, at)).rows == len(elements)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"[", "not complete"),
        (b'[{"sentence":"a"}', "not complete"),
        (b'[{"taskName":"a"}]', "no 'sentence'"),
        (b'[{"sentence":"a"},1]', "element 2 is not an object"),
        (b'[{"sentence":"a"}] x', "after the end"),
        (b"taskName,sentence\n", "not a JSON array"),
        (b"<html>", "HTML"),
        (b'{"errors":[]}', "not an array"),
    ],
)
def test_what_is_no_json_of_an_export_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(ContentError, match=said):
        feed(JsonCheck(), data)


@pytest.mark.parametrize(("file_type", "kind"), [("csv", CsvCheck), ("json", JsonCheck)])
def test_each_file_type_has_its_check(file_type: str, kind: type) -> None:
    assert isinstance(check_for(file_type), kind)
