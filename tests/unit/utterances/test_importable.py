"""What Kore.ai can import, and what is refused by its line before anything is sent."""

from __future__ import annotations

import gzip
import json
import logging
import tracemalloc

import pytest

from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIFileError
from airflow_provider_koreai.utterances.importable import (
    LONGEST_SENTENCE,
    check_against,
    checked_file,
    import_file,
)

HEADER = "taskName,sentence,type,language\n"
LOG = logging.getLogger(__name__)


def entry(sentence="hello", task="Greet", language="en", **more):
    return {"taskName": task, "sentence": sentence, "type": "DialogIntent", "language": language, **more}


@pytest.fixture
def csv_file(tmp_path):
    def write(text: str, name: str = "new.csv") -> str:
        (tmp_path / name).write_text(text, encoding="utf-8", newline="")
        return str(tmp_path / name)

    return write


@pytest.fixture
def json_file(tmp_path):
    def write(*entries, name: str = "new.json") -> str:
        (tmp_path / name).write_text(json.dumps(list(entries)))
        return str(tmp_path / name)

    return write


@pytest.fixture
def converted(tmp_path):
    pytest.importorskip("pyarrow")
    from airflow_provider_koreai.utterances.convert import convert_utterances

    def convert(path: str) -> str:
        return convert_utterances(path, f"{tmp_path}/new.parquet", log=LOG).path

    return convert


def checked(path, on_invalid="fail"):
    """The content that would be sent, and how many utterances it has."""
    with checked_file(path, on_invalid=on_invalid, log=LOG) as (file, rows):
        file.content.seek(0)
        return file.content.read(), rows


def rows_of(path):
    """How many utterances would be sent."""
    with checked_file(path, log=LOG) as (_, rows):
        return rows


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("Greet,,DialogIntent,en\n", "line 2 has no sentence"),
        ('Greet," \t",DialogIntent,en\n', "line 2 has no sentence"),
        (",hello,DialogIntent,en\n", "line 2 has no taskName"),
        (
            f"Greet,{'x' * (LONGEST_SENTENCE + 1)},DialogIntent,en\n",
            r"line 2 has a sentence of 3,001 characters \(Kore.ai accepts 3,000\)",
        ),
        (
            "Greet,hello,DialogIntent,en\nGreet,hi,DialogIntent,en\nGreet,hello,DialogIntent,en\n",
            "line 4 repeats line 2 for the same task and language",
        ),
        ('Greet,"two\nlines",DialogIntent,en\n\nGreet,,DialogIntent,en\n', "line 5 has no sentence"),
    ],
)
def test_a_row_that_cannot_be_imported_is_refused_by_its_line(csv_file, rows, said):
    with pytest.raises(KoreAIFileError, match=said):
        checked(csv_file(HEADER + rows))


def test_an_element_that_cannot_be_imported_is_refused_by_its_number(json_file):
    path = json_file(entry(), entry("hi", task=None), entry())
    with pytest.raises(KoreAIFileError, match="element 2 has no taskName; element 3 repeats element 1"):
        checked(path)


def test_no_refusal_quotes_the_data(csv_file):
    with pytest.raises(KoreAIFileError) as caught:
        checked(csv_file(f"{HEADER},my secret wish,DialogIntent,en\n"))
    assert "secret wish" not in str(caught.value)


def test_many_problems_are_summed_up(csv_file):
    with pytest.raises(KoreAIFileError, match="line 11 has no sentence; and 15 more"):
        checked(csv_file(HEADER + "Greet,,DialogIntent,en\n" * 25))


@pytest.mark.parametrize(
    "second", ["Bye,hello,DialogIntent,en", "Greet,hello,DialogIntent,de", "Greet,Hello,DialogIntent,en"]
)
def test_the_same_sentence_elsewhere_is_no_repeat(csv_file, second):
    _, rows = checked(csv_file(f"{HEADER}Greet,hello,DialogIntent,en\n{second}\n"))
    assert rows == 2


@pytest.mark.parametrize(
    "header",
    [
        "taskName,sentence\n",
        "taskName,sentence,language\n",
        "task,sentence\n",
        "taskName,sentence, type,language\n",
    ],
)
def test_a_header_that_kore_ai_refuses_is_refused_unsent(csv_file, header):
    with pytest.raises(KoreAIFileError, match=r"column type|header with taskName"):
        checked(csv_file(header + "Greet,hello,en\n"))


def test_the_byte_order_mark_of_a_spreadsheet_is_not_sent(csv_file):
    text = HEADER + "Greet,hello,DialogIntent,en\n"
    assert checked(csv_file("\ufeff" + text)) == (text.encode(), 1)


@pytest.mark.parametrize("text", ['[{"taskName":"Greet","sentence":"hello"}]', '"taskName"x,sentence\n'])
def test_what_is_no_csv_is_refused_with_the_header_that_kore_ai_accepts(csv_file, text):
    with pytest.raises(
        KoreAIFileError,
        match=r"new\.csv': Line 1 is not a CSV header. Kore.ai accepts the header taskName,sentence,type,language",
    ):
        checked(csv_file(text))


@pytest.mark.parametrize("text", ["", HEADER, f"{HEADER}\n\n"])
def test_a_file_without_utterances_is_refused(csv_file, text):
    with pytest.raises(KoreAIFileError, match="nothing to import"):
        checked(csv_file(text))


def test_an_empty_array_is_refused(json_file):
    with pytest.raises(KoreAIFileError, match="nothing to import"):
        checked(json_file())


def test_json_is_sent_as_it_is(json_file):
    path = json_file(entry(entities=[{"startIndex": 0, "entityId": "e-1"}], unknown={"a": [1, None]}))
    with open(path, "rb") as file:
        assert checked(path) == (file.read(), 1)


def test_a_compressed_file_is_sent_decompressed(tmp_path):
    content = f"{HEADER}Greet,hello,DialogIntent,en\n".encode()
    path = tmp_path / "new.csv.gz"
    path.write_bytes(gzip.compress(content))
    assert checked(str(path)) == (content, 1)


def test_parquet_is_sent_as_json_with_all_that_it_has(json_file, converted):
    entries = [entry(entities=[{"entityId": "e-1"}], unknown=[1]), entry("hi", entities=[])]
    content, rows = checked(converted(json_file(*entries)))
    assert rows == 2
    assert json.loads(content) == entries


def test_half_a_surrogate_pair_can_be_compared_too(json_file):
    with pytest.raises(KoreAIFileError, match="element 2 repeats element 1"):
        checked(json_file(entry("\ud83d"), entry("\ud83d")))


def test_long_sentences_are_not_kept_in_memory(csv_file):
    rows = [f"Greet,{number:0{LONGEST_SENTENCE}},DialogIntent,en\n" for number in range(5000)]
    path = csv_file(HEADER + "".join(rows))
    tracemalloc.start()
    try:
        checked_rows = rows_of(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert checked_rows == 5000
    assert peak < 5 << 20


@pytest.mark.parametrize("name", ["missing.csv", "missing.json"])
def test_a_file_that_does_not_exist_is_named(tmp_path, name):
    with (
        pytest.raises(KoreAIFileError, match=rf"{name}' does not exist"),
        import_file(str(tmp_path / name)),
    ):
        pass


class TestDrop:
    def test_rows_that_are_refused_are_left_out_and_the_others_stay_as_they_are(self, json_file, caplog):
        good = [entry(entities=[{"entityId": "e-1"}], unknown={"ä": None}), entry("bye")]
        path = json_file(good[0], entry("x", task=None), entry(""), good[0], good[1])
        with caplog.at_level(logging.WARNING):
            content, rows = checked(path, "drop")
        assert rows == 2
        assert json.loads(content) == good
        assert (
            "element 2 has no taskName; element 3 has no sentence; element 4 repeats element 1" in caplog.text
        )

    def test_csv_keeps_its_quotes_and_further_columns(self, csv_file):
        path = csv_file(
            'taskName,sentence,type,language,note\nGreet,"a ""b"",\nc",D,en,1\n,x,D,en,2\nGreet,y,D,en,3\n'
        )
        content, rows = checked(path, "drop")
        assert rows == 2
        assert content.decode() == (
            'taskName,sentence,type,language,note\nGreet,"a ""b"",\nc",D,en,1\nGreet,y,D,en,3\n'
        )

    def test_csv_keeps_a_carriage_return_inside_a_cell(self, csv_file):
        content, rows = checked(csv_file(f'{HEADER}Greet,"a\rb",D,en\nGreet,,D,en\n'), "drop")
        assert rows == 1
        assert b'"a\rb"' in content

    def test_a_file_with_nothing_left_is_refused(self, json_file):
        with pytest.raises(KoreAIFileError, match="element 1 has no taskName"):
            checked(json_file(entry(task="")), "drop")

    def test_what_is_sent_has_a_sum_of_its_own(self, json_file):
        path = json_file(entry(), entry(""))
        with checked_file(path, on_invalid="drop", log=LOG) as (kept, _), import_file(path) as whole:
            assert kept.sha256 != whole.sha256


class TestCurrent:
    """A fresh export of the bot guards more."""

    @pytest.fixture
    def refused(self, json_file):
        def check(path, *current) -> None:
            with import_file(path) as file:
                check_against(file, json_file(*current, name="current.json"))

        return check

    def test_a_task_that_the_bot_does_not_have_is_refused(self, refused, json_file):
        with pytest.raises(KoreAIFileError, match=r"tasks that are not in current_path=.*'Bye', 'Hi'"):
            refused(json_file(entry(), entry(task="Bye"), entry("x", task="Bye"), entry(task="Hi")), entry())

    def test_csv_would_drop_annotated_entities(self, refused, csv_file):
        path = csv_file(f"{HEADER}Greet,hello,DialogIntent,en\n")
        with pytest.raises(
            KoreAIFileError, match=r"drop the entities that are annotated in 1 .*CSV has no entities"
        ):
            refused(path, entry(entities=[{"entityId": "e-1"}]))

    def test_csv_may_leave_annotated_sentences_out(self, refused, csv_file):
        refused(
            csv_file(f"{HEADER}Greet,hi,DialogIntent,en\nGreet,hello,DialogIntent,de\n"),
            entry(entities=[{"entityId": "e-1"}]),
        )

    def test_json_without_the_key_would_drop_them_too(self, refused, json_file):
        with pytest.raises(KoreAIFileError, match="an empty array to drop them on purpose"):
            refused(json_file(entry()), entry(entities=[{"entityId": "e-1"}]))

    def test_an_empty_array_drops_them_on_purpose(self, refused, json_file):
        refused(json_file(entry(entities=[])), entry(entities=[{"entityId": "e-1"}]))

    def test_parquet_made_of_csv_would_drop_them(self, refused, csv_file, converted):
        path = converted(csv_file(f"{HEADER}Greet,hello,DialogIntent,en\n"))
        with pytest.raises(
            KoreAIFileError,
            match=r"drop the entities that are annotated in 1 .*Parquet made of a CSV export has no entities",
        ):
            refused(path, entry(entities=[{"entityId": "e-1"}]))

    def test_parquet_made_of_json_keeps_them(self, refused, json_file, converted):
        with_entities = entry(entities=[{"entityId": "e-1"}])
        refused(converted(json_file(with_entities, entry("hi", entities=[]))), with_entities, entry("hi"))

    def test_it_must_not_be_csv(self, json_file, csv_file):
        with (
            import_file(json_file(entry())) as file,
            pytest.raises(KoreAIConfigurationError, match=r"current_path=.* is CSV, not a JSON export"),
        ):
            check_against(file, csv_file(f"{HEADER}Greet,hello,DialogIntent,en\n", "current.csv"))

    def test_it_must_not_be_parquet(self, json_file, converted):
        with (
            import_file(json_file(entry())) as file,
            pytest.raises(KoreAIConfigurationError, match=r"current_path=.* is Parquet, not a JSON export"),
        ):
            check_against(file, converted(json_file(entry(), name="current.json")))

    def test_it_must_exist(self, json_file):
        with (
            import_file(json_file(entry())) as file,
            pytest.raises(KoreAIFileError, match=r"current_path='/nowhere.json' does not exist"),
        ):
            check_against(file, "/nowhere.json")
