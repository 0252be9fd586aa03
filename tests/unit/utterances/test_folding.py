"""When two sentences count as the same, and which cannot train anything."""

# ruff: noqa: RUF001 - other scripts are what this is about

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_koreai.utterances.folding import folded, unusable


@pytest.mark.parametrize(
    ("one", "other", "language"),
    [
        ("Book a flight", "BOOK A FLIGHT", "en"),
        ("Book  a\tflight\n", " Book a\u00a0flight", "en"),
        ("Book a flight", "Book a flight?!", "en"),
        ("Book a flight", "Book a flight ...", "en"),
        ("Book a flight", "Book a flight\u2026", "en"),
        ("Straße", "STRASSE", "de"),
        ("Über", "U\u0308ber", "de"),
        ("ΟΔΟΣ", "οδος", "el"),
        ("Τι κάνεις;", "Τι κάνεις\u037e", "el"),
        ("東京", "東京。", "ja"),
        ("ＡＢＣ１２３", "abc123", "ja"),
        ("ﾌﾗｲﾄ", "フライト", "ja"),
        ("が", "か\u3099", "ja"),
        ("ماذا؟", "ماذا", "ar"),
        ("नमस्ते।", "नमस्ते", "hi"),
        ("oﬃce", "OFFICE", "en"),
        ("İstanbul", "istanbul", "tr"),
        ("ISPARTA", "ısparta", "tr-TR"),
        ("İstanbul", "i\u0307stanbul", "en"),
        ("I\u0307zmir", "izmir", "tr"),
        ("IŞIK", "ışık", "az"),
    ],
)
def test_two_ways_to_write_a_sentence_are_the_same(one: str, other: str, language: str) -> None:
    assert folded(one, language) == folded(other, language)


@pytest.mark.parametrize(
    ("one", "other", "language"),
    [
        ("the flight", "flight", "en"),
        ("flights", "flight", "en"),
        ("résumé", "resume", "fr"),
        ("C#", "C", "en"),
        ("50%", "50", "en"),
        ("a, b", "a b", "en"),
        ("¿Dónde?", "Dónde?", "es"),
        ("?", "!", "en"),
        ("ISPARTA", "isparta", "tr"),
        ("kız", "kiz", "tr"),
    ],
)
def test_what_differs_in_words_letters_or_inner_punctuation_is_not_the_same(
    one: str, other: str, language: str
) -> None:
    assert folded(one, language) != folded(other, language)


def test_a_capital_i_has_no_dotless_form_outside_turkic_languages() -> None:
    assert folded("ISPARTA", "en") == folded("isparta", "en")
    # Tripuri and Trumai are not Turkish.
    assert folded("I", "trp") == "i"


def test_punctuation_alone_is_kept() -> None:
    assert folded("???", "en") == "???"


@given(st.text(max_size=20), st.sampled_from(["", "en", "tr"]))
def test_folding_again_changes_nothing(text: str, language: str) -> None:
    once = folded(text, language)
    assert folded(once, language) == once


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.sampled_from(["NFC", "NFD"]))
def test_how_characters_are_composed_does_not_matter(text: str, form: str) -> None:
    assert folded(unicodedata.normalize(form, text)) == folded(text)


@pytest.mark.parametrize(
    ("sentence", "why"),
    [
        ("", "empty"),
        (" \u00a0\n", "empty"),
        ("x" * 3001, "3,001 characters; Kore.ai accepts 3,000"),
        ("a\0b", "contains the control character U+0000"),
        ("bell\x07", "contains the control character U+0007"),
        ("c1\x9b", "contains the control character U+009B"),
        ("half \ud83d", "contains an unpaired surrogate"),
    ],
)
def test_what_cannot_train_anything_is_named(sentence: str, why: str) -> None:
    assert unusable(sentence) == why


@pytest.mark.parametrize(
    "sentence", ["x" * 3000, "two\nlines\tand a tab\r", "می\u200cخواهم", "\u200fשלום", "👩‍🚀"]
)
def test_long_lines_breaks_and_joiners_are_usable(sentence: str) -> None:
    assert unusable(sentence) == ""
