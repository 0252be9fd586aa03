"""Object stores, against a real S3 API: moto's server on loopback."""

from __future__ import annotations

import gc
import gzip
import hashlib
import json
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from airflow_provider_koreai.download import writer
from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIDownloadError, KoreAIFileError
from airflow_provider_koreai.operators.compare_utterances import KoreAICompareUtterancesOperator
from airflow_provider_koreai.storage import object_store
from airflow_provider_koreai.storage.staging import new_part
from airflow_provider_koreai.utterances import read_utterances
from airflow_provider_koreai.utterances.convert import convert_utterances
from tests.support.object_store import Bucket, s3_connection

from .conftest import csv_bytes, json_bytes, log

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Bot

pytest.importorskip("s3fs", reason="needs apache-airflow-providers-amazon[s3fs]")
moto_server = pytest.importorskip("moto.server", reason="needs moto[server]")
pytest.importorskip("boto3")

MIB = 1 << 20


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setenv("AIRFLOW_CONN_MOTO", json.dumps(s3_connection(endpoint)))
    return Bucket(endpoint, f"lake-{uuid.uuid4().hex}")


@pytest.fixture
def large(bot: Bot) -> Bot:
    """A bot whose export takes several parts to upload."""
    bot.configure(size=20 * MIB)
    bot.start()
    return bot


def test_an_export_goes_to_s3(bot: Bot, bucket: Bucket) -> None:
    result = bot.download(bucket.path, storage_conn_id="moto")
    assert bucket.get() == bot.content
    assert (result.path, result.bytes, result.rows) == (bucket.path, len(bot.content), 3000)
    assert bucket.keys() == ["koreai/utterances.csv"]


def test_the_connection_may_be_in_the_url(bot: Bot, bucket: Bucket) -> None:
    bot.download(bucket.path.replace("s3://", "s3://moto@"))
    assert bucket.get() == bot.content


def test_a_folder_gets_an_object_named_after_the_export(bot: Bot, bucket: Bucket) -> None:
    result = bot.download(f"s3://{bucket.name}/koreai/", storage_conn_id="moto")
    assert bucket.keys() == [result.path.removeprefix(f"s3://{bucket.name}/")]
    assert result.path.startswith(f"s3://{bucket.name}/koreai/{bot.id}-20")


def test_a_large_export_is_uploaded_in_parts(large: Bot, bucket: Bucket) -> None:
    result = large.download(bucket.path, storage_conn_id="moto")
    assert hashlib.sha256(bucket.get()).hexdigest() == result.sha256
    assert bucket.uploads() == []


def test_a_dropped_connection_is_continued_in_the_same_upload(large: Bot, bucket: Bucket) -> None:
    large.fault("drop", at=13 * MIB)
    result = large.download(bucket.path, storage_conn_id="moto")
    assert hashlib.sha256(bucket.get()).hexdigest() == result.sha256
    assert result.bytes == 20 * MIB


def test_a_download_that_starts_over_aborts_its_upload(large: Bot, bucket: Bucket) -> None:
    large.configure(ranges=False)
    large.fault("drop", at=13 * MIB)
    result = large.download(bucket.path, storage_conn_id="moto")
    assert hashlib.sha256(bucket.get()).hexdigest() == result.sha256
    assert bucket.uploads() == []


def test_the_object_appears_only_when_it_is_whole(
    large: Bot, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[list[str], list[str]]] = []
    publish = object_store.ObjectStaging.publish

    def look(staging: object_store.ObjectStaging) -> None:
        seen.append((bucket.keys(), bucket.uploads()))
        publish(staging)

    monkeypatch.setattr(object_store.ObjectStaging, "publish", look)
    large.download(bucket.path, storage_conn_id="moto")
    assert seen == [([], ["koreai/utterances.csv"])]
    assert bucket.keys() == ["koreai/utterances.csv"]


def test_a_failed_download_leaves_the_earlier_object_and_no_upload(large: Bot, bucket: Bucket) -> None:
    bucket.put(b"earlier")
    large.configure(ranges=False)
    large.fault("drop", at=13 * MIB, times=-1)
    with pytest.raises(KoreAIDownloadError):
        large.download(bucket.path, storage_conn_id="moto")
    assert (bucket.get(), bucket.keys(), bucket.uploads()) == (b"earlier", ["koreai/utterances.csv"], [])


def test_a_refused_file_leaves_nothing(large: Bot, bucket: Bucket) -> None:
    with pytest.raises(KoreAIDownloadError, match="min_rows"):
        large.download(bucket.path, storage_conn_id="moto", min_rows=10**9)
    assert (bucket.keys(), bucket.uploads()) == ([], [])


def test_a_stopped_task_leaves_nothing(large: Bot, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    class StoppedError(BaseException):
        """What Airflow raises into a task on a timeout, at any line."""

    def stop(*_: object) -> None:
        raise StoppedError

    monkeypatch.setattr(object_store.ObjectStaging, "publish", stop)
    with pytest.raises(StoppedError):
        large.download(bucket.path, storage_conn_id="moto")
    assert (bucket.keys(), bucket.uploads()) == ([], [])


@pytest.mark.parametrize("where", ["waiting for the writing thread", "aborting the upload"])
def test_a_task_that_is_stopped_once_more_while_it_cleans_up_publishes_no_part(
    large: Bot, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    import s3fs

    class StoppedError(BaseException):
        """What Airflow raises into a task on a timeout, at any line."""

    def stop(*_: object) -> None:
        raise StoppedError

    bucket.put(b"earlier")
    monkeypatch.setattr(object_store.ObjectStaging, "publish", stop)
    with monkeypatch.context() as patched:
        if where == "aborting the upload":
            patched.setattr(s3fs.core.S3File, "discard", stop)
        else:
            patched.setattr(writer.Writer, "abandon", stop)
        with pytest.raises(StoppedError):
            large.download(bucket.path, storage_conn_id="moto")
    gc.collect()  # which closes what is left
    assert bucket.get() == b"earlier"
    assert bool(bucket.uploads()) == (where == "aborting the upload")


def test_an_upload_that_fails_to_complete_is_aborted(
    large: Bot, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    def fail(*_: object) -> None:
        raise OSError("no route to S3")

    monkeypatch.setattr(s3fs.core.S3File, "commit", fail)
    with pytest.raises(KoreAIDownloadError, match="no route to S3"):
        large.download(bucket.path, storage_conn_id="moto")
    assert (bucket.keys(), bucket.uploads()) == ([], [])


def test_an_existing_object_is_refused_before_anything_is_asked_for_when_overwrite_is_off(
    bot: Bot, bucket: Bucket
) -> None:
    bucket.put(b"earlier")
    with pytest.raises(KoreAIConfigurationError, match="overwrite=False"):
        bot.download(bucket.path, storage_conn_id="moto", overwrite=False)
    assert bot.asked == 0


def test_an_object_that_appears_meanwhile_is_not_overwritten_when_overwrite_is_off(
    bot: Bot, bucket: Bucket
) -> None:
    bot.mutate = lambda export: bucket.put(b"theirs") or export
    with pytest.raises(KoreAIConfigurationError, match="overwrite=False"):
        bot.download(bucket.path, storage_conn_id="moto", overwrite=False)
    assert bucket.get() == b"theirs"


def test_an_object_can_be_stored_compressed(bot: Bot, bucket: Bucket) -> None:
    path = f"s3://{bucket.name}/utterances.csv.gz"
    result = bot.download(path, storage_conn_id="moto", compression="gzip")
    stored = bucket.get("utterances.csv.gz")
    assert gzip.decompress(stored) == bot.content
    assert result.sha256 == hashlib.sha256(stored).hexdigest()
    assert sum(1 for _ in read_utterances(path, storage_conn_id="moto")) == 3000


def test_a_bucket_that_is_not_there_is_told(bot: Bot, bucket: Bucket) -> None:
    with pytest.raises(KoreAIDownloadError, match="bucket"):
        bot.download("s3://nosuchbucket/utterances.csv", storage_conn_id="moto")


def test_a_bucket_without_an_object_name_is_refused(bot: Bot, bucket: Bucket) -> None:
    with pytest.raises(KoreAIConfigurationError, match="names a bucket, but no object"):
        bot.download(f"s3://{bucket.name}", storage_conn_id="moto")


@pytest.fixture
def without_profile(monkeypatch: pytest.MonkeyPatch) -> str:
    """A connection that names a profile which the machine does not have."""
    monkeypatch.setenv("AIRFLOW_CONN_NO_PROFILE", '{"conn_type": "aws", "extra": {"profile_name": "absent"}}')
    return "no_profile"


def test_a_storage_that_cannot_be_set_up_is_named_by_a_download(bot: Bot, without_profile: str) -> None:
    with pytest.raises(KoreAIDownloadError, match=r"s3://lake/u\.csv: .*'no_profile'.*profile \(absent\)"):
        bot.download("s3://lake/u.csv", storage_conn_id=without_profile)


def test_a_storage_that_cannot_be_set_up_is_named_when_utterances_are_read(without_profile: str) -> None:
    with pytest.raises(OSError, match=r"s3://lake/u\.csv.*'no_profile'.*profile \(absent\)"):
        next(read_utterances("s3://lake/u.csv", storage_conn_id=without_profile))


def test_utterances_are_read_from_s3(bot: Bot, bucket: Bucket) -> None:
    bot.download(bucket.path, storage_conn_id="moto")
    utterances = list(read_utterances(bucket.path, storage_conn_id="moto"))
    assert utterances[0].sentence == '0: "São Paulo", 東京\nor nowhere'
    assert len(utterances) == 3000


def test_json_utterances_are_read_from_s3(bot: Bot, bucket: Bucket) -> None:
    bot.configure(content=json_bytes(10))
    bot.start("json")
    path = bucket.path.replace(".csv", ".json")
    bot.download(path, storage_conn_id="moto")
    assert sum(1 for _ in read_utterances(path, storage_conn_id="moto")) == 10


def test_where_uploads_are_not_atomic_a_temporary_object_is_renamed(
    bot: Bot, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "_ATOMIC", frozenset())
    bot.download(bucket.path, storage_conn_id="moto")
    assert bucket.get() == bot.content
    assert bucket.keys() == ["koreai/utterances.csv"]


@pytest.mark.parametrize("is_old", [True, False])
def test_where_uploads_are_not_atomic_only_parts_that_nobody_writes_to_are_removed(
    bot: Bot, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, is_old: bool
) -> None:
    monkeypatch.setattr(object_store, "_ATOMIC", frozenset())
    if is_old:
        monkeypatch.setattr(object_store, "ABANDONED_AFTER", timedelta(0))
    part = f"koreai/{new_part()}"
    bucket.client.put_object(Bucket=bucket.name, Key=part, Body=b"part")
    bot.download(bucket.path, storage_conn_id="moto")
    assert bucket.keys().count(part) == (0 if is_old else 1)


def test_a_retry_accepts_the_object_that_an_earlier_try_has_published(bot: Bot, bucket: Bucket) -> None:
    first = bot.download(bucket.path, storage_conn_id="moto", overwrite=False)
    assert bot.download(bucket.path, storage_conn_id="moto", overwrite=False, is_retry=True) == first
    bucket.put(b"theirs")
    with pytest.raises(KoreAIConfigurationError, match="overwrite=False"):
        bot.download(bucket.path, storage_conn_id="moto", overwrite=False, is_retry=True)
    assert (bucket.get(), bucket.uploads()) == (b"theirs", [])


def test_where_uploads_are_not_atomic_a_refused_file_leaves_no_temporary_object(
    bot: Bot, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "_ATOMIC", frozenset())
    bucket.put(b"earlier")
    bot.configure(content=csv_bytes(5))
    bot.start()
    with pytest.raises(KoreAIDownloadError, match="min_rows"):
        bot.download(bucket.path, storage_conn_id="moto", min_rows=6)
    assert (bucket.get(), bucket.keys()) == (b"earlier", ["koreai/utterances.csv"])


def test_an_export_in_s3_is_converted_to_parquet_in_s3(bucket: Bucket) -> None:
    pytest.importorskip("pyarrow")
    bucket.put(csv_bytes(3000))
    target = bucket.path.replace(".csv", ".parquet")
    stores = {"storage_conn_id": "moto", "target_storage_conn_id": "moto"}
    assert convert_utterances(bucket.path, target, log=log, **stores).rows == 3000
    assert list(read_utterances(target, storage_conn_id="moto")) == list(
        read_utterances(bucket.path, storage_conn_id="moto")
    )


def test_a_broken_export_in_s3_leaves_the_earlier_parquet_file(bucket: Bucket) -> None:
    pytest.importorskip("pyarrow")
    bucket.put(csv_bytes(3000) + b"broken\n")
    target = "koreai/utterances.parquet"
    bucket.client.put_object(Bucket=bucket.name, Key=target, Body=b"earlier")
    stores = {"storage_conn_id": "moto", "target_storage_conn_id": "moto"}
    with pytest.raises(KoreAIFileError, match="1 columns"):
        convert_utterances(bucket.path, f"s3://{bucket.name}/{target}", log=log, **stores)
    assert (bucket.get(target), bucket.uploads()) == (b"earlier", [])


def test_files_in_s3_are_compared_and_the_detail_goes_to_s3(bucket: Bucket) -> None:
    bucket.put(csv_bytes(3000))
    detail = bucket.path.replace("utterances.csv", "detail.csv")
    task = KoreAICompareUtterancesOperator(
        task_id="compare",
        before=bucket.path.replace("utterances", "no"),
        after=bucket.path,
        detail_path=detail,
        storage_conn_id="moto",
    )
    assert task.execute({})["added"] == 3000
    assert bucket.get("koreai/detail.csv").startswith(b"change,task_name,previous_task_name,sentence,")
