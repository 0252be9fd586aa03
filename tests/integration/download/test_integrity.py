"""The file is right, or it is not there."""

from __future__ import annotations

import gzip
import hashlib
from typing import TYPE_CHECKING

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_koreai.download import attempts
from airflow_provider_koreai.download.export_file import download_export
from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIDownloadError

from .conftest import csv_bytes, json_bytes

if TYPE_CHECKING:
    from .conftest import Bot, ScriptedServer

YESTERDAY = b"taskName,sentence\nyesterday's,file\n"


def assert_refused(bot: Bot, said: str, **arguments: object) -> None:
    """The download fails, and yesterday's file is as it was."""
    bot.file.write_bytes(YESTERDAY)
    with pytest.raises(KoreAIDownloadError, match=said):
        bot.download(**arguments)  # type: ignore[arg-type]
    assert bot.file.read_bytes() == YESTERDAY
    assert bot.leftovers() == []


def test_what_was_downloaded_is_described(bot: Bot) -> None:
    ours = bot.start()
    result = bot.download(ours=ours)
    assert result.as_dict() == {
        "path": str(bot.file),
        "bytes": len(bot.content),
        "rows": 3000,
        "sha256": hashlib.sha256(bot.content).hexdigest(),
        "file_type": "csv",
        "request_id": ours.request_id,
        "requested_time": ours.requested_time,
        "bot_id": bot.id,
    }
    assert bot.file.read_bytes() == bot.content


def test_an_absent_requested_time_is_an_empty_string_in_xcom(bot: Bot) -> None:
    bot.configure(legacy=True)
    assert bot.download().as_dict()["requested_time"] == ""


def test_json_is_checked_and_counted(bot: Bot) -> None:
    bot.configure(content=json_bytes())
    bot.start("json")
    result = bot.download(bot.folder / "utterances.json")
    assert (result.rows, result.file_type) == (3000, "json")
    assert (bot.folder / "utterances.json").read_bytes() == bot.content


def test_a_byte_order_mark_is_kept(bot: Bot) -> None:
    bot.configure(content=csv_bytes(10, bom=True))
    bot.start()
    assert bot.download().rows == 10
    assert bot.file.read_bytes() == bot.content


def test_an_export_without_utterances_is_a_file_with_a_header(bot: Bot) -> None:
    bot.configure(data="empty")
    bot.start()
    assert bot.download().rows == 0


def test_fewer_rows_than_min_rows_are_refused(bot: Bot) -> None:
    assert_refused(
        bot,
        "^3000 utterances are fewer than min_rows=3001, so '.*utterances.csv' was not written",
        min_rows=3001,
    )


def test_as_many_rows_as_min_rows_will_do(bot: Bot) -> None:
    assert bot.download(min_rows=3000).rows == 3000


def test_a_file_longer_than_max_bytes_is_refused_before_it_is_downloaded(bot: Bot) -> None:
    with pytest.raises(KoreAIConfigurationError, match="max_bytes=100"):
        bot.download(max_bytes=100)
    assert bot.leftovers() == []
    assert not bot.file.exists()


def test_a_file_of_unknown_length_is_refused_when_it_exceeds_max_bytes(bot: Bot) -> None:
    bot.fault("gzip")
    with pytest.raises(KoreAIConfigurationError, match="max_bytes"):
        bot.download(max_bytes=len(bot.content) - 1)


def test_a_login_page_in_place_of_the_file_is_refused(bot: Bot) -> None:
    bot.fault("html")
    assert_refused(bot, "HTML")


def test_an_empty_file_is_refused(bot: Bot) -> None:
    bot.fault("empty")
    assert_refused(bot, "empty")


def test_json_in_place_of_csv_is_refused(bot: Bot) -> None:
    bot.fault("json_shape", value=[{"taskName": "A", "sentence": "b"}])
    assert_refused(bot, "JSON, not CSV")


def test_csv_in_place_of_json_is_refused(bot: Bot) -> None:
    ours = bot.start("json")
    bot.file.write_bytes(YESTERDAY)
    with pytest.raises(KoreAIDownloadError, match="not a JSON array"):
        bot.download(bot.folder / "x.json", ours=ours)
    assert not (bot.folder / "x.json").exists()


def test_an_answer_longer_than_it_declares_is_not_believed(bot: Bot) -> None:
    bot.fault("lie_length", delta=-40)
    assert bot.download().bytes == len(bot.content)


def test_an_answer_shorter_than_it_declares_is_not_believed(bot: Bot) -> None:
    bot.fault("lie_length", delta=40)
    assert bot.download().bytes == len(bot.content)


@pytest.mark.parametrize("delta", [-40, 40])
def test_a_server_that_always_lies_on_the_length_publishes_nothing(bot: Bot, delta: int) -> None:
    bot.fault("lie_length", delta=delta, times=-1)
    assert_refused(bot, "could not be downloaded")


def test_gzip_that_was_not_asked_for_is_undone(bot: Bot) -> None:
    bot.fault("gzip")
    result = bot.download()
    assert bot.file.read_bytes() == bot.content
    assert result.sha256 == hashlib.sha256(bot.content).hexdigest()


def test_no_compression_is_asked_for(bot: Bot) -> None:
    bot.configure(gzip=True)
    bot.fault("drop", at=5000)
    bot.download()
    assert [each["status"] for each in bot.requests()] == [200, 206]


@pytest.mark.parametrize("cut", [-1, -9, 20])
def test_compressed_data_that_ends_early_is_noticed(bot: Bot, server: ScriptedServer, cut: int) -> None:
    packed = gzip.compress(bot.content)
    server.answer("200 OK", packed[:cut], Content_Encoding="gzip", Content_Length=str(len(packed[:cut])))
    server.whole(bot.content)
    assert bot.download().bytes == len(bot.content)
    assert len(server.asked) == 2


def test_damaged_compressed_data_is_noticed(bot: Bot, server: ScriptedServer) -> None:
    packed = bytearray(gzip.compress(bot.content))
    packed[-6] ^= 1  # its checksum
    server.answer("200 OK", bytes(packed), Content_Encoding="gzip", Content_Length=str(len(packed)))
    server.whole(bot.content)
    assert bot.download().bytes == len(bot.content)
    assert len(server.asked) == 2


def test_an_encoding_that_cannot_be_undone_is_refused(bot: Bot, server: ScriptedServer) -> None:
    for _ in range(attempts.MAX_VAIN_ATTEMPTS):
        server.whole(b"x", Content_Encoding="br")
    assert_refused(bot, "encoded as 'br'")


def test_chunks_show_their_own_end(bot: Bot, server: ScriptedServer) -> None:
    data = bot.content
    chunk = f"{len(data):x}\r\n".encode() + data + b"\r\n"
    server.answer("200 OK", chunk, Transfer_Encoding="chunked")  # no last chunk: cut off
    server.answer("200 OK", chunk + b"0\r\n\r\n", Transfer_Encoding="chunked")
    assert bot.download().bytes == len(data)
    assert len(server.asked) == 2


def test_a_csv_whose_length_nobody_tells_is_refused(bot: Bot, server: ScriptedServer) -> None:
    for _ in range(attempts.MAX_VAIN_ATTEMPTS):
        server.answer("200 OK", bot.content)
    assert_refused(bot, "does not say how long")


def test_a_csv_whose_length_nobody_tells_is_believed_when_the_server_confirms_its_end(
    bot: Bot, server: ScriptedServer
) -> None:
    size = len(bot.content)
    server.answer("200 OK", bot.content, ETag='"1"')
    server.answer("416 Range Not Satisfiable", b"", Content_Range=f"bytes */{size}", Content_Length="0")
    assert bot.download().bytes == size
    assert f"Range: bytes={size}-" in server.asked[1]


def test_a_rest_that_ends_before_the_file_is_asked_on_where_nobody_tells_the_files_length(
    bot: Bot, server: ScriptedServer
) -> None:
    data, size = bot.content, len(bot.content)
    first, row = data.index(b"\n", 9000) + 1, data.index(b"\n", 50_000) + 1
    chunk = f"{first:x}\r\n".encode() + data[:first] + b"\r\n"
    server.answer("200 OK", chunk, Transfer_Encoding="chunked", ETag='"1"')  # cut off between two rows
    server.rest(data[:row], first, "*", ETag='"1"')
    server.rest(data, row, "*", ETag='"1"')
    server.answer("416 Range Not Satisfiable", b"", Content_Range=f"bytes */{size}", Content_Length="0")
    assert bot.download().bytes == size
    assert len(server.asked) == 4


def test_the_end_of_another_file_confirms_nothing(bot: Bot, server: ScriptedServer) -> None:
    size = len(bot.content)
    other = {"Content_Range": f"bytes */{size}", "Content_Length": "0", "ETag": '"2"'}
    newer = bot.content.upper()
    server.answer("200 OK", bot.content, ETag='"1"')
    server.answer("416 Range Not Satisfiable", b"", **other)
    server.whole(newer.replace(b"TASKNAME,SENTENCE", b"taskName,sentence"), ETag='"2"')
    assert bot.download().bytes == size
    assert bot.file.read_bytes() != bot.content


def test_a_json_array_whose_length_nobody_tells_shows_its_own_end(bot: Bot, server: ScriptedServer) -> None:
    bot.start("json")
    server.answer("200 OK", json_bytes(5))
    assert bot.download(bot.folder / "x.json").rows == 5


def test_the_export_of_another_file_type_is_refused_for_good(bot: Bot) -> None:
    with pytest.raises(KoreAIConfigurationError, match="is a csv file; json is wanted"):
        bot.download(bot.folder / "utterances.json")


@pytest.mark.parametrize(
    "arguments",
    [
        {"file_type": "xml"},
        {"file_type": "json"},
        {"min_rows": -1},
        {"min_rows": "three"},
        {"max_bytes": True},
        {"compression": "lzma"},
        {"path": ""},
        {"path": "file://server/share.csv"},
        {"path": "utterances.csv.gz"},
        {"path": "utterances.csv.gz", "compression": "zstd"},
        {"path": "nosuch://bucket/utterances.csv"},
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_asked(bot: Bot, arguments: dict[str, object]) -> None:
    with pytest.raises(AirflowFailException):
        bot.download(**arguments) if arguments.get("path") != "" else download_export(
            get_export=bot.get_export,
            watch=None,  # type: ignore[arg-type]
            settings=bot.settings,
            path="",
        )
    assert bot.asked == 0
