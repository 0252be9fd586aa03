"""
For as long as you like: what counts and reads while a download streams, against the standard library.

``FUZZ_SECONDS`` is the time for each test (default 60), shared out in rounds with a seed of their own, so that a
failure is found again by its seed: ``FUZZ_SEED=<seed>``. Each test prints how many examples it had.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import os
import random
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from airflow_provider_koreai.emulator.data import data_sets, render
from airflow_provider_koreai.utterances.checks import ContentError, CsvCheck
from airflow_provider_koreai.utterances.json_array import JsonArrayError, JsonArrayParser

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = float(os.environ.get("FUZZ_SECONDS", "60"))
SEED = os.environ.get("FUZZ_SEED")
HEADER = b"taskName,sentence,type,language\n"

# Rounds are short enough for the time to be kept. A seed says it all, so no database of examples is needed.
how = settings(
    max_examples=1000,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
cuts = st.lists(st.integers(0, 1 << 14), max_size=12)
# Few characters, so that quotes, separators and line ends meet in every order.
bodies = st.lists(
    st.sampled_from(['"', '""', '"""', ",", "\n", "\r\n", "\r", "a", "é", " ", '","', '"\n"', '\n"', ',"\n']),
    max_size=120,
).map("".join)
real = [render(rows, "csv").decode() for rows in data_sets().values()]
# A piece of a real export with something thrown in.
edited = st.builds(
    lambda text, start, size, place, thrown: (
        (part := text[start % len(text) :][:size])[: place % (len(part) + 1)]
        + thrown
        + part[place % (len(part) + 1) :]
    ),
    st.sampled_from(real),
    st.integers(0, 1 << 16),
    st.integers(0, 4000),
    st.integers(0, 4000),
    bodies,
)


def pieces_of(data: bytes, at: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in at)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


def csv_rows(text: str) -> int:
    return sum(1 for row in csv.reader(io.StringIO(text, newline="")) if row)


def check_csv(body: str, at: list[int]) -> None:
    text = HEADER.decode() + body + "\n"
    ends_quoted = csv_rows(text + "one more\n") == csv_rows(text)
    check = CsvCheck()
    for piece in pieces_of(text.encode(), at):
        check.feed(piece)
    with pytest.raises(ContentError, match="quoted") if ends_quoted else contextlib.nullcontext():
        check.finish()
    assert ends_quoted or check.rows == csv_rows(text) - 1


elements = st.dictionaries(
    st.sampled_from(["sentence", "taskName", '{"', "],["]),
    st.none()
    | st.integers()
    | st.text()
    | st.lists(st.dictionaries(st.text(max_size=3), st.text()), max_size=2),
    max_size=4,
)
arrays = st.builds(
    lambda array, indent, place, thrown: (
        (text := json.dumps(array, indent=indent, ensure_ascii=False))[: place % (len(text) + 1)]
        + thrown
        + text[place % (len(text) + 1) :]
    ).encode("utf-8", "surrogatepass"),
    st.lists(elements, max_size=30),
    st.sampled_from([None, 0, 2]),
    st.integers(0, 4000),
    st.sampled_from(["", "", "", " ", "\n", "}", "]", "{", '"', ",", "\\", "\0", "1", "NaN"]),
)


def refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def check_json(data: bytes, at: list[int]) -> None:
    try:
        expected = json.loads(data, parse_constant=refuse)
    except ValueError:
        expected = None
    parser = JsonArrayParser()
    found: list[Any] = []
    try:
        for piece in pieces_of(data, at):
            found += parser.feed(piece)
        parser.close()
    except JsonArrayError:
        assert not (isinstance(expected, list) and all(isinstance(each, dict) for each in expected))
    else:
        assert found == expected


@pytest.mark.parametrize(
    ("check", "contents"),
    [
        pytest.param(check_csv, bodies | edited, id="rows of CSV as the csv module counts them"),
        pytest.param(check_json, arrays, id="elements of JSON as the json module reads them"),
    ],
)
def test_agrees_wherever_the_pieces_are_cut(
    check: Callable[[Any, list[int]], None], contents: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = rounds = 0

    def one(content: Any, at: list[int]) -> None:
        nonlocal examples
        examples += 1
        check(content, at)

    deadline = time.monotonic() + SECONDS
    while rounds == 0 or (SEED is None and time.monotonic() < deadline):
        number = random.getrandbits(64) if SEED is None else int(SEED)
        try:
            seed(number)(how(given(contents, cuts)(one)))()
        except BaseException:
            print(f"FUZZ_SEED={number}")
            raise
        rounds += 1
    with capsys.disabled():
        print(f"\n{examples} examples in {rounds} rounds, no disagreement ", end="")
    assert examples > rounds
