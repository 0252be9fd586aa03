from __future__ import annotations

import pytest

from airflow_provider_koreai.download.transfer import content_range, validator_of

NOW = "Tue, 14 Nov 2023 22:13:20 GMT"
SECOND_BEFORE = "Tue, 14 Nov 2023 22:13:19 GMT"


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"ETag": '"abc"'}, '"abc"'),
        ({"ETag": '"abc"', "Last-Modified": SECOND_BEFORE, "Date": NOW}, '"abc"'),
        ({"ETag": 'W/"abc"'}, None),
        # With an ETag, even a weak one, the date must not be used.
        ({"ETag": 'W/"abc"', "Last-Modified": SECOND_BEFORE, "Date": NOW}, None),
        ({"ETag": "abc"}, None),
        ({"Last-Modified": SECOND_BEFORE, "Date": NOW}, SECOND_BEFORE),
        ({"Last-Modified": NOW, "Date": NOW}, None),
        ({"Last-Modified": SECOND_BEFORE}, None),
        ({"Last-Modified": "yesterday", "Date": NOW}, None),
        ({}, None),
    ],
)
def test_only_what_proves_the_same_file_is_a_validator(
    headers: dict[str, str], validator: str | None
) -> None:
    assert validator_of(headers) == validator


@pytest.mark.parametrize(
    ("value", "span"),
    [
        ("bytes 5-9/10", (5, 9, 10)),
        ("bytes 5-9/*", (5, 9, None)),
        ("bytes */10", None),
        ("bytes 9-5/10", None),
        ("items 5-9/10", None),
        ("bytes 5-9", None),
        ("", None),
    ],
)
def test_a_content_range_is_read(value: str, span: tuple[int, int, int | None] | None) -> None:
    assert content_range({"Content-Range": value}) == span
