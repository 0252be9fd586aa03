from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_koreai.utterances import Utterance
from airflow_provider_koreai.utterances.row_hash import entities_text, row_hash

texts = st.text(max_size=3)
utterances = st.builds(
    Utterance,
    task_name=texts,
    sentence=texts,
    type=texts,
    language=texts,
    entities=st.lists(st.text(max_size=2), max_size=2).map(tuple),
    extra=st.just({}),
)


def test_it_is_the_sha_256_of_lengths_and_texts() -> None:
    utterance = Utterance("Flüge", "nach Köln", "DialogIntent", "de", ({"b": 1, "a": "ß"},), {})
    expected = '5 9 12 2\nFlügenach KölnDialogIntentde[{"a":"ß","b":1}]'
    assert row_hash(utterance) == hashlib.sha256(expected.encode()).hexdigest()


@given(utterances, utterances)
def test_different_utterances_have_different_hashes(one: Utterance, other: Utterance) -> None:
    assert (row_hash(one) == row_hash(other)) == (one == other)


def test_further_columns_do_not_count() -> None:
    one = Utterance("A", "b", "c", "en", (), {})
    assert row_hash(one) == row_hash(one._replace(extra={"note": "x"}))


@pytest.mark.parametrize("field", ["task_name", "type", "language"])
def test_an_absent_text_is_an_empty_one(field: str) -> None:
    one = Utterance("A", "b", "c", "en", (), {})
    assert row_hash(one._replace(**{field: None})) == row_hash(one._replace(**{field: ""}))


def test_half_a_surrogate_pair_is_hashed_too() -> None:
    one = Utterance("A", "\ud83d", "c", "en", ("\ud83d",), {})
    assert row_hash(one) != row_hash(one._replace(sentence="\ud83e"))


@pytest.mark.parametrize(
    ("entities", "text"),
    [
        ((), "[]"),
        (({"b": [1], "a": None},), '[{"a":null,"b":[1]}]'),
        (("é\0",), '["é\\u0000"]'),
        (("é\ud83d",), '["\\u00e9\\ud83d"]'),
    ],
)
def test_entities_are_compact_json_that_any_database_takes(entities: tuple[object, ...], text: str) -> None:
    assert entities_text(entities) == text
