"""What a check finds in utterances, and what it counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_provider_koreai.utterances import quality as quality_module
from airflow_provider_koreai.utterances.alike import NearPairs
from airflow_provider_koreai.utterances.folding import folded
from airflow_provider_koreai.utterances.quality import (
    CONFLICT,
    DUPLICATE,
    MISSING_LANGUAGE,
    NEAR_CONFLICT,
    SAMPLE_SIZE,
    THIN_TASK,
    Finding,
    Limits,
    Quality,
    Row,
    judge_sentences,
    judge_tasks,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


def judged(
    *utterances: tuple[str, str, str], min_per_task: int = 0, similarity: float | None = None
) -> tuple[Quality, list[Finding]]:
    """Judge utterances, given as task, sentence and language."""
    found: list[Finding] = []
    quality = Quality("utterances.csv", found.append)
    rows = sorted(
        (
            Row(language, folded(sentence, language), task, sentence)
            for task, sentence, language in utterances
        ),
        key=lambda row: row[:2],
    )
    judge_sentences(rows, quality, None if similarity is None else NearPairs(similarity))
    judge_tasks(quality, min_per_task)
    return quality, found


def kinds(found: Sequence[Finding]) -> list[str]:
    return sorted(finding.kind for finding in found)


def test_a_sentence_in_two_tasks_is_a_conflict_with_both_as_they_are_written() -> None:
    quality, found = judged(("Book", "A flight!", "en"), ("Cancel", "a flight", "en"))
    assert found == [Finding(CONFLICT, "Book", "en", "A flight!", "Cancel", "a flight", weight=2)]
    assert quality.summary()["conflicts"] == 1


def test_a_sentence_in_three_tasks_is_one_conflict_that_names_all() -> None:
    _, (conflict,) = judged(("C", "hi", "en"), ("A", "hi", "en"), ("B", "hi", "en"))
    assert (conflict.task_name, conflict.other_task_name) == ("A", "B; C")


def test_a_sentence_in_two_languages_is_no_conflict() -> None:
    assert CONFLICT not in kinds(judged(("Book", "hotel", "en"), ("Cancel", "hotel", "de"))[1])


def test_each_repetition_in_a_task_is_a_duplicate() -> None:
    _, found = judged(("Book", "hi", "en"), ("Book", "Hi.", "en"), ("Book", "hi", "en"))
    assert kinds(found) == [DUPLICATE, DUPLICATE]
    assert (found[0].sentence, found[0].other_sentence) == ("Hi.", "hi")


def test_a_repetition_elsewhere_is_a_conflict_and_no_duplicate() -> None:
    quality, _ = judged(("A", "hi", "en"), ("A", "hi", "en"), ("B", "hi", "en"), ("B", "hi", "en"))
    assert (quality.found[CONFLICT], quality.found[DUPLICATE]) == (1, 2)


def test_nearly_the_same_sentence_in_two_tasks_is_a_near_conflict() -> None:
    quality, (near,) = judged(
        ("Cancel", "Cancel my booking!", "en"), ("Refund", "cancel my bookings", "en"), similarity=0.9
    )
    assert near.kind == NEAR_CONFLICT
    assert {near.sentence, near.other_sentence} == {"Cancel my booking!", "cancel my bookings"}
    assert near.similarity == pytest.approx(1 - 1 / 35)
    assert quality.summary()["near_conflicts"] == 1


def test_the_same_sentence_is_no_near_conflict() -> None:
    assert kinds(judged(("A", "same thing", "en"), ("B", "Same thing.", "en"), similarity=0.5)[1]) == [
        CONFLICT
    ]


def test_near_conflicts_are_looked_for_in_each_language_alone() -> None:
    rows = (("A", "taxi please", "en"), ("B", "taxi pleases", "en"), ("C", "taxi pleased", "de"))
    quality, _ = judged(*rows, similarity=0.9)
    assert quality.found[NEAR_CONFLICT] == 1
    assert quality.compared == 3


def test_without_rapidfuzz_the_number_of_near_conflicts_is_unknown() -> None:
    assert judged(("A", "hi", "en"))[0].summary()["near_conflicts"] is None


def test_sentences_that_do_not_fit_into_memory_are_left_out_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quality_module, "_MOST_CHARACTERS", 250)
    quality, _ = judged(*((f"T{n}", f"abcdefghi{n}", "en") for n in range(4)), similarity=0.5)
    assert (quality.compared, quality.left_out) == (4, 2)
    assert quality.found[NEAR_CONFLICT] == 1


def test_a_task_is_thin_if_it_has_too_few_different_sentences_in_one_of_its_languages() -> None:
    quality, found = judged(
        ("A", "one", "en"),
        ("A", "One!", "en"),
        ("A", "eins", "de"),
        ("A", "zwei", "de"),
        ("B", "ichi", "ja"),
        ("B", "ni", "ja"),
        min_per_task=2,
    )
    (thin,) = [finding for finding in found if finding.kind == THIN_TASK]
    assert (thin.task_name, thin.language) == ("A", "en")
    assert thin.note == "1 in en; at least 2 are wanted"
    assert quality.summary()["thin_tasks"] == 1


def test_a_task_that_is_thin_in_two_languages_is_one_thin_task() -> None:
    quality, _ = judged(("A", "one", "en"), ("A", "eins", "de"), min_per_task=2)
    assert quality.found[THIN_TASK] == 1
    assert {language: found[THIN_TASK] for language, found in quality.found_in.items()} == {"de": 1, "en": 1}


def test_a_task_lacks_the_languages_that_others_have() -> None:
    _, found = judged(("A", "one", "en"), ("A", "eins", "de"), ("A", "ichi", "ja"), ("B", "two", "en"))
    assert [(each.kind, each.task_name, each.language) for each in found] == [
        (MISSING_LANGUAGE, "B", "de, ja")
    ]


def test_no_language_at_all_is_none_that_a_task_could_lack() -> None:
    quality, found = judged(("A", "one", ""), ("B", "two", ""))
    assert not found
    assert quality.languages == []


def test_the_worst_findings_are_kept_for_the_report() -> None:
    quality = Quality("x")
    for number in range(10 * SAMPLE_SIZE):
        quality.add(Finding(NEAR_CONFLICT, str(number), "en", weight=number % 100))
    weights = [finding.weight for finding in quality.worst(NEAR_CONFLICT)]
    assert weights == sorted((n % 100 for n in range(10 * SAMPLE_SIZE)), reverse=True)[:SAMPLE_SIZE]


def test_a_finding_as_a_line_has_no_empty_texts() -> None:
    assert Finding(NEAR_CONFLICT, "A", "", "x", "B", "y", 0.98765).columns() == (
        *("near_conflict", "A", "x", "B", "y", None, "0.9877", None),
    )


def test_a_limit_that_is_exceeded_is_described_with_the_numbers() -> None:
    numbers = {"conflicts": 3, "near_conflicts": None, "duplicates": 2, "thin_tasks": 0, "unusable": 1}
    assert Limits(max_conflicts=2, max_duplicates=2, max_unusable=0).exceeded(numbers) == [
        "3 sentences in several tasks, more than max_conflicts=2",
        "1 unusable sentences, more than max_unusable=0",
    ]
