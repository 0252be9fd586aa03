"""
Whatever comes in: what somebody else wrote is read, or refused with an error of this provider's own.

One test for each thing that is read. Those of status documents, error bodies, Retry-After, bot IDs, connection
settings, download links and the counting of rows are beside their modules' other tests.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
from typing import TYPE_CHECKING, Any

import zstandard
from airflow.providers.common.compat.sdk import AirflowTaskTimeout
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_koreai.api.calls import ApiAnswer
from airflow_provider_koreai.api.content_encoding import content_encoding
from airflow_provider_koreai.download.transfer import content_range, validator_of
from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIError, from_payload
from airflow_provider_koreai.jobs.events import export_of_event
from airflow_provider_koreai.jobs.export import ExportIdentity, ExportWatch, read_export, status_request
from airflow_provider_koreai.storage.paths import PathArgument, local_path
from airflow_provider_koreai.triggers.koreai import KoreAIExportStatusTrigger
from airflow_provider_koreai.utterances import KoreAIFileError, Utterance, read_utterances
from airflow_provider_koreai.utterances.checks import ContentError, check_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HEADER = b"taskName,sentence,type,language\n"
REQUEST = status_request("https://bots.kore.ai", "st-1")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
any_file = st.one_of(
    st.binary(),
    st.binary().map(lambda data: HEADER + data),
    st.text('ab,"\n\r\0é', max_size=60).map(lambda text: HEADER + text.encode()),
    st.lists(st.dictionaries(st.sampled_from(["sentence", "taskName", "entities", "x"]), json_values)).map(
        lambda array: json.dumps(array).encode()
    ),
    st.text('[]{}",:\\ asentenc1e-', max_size=60).map(lambda text: b'[{"sentence":"a"},' + text.encode()),
)
packings = st.sampled_from([bytes, gzip.compress, zstandard.ZstdCompressor(write_checksum=True).compress])


def cut_or_damaged(data: bytes, place: int, damage: bytes) -> bytes:
    """The data with a few bytes in its midst replaced, or cut off there where there is no damage."""
    place %= len(data) + 1
    return data[:place] + damage + (data[place + len(damage) :] if damage else b"")


class TestAnyFile:
    @given(any_file, st.sampled_from(["csv", "json"]), st.lists(st.integers(1, 50)))
    def test_a_check_counts_it_or_says_what_is_wrong(
        self, data: bytes, file_type: str, sizes: list[int]
    ) -> None:
        check = check_for(file_type)
        with contextlib.suppress(ContentError):
            for size in sizes:
                check.feed(data[:size])
                data = data[size:]
            check.feed(data)
            check.finish()
        assert check.rows >= 0

    @given(
        any_file, packings, st.sampled_from(["x", "x.csv", "x.json"]), st.integers(0), st.binary(max_size=3)
    )
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @example(b"a" * 100, gzip.compress, "x", 8, b"")
    @example(b"a" * 100, gzip.compress, "x.csv", -5, b"\xff")
    @example(HEADER * 9, zstandard.compress, "x.csv", 9, b"")
    @example(HEADER * 9, zstandard.compress, "x", 5, b"\xff")
    @example(HEADER + b"a" * 200_000, bytes, "x.csv", 0, b"")
    def test_it_is_read_as_utterances_or_called_broken(
        self, tmp_path: Path, data: bytes, pack: Any, name: str, place: int, damage: bytes
    ) -> None:
        file = tmp_path / name
        file.write_bytes(cut_or_damaged(pack(data), place, damage) if place else pack(data))
        with contextlib.suppress(KoreAIFileError):
            assert all(isinstance(each, Utterance) for each in read_utterances(str(file)))

    @given(any_file, st.sampled_from(["csv", "json"]))
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_the_check_of_a_download_and_the_reader_count_alike(
        self, tmp_path: Path, data: bytes, file_type: str
    ) -> None:
        file = tmp_path / f"x.{file_type}"
        file.write_bytes(data)
        check = check_for(file_type)
        try:
            check.feed(data)
            check.finish()
            read = list(read_utterances(str(file)))
        except (ContentError, KoreAIFileError):
            return
        assert check.rows == len(read)


class TestAnyAnswer:
    @given(
        st.lists(st.binary() | json_values.map(lambda value: json.dumps(value).encode()), max_size=3),
        st.dictionaries(st.sampled_from(["status", "_id", "requestedTime", "fileType"]), json_values),
        st.sampled_from(["fail", "follow"]),
    )
    def test_a_wait_takes_it_in_or_ends_with_an_error_of_ours(
        self, bodies: list[bytes], document: dict[str, Any], on_superseded: str
    ) -> None:
        ours = ExportIdentity.of("ds-1", "2023-07-26T13:15:04.984Z", "csv")
        watch = ExportWatch("st-1", ours, on_superseded=on_superseded)
        for body in (*bodies, json.dumps(document).encode()):
            with contextlib.suppress(KoreAIError):
                done = watch.observe(read_export(REQUEST, ApiAnswer(200, {}, body), "koreai_default"))
                assert done is None or all(isinstance(v, str) for v in watch.result(done).values())

    @given(st.text() | st.from_regex(r"bytes *\d*-\d*/(\d*|\*)"))
    def test_a_content_range_is_two_places_in_order_or_none(self, value: str) -> None:
        span = content_range({"Content-Range": value})
        assert span is None or 0 <= span[0] <= span[1]

    @given(
        st.dictionaries(
            st.sampled_from(["ETag", "Last-Modified", "Date", "Content-Encoding"]),
            st.text()
            | st.from_regex(r"(Mon, )?\d{1,2} [A-Z][a-z]{2} \d{1,5} \d\d:\d\d:\d\d( GMT| [+-]\d{4})?"),
        )
    )
    def test_a_validator_is_one_of_the_headers_or_none(self, headers: dict[str, str]) -> None:
        validator = validator_of(headers)
        assert validator in (None, headers.get("ETag", "").strip(), headers.get("Last-Modified", "").strip())
        assert isinstance(content_encoding(headers), str)


class TestAnyPath:
    @given(
        st.text()
        | st.text(st.characters(categories=["Cs", "Lu"]), max_size=3)
        | st.from_regex(r"(file|local|s3)://[\[\]@:/?#a-z.]{0,9}")
    )
    @example("file://[x")
    @example("\ud800")
    @example("~\0")
    def test_it_is_a_local_file_or_a_url_or_refused(self, text: str) -> None:
        try:
            path = local_path(PathArgument.parse(text).text)
        except KoreAIConfigurationError:
            return
        assert path is None or os.path.isabs(path)


EVENT_KEYS = ("status", "error", "message", "status_logs", "request_id", "requested_time", "file_type")


class TestAnyEvent:
    @given(
        json_values
        | st.dictionaries(
            st.sampled_from(EVENT_KEYS),
            st.sampled_from(["success", "error", "KoreAIExportFailedError", "KoreAIRateLimitError"])
            | json_values,
        )
    )
    @example({"status": "error", "error": "KoreAIExportFailedError", "status_logs": 5})
    @example({"status": "error", "error": "KoreAIExportFailedError", "status_logs": "abc"})
    def test_it_is_an_export_or_an_error_of_ours(self, event: Any) -> None:
        try:
            export = export_of_event(event, "execution_timeout")
        except (KoreAIError, AirflowTaskTimeout):
            return
        assert all(isinstance(value, str) for value in export.values())

    @given(st.dictionaries(st.sampled_from(EVENT_KEYS), json_values))
    def test_an_errors_payload_is_an_error(self, payload: Mapping[str, Any]) -> None:
        assert isinstance(from_payload(payload), KoreAIError)


@given(
    st.dictionaries(
        st.sampled_from(sorted(KoreAIExportStatusTrigger(bot_id="st-1").serialize()[1])), json_values
    )
)
def test_a_trigger_is_made_again_from_its_row_as_it_was(kwargs: dict[str, Any]) -> None:
    trigger = KoreAIExportStatusTrigger(**{"bot_id": "st-1", **kwargs})
    row = json.loads(json.dumps(trigger.serialize()[1]))
    assert json.dumps(KoreAIExportStatusTrigger(**row).serialize()[1]) == json.dumps(row)
