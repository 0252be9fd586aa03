"""What a page of analytics means, when a reading is of no use, and which fields are personal."""

from __future__ import annotations

import json

import pytest

from airflow_provider_koreai.api.analytics import (
    MOST_BYTES,
    PAGE_SIZE,
    Page,
    Query,
    Reading,
    in_interval,
    page_request,
    read_page,
    time_of,
    without_personal,
)
from airflow_provider_koreai.api.calls import MAX_ANSWER_BYTES, ApiAnswer
from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIRequestError

QUERY = Query.of("st-1", "unhandledutterance", "2026-11-01", "2026-11-02T00:00:00Z")
REQUEST = page_request("https://bots.kore.ai", QUERY, 0)


def rows(*numbers):
    return [
        {"utterance": str(number), "timestamp": f"2026-11-01T00:00:{number:02d}.000Z"} for number in numbers
    ]


def test_the_call_names_interval_order_and_page():
    assert REQUEST.method == "POST"
    assert REQUEST.url == "https://bots.kore.ai/api/public/bot/st-1/getAnalytics"
    assert json.loads(REQUEST.body) == {
        "type": "unhandledutterance",
        "filters": {"from": "2026-11-01T00:00:00.000Z", "to": "2026-11-02T00:00:00.000Z"},
        "sort": {"order": "asc", "by": "timestamp"},
        "skip": 0,
        "limit": 50,
    }


def test_a_channel_is_a_filter():
    query = Query.of("st-1", "failtask", "2026-11-01", "2026-11-02", " rtm ")
    assert json.loads(page_request("https://x", query, 0).body)["filters"]["channel"] == "rtm"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("st-1", "unhandled", "2026-11-01", "2026-11-02"), "analytics_type='unhandled'"),
        (("st-1", "failtask", "yesterday", "2026-11-02"), "start='yesterday'"),
        (("st-1", "failtask", "2026-11-01", ""), "end=''"),
        (("st-1", "failtask", "2026-11-03", "2026-11-02"), "comes after end"),
        (("", "failtask", "2026-11-01", "2026-11-02"), "bot_id=''"),
    ],
)
def test_a_wrong_argument_is_named(arguments, said):
    with pytest.raises(KoreAIConfigurationError, match=said):
        Query.of(*arguments)


@pytest.mark.parametrize("body", [{}, {"result": 5}, {"result": [1]}, {"moreAvailable": True, "result": "x"}])
def test_an_answer_of_another_shape_is_not_the_apis(body):
    with pytest.raises(KoreAIRequestError, match="result"):
        read_page(REQUEST, ApiAnswer(200, {}, json.dumps(body).encode()), "c")


def test_names_are_read_in_any_case():
    body = {"MoreAvailable": "true", "Result": rows(1)}
    assert read_page(REQUEST, ApiAnswer(200, {}, json.dumps(body).encode()), "c") == Page(rows(1), True)


def test_another_name_of_the_field_that_says_whether_there_is_more_is_known():
    body = {"result": rows(1), "availableMore": True}
    assert read_page(REQUEST, ApiAnswer(200, {}, json.dumps(body).encode()), "c") == Page(rows(1), True)


def test_a_full_page_that_does_not_say_whether_there_is_more_is_refused():
    body = {"result": rows(*range(PAGE_SIZE))}
    with pytest.raises(KoreAIRequestError, match="does not say whether there is more"):
        read_page(REQUEST, ApiAnswer(200, {}, json.dumps(body).encode()), "c")


def test_a_page_may_be_much_larger_than_other_answers():
    body = json.dumps({"result": [{"utterance": "hi", "NLAnalysis": "x" * MAX_ANSWER_BYTES}]}).encode()
    assert len(read_page(REQUEST, ApiAnswer(200, {}, body), "c").rows) == 1


def test_a_page_that_is_too_large_is_an_error_with_the_size():
    answer = ApiAnswer(200, {}, b" " * (MOST_BYTES + 1))
    with pytest.raises(KoreAIRequestError, match=r"analytics of bot st-1 .*larger than 32 MiB"):
        read_page(REQUEST, answer, "c")


class TestReading:
    def test_pages_follow_each_other_by_one_row_in_common(self):
        reading = Reading()
        assert reading.take(Page(rows(1, 2), True)) == rows(1, 2)
        assert reading.skip == 1
        assert reading.take(Page(rows(2, 3, 4), True)) == rows(3, 4)
        assert reading.skip == 3
        assert reading.take(Page(rows(4, 5), False)) == rows(5)
        assert reading.is_over

    @pytest.mark.parametrize(
        "second",
        [
            Page(rows(3, 4), False),  # a row went
            Page(rows(1, 2, 3), False),  # a row came
            Page([], False),
            Page(rows(2), True),  # nothing new, and always more
        ],
    )
    def test_a_page_that_does_not_follow_the_one_before_makes_it_useless(self, second):
        reading = Reading()
        reading.take(Page(rows(1, 2), True))
        assert reading.take(second) is None

    def test_the_end_may_have_nothing_new(self):
        reading = Reading()
        reading.take(Page(rows(1, 2), True))
        assert reading.take(Page(rows(2), False)) == []
        assert reading.is_over

    def test_equal_rows_are_all_kept(self):
        reading = Reading()
        assert reading.take(Page(rows(1, 1), True)) == rows(1, 1)
        assert reading.take(Page(rows(1, 1, 2), False)) == rows(1, 2)

    def test_nothing_at_all_is_an_answer(self):
        reading = Reading()
        assert reading.take(Page([], False)) == []
        assert reading.is_over


def test_the_interval_has_its_start_and_not_its_end():
    found = [
        {"timestamp": text}
        for text in (
            "2026-10-31T23:59:59.999Z",
            "2026-11-01T00:00:00Z",
            "2026-11-01T23:59:59.999Z",
            "2026-11-02T00:00:00Z",
        )
    ]
    assert list(in_interval(QUERY, found)) == found[1:3]


def test_a_row_without_a_time_that_can_be_read_stays():
    assert list(in_interval(QUERY, [{"timestamp": "soon"}, {}])) == [{"timestamp": "soon"}, {}]


@pytest.mark.parametrize(
    "value",
    [
        *("2026-11-01T00:00:00Z", "2026-11-01T01:00:00+01:00"),
        *(1793491200, 1793491200000, "1793491200000", "1793491200000.0"),
    ],
)
def test_a_time_may_be_written_in_several_ways(value):
    assert time_of({"Timestamp": value}) == QUERY.start


@pytest.mark.parametrize(
    "name", ["userId", "user_id", "channelUserId", "Email", "emailId", "phoneNumber", "lastName"]
)
def test_personal_fields_are_dropped_at_any_depth(name):
    row = {"utterance": "hi", name: "x", "NLAnalysis": {"a": [{name: "x", "b": 1}]}}
    assert without_personal(row) == {"utterance": "hi", "NLAnalysis": {"a": [{"b": 1}]}}


def test_everything_else_stays():
    row = {
        "utterance": "my mail is a@b.c",
        "taskName": "T",
        "sessionId": "s",
        "channel": "rtm",
        "timestamp": 1,
    }
    assert without_personal(row) == row
