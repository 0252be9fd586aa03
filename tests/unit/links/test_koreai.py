"""The addresses behind the buttons."""

from __future__ import annotations

import json

import pytest

from airflow_provider_koreai.exceptions import KoreAIConfigurationError
from airflow_provider_koreai.links.koreai import builder_url, file_url

BOT = "st-ab12cd34"


@pytest.mark.parametrize(
    ("host", "builder"),
    [
        ("https://bots.kore.ai", "https://bots.kore.ai/botbuilder"),
        ("https://de-bots.kore.ai", "https://de-bots.kore.ai/botbuilder"),
        ("https://platform.kore.ai", "https://platform.kore.ai/builder/home"),
        ("https://uae-platform.kore.ai", "https://uae-platform.kore.ai/builder/home"),
        ("https://koreai.example.com:8443", "https://koreai.example.com:8443/"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/"),
    ],
)
def test_the_builder_is_where_the_host_has_it(host, builder):
    assert builder_url(host, BOT) == f"{builder}?botId={BOT}"


def test_the_bot_is_quoted():
    assert builder_url("https://bots.kore.ai", "st:1").endswith("?botId=st%3A1")


@pytest.mark.parametrize("bot_id", ["", "st-1&x=javascript:", "../admin", None])
def test_what_is_no_bot_id_has_no_address(bot_id):
    with pytest.raises(KoreAIConfigurationError, match="bot_id"):
        builder_url("https://bots.kore.ai", bot_id)


@pytest.mark.parametrize(
    "path", ["/data/utterances.csv", "file:///data/utterances.csv", "hdfs://n:8020/u.csv"]
)
def test_a_file_without_a_console_has_no_address(path):
    assert file_url(path) is None


@pytest.mark.parametrize("bucket", ["lake", "conn@lake"])
def test_an_object_in_google_cloud_storage_has_one(bucket):
    assert (
        file_url(f"gs://{bucket}/koreai/a b#1.csv")
        == "https://console.cloud.google.com/storage/browser/_details/lake/koreai/a%20b%231.csv"
    )


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        (None, "https://console.aws.amazon.com/s3/object/lake?prefix=koreai%2Fa+b%231.csv"),
        # What speaks S3 elsewhere is not in Amazon's console.
        ("http://127.0.0.1:9000", None),
    ],
)
def test_an_object_in_amazons_s3_has_one(monkeypatch, endpoint, address):
    pytest.importorskip("s3fs")
    extra = {"region_name": "us-east-1", **({"endpoint_url": endpoint} if endpoint else {})}
    connection = {"conn_type": "aws", "login": "testing", "password": "testing", "extra": extra}
    conn_id = f"links_{'elsewhere' if endpoint else 'amazon'}"
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
    assert file_url("s3://lake/koreai/a b#1.csv", conn_id) == address


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_an_object_of_an_endpoint_that_the_environment_names_has_none(monkeypatch, name):
    monkeypatch.setenv(name, "http://127.0.0.1:9000")
    assert file_url("s3://lake/koreai/a.csv") is None
