"""What a report of a check shows, and that data in it is never markup."""

from __future__ import annotations

import re

from airflow_provider_koreai.utterances.quality import (
    CONFLICT,
    DUPLICATE,
    MISSING_LANGUAGE,
    NEAR_CONFLICT,
    THIN_TASK,
    UNUSABLE,
    Finding,
    Quality,
)
from airflow_provider_koreai.utterances.quality_report import html_report
from tests.support.pages import Seen

HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "\u202eelif\u202c", "&amp; </td>"]
HEBREW, ARABIC = "להזמין טיסה", "احجز رحلة؟"


def quality(*names: str) -> Quality:
    made = Quality("/data/utterances.csv")
    made.is_compared = True
    for name in names:
        made.rows += 10
        made.tasks[name].update({"en": 6, "de": 4})
        made.add(Finding(CONFLICT, name, "en", f"same {name}", "Other", f"Same {name}!", weight=2))
        made.add(
            Finding(NEAR_CONFLICT, name, "en", f"near {name}", "Other", f"nears {name}", 0.955, weight=1)
        )
        made.add(Finding(DUPLICATE, name, "en", f"again {name}", name, f"Again {name}"))
        made.add(Finding(THIN_TASK, name, "de", note="4 in de; at least 5 are wanted"))
        made.add(Finding(MISSING_LANGUAGE, name, "fr, ja"))
        made.add(Finding(UNUSABLE, name, "de", "", note="empty"))
    return made


def page_of(made: Quality, *exceeded: str) -> str:
    return html_report(made, 5, 0.9, exceeded).decode()


def test_it_shows_conflicts_side_by_side_and_findings_of_each_kind() -> None:
    page = page_of(quality("Book"))
    cells = [re.sub("<[^>]*>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", page)]
    row = cells.index("same Book")
    assert cells[row - 1 : row + 4] == ["Book", "same Book", "Other", "Same Book!", "en"]
    row = cells.index("near Book")
    assert cells[row - 1 : row + 5] == ["Book", "near Book", "Other", "nears Book", "en", "95.50%"]
    for shown in ("again Book", "4 in de; at least 5 are wanted", "fr, ja", "empty"):
        assert shown in cells
    assert "/data/utterances.csv" in Seen(page).text


def test_each_task_has_a_bar_and_thin_ones_look_different_without_colour() -> None:
    made = quality("Book", "Help")
    made.tasks["Help"] = made.tasks["Help"] + made.tasks["Help"]
    page = page_of(made)
    chart = page[page.index('class="chart"') :]
    assert re.findall(r'<rect class="(\w+)" x="1" y="1" width="([\d.]+)%"', chart) == [
        ("now", "98.0"),
        ("then", "49.0"),
    ]


def test_tasks_beyond_the_first_ones_have_no_bar_and_are_counted() -> None:
    page = page_of(quality(*(f"Task {number}" for number in range(100))))
    assert page.count('class="bar"') == 60
    assert "Smaller tasks that are not shown: 40." in page
    assert "the 30 worst of 100" in page


def test_each_language_has_its_numbers() -> None:
    text = re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", page_of(quality("Book"))))
    # Language, sentences, tasks; conflicts, near conflicts, duplicates, thin tasks, missing languages, unusable.
    assert "de 4 1 0 0 0 1 0 1 en 6 1 1 1 1 0 0 0" in text


def test_right_to_left_texts_have_a_direction_of_their_own() -> None:
    made = quality("Book")
    made.add(Finding(CONFLICT, "טיסות", "he", HEBREW, "حجز", ARABIC, weight=3))
    page = page_of(made)
    for shown in (HEBREW, ARABIC, "טיסות"):
        assert re.search(rf'<td class="\w+" dir="auto">{shown}</td>', page)


def test_a_limit_that_is_exceeded_is_shown() -> None:
    page = page_of(quality("Book"), "1 duplicates, more than max_duplicates=0")
    assert "Beyond a limit:" in page
    assert "1 duplicates, more than max_duplicates=0" in page


def test_it_says_what_was_not_looked_at() -> None:
    made = quality("Book")
    assert "not compared" not in page_of(made)
    made.left_out, made.compared, made.without_task = 1200, 50_000, 7
    text = Seen(page_of(made)).text
    assert "1,200 of 50,000 sentences were not compared with all others" in text
    assert "Utterances without a task, which train nothing: 7." in text
    made.is_compared = False
    assert "not looked for" in page_of(made)


def test_html_has_no_tag_or_attribute_from_the_data() -> None:
    harmless, hostile = Seen(page_of(quality("A", "B", "C", "D"))), Seen(page_of(quality(*HOSTILE)))
    assert hostile.tags == harmless.tags
    assert {name for name, _ in hostile.attributes} == {name for name, _ in harmless.attributes}
    assert "<script>alert(1)</script>" in hostile.text
    assert "\u202e" not in hostile.text


def test_html_loads_nothing() -> None:
    page = Seen(page_of(quality(*HOSTILE)))
    assert not {"script", "link", "img", "iframe", "object", "base"} & set(page.tags)
    assert not {"src", "href", "onerror", "onload"} & {name for name, _ in page.attributes}


def test_no_utterances_at_all_can_be_reported() -> None:
    assert "/data/utterances.csv" in page_of(quality())


def test_the_title_names_the_bot_if_it_is_known():
    page = html_report(Quality("/data/new.json"), 5, 0.9, (), "st-1").decode()
    assert "<title>Quality of utterances of bot st-1</title>" in page
    assert "<title>Quality of utterances</title>" in html_report(Quality("/data/new.json"), 5, 0.9).decode()
