from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_koreai.exceptions import KoreAIFileError
from airflow_provider_koreai.utterances import Utterance
from airflow_provider_koreai.warehouse import rows
from airflow_provider_koreai.warehouse.rows import Batches, CopyText, entities_text

ONE = Utterance("A", "b", "c", "en", (), {})


def columns(*utterances: Utterance) -> Any:
    return tuple(zip(*utterances, strict=True))[:5]


def test_copy_text_escapes_what_copy_would_read_otherwise() -> None:
    utterance = Utterance(None, "a\tb\nc\rd\\N", "x\\", "en", ({"k": '"'},), {})
    line = CopyText(["bot\t1"], [None]).write(columns(utterance)).decode()
    assert line.split("\t")[:-1] == ["bot\\t1", "\\N", "a\\tb\\nc\\rd\\\\N", "x\\\\", "en", '[{"k":"\\\\""}]']
    assert line.endswith("\t\\N\n")


def test_copy_text_remembers_a_bounded_number_of_texts() -> None:
    writer = CopyText([], [])
    for number in range(0, 30_000, 100):
        names = map(str, range(number, number + 100))
        writer.write(columns(*(ONE._replace(task_name=name, language=name) for name in names)))
    remembered = [len(each) for each in vars(writer).values() if isinstance(each, dict)]
    assert 0 < min(remembered) <= max(remembered) <= 10_000


def test_batches_count_languages_and_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "BATCH_SIZE", 2)
    batches = Batches([ONE, ONE, ONE._replace(language=None, type="d")], "fail")
    assert [len(batch[0]) for batch in batches] == [2, 1]
    assert (batches.rows, batches.languages, batches.types) == (3, {"en": 2, "": 1}, {"c": 2, "d": 1})


def test_the_rarest_of_very_many_languages_are_summed_up() -> None:
    utterances = [ONE._replace(language=str(number)) for number in range(150)] + [ONE] * 7
    batches = Batches(utterances, "fail")
    list(batches)
    assert len(batches.languages) == 101
    assert (batches.languages["en"], batches.languages["..."]) == (7, 51)


@pytest.mark.parametrize("field", ["task_name", "sentence", "type", "language"])
@pytest.mark.parametrize("text", ["a\0", "\ud83d", "\udc00é"])
def test_what_databases_do_not_take_is_told_by_its_row(field: str, text: str) -> None:
    with pytest.raises(KoreAIFileError, match="Row 3 of the file"):
        list(Batches([ONE, ONE, ONE._replace(**{field: text})], "fail"))


def test_what_databases_do_not_take_can_be_replaced() -> None:
    (batch,) = Batches([ONE._replace(task_name=None, sentence="a\0\ud83d🛫")], "replace")
    assert batch == columns(ONE._replace(task_name=None, sentence="a\ufffd\ufffd🛫"))


def test_what_was_replaced_is_counted_as_it_is_stored() -> None:
    batches = Batches([ONE._replace(type="\0", language="\udc00"), ONE._replace(type="\ufffd")], "replace")
    list(batches)
    assert (batches.languages, batches.types) == ({"\ufffd": 1, "en": 1}, {"\ufffd": 2})


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
