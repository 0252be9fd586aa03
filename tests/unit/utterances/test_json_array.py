from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_koreai.utterances import json_array
from airflow_provider_koreai.utterances.json_array import JsonArrayError, JsonArrayParser

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
arrays = st.lists(st.dictionaries(st.sampled_from(["a", "b", '{"a"', "],["]), values, max_size=3), max_size=8)
indents = st.sampled_from([None, 0, 2])


def parse(data: bytes, size: int) -> list[dict[str, Any]]:
    parser = JsonArrayParser()
    found = [each for at in range(0, len(data), size) for each in parser.feed(data[at : at + size])]
    parser.close()
    return found


@given(arrays, st.integers(1, 200), indents, st.booleans())
def test_the_same_comes_out_wherever_the_pieces_are_cut(
    array: list[dict[str, Any]], size: int, indent: int | None, ascii_only: bool
) -> None:
    data = json.dumps(array, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "replace")
    assert parse(data, size) == json.loads(data)


@given(arrays, st.integers(1, 100), st.data())
def test_no_proper_part_of_an_array_passes(
    array: list[dict[str, Any]], size: int, data: st.DataObject
) -> None:
    whole = json.dumps(array, ensure_ascii=False).encode("utf-8", "replace")
    part = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(JsonArrayError):
        parse(part, size)


@given(
    arrays,
    st.integers(0, 200),
    st.sampled_from([b"\x00", b"}", b"]", b"{", b'"', b",", b"\\", b"\xff"]),
    st.integers(1, 99),
)
def test_damage_is_noticed_exactly_when_the_json_module_notices_it(
    array: list[dict[str, Any]], place: int, damage: bytes, size: int
) -> None:
    data = bytearray(json.dumps(array, ensure_ascii=False).encode("utf-8", "replace"))
    data[place % len(data) : place % len(data) + 1] = damage
    try:
        expected = json.loads(bytes(data).decode("utf-8"))
    except ValueError:
        expected = None
    if not isinstance(expected, list) or not all(isinstance(each, dict) for each in expected):
        with pytest.raises(JsonArrayError):
            parse(bytes(data), size)
    else:
        assert parse(bytes(data), size) == expected


def test_elements_come_as_soon_as_they_are_complete() -> None:
    parser = JsonArrayParser()
    assert parser.feed(b' [ {"a":1} , {"a"') == [{"a": 1}]
    assert parser.feed(b':2},{"a":3},') == [{"a": 2}, {"a": 3}]
    assert parser.feed(b'{"a":4} ] ') == [{"a": 4}]
    parser.close()


@pytest.mark.parametrize(
    "data",
    [
        b"[{},]",
        b"[,{}]",
        b"[{}{}]",
        b"[{}] []",
        b"[NaN]",
        b'[{"a":NaN}]',
        b'[{"a":01}]',
        b"[[]]",
        b"\xff",
        b'[{"a":"\n"}]',
    ],
)
def test_what_is_not_json_is_refused(data: bytes) -> None:
    with pytest.raises(JsonArrayError):
        parse(data, 100)


def test_a_byte_order_mark_is_tolerated() -> None:
    assert parse(b'\xef\xbb\xbf[{"a":1}]', 1) == [{"a": 1}]


def test_an_endless_element_is_refused_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_array, "MAX_ELEMENT", 1000)
    parser = JsonArrayParser()
    parser.feed(b'[{"a":"' + b"x" * 900)
    with pytest.raises(JsonArrayError, match="element 1 is longer"):
        parser.feed(b"x" * 100)


def test_deep_nesting_is_refused_without_a_crash() -> None:
    with pytest.raises(JsonArrayError, match="element 1 is broken"):
        parse(b'[{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}]", 1 << 20)


def test_the_error_names_the_element_and_repeats_no_data() -> None:
    with pytest.raises(JsonArrayError) as caught:
        parse(b'[{"a":"secret"},{"a":"secret" "b"}]' + b" " * 50, 1000)
    assert "element 2" in str(caught.value)
    assert "secret" not in str(caught.value)
