"""Which pairs of texts are nearly the same: all that there are, and how many were left out if there is too much."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_koreai.exceptions import KoreAIConfigurationError
from airflow_provider_koreai.utterances import alike
from airflow_provider_koreai.utterances.alike import NearPairs, Text

if TYPE_CHECKING:
    from collections.abc import Sequence


def text(sentence: str, *tasks: int) -> Text:
    return Text(sentence, frozenset(tasks))


def changes(one: str, other: str) -> int:
    """Count insertions and deletions, the textbook's way."""
    row = list(range(len(other) + 1))
    for number, character in enumerate(one, start=1):
        before, row[0] = row[0], number
        for place, another in enumerate(other, start=1):
            best = before if character == another else 1 + min(row[place], row[place - 1])
            before, row[place] = row[place], best
    return row[-1]


def all_pairs(texts: Sequence[Text], similarity: float) -> set[tuple[int, int]]:
    """Compare each text with each other one."""
    found = set()
    for later, one in enumerate(texts):
        for earlier, other in enumerate(texts[:later]):
            differ = one.tasks != other.tasks or len(one.tasks) > 1
            alike_by = 1 - changes(one.text, other.text) / (len(one.text) + len(other.text))
            if differ and alike_by >= similarity - 1e-9:
                found.add((earlier, later))
    return found


def found(texts: Sequence[Text], similarity: float) -> set[tuple[int, int]]:
    pairs = [(min(pair[:2]), max(pair[:2])) for pair in NearPairs(similarity).find(texts)]
    assert len(pairs) == len(set(pairs))
    return set(pairs)


SENTENCES = st.lists(
    st.builds(
        Text,
        st.text("ab é東", min_size=1, max_size=12),
        st.frozensets(st.integers(0, 2), min_size=1, max_size=2),
    ),
    max_size=12,
    unique_by=lambda each: each.text,
)


@given(SENTENCES, st.sampled_from([0.3, 0.5, 0.6, 0.75, 0.8, 0.9, 0.95, 1.0]), st.sampled_from([2, 4096]))
@example([text("aaaaaaaaab", 0), text("aaaaaaaaaa", 1)], 0.9, 4096)
@settings(deadline=None)
def test_no_pair_is_missed_and_none_is_invented(texts: list[Text], similarity: float, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alike, "_BLOCK", block)
        assert found(texts, similarity) == all_pairs(texts, similarity)


@pytest.mark.parametrize("similarity", [0.7, 0.85, 0.9])
def test_misspelt_sentences_are_found_among_others(similarity: float) -> None:
    chance = random.Random(3)
    words = [
        "book",
        "cancel",
        "a",
        "flight",
        "ticket",
        "to",
        "from",
        "rome",
        "paris",
        "please",
        "I",
        "want",
        "need",
        "tomorrow",
        "seat",
        "Flüge",
        "東京",
    ]
    sentences = {" ".join(chance.choices(words, k=chance.randint(2, 7))) for _ in range(120)}
    for sentence in list(sentences)[:60]:
        letters = list(sentence)
        letters[chance.randrange(len(letters))] = chance.choice(["", "x", "ee"])
        sentences.add("".join(letters))
    texts = [text(each, chance.randrange(4)) for each in sorted(sentences)]
    expected = all_pairs(texts, similarity)
    assert len(expected) > 20
    assert found(texts, similarity) == expected


def test_the_similarity_is_that_of_insertions_and_deletions() -> None:
    (pair,) = NearPairs(0.9).find([text("cancel my booking", 0), text("cancel my bookings", 1)])
    assert pair.similarity == pytest.approx(1 - 1 / 35)


def test_a_pair_exactly_as_much_alike_as_asked_counts() -> None:
    # Two changes in twenty characters.
    assert len(list(NearPairs(0.9).find([text("abcdefghij", 0), text("abcdefghix", 1)]))) == 1
    assert not list(NearPairs(0.91).find([text("abcdefghij", 0), text("abcdefghix", 1)]))


def test_sentences_of_one_task_are_no_pair() -> None:
    assert not list(NearPairs(0.5).find([text("abcdefghij", 0), text("abcdefghix", 0)]))


def test_a_sentence_of_two_tasks_is_a_pair_with_one_of_either() -> None:
    assert len(list(NearPairs(0.9).find([text("abcdefghij", 0, 1), text("abcdefghix", 0)]))) == 1


@pytest.mark.parametrize("texts", [[], [text("a", 0)]])
def test_nothing_to_compare_is_no_pair(texts: list[Text]) -> None:
    assert not list(NearPairs(0.9).find(texts))


def test_what_is_too_much_to_compare_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alike, "_BLOCK", 10)
    monkeypatch.setattr(alike, "_BUDGET", 1_000_000)
    pairs = NearPairs(0.9)
    some = [text(f"sentence number {number:03}", number) for number in range(100)]
    few = len(list(pairs.find(some)))
    assert 0 < few < len(all_pairs(some, 0.9))
    assert 0 < pairs.left_out <= 100
    before = pairs.left_out
    # What is spent is spent for the next language, too.
    assert not list(pairs.find(some))
    assert pairs.left_out == before + 100


def test_nothing_is_left_out_of_what_is_feasible() -> None:
    pairs = NearPairs(0.9)
    list(pairs.find([text(f"sentence number {number:03}", number) for number in range(100)]))
    assert pairs.left_out == 0


def test_without_rapidfuzz_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidfuzz.distance", None)
    with pytest.raises(KoreAIConfigurationError, match=r"pip install 'airflow-provider-koreai\[quality\]'"):
        NearPairs(0.9)
