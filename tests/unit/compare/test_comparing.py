"""Two snapshots compared by SQLite: the same answer as two Counters in memory give."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_koreai.compare.comparing import FileSource, compare
from airflow_provider_koreai.compare.comparison import ADDED, MOVED, REMOVED, Change, Comparison, Row, pair
from airflow_provider_koreai.exceptions import KoreAIFileError
from airflow_provider_koreai.text import storable

if TYPE_CHECKING:
    from pathlib import Path

HEADER = ["taskName", "sentence", "type", "language"]
# What lines and quotes make hard; the csv module takes no NUL on Python 3.10.
texts = st.text(st.sampled_from(list('ab,"\n\ré東')), max_size=4)
rows = st.tuples(st.sampled_from(["A", "B", "C, or D", ""]), texts, st.sampled_from(["x", "y"]), texts)
snapshots = st.lists(rows, max_size=30)


def csv_text(data: list[tuple[str, ...]], *, end: str = "\n", quoting: int = csv.QUOTE_MINIMAL) -> bytes:
    out = io.StringIO(newline="")
    if any("\r" in cell for row in data for cell in row):
        quoting = csv.QUOTE_ALL  # the csv module would write it without quotes, and not read it again
    writer = csv.writer(out, lineterminator=end, quoting=quoting)
    writer.writerow(HEADER)
    writer.writerows(data)
    return out.getvalue().encode()


def source(tmp_path: Path, name: str, data: bytes) -> FileSource:
    (tmp_path / name).write_bytes(data)
    return FileSource(str(tmp_path / name))


def changes_of(before: FileSource | None, after: FileSource) -> tuple[Comparison, list[Change]]:
    changes: list[Change] = []
    return compare(before, after, changes.append), changes


def multiset(changes: list[Change], *kinds: str) -> Counter[Row]:
    return Counter(change.row for change in changes if change.kind in kinds)


def test_utterances_in_quite_another_order_are_no_changes(tmp_path: Path) -> None:
    rows = [("A", f"say {number // 2}", "x", "en") for number in range(80_000)]
    after = [*rows[:0:-1], ("B", "say 0", "x", "en"), ("A", "say 1", "x", "en")]
    comparison, changes = changes_of(
        source(tmp_path, "old.csv", csv_text(rows)), source(tmp_path, "new.csv", csv_text(after))
    )
    assert changes == [
        Change(MOVED, Row("B", "say 0", "x", "en"), "A"),
        Change(ADDED, Row("A", "say 1", "x", "en")),
    ]
    assert (comparison.total.before, comparison.total.after) == (80_000, 80_001)


@given(before=snapshots, after=snapshots, shared=snapshots, end=st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_removed_added_and_moved_leads_from_one_snapshot_to_the_other(
    tmp_path: Path,
    before: list[tuple[str, ...]],
    after: list[tuple[str, ...]],
    shared: list[tuple[str, ...]],
    end: str,
) -> None:
    old, new = [*shared, *before], [*after, *shared]
    comparison, changes = changes_of(
        source(tmp_path, "old.csv", csv_text(old)), source(tmp_path, "new.csv", csv_text(new, end=end))
    )
    was, now = Counter(Row(*row) for row in old), Counter(Row(*row) for row in new)
    moved = [change for change in changes if change.kind == MOVED]
    gone = Counter((row.sentence, row.language) for row in (was - now).elements())
    assert multiset(changes, ADDED, MOVED) == now - was
    assert multiset(changes, REMOVED).total() + len(moved) == (was - now).total()
    assert (
        Counter((change.row.sentence, change.row.language) for change in changes if change.kind != ADDED)
        == gone
    )
    total = comparison.total
    assert (total.before, total.after, total.moved_in) == (len(old), len(new), len(moved))
    for names, index in ((comparison.tasks, 0), (comparison.languages, 3)):
        assert set(names) == {row[index] for row in [*old, *new]}
        for side, data in (("before", old), ("after", new)):
            counted = {name: getattr(each, side) for name, each in names.items() if getattr(each, side)}
            assert counted == Counter(row[index] for row in data)


# What JSON can express, duplicates included; NUL and halves of surrogate pairs count as U+FFFD.
hard_texts = st.sampled_from(
    ["", "a", 'a"', "a,b", "a\nb", "a\rb", "\0", "\ufffd", "\ud83d", "東京", "A", "a "]
)
hard_rows = st.tuples(
    hard_texts, hard_texts, st.sampled_from(["x", "y", ""]), st.sampled_from(["en", "\0", ""])
)
hard_snapshots = st.lists(hard_rows, max_size=40)


def json_text(data: list[tuple[str, ...]]) -> bytes:
    return json.dumps([dict(zip(HEADER, row, strict=True)) for row in data]).encode()


@given(before=hard_snapshots, after=hard_snapshots, shared=hard_snapshots)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_changes_and_summary_are_those_of_two_counters(
    tmp_path: Path,
    before: list[tuple[str, ...]],
    after: list[tuple[str, ...]],
    shared: list[tuple[str, ...]],
) -> None:
    old, new = [*shared, *before], [*after, *shared]
    comparison, changes = changes_of(
        source(tmp_path, "old.json", json_text(old)), source(tmp_path, "new.json", json_text(new))
    )
    was, now = (Counter(Row(*map(storable, row)) for row in data) for data in (old, new))
    expected = Comparison(comparison.before, comparison.after)
    for row, number in now.items():
        expected.count(row.task_name, row.language, number)
    found: list[Change] = []
    gone, come = list((was - now).elements()), list((now - was).elements())
    for sentence, language in sorted({(row.sentence, row.language) for row in [*gone, *come]}):
        sides = (
            [row for row in side if (row.sentence, row.language) == (sentence, language)]
            for side in (gone, come)
        )
        found += pair(*sides)
    for change in found:
        expected.observe(change)
    assert changes == found
    assert comparison.summary() == expected.summary()


def test_an_order_of_its_own_makes_no_difference(tmp_path: Path) -> None:
    data = [("A", f"sentence {number}", "x", "en") for number in range(50_000)]
    old, new = source(tmp_path, "old.csv", csv_text(data)), source(tmp_path, "new.csv", csv_text(data[::-1]))
    comparison, changes = changes_of(old, new)
    assert changes == []
    assert comparison.summary()["unchanged"] == 50_000


def test_what_is_there_twice_counts_twice(tmp_path: Path) -> None:
    row = ("A", "to rome", "x", "en")
    comparison, changes = changes_of(
        source(tmp_path, "old.csv", csv_text([row] * 3)), source(tmp_path, "new.csv", csv_text([row]))
    )
    assert changes == [Change(REMOVED, Row(*row))] * 2
    assert comparison.total.before == 3


@pytest.mark.parametrize("quoting", [csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
@pytest.mark.parametrize("form", ["csv", "csv.gz", "json", "other columns", "bom"])
def test_how_a_snapshot_is_written_makes_no_difference(tmp_path: Path, form: str, quoting: int) -> None:
    data = [("A", "to rome", "x", "en"), ("B, C", 'say "hi"\nnow', "x", "de"), ("", "no task", "x", "en")]
    text = csv_text(data, quoting=quoting)
    made = {
        "csv": text,
        "csv.gz": gzip.compress(text),
        "json": json.dumps([dict(zip(HEADER, row, strict=True)) for row in data]).encode(),
        "other columns": b"language,type,taskName,sentence,note\n"
        + b'en,x,A,to rome,1\nde,x,"B, C","say ""hi""\nnow",2\nen,x,,no task,3\n',
        "bom": b"\xef\xbb\xbf" + text,
    }[form]
    _, changes = changes_of(source(tmp_path, "old.csv", csv_text(data)), source(tmp_path, "new", made))
    assert changes == []


def test_a_snapshot_can_be_a_parquet_file(tmp_path: Path) -> None:
    import logging

    from airflow_provider_koreai.utterances.convert import convert_utterances

    data = [("A", "to rome", "x", "en"), ("", "no task", "x", "")]
    old = source(tmp_path, "old.csv", csv_text(data))
    target = str(tmp_path / "new.parquet")
    convert_utterances(old.path, target, log=logging.getLogger(__name__))
    assert changes_of(old, FileSource(target))[1] == []


@pytest.mark.parametrize("text", ["a\0b", "a\ud83db"])
def test_what_a_table_or_parquet_cannot_hold_is_the_same_as_what_stands_for_it(
    tmp_path: Path, text: str
) -> None:
    data = [("A", text, "x", "en"), (text, "b", "x", text)]
    stored = [tuple(cell.replace(text, "a\ufffdb") for cell in row) for row in data]
    old = source(tmp_path, "old.csv", csv_text(stored))
    made = json.dumps([dict(zip(HEADER, row, strict=True)) for row in data]).encode()
    comparison, changes = changes_of(old, source(tmp_path, "new.json", made))
    assert changes == []
    assert set(comparison.tasks) == {"A", "a\ufffdb"}


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python's csv module takes no NUL before 3.11")
def test_a_nul_in_a_csv_file_is_the_same_as_in_a_json_file(tmp_path: Path) -> None:
    data = [("A", "a\0b", "x", "en"), ("A", '"\0"', "x", "en")]
    made = json.dumps([dict(zip(HEADER, row, strict=True)) for row in data]).encode()
    old, new = source(tmp_path, "old.csv", csv_text(data)), source(tmp_path, "new.json", made)
    assert changes_of(old, new)[1] == changes_of(new, old)[1] == []


def test_without_an_earlier_snapshot_all_is_added(tmp_path: Path) -> None:
    comparison, _ = changes_of(None, source(tmp_path, "new.csv", csv_text([("A", "b", "x", "en")])))
    assert (comparison.before, comparison.total.before, comparison.total.added) == ("", 0, 1)


def test_empty_lines_and_a_missing_line_end_are_no_rows(tmp_path: Path) -> None:
    old = source(tmp_path, "old.csv", csv_text([("A", "b", "x", "en"), ("A", "c", "x", "de")]))
    new = source(tmp_path, "new.csv", b"taskName,sentence,type,language\n\nA,b,x,en\n\n\nA,c,x,de")
    comparison, changes = changes_of(old, new)
    assert changes == []
    assert {name: each.after for name, each in comparison.languages.items()} == {"en": 1, "de": 1}


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "line 1 is not a header"),
        (b"<html>", "line 1 is not a header"),
        (csv_text([("A", "b", "x", "en")] * 5) + b"A,b,c\n", "line 7: 3 columns; the header has 4"),
        (csv_text([("A", "b", "x", "en")] * 5) + b'A,"b,x,en\n', "line 7: unexpected end of data"),
        (csv_text([("A", 'b"', "x", "en")] * 5) + b'A,"b"c,x,en\n', "line 7: "),
        (csv_text([("A", "b", "x", "en")] * 5) + b"A,\xff,x,en\n", "not UTF-8"),
        (csv_text([("A", "b", "x", "en")] * 5) + b'A,"\xff",x,en\n', "not UTF-8"),
        (b'[{"sentence":"a"},{"taskName":"b"}]', "element 2: 'sentence' is missing"),
        (
            gzip.compress(csv_text([("A", "b", "x", "en")] * 999))[:-20],
            "damaged|cut off|incomplete|not complete",
        ),
        (b"PAR1 and no more", "Parquet file is broken"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, data: bytes, said: str, side: str) -> None:
    good = source(tmp_path, "good.csv", csv_text([("A", "b", "x", "en")]))
    bad = source(tmp_path, "bad", data)
    with pytest.raises(KoreAIFileError, match=said) as caught:
        compare(bad, good) if side == "before" else compare(good, bad)
    assert bad.path in str(caught.value)


def test_the_order_of_the_changes_is_the_same_in_each_process(tmp_path: Path) -> None:
    old = source(tmp_path, "old.csv", csv_text([("A", f"old {number}", "x", "en") for number in range(50)]))
    new = source(tmp_path, "new.csv", csv_text([("A", f"new {number}", "x", "en") for number in range(50)]))
    code = (
        "import sys; from airflow_provider_koreai.compare.comparing import *; "
        "compare(FileSource(sys.argv[1]), FileSource(sys.argv[2]), print)"
    )
    first, second = (
        subprocess.run(
            [sys.executable, "-c", code, old.path, new.path],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    )
    assert first.count("Change(") == 100
    assert first == second


# A file size limit stands in for a full disk.
FULL_DISK = """
import resource, sys
from airflow_provider_koreai.compare.comparing import FileSource, compare
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
compare(None, FileSource(sys.argv[1]))
"""


def test_a_full_disk_is_reported_with_the_folder_and_the_remedy(tmp_path: Path) -> None:
    data = [("A", f"{number} {'long sentence ' * 20}", "x", "en") for number in range(100_000)]
    new = source(tmp_path, "new.csv", csv_text(data))
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, new.path],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"KoreAIError: The temporary database in '{tmp_path}' failed: " in done.stderr
    assert "set TMPDIR to use another folder" in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["new.csv"]


def test_large_snapshots_do_not_stay_in_memory(tmp_path: Path) -> None:
    sentence = "long sentence " * 20
    data = [("A", f"{number} {sentence}", "x", "en") for number in range(200_000)]
    old, new = source(tmp_path, "old.csv", csv_text(data)), source(tmp_path, "new.csv", csv_text(data[::-1]))
    code = (
        "import resource, sys; from airflow_provider_koreai.compare.comparing import *; "
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; idle = peak(); "
        "compare(FileSource(sys.argv[1]), FileSource(sys.argv[2])); print(peak() - idle)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, old.path, new.path], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) * 1024 < new_size(new) // 2 + (16 << 20)


def new_size(file: FileSource) -> int:
    return os.stat(file.path).st_size
