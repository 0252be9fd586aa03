from __future__ import annotations

import gzip
import sys

import pytest

from airflow_provider_koreai.exceptions import KoreAIConfigurationError
from airflow_provider_koreai.storage.compression import compression_argument, compressor_factory


@pytest.mark.parametrize(("value", "name"), [(None, None), ("", None), ("gzip", "gzip"), (" GZIP", "gzip")])
def test_a_compression_is_read(value: object, name: str | None) -> None:
    assert compression_argument(value) == name


@pytest.mark.parametrize("value", ["gz", "bzip2", True, 1])
def test_another_compression_is_refused_with_those_that_are_accepted(value: object) -> None:
    with pytest.raises(KoreAIConfigurationError, match="gzip, zstd"):
        compression_argument(value)


def test_gzip_can_be_read_by_others() -> None:
    compressor = compressor_factory("gzip")()
    assert gzip.decompress(
        compressor.compress(b"a" * 10_000) + compressor.compress(b"b") + compressor.flush()
    ) == (b"a" * 10_000 + b"b")


def test_without_zstds_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(KoreAIConfigurationError, match=r"airflow-provider-koreai\[zstd\]"):
        compression_argument("zstd")
