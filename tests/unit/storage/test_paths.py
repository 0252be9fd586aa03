from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_koreai.exceptions import KoreAIConfigurationError
from airflow_provider_koreai.jobs.export import ExportIdentity
from airflow_provider_koreai.storage.paths import PathArgument, local_path

EXPORT = ExportIdentity("ds-1", "2023-07-26T13:15:04.984Z")


@pytest.mark.parametrize(
    ("path", "file_type", "compression", "is_folder"),
    [
        ("/data/utterances.csv", "csv", None, False),
        ("s3://lake/UTTERANCES.JSON", "json", None, False),
        ("utterances.csv.gz", "csv", "gzip", False),
        ("utterances.json.zst", "json", "zstd", False),
        ("/data/", None, None, True),
        ("/data.csv/", None, None, True),
        ("/data/utterances", None, None, False),
        ("/data/csv", None, None, False),
        (Path("/data/x.csv"), "csv", None, False),
    ],
)
def test_a_path_tells_its_file_type_and_compression(
    path: object, file_type: str | None, compression: str | None, is_folder: bool
) -> None:
    argument = PathArgument.parse(path)
    assert (argument.file_type, argument.compression, argument.is_folder) == (
        file_type,
        compression,
        is_folder,
    )


@pytest.mark.parametrize("path", ["", "  ", None, 3, b"/data", "a\0b"])
def test_what_is_no_path_is_refused(path: object) -> None:
    with pytest.raises(KoreAIConfigurationError, match="is not a path"):
        PathArgument.parse(path)


@pytest.mark.parametrize(
    ("export", "compression", "name"),
    [
        (EXPORT, None, "st-1-2023-07-26T13:15:04.984Z.csv"),
        (EXPORT, "gzip", "st-1-2023-07-26T13:15:04.984Z.csv.gz"),
        (EXPORT, "zstd", "st-1-2023-07-26T13:15:04.984Z.csv.zst"),
        (ExportIdentity("ds-1"), None, "st-1-ds-1.csv"),
        (ExportIdentity(), None, "st-1-latest.csv"),
        (ExportIdentity(None, "../../etc/passwd"), None, "st-1-..-..-etc-passwd.csv"),
    ],
)
def test_a_file_in_a_folder_is_named_after_its_export(
    export: ExportIdentity, compression: str | None, name: str
) -> None:
    assert (
        PathArgument.parse("s3://lake/koreai/").for_export("st-1", export, "csv", compression)
        == f"s3://lake/koreai/{name}"
    )


def test_a_file_keeps_the_name_that_it_was_given() -> None:
    assert PathArgument.parse("/data/x.csv").for_export("st-1", EXPORT, "csv", None) == "/data/x.csv"


@pytest.mark.parametrize(
    ("path", "local"),
    [
        ("/data/x.csv", "/data/x.csv"),
        ("file:///data/x.csv", "/data/x.csv"),
        ("FILE:///data/x.csv", "/data/x.csv"),
        ("file://localhost/data/x.csv", "/data/x.csv"),
        ("s3://lake/x.csv", None),
        ("gs://lake/x.csv", None),
    ],
)
def test_a_path_is_local_or_a_stores(path: str, local: str | None) -> None:
    assert local_path(path) == local


def test_a_relative_path_and_a_home_are_made_absolute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert local_path("x.csv") == str(tmp_path.resolve() / "x.csv")
    assert local_path("~/x.csv") == "/home/me/x.csv"


@pytest.mark.parametrize("path", ["s3:/lake/x.csv", "file:/data/x.csv", "gs:/lake/"])
def test_a_url_with_one_slash_is_not_taken_for_a_folder(path: str) -> None:
    with pytest.raises(KoreAIConfigurationError, match="two slashes"):
        local_path(path)


def test_a_file_url_with_a_host_is_refused() -> None:
    with pytest.raises(KoreAIConfigurationError, match="three slashes"):
        local_path("file://server/x.csv")
