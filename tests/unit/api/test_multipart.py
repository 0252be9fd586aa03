"""The form that carries a file: what a server reads in it, its length, and that it can be sent again."""

from __future__ import annotations

import email
import io
import tempfile

import pytest

from airflow_provider_koreai.api.multipart import FormWithFile

CONTENT = "taskName,sentence,type,language\r\nBuch,\u00e9t\u00e9 --x\r\n".encode() * 5000


def parts_of(form: FormWithFile) -> dict[str, tuple[str | None, bytes]]:
    message = email.message_from_bytes(
        b"Content-Type: " + form.content_type.encode() + b"\r\n\r\n" + b"".join(form)
    )
    return {
        str(part.get_param("name", header="content-disposition")): (
            part.get_filename(),
            part.get_payload(decode=True),
        )
        for part in message.get_payload()
    }


@pytest.fixture
def form():
    return FormWithFile({"fileContext": "bulkImport", "fileExtension": "csv"}, io.BytesIO(CONTENT), "u.csv")


def test_a_parser_of_mails_finds_the_fields_and_the_file(form):
    assert parts_of(form) == {
        "fileContext": (None, b"bulkImport"),
        "fileExtension": (None, b"csv"),
        "file": ("u.csv", CONTENT),
    }


def test_its_length_is_that_of_what_is_sent(form):
    assert len(form) == len(b"".join(form))


def test_it_is_the_same_when_it_is_sent_again(form):
    next(iter(form))
    assert b"".join(form) == b"".join(form)


def test_a_large_file_is_read_a_piece_at_a_time(form):
    assert max(map(len, form)) <= 1 << 16
    assert len(list(form)) > 3


def test_a_temporary_file_has_a_length_on_every_python():
    with tempfile.SpooledTemporaryFile(10) as file:
        file.write(CONTENT)
        form = FormWithFile({}, file, "u.csv")
        assert len(form) == len(b"".join(form))
