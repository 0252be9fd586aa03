"""The wire: which request is sent, and what an answer means."""

from __future__ import annotations

import json
import math
import re
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import jwt
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_koreai.api.calls import (
    MAX_ANSWER_BYTES,
    ApiAnswer,
    bot_id_argument,
    error_from,
    is_trouble,
    is_unreadable,
    may_be_retried,
    retry_after,
    vendor_message,
)
from airflow_provider_koreai.exceptions import (
    KoreAIAuthError,
    KoreAIConfigurationError,
    KoreAIError,
    KoreAIExportFailedError,
    KoreAIRateLimitError,
    KoreAIRefusedError,
    KoreAIRequestError,
    KoreAIServerError,
)
from airflow_provider_koreai.jobs.export import (
    Export,
    ExportStatus,
    read_export,
    start_request,
    status_request,
)
from airflow_provider_koreai.redaction import scrub

BASE = "https://bots.kore.ai"
BOT = "st-0a1b2c3d-4e5f-5a6b-8c7d-0123456789ab"
CONN = "koreai_prod"
START = start_request(BASE, BOT)
STATUS = status_request(BASE, BOT)
LINK = "https://bots.kore.ai/api/getMediaStream/market/f-1.csv?n=1&s=SIGNATURE&e=2"

# The documents of the vendor's documentation.
START_DOCUMENT = {
    "status": "IN_PROGRESS",
    "percentageComplete": 0,
    "streamId": BOT,
    "jobType": "ML_UTTERANCE",
    "action": "EXPORT",
    "countOfDockStatuses": 1,
    "createdBy": "u-1",
    "fileType": "CSV",
    "statusLogs": [],
    "_id": "ds-1",
    "lMod": "2023-07-26T13:15:04.000Z",
    "createdOn": "2023-07-26T13:15:04.983Z",
    "requestedTime": "2023-07-26T13:15:04.984Z",
    "__v": 0,
}
DONE_DOCUMENT = {**START_DOCUMENT, "status": "SUCCESS", "percentageComplete": 100, "downloadUrl": LINK}


def ok(document, headers=None, status=200) -> ApiAnswer:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return ApiAnswer(status, headers or {"Content-Type": "application/json"}, body)


def refusal(status: int, msg: str = "Something", code: object = 4711, headers=None) -> ApiAnswer:
    return ok({"errors": [{"msg": msg, "code": code}]}, headers, status)


def read(document, request=STATUS) -> Export:
    return read_export(request, ok(document), CONN)


def error_of(answer: ApiAnswer, request=STATUS) -> KoreAIError:
    with pytest.raises(KoreAIError) as caught:
        read_export(request, answer, CONN)
    return caught.value


def attempt(call) -> tuple[Export | None, KoreAIError | None]:
    try:
        return call(), None
    except KoreAIError as error:
        return None, error


class TestRequests:
    @pytest.mark.parametrize(
        ("arguments", "query"),
        [
            ({}, "state=configured&type=csv"),
            ({"state": "published"}, "state=published&type=csv"),
            ({"file_type": "json"}, "state=configured&type=json"),
            ({"state": "PUBLISHED", "file_type": "JSON"}, "state=published&type=json"),
        ],
    )
    def test_the_start_is_a_post_with_state_and_type(self, arguments, query):
        request = start_request(BASE, BOT, **arguments)
        assert request.method == "POST"
        assert request.url == f"https://bots.kore.ai/api/public/bot/{BOT}/mlexport?{query}"

    def test_the_status_is_a_get_without_request_id(self):
        assert STATUS.method == "GET"
        assert STATUS.url == f"https://bots.kore.ai/api/public/bot/{BOT}/mlexport/status"

    def test_the_base_url_is_kept_as_it_is(self):
        url = status_request("http://[::1]:8080", "st-1").url
        assert url == "http://[::1]:8080/api/public/bot/st-1/mlexport/status"

    @pytest.mark.parametrize("build", [start_request, status_request])
    def test_blanks_around_a_bot_id_are_dropped(self, build):
        request = build(BASE, f" {BOT}\n")
        assert request.bot_id == BOT
        assert f"/bot/{BOT}/" in request.url

    @pytest.mark.parametrize("build", [start_request, status_request])
    @pytest.mark.parametrize(
        "bot_id",
        [
            *("", "  ", None, 5, ["st-1"], "{{ params.bot }}", "é"),
            *("a/b", "..", "../x", "st-1?x=1", "st-1#", "st 1", "st\n1", "st%2F1"),
        ],
    )
    def test_what_is_no_bot_id_is_named(self, build, bot_id):
        with pytest.raises(KoreAIConfigurationError, match=r"^bot_id="):
            build(BASE, bot_id)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"state": "draft"}, "state='draft'.*configured, published"),
            ({"file_type": "xml"}, "file_type='xml'.*csv, json"),
            ({"state": None}, "state=None.*configured, published"),
        ],
    )
    def test_an_unknown_argument_is_named_with_the_accepted_values(self, arguments, message):
        with pytest.raises(KoreAIConfigurationError, match=message):
            start_request(BASE, BOT, **arguments)

    @given(st.text())
    def test_a_bot_id_never_leaves_its_place_in_the_path(self, bot_id):
        try:
            quoted = bot_id_argument(bot_id)
        except KoreAIConfigurationError:
            return
        assert not set(quoted) & set("/?#\\ \t\r\n")
        assert quoted not in ("", ".", "..")


class TestReading:
    def test_the_start_answer_of_the_documentation(self):
        assert read(START_DOCUMENT, START) == Export(
            bot_id=BOT,
            request_id="ds-1",
            status=ExportStatus.IN_PROGRESS,
            percent_complete=0,
            file_type="csv",
            requested_time="2023-07-26T13:15:04.984Z",
            status_logs=(),
            download_url=None,
            status_word="IN_PROGRESS",
        )

    def test_the_start_answer_of_an_older_platform_has_no_requested_time(self):
        older = {k: v for k, v in START_DOCUMENT.items() if k not in ("requestedTime", "countOfDockStatuses")}
        export = read(older, START)
        assert (export.request_id, export.requested_time) == ("ds-1", None)

    def test_the_status_answer_of_the_documentation(self):
        export = read(DONE_DOCUMENT)
        assert (export.status, export.percent_complete, export.download_url) == (
            ExportStatus.SUCCESS,
            100,
            LINK,
        )

    def test_missing_optional_fields_are_none(self):
        export = read({"status": "IN_PROGRESS"})
        fields = (export.request_id, export.percent_complete, export.file_type, export.requested_time)
        assert fields == (None, None, None, None)
        assert (export.status_logs, export.download_url) == ((), None)

    def test_unknown_fields_are_ignored(self):
        assert read({**DONE_DOCUMENT, "novelty": {"a": [1]}, "": None}) == read(DONE_DOCUMENT)

    @pytest.mark.parametrize("word", ["SUCCESS", "success", "Success"])
    def test_a_status_is_read_in_any_case(self, word):
        assert read({**DONE_DOCUMENT, "status": word}).status is ExportStatus.SUCCESS

    def test_an_unknown_status_is_kept_in_the_services_word(self):
        export = read({**START_DOCUMENT, "status": "PAUSED"})
        assert (export.status, export.status_word) == (ExportStatus.UNKNOWN, "PAUSED")

    @pytest.mark.parametrize("name", ["downloadUrl", "downloadURL", "downloadurl"])
    def test_the_link_is_read_in_either_spelling(self, name):
        assert read({**START_DOCUMENT, "status": "SUCCESS", name: LINK}).download_url == LINK

    @pytest.mark.parametrize("link", ["", "  ", None, {}, []])
    def test_an_empty_link_is_none(self, link):
        assert read({**DONE_DOCUMENT, "downloadUrl": link}).download_url is None

    @pytest.mark.parametrize(
        "document",
        [
            b'{"status":"SUCCESS","downloadURL":"https://h/f.csv","downloadUrl":""}',
            b'{"status":"SUCCESS","downloadUrl":"","downloadURL":"https://h/f.csv"}',
        ],
    )
    def test_an_empty_link_does_not_hide_the_other_spelling(self, document):
        assert read(document).download_url == "https://h/f.csv"

    def test_the_link_is_not_in_the_repr(self):
        export = read(DONE_DOCUMENT)
        assert export.download_url == LINK
        assert "SIGNATURE" not in repr(export)

    @pytest.mark.parametrize("word", ["CSV", "csv", "Csv"])
    def test_the_file_type_is_in_lower_case(self, word):
        assert read({**START_DOCUMENT, "fileType": word}).file_type == "csv"

    @pytest.mark.parametrize(
        ("value", "percent"),
        [(0, 0), (100, 100), (42.5, 42.5), ("42", 42)]
        + [(value, None) for value in (None, "", "half", "nan", True, -1, 101, 10**400, [], {})],
    )
    def test_a_percentage_is_a_number_from_0_to_100_or_none(self, value, percent):
        assert read({**START_DOCUMENT, "percentageComplete": value}).percent_complete == percent

    def test_status_logs_are_kept_in_order(self):
        logs = ["first", {"msg": "second"}, 3]
        assert read({**START_DOCUMENT, "statusLogs": logs}).status_logs == ("first", '{"msg": "second"}', "3")

    @pytest.mark.parametrize("logs", [None, "text", 5, {"a": 1}])
    def test_status_logs_that_are_no_list_are_none(self, logs):
        assert read({**START_DOCUMENT, "statusLogs": logs}).status_logs == ()

    def test_links_in_status_logs_lose_their_query(self):
        logs = (f"wrote {LINK}", {"url": LINK})
        assert "SIGNATURE" not in repr(read({**START_DOCUMENT, "statusLogs": logs}))

    def test_a_byte_order_mark_does_no_harm(self):
        assert read(b"\xef\xbb\xbf" + json.dumps(DONE_DOCUMENT).encode()) == read(DONE_DOCUMENT)

    @pytest.mark.parametrize("status", [200, 201, 202])
    def test_any_2xx_with_the_document_is_an_answer(self, status):
        assert read_export(START, ok(START_DOCUMENT, status=status), CONN).request_id == "ds-1"

    def test_a_document_as_large_as_is_allowed_is_read(self):
        body = json.dumps(DONE_DOCUMENT).encode()
        assert read(body + b" " * (MAX_ANSWER_BYTES - len(body))) == read(DONE_DOCUMENT)


UNREADABLE = {
    "empty": b"",
    "HTML": b"<!DOCTYPE html><html><title>Sign in</title></html>",
    "truncated": json.dumps(DONE_DOCUMENT).encode()[:-20],
    "text": b"OK",
    "a list": b"[]",
    "a string": b'"SUCCESS"',
    "a number": b"1",
    "null": b"null",
    "no status": b'{"_id":"ds-1"}',
    "an empty status": b'{"_id":"ds-1","status":" "}',
    "a status that is no word": b'{"_id":"ds-1","status":{"code":1}}',
    "binary": bytes(range(256)),
    "wrong encoding": '{"status":"SUCCESS","x":"é"}'.encode("latin-1"),
    "nested too deep": b"[" * 200_000,
    "nested too deep inside": b'{"status":"SUCCESS","statusLogs":' + b"[" * 200_000,
    "too large": b'{"status":"SUCCESS"}' + b" " * MAX_ANSWER_BYTES,
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
class TestUnreadable:
    def test_it_is_a_request_error_that_airflow_may_retry(self, body):
        error = error_of(ok(body))
        assert type(error) is KoreAIRequestError
        assert is_unreadable(error)

    def test_it_names_bot_and_connection(self, body):
        text = str(error_of(ok(body)))
        assert BOT in text
        assert CONN in text

    def test_its_text_stays_short(self, body):
        assert len(str(error_of(ok(body)))) < 3000

    def test_it_is_trouble_with_the_call_and_not_with_the_export(self, body):
        assert is_trouble(error_of(ok(body)))

    def test_a_get_is_repeated(self, body):
        assert may_be_retried(STATUS, error_of(ok(body)))

    def test_a_start_is_not_repeated(self, body):
        # To a start, an answer that has only its status wrong is readable: the ID is what counts.
        answer = ok(b"{}" if body.startswith(b'{"_id"') else body)
        assert not may_be_retried(START, error_of(answer, START))


def test_a_start_answer_without_an_id_is_unreadable():
    error = error_of(ok({"status": "IN_PROGRESS"}), START)
    assert type(error) is KoreAIRequestError
    assert "_id" in str(error)


def test_an_unreadable_answer_is_told_with_its_type_and_beginning():
    text = str(error_of(ok(b"<html>Sign in to Example VPN</html>", {"Content-Type": "text/html"})))
    assert "text/html" in text
    assert "Sign in to Example VPN" in text


KINDS = {
    300: KoreAIRequestError,
    301: KoreAIRequestError,
    302: KoreAIRequestError,
    304: KoreAIRequestError,
    307: KoreAIRequestError,
    400: KoreAIRefusedError,
    401: KoreAIAuthError,
    403: KoreAIAuthError,
    404: KoreAIRefusedError,
    405: KoreAIRefusedError,
    408: KoreAIServerError,
    409: KoreAIRefusedError,
    410: KoreAIRefusedError,
    422: KoreAIRefusedError,
    429: KoreAIRateLimitError,
    499: KoreAIRefusedError,
    500: KoreAIServerError,
    502: KoreAIServerError,
    503: KoreAIServerError,
    504: KoreAIServerError,
    520: KoreAIServerError,
    599: KoreAIServerError,
}


class TestHttpErrors:
    @pytest.mark.parametrize(("status", "kind"), KINDS.items())
    @pytest.mark.parametrize("request_", [START, STATUS], ids=["start", "status"])
    def test_each_http_status_is_its_kind_of_error(self, request_, status, kind):
        assert type(error_of(refusal(status), request_)) is kind

    @pytest.mark.parametrize("status", KINDS)
    def test_airflow_fails_the_task_at_once_for_a_definite_4xx_only(self, status):
        definite = 400 <= status < 500 and status not in (408, 429)
        assert isinstance(error_of(refusal(status)), AirflowFailException) is definite

    @pytest.mark.parametrize("status", KINDS)
    def test_only_a_definite_4xx_ends_a_wait(self, status):
        definite = 400 <= status < 500 and status not in (408, 429)
        assert is_trouble(error_of(refusal(status))) is not definite

    @pytest.mark.parametrize("status", [status for status in KINDS if status >= 400])
    @pytest.mark.parametrize("request_", [START, STATUS], ids=["start", "status"])
    def test_5xx_408_and_429_are_retried_and_other_4xx_are_not(self, request_, status):
        again = status >= 500 or status in (408, 429)
        assert may_be_retried(request_, error_of(refusal(status), request_)) is again

    @pytest.mark.parametrize("status", KINDS)
    def test_the_text_has_the_vendors_message_and_code(self, status):
        text = str(error_of(refusal(status, "No such stream", 4041)))
        assert f"answered {status}" in text
        assert "No such stream (code 4041)" in text

    @pytest.mark.parametrize("status", KINDS)
    def test_the_text_names_the_bot(self, status):
        assert BOT in str(error_of(refusal(status)))

    @pytest.mark.parametrize("status", [401, 403])
    @pytest.mark.parametrize(
        "needed", [CONN, "Client Secret", "scope", "published", "linked", "clock"], ids=str
    )
    def test_a_refused_connection_is_told_with_the_likely_causes(self, status, needed):
        assert needed in str(error_of(refusal(status, "Invalid SDK credentials", 4002)))

    @pytest.mark.parametrize(
        ("status", "body", "said"),
        [
            (
                401,
                '{"errors":[{"msg":"Invalid SDK credentials","code":4002}]}',
                "Invalid SDK credentials (code 4002)",
            ),
            (
                401,
                '{"errors":[{"msg":"error verifying the jwt: possibly a replay","code":401}]}',
                "error verifying the jwt: possibly a replay (code 401)",
            ),
            (
                401,
                r'{"errors":[{"msg":"error verifying the jwt: if \"jti\" claim \"exp\" must be <= 1 hour(s)","code":401}]}',
                'error verifying the jwt: if "jti" claim "exp" must be <= 1 hour(s) (code 401)',
            ),
            (405, '{"errors":[{"msg":"Method Not Allowed","code":405}]}', "Method Not Allowed (code 405)"),
            (
                429,
                '{"errors":[{"msg":"Rate limit for this API has been reached. Please try again after some time.","code":429}]}',
                "Rate limit for this API has been reached. Please try again after some time (code 429)",
            ),
        ],
    )
    def test_the_vendors_documented_refusals_are_quoted(self, status, body, said):
        assert said in str(error_of(ok(body.encode(), status=status)))

    def test_a_rate_limit_says_how_long_to_wait(self):
        error = error_of(refusal(429, headers={"Retry-After": "17"}))
        assert error.retry_after == 17

    @pytest.mark.parametrize("status", [400, 403, 500])
    def test_a_rate_limit_is_known_by_its_text_whatever_the_status(self, status):
        body = b'{"errors":[{"msg":"Per-minute rate limit for this API has been reached.","code":4290}]}'
        assert isinstance(error_of(ok(body, status=status)), KoreAIRateLimitError)

    def test_a_rate_limit_without_retry_after_does_not_say(self):
        assert error_of(refusal(429)).retry_after is None

    def test_a_success_page_is_not_read_where_the_status_is_an_error(self):
        assert isinstance(error_of(ok(DONE_DOCUMENT, status=500)), KoreAIServerError)


class TestVendorMessage:
    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (b'{"errors":[{"msg":"Bad","code":1}]}', "Bad (code 1)"),
            (b'{"errors":[{"msg":"Bad."}]}', "Bad"),
            (b'{"errors":[{"message":"Bad","code":1}]}', "Bad (code 1)"),
            (b'{"errors":[{"msg":"A","code":1},{"msg":"B","code":"X2"}]}', "A (code 1); B (code X2)"),
            (b'{"errors":[null,5,{"code":1},{"msg":"B","code":2}]}', "B (code 2)"),
            (b"", "empty body"),
            (b" \n ", "empty body"),
            (b"[" * 200_000, "a JSON document that is not the API's"),
            (b"<h1>Bad\n Gateway</h1>", "'<h1>Bad Gateway</h1>'"),
        ],
    )
    def test_what_is_said(self, body, said):
        assert vendor_message(body) == said

    @pytest.mark.parametrize(
        "body",
        [
            b'{"errors":"x"}',
            b'{"errors":[]}',
            b'{"errors":{"msg":"x"}}',
            b"[1]",
            b'{"downloadUrl":"SIGNATURE',
        ],
    )
    def test_another_json_document_is_not_repeated(self, body):
        assert vendor_message(body) == "a JSON document that is not the API's"

    @given(st.binary() | st.text().map(str.encode))
    def test_any_bytes_give_a_short_text(self, body):
        said = vendor_message(body)
        assert said
        assert len(said) < 2000

    @pytest.mark.parametrize("size", [10_000, 1_000_000])
    def test_a_long_message_is_cut(self, size):
        body = json.dumps({"errors": [{"msg": "x" * size, "code": 1}]}).encode()
        assert len(vendor_message(body)) < 1000


# The same link as other people's texts may carry it.
LEAKS = {
    "plain": f"see {LINK} now",
    "quoted": f'<a href="{LINK}">',
    "escaped for HTML": f"<a href='{LINK.replace('&', '&amp;')}'>",
    "scheme in upper case": LINK.replace("https", "HTTPS"),
    "slashes escaped for JSON": LINK.replace("/", r"\/"),
    "twice": f"{LINK},{LINK}",
    "http": LINK.replace("https", "http"),
    "without scheme": LINK.replace("https://", ""),
    "path only": f"Cannot GET {LINK.replace('https://bots.kore.ai', '')}",
    "in a script": f'<script>var x={{"downloadUrl":"{LINK}"}}</script>',
}


@pytest.mark.parametrize("text", LEAKS.values(), ids=LEAKS)
class TestNoLinkIsRepeated:
    def test_by_scrub(self, text):
        assert "SIGNATURE" not in scrub(text)

    def test_in_a_vendor_message(self, text):
        assert "SIGNATURE" not in str(error_of(refusal(400, text)))

    @pytest.mark.parametrize("status", [200, 302, 404, 500])
    def test_of_a_page_in_the_apis_place(self, text, status):
        assert "SIGNATURE" not in str(error_of(ok(f"<html>{text}".encode(), status=status)))

    def test_of_a_truncated_document_after_a_byte_order_mark(self, text):
        body = b'\xef\xbb\xbf{"status":"SUCCESS","x":"' + text.encode()
        assert "SIGNATURE" not in str(error_of(ok(body)))

    def test_in_a_status_log(self, text):
        export = read({**START_DOCUMENT, "statusLogs": [text, {"deep": [text]}]})
        assert "SIGNATURE" not in repr(export.status_logs)


# A token as the services that check it may repeat it.
TOKEN = jwt.encode({"appId": "cs-1"}, "a-secret-of-thirty-two-characters", "HS256")
ECHOES = {
    "plain": f"invalid token {TOKEN}.",
    "in a header": f"auth:{TOKEN};",
    "after an escaped line end": f"headers:\\n{TOKEN}\\n",
    "encrypted, in five parts": f"bad envelope {TOKEN}.AAAA.{'SECRET' * 4}",
    "cut off": f"invalid token {TOKEN[:50]}",
}


@pytest.mark.parametrize("text", ECHOES.values(), ids=ECHOES)
class TestNoTokenIsRepeated:
    def test_by_scrub(self, text):
        assert not re.search("eyJ|SECRET|" + TOKEN.rpartition(".")[2], scrub(text))

    @pytest.mark.parametrize("status", [400, 401, 429, 500])
    def test_in_a_vendor_message(self, text, status):
        assert "eyJ" not in str(error_of(refusal(status, text)))

    @pytest.mark.parametrize("status", [200, 401, 404, 500])
    def test_of_a_page_in_the_apis_place(self, text, status):
        assert "eyJ" not in str(error_of(ok(f"<html>{text}".encode(), status=status)))

    def test_in_a_status_log(self, text):
        assert "eyJ" not in repr(read({**START_DOCUMENT, "statusLogs": [{"msg": text}]}).status_logs)


class TestRetryAfter:
    NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)

    @pytest.mark.parametrize(("value", "seconds"), [("0", 0), ("17", 17), (" 17 ", 17), ("1.5", 1.5)])
    def test_seconds(self, value, seconds):
        assert retry_after({"Retry-After": value}) == seconds

    @pytest.mark.parametrize(("ahead", "seconds"), [(90, 90), (0, 0), (-90, 0)])
    def test_a_date_is_counted_from_now_and_never_negative(self, ahead, seconds):
        value = format_datetime(self.NOW + timedelta(seconds=ahead), usegmt=True)
        assert retry_after({"Retry-After": value}, self.NOW) == seconds

    def test_a_date_without_a_zone_is_utc(self):
        assert retry_after({"Retry-After": "Fri, 02 Jan 2026 03:04:15 -0000"}, self.NOW) == 10

    @pytest.mark.parametrize("value", ["", "soon", "-5", "1e9", "nan", "inf", "12 s", "9" * 400, "\x00"])
    def test_what_cannot_be_read_is_none(self, value):
        assert retry_after({"Retry-After": value}) is None

    def test_no_header_is_none(self):
        assert retry_after({}) is None

    def test_the_header_is_found_in_lower_case(self):
        assert retry_after({"retry-after": "3"}) == 3

    @given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,5} [\d:]{1,9} [+-]?\w{0,5}"))
    def test_any_text_is_none_or_seconds(self, value):
        seconds = retry_after({"Retry-After": value})
        assert seconds is None or (math.isfinite(seconds) and seconds >= 0)


class TestRetries:
    @pytest.mark.parametrize(
        ("error", "start_again", "status_again"),
        [
            (KoreAIServerError("reset"), True, True),
            (KoreAIRateLimitError("slow down"), True, True),
            (KoreAIRequestError("HTML"), False, True),
            (KoreAIRefusedError("404"), False, False),
            (KoreAIAuthError("401"), False, False),
            (KoreAIConfigurationError("bot_id"), False, False),
            (KoreAIExportFailedError("failed"), False, False),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, KoreAIError) else None,
    )
    def test_what_is_sent_again(self, error, start_again, status_again):
        assert may_be_retried(START, error) is start_again
        assert may_be_retried(STATUS, error) is status_again


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
field_values = json_values | st.sampled_from(["SUCCESS", "failed", "", LINK, "CSV", 10**400, -1, math.nan])
documents = json_values | st.dictionaries(
    st.sampled_from([*DONE_DOCUMENT, "downloadURL", "STATUS", "Status"]) | st.text(),
    field_values,
    max_size=12,
)
requests_ = st.sampled_from([START, STATUS])


class TestAnythingThatAServerMaySay:
    @given(documents, requests_)
    def test_any_json_is_an_export_or_an_error_of_ours(self, document, request):
        export, error = attempt(lambda: read(document, request))
        if export is None:
            assert is_unreadable(error)
            return
        assert export.bot_id == BOT
        for text in (export.request_id, export.file_type, export.requested_time, export.download_url):
            assert text is None or (isinstance(text, str) and text)
        assert export.percent_complete is None or 0 <= export.percent_complete <= 100
        assert all(isinstance(entry, str) for entry in export.status_logs)
        assert isinstance(export.status, ExportStatus)
        json.dumps([export.identity.as_dict(), export.status_logs], allow_nan=False)

    @given(st.binary() | documents.map(lambda d: json.dumps(d).encode()[:-1]), requests_)
    def test_any_bytes_are_an_export_or_an_error_of_ours(self, body, request):
        export, error = attempt(lambda: read_export(request, ok(body, {}), CONN))
        assert export is not None or CONN in str(error)

    @given(
        st.integers(100, 199) | st.integers(300, 999),
        st.binary() | documents.map(lambda d: json.dumps({"errors": d}).encode()),
        st.dictionaries(st.sampled_from(["Retry-After", "Content-Type", "Location"]), st.text()),
        requests_,
    )
    def test_any_refusal_is_an_error_that_names_the_status(self, status, body, headers, request):
        error = error_from(request, ApiAnswer(status, headers, body), CONN)
        assert isinstance(error, KoreAIError)
        assert str(status) in str(error)
        assert isinstance(may_be_retried(request, error), bool)
