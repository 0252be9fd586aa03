"""Uploads and imports: what is sent, what the answers mean, and which start may be sent again."""

from __future__ import annotations

import io
import json

import pytest

from airflow_provider_koreai.api.calls import ApiAnswer, error_from, may_be_retried
from airflow_provider_koreai.exceptions import (
    KoreAIConfigurationError,
    KoreAIGatewayError,
    KoreAIImportFailedError,
    KoreAIImportUncertainError,
    KoreAIRateLimitError,
    KoreAIRefusedError,
    KoreAIRequestError,
    KoreAIServerError,
)
from airflow_provider_koreai.jobs.imports import (
    UploadedFile,
    read_file_id,
    read_import,
    start_error,
    start_request,
    status_request,
    upload_request,
)
from airflow_provider_koreai.jobs.status import JobStatus

BASE = "https://bots.kore.ai"
BOT = "st-1"
FILE_ID = "64c1f00dc0ffee64c1f00dca"
START = start_request(BASE, BOT, FILE_ID, "utterances.csv")
STATUS = status_request(BASE, BOT, "bir-7")


def answer(document: object, status: int = 200) -> ApiAnswer:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return ApiAnswer(status, {"Content-Type": "application/json"}, body)


def refused(status: int, message: str) -> ApiAnswer:
    return answer({"errors": [{"msg": message, "code": status}]}, status)


def read(**document: object):
    return read_import(STATUS, answer(document), "c")


def test_a_start_names_the_file_as_the_vendors_tests_do():
    assert (START.method, START.url) == ("POST", f"{BASE}/api/public/bot/{BOT}/mlimport")
    assert json.loads(START.body) == {"fileName": "utterances.csv", "fileId": FILE_ID}


def test_a_status_call_has_the_id_in_its_path():
    assert (STATUS.method, STATUS.url) == ("GET", f"{BASE}/api/public/bot/{BOT}/mlimport/status/bir-7")


@pytest.mark.parametrize("file_type", ["csv", "JSON"])
def test_an_upload_says_what_the_file_is_in_lower_case(file_type):
    body = b"".join(upload_request(BASE, io.BytesIO(b"x"), file_type).body)
    assert f'name="fileExtension"\r\n\r\n{file_type.lower()}\r\n'.encode() in body
    assert b'name="fileContext"\r\n\r\nbulkImport\r\n' in body


def test_another_file_type_is_refused():
    with pytest.raises(KoreAIConfigurationError, match="file_type='xlsx'"):
        upload_request(BASE, io.BytesIO(b"x"), "xlsx")


@pytest.mark.parametrize(("name", "values"), [("file_id", ("", "u.csv")), ("file_name", (FILE_ID, None))])
def test_a_missing_argument_is_named_and_the_file_id_is_not_repeated(name, values):
    with pytest.raises(KoreAIConfigurationError, match=f"^{name} must be") as caught:
        start_request(BASE, BOT, *values)
    assert FILE_ID not in str(caught.value)


@pytest.mark.parametrize("import_id", ["", "a/b", "..", "x?y", None])
def test_an_import_id_that_would_change_the_url_is_refused(import_id):
    with pytest.raises(KoreAIConfigurationError, match="import_id="):
        status_request(BASE, BOT, import_id)


def test_the_file_id_is_in_no_repr():
    upload = upload_request(BASE, io.BytesIO(b"secret content"), "csv")
    assert FILE_ID not in repr(START) + repr(UploadedFile(FILE_ID, "u.csv"))
    assert "FormWithFile" not in repr(upload)


def test_the_file_id_is_in_no_error():
    error = error_from(START, refused(400, f"Invalid file id {FILE_ID}"), "c")
    assert "Invalid file id <file ID>" in str(error)
    with pytest.raises(KoreAIRequestError) as caught:
        read_file_id(upload_request(BASE, io.BytesIO(b"x"), "csv"), answer({"id": FILE_ID}), "c")
    assert "has no fileId" in str(caught.value)
    assert FILE_ID not in str(error) + str(caught.value)


def test_the_answer_to_an_upload_needs_only_the_id():
    request = upload_request(BASE, io.BytesIO(b"x"), "csv")
    assert read_file_id(request, answer({"fileId": FILE_ID}), "c") == FILE_ID


def test_the_answer_to_a_start_is_an_import_that_is_pending():
    started = read_import(START, answer({"status": "pending", "_id": "bir-7", "statusLogs": []}), "c")
    assert (started.bot_id, started.import_id, started.status) == (BOT, "bir-7", JobStatus.IN_PROGRESS)
    assert started.is_done() is False


def test_a_finished_import_says_how_many_were_copied():
    done = read(status="success", message="File imported completed. 1234 utterances copied successfully")
    assert (done.copied, done.import_id, done.is_done()) == (1234, "bir-7", True)


@pytest.mark.parametrize("number", ["12345", "12,345", "12.345", "12 345", "12\u00a0345"])
def test_the_count_may_have_separators(number):
    done = read(status="success", message=f"File imported completed. {number} utterances copied successfully")
    assert done.copied == 12345


@pytest.mark.parametrize(
    "message",
    [
        "",
        "Done.",
        "No utterances copied",
        "1,23,456 utterances copied",
        "12;345 utterances copied",
        "-5 utterances copied",
        7,
        None,
    ],
)
def test_a_message_without_a_count_leaves_it_open(message):
    assert read(status="success", message=message).copied is None


@pytest.mark.parametrize("word", ["failure", "failed", "FAILED"])
def test_a_failed_import_is_an_error_with_its_logs(word):
    failed = read(_id="bir-7", status=word, statusLogs=["no such intent", {"row": 3}])
    with pytest.raises(KoreAIImportFailedError, match=r"bir-7 .*st-1 failed.*no such intent; ") as caught:
        failed.is_done()
    assert caught.value.status_logs == ("no such intent", '{"row": 3}')


def test_a_status_without_an_id_is_about_the_import_that_was_asked_for():
    request = status_request(BASE, BOT, "bir:7")
    assert read_import(request, answer({"status": "pending"}), "c").import_id == "bir:7"


def test_a_word_that_is_not_known_is_waited_on():
    waiting = read(status="reticulating")
    assert (waiting.status, waiting.is_done(), waiting.status_word) == (
        JobStatus.UNKNOWN,
        False,
        "reticulating",
    )


@pytest.mark.parametrize(
    ("request_", "document"), [(START, {"status": "pending"}), (STATUS, {"_id": "bir-7"}), (STATUS, [])]
)
def test_an_answer_without_what_counts_is_not_the_apis(request_, document):
    with pytest.raises(KoreAIRequestError):
        read_import(request_, answer(document), "c")


SURELY_NOT_BEGUN = [
    error_from(START, refused(429, "Rate limit for this API has been reached"), "c"),
    KoreAIServerError("refused", was_sent=False),
]
LOST = [
    KoreAIServerError("nothing arrived for 60 seconds"),
    error_from(START, refused(500, "Internal Server Error"), "c"),
    error_from(START, answer(b"<html>Bad gateway</html>", 502), "c"),
    error_from(START, answer(b"", 302), "c"),
    KoreAIRequestError("a login page with 200"),
]
DEFINITE = [
    error_from(START, refused(412, "Validation errors/ Invalid arguments"), "c"),
    error_from(START, refused(400, "CSV format is incorrect"), "c"),
    error_from(START, refused(401, "Permission denied. Scope is incorrect!"), "c"),
    error_from(START, answer(b"<html>Not here</html>", 404), "c"),
]


@pytest.mark.parametrize("error", SURELY_NOT_BEGUN)
def test_a_start_that_surely_did_not_begin_may_be_sent_again(error):
    assert may_be_retried(START, error)
    assert start_error(START, error) is error


@pytest.mark.parametrize("error", LOST)
def test_a_start_whose_answer_was_lost_is_uncertain_and_not_sent_again(error):
    assert not may_be_retried(START, error)
    uncertain = start_error(START, error)
    assert isinstance(uncertain, KoreAIImportUncertainError)
    assert "state='configured'" in str(uncertain)
    assert str(error).rstrip(".") in str(uncertain)


@pytest.mark.parametrize("error", DEFINITE)
def test_a_start_that_was_refused_stays_what_it_is(error):
    assert not may_be_retried(START, error)
    assert start_error(START, error) is error


def test_the_kinds_of_the_errors_above_are_what_they_should_be():
    assert isinstance(SURELY_NOT_BEGUN[0], KoreAIRateLimitError)
    assert isinstance(DEFINITE[0], KoreAIRefusedError)
    assert isinstance(DEFINITE[3], KoreAIGatewayError)


def test_an_upload_whose_answer_was_lost_may_be_sent_again():
    request = upload_request(BASE, io.BytesIO(b"x"), "csv")
    assert may_be_retried(request, KoreAIServerError("nothing arrived"))


def test_a_refused_import_says_what_to_check_about_the_file():
    error = error_from(START, refused(400, "CSV format is incorrect"), "c")
    assert "taskName,sentence,type,language" in str(error)


def test_a_missing_scope_is_named():
    upload = upload_request(BASE, io.BytesIO(b"x"), "csv")
    wrong = refused(401, "Permission denied. Scope is incorrect!")
    assert "'Utterances Import'" in str(error_from(START, wrong, "c"))
    assert "'Bot Import'" in str(error_from(upload, wrong, "c"))


def test_the_hourly_limit_asks_for_minutes():
    error = error_from(START, refused(429, "The hourly rate limit of this API has been reached"), "c")
    assert isinstance(error, KoreAIRateLimitError)
    assert error.retry_after is not None
    assert error.retry_after >= 60
