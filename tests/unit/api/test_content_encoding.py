from __future__ import annotations

import pytest

from airflow_provider_koreai.api.content_encoding import content_encoding


@pytest.mark.parametrize(("value", "encoding"), [("GZIP ", "gzip"), ("identity", ""), ("", ""), ("br", "br")])
def test_a_content_encoding_is_read(value: str, encoding: str) -> None:
    assert content_encoding({"Content-Encoding": value}) == encoding
