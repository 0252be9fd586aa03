"""
What an import is: the calls that upload a file, import it and ask how that went. Without I/O.

Each import has a record and an ID of its own. An import replaces utterances, so one whose answer was lost is never
started again: it may be running.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import unquote

from airflow_provider_koreai.api.calls import (
    ApiAnswer,
    ApiRequest,
    bot_id_argument,
    by_folded_name,
    id_argument,
    is_unreadable,
    is_unsent,
    read_document,
    refusal,
    text_of,
    unreadable,
)
from airflow_provider_koreai.api.multipart import FormWithFile
from airflow_provider_koreai.arguments import FILE_TYPES, choice
from airflow_provider_koreai.exceptions import (
    KoreAIConfigurationError,
    KoreAIError,
    KoreAIGatewayError,
    KoreAIImportFailedError,
    KoreAIImportTimeoutError,
    KoreAIImportUncertainError,
    KoreAIServerError,
)
from airflow_provider_koreai.jobs.status import JobStatus, status_logs
from airflow_provider_koreai.jobs.watch import Watch
from airflow_provider_koreai.redaction import scrub

if TYPE_CHECKING:
    from airflow_provider_koreai.version_compat import Log


@dataclass(frozen=True)
class UploadedFile:
    """
    A file that was uploaded for an import.

    :param file_id: its ID. Whoever has it can import the file, so it is not in the repr.
    :param file_name: what an import calls it.
    """

    file_id: str = field(repr=False)
    file_name: str


@dataclass(frozen=True)
class Import:
    """
    One import, as the service describes it. What an answer leaves out is None.

    :param bot_id: the bot.
    :param import_id: the record's ``_id``.
    :param status: the status; ``pending`` is ``IN_PROGRESS``.
    :param message: what Kore.ai says about a finished import.
    :param copied: how many utterances were copied, from the message.
    :param status_logs: ``statusLogs``.
    :param status_word: the status in the service's own word.
    """

    bot_id: str
    import_id: str
    status: JobStatus = JobStatus.IN_PROGRESS
    message: str | None = None
    copied: int | None = None
    status_logs: tuple[Any, ...] = ()
    status_word: str = ""

    def is_done(self) -> bool:
        """
        Return whether the import succeeded; False while there is something to wait for.

        :raises KoreAIImportFailedError: it failed.
        """
        if self.status is JobStatus.FAILED:
            logs = "; ".join(map(str, self.status_logs)) or "none"
            raise KoreAIImportFailedError(
                f"Kore.ai reports that import {self.import_id} into bot {self.bot_id} failed: {self.message or 'no message'}. "
                f"Its status logs: {logs[:2000]}",
                status_logs=self.status_logs,
            )
        return self.status is JobStatus.SUCCESS


class ImportWatch(Watch[Import]):
    """
    What one task has seen of the import that it started.

    :param bot_id: the bot.
    :param import_id: the import.
    :param log: where each surprise is logged, once.
    """

    job = "import"
    timeout_error = KoreAIImportTimeoutError

    def __init__(self, bot_id: str, import_id: str, *, log: Log | None = None) -> None:
        super().__init__(bot_id, log=log)
        self.import_id = import_id

    @property
    def name(self) -> str:
        return f"import {self.import_id} into bot {self.bot_id}"

    def observe(self, answer: Import) -> Import | None:
        """
        Take in a status answer.

        :return: the import when it succeeded; None while there is something to wait for.
        :raises KoreAIImportFailedError: it failed.
        """
        self.tell_of_unknown(answer.status, answer.status_word)
        return answer if answer.is_done() else None

    def result(self, answer: Import) -> dict[str, Any]:
        return {"import_id": self.import_id, "copied": answer.copied, "message": answer.message}


def upload_request(base_url: str, file: BinaryIO, file_type: str) -> ApiRequest:
    """Build the call that uploads a file, which is read anew for each try."""
    kind = choice("file_type", file_type, FILE_TYPES)
    form = FormWithFile({"fileContext": "bulkImport", "fileExtension": kind}, file, file_name(kind))
    return ApiRequest(
        "upload of a file",
        "POST",
        f"{base_url}/api/public/uploadfile",
        refusal=(
            "the app lacks the scope 'Bot Import', which Kore.ai may give to Admin apps only: try an Admin app's connection "
            "for the upload"
        ),
        is_confidential=True,
        body=form,
        content_type=form.content_type,
    )


def file_name(file_type: str) -> str:
    """Return the name under which files of a type are uploaded and imported; nothing depends on it."""
    return f"utterances.{file_type}"


def read_file_id(request: ApiRequest, answer: ApiAnswer, conn_id: str) -> str:
    """Return the ID of the uploaded file."""
    file_id = text_of(by_folded_name(read_document(request, answer, conn_id)).get("fileid"))
    if file_id is None:
        raise unreadable(request, answer, conn_id, "has no fileId")
    return file_id


def start_request(base_url: str, bot_id: str, file_id: object, file_name: object) -> ApiRequest:
    """Build the call that starts an import."""
    for name, value in (("file_id", file_id), ("file_name", file_name)):
        if not isinstance(value, str) or not value.strip():
            # The ID is a secret, so the value is not repeated.
            raise KoreAIConfigurationError(
                f"{name} must be a string that is not empty; pass what upload_file returned."
            )
    return ApiRequest(
        "start of the import",
        "POST",
        f"{base_url}/api/public/bot/{bot_id_argument(bot_id)}/mlimport",
        bot_id.strip(),
        refusal=refusal("Utterances Import", bot_id.strip()),
        is_confidential=True,
        body=json.dumps({"fileName": file_name, "fileId": file_id}).encode(),
        is_repeatable=False,
        to_check="that the file was uploaded just before and has the header taskName,sentence,type,language (CSV) or is an array (JSON)",
    )


def status_request(base_url: str, bot_id: str, import_id: object) -> ApiRequest:
    """Build the call that asks for one import."""
    return ApiRequest(
        "status of the import",
        "GET",
        f"{base_url}/api/public/bot/{bot_id_argument(bot_id)}/mlimport/status/{id_argument('import_id', import_id)}",
        bot_id.strip(),
        refusal=refusal("Utterances Import", bot_id.strip()),
        to_check="import_id",
    )


def read_import(request: ApiRequest, answer: ApiAnswer, conn_id: str) -> Import:
    """Turn the answer to a start or a status call into an Import."""
    by_name = by_folded_name(read_document(request, answer, conn_id))
    word = text_of(by_name.get("status")) or ""
    import_id = text_of(by_name.get("_id"))
    is_start = request.method == "POST"
    if import_id is None and not is_start:
        import_id = unquote(request.url.rpartition("/")[2])
    if import_id is None or not (is_start or word):
        raise unreadable(request, answer, conn_id, f"has no {'_id' if is_start else 'status'}")
    message = text_of(by_name.get("message"))
    return Import(
        bot_id=request.bot_id,
        import_id=import_id,
        status=JobStatus.parse(word) if word else JobStatus.IN_PROGRESS,
        message=None if message is None else scrub(message),
        copied=_copied(message),
        status_logs=status_logs(by_name.get("statuslogs")),
        status_word=word,
    )


def start_error(request: ApiRequest, error: KoreAIError) -> KoreAIError:
    """Return the error of a start that failed: another one if the import may be running all the same."""
    is_answer_lost = isinstance(error, KoreAIServerError) and not is_unsent(error)
    # A gateway's 4xx did not let the call through.
    is_answer_odd = is_unreadable(error) and not isinstance(error, KoreAIGatewayError)
    if not (is_answer_lost or is_answer_odd):
        return error
    return KoreAIImportUncertainError(
        f"It is not known whether the import into bot {request.bot_id} was started. {error} "
        "It was not sent again, because an import replaces utterances. Before you repeat it, wait some minutes, as it may "
        "still be running, then export the bot with state='configured' and compare: if the export has the utterances of the file, the "
        "import was done; if it has the earlier ones, clear this task to import again."
    )


def _copied(message: str | None) -> int | None:
    found = re.search(r"([^a-z]*) utterances? copied", message or "", re.IGNORECASE)
    number = found[1].strip(" .:") if found else ""
    # 12345, or with separators; anything else is not understood, because half a number would fail a complete import.
    if not re.fullmatch(r"\d{1,12}|\d{1,3}([.,\s]\d{3}){1,3}", number):
        return None
    return int(re.sub(r"\D", "", number))
