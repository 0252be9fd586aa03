"""The vendor's calls that change a bot: upload, import, train, batch test."""

from __future__ import annotations

import hashlib
import json
import secrets
import uuid
from typing import TYPE_CHECKING, Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from airflow_provider_koreai.emulator.batch_tests import VERSIONS, BatchTest
from airflow_provider_koreai.emulator.calls import WRONG_SCOPE, Calls, Exchange, RefusedError, route
from airflow_provider_koreai.emulator.data import FILE_TYPES
from airflow_provider_koreai.emulator.imports import Import, Upload
from airflow_provider_koreai.emulator.replies import Reply, ReplyResponse, error_reply, json_reply
from airflow_provider_koreai.emulator.state import Bot, iso_time
from airflow_provider_koreai.emulator.trainings import Training, TrainingState
from airflow_provider_koreai.emulator.utterance_store import (
    Entry,
    UnreadableFileError,
    WrongHeaderError,
    read_entries,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.routing import Route

_INVALID = (412, "Validation errors/ Invalid arguments")


class WayBack(Calls):
    """Upload, import, train, batch test."""

    def routes(self) -> list[Route]:
        """Where they are."""
        bot, suite = "/api/public/bot/{bot_id}", "/api/public/stream/{bot_id}/testsuite/{suite}"
        return [
            route("/api/public/uploadfile", self.upload, "POST"),
            route(f"{bot}/mlimport", self.start_import, "POST"),
            route(f"{bot}/mlimport/status/{{id}}", self.import_status, "GET"),
            route(f"{bot}/ml/train", self.train, "POST"),
            route(f"{bot}/ml/train/status", self.train_status, "GET"),
            route(f"{suite}/run", self.test, "POST"),
            route(f"{suite}/{{id}}/status", self.test_status, "GET"),
        ]

    async def upload(self, request: Request) -> ReplyResponse:
        """Take a file."""
        exchange = Exchange(self._state, request, "upload", None)
        file, fields = await _form(request)

        def act() -> Reply:
            if self._state.account.upload_by == "admin" and not exchange.is_admin:
                raise RefusedError(error_reply(*WRONG_SCOPE))
            return self.with_faults(
                exchange, self._state.faults, lambda: self._upload(exchange, file, fields)
            )

        return exchange.answer(self.guarded(exchange, act))

    def _upload(self, exchange: Exchange, file: bytes | None, fields: dict[str, str]) -> Reply:
        self.limit_uploads(exchange)
        file_type = fields.get("fileExtension")
        if file is None or fields.get("fileContext") != "bulkImport" or file_type not in FILE_TYPES:
            return error_reply(*_INVALID)
        file_id = self._state.keep_upload(Upload(file, file_type))
        digest = hashlib.sha1(file, usedforsecurity=False).hexdigest()
        return json_reply({"fileId": file_id, "hash": digest, "fileName": f"f-{uuid.uuid4()}"})

    async def start_import(self, request: Request) -> ReplyResponse:
        """Import an uploaded file."""
        body = await _json(request)
        return self._answer(request, "import", lambda exchange, bot: self._import(bot, body), "import")

    def _import(self, bot: Bot, body: dict[str, Any]) -> Reply:
        self.limit_starts(bot)
        name, file_id = body.get("fileName"), body.get("fileId")
        if not (isinstance(name, str) and name and isinstance(file_id, str) and file_id):
            return error_reply(*_INVALID)
        upload = self._state.uploads.get(file_id)
        if upload is None:
            return error_reply(400, "Invalid file id")
        entries: list[Entry] = []
        problem = None
        try:
            entries = read_entries(upload.data, upload.file_type)
        except WrongHeaderError:
            return error_reply(400, "CSV format is incorrect")
        except UnreadableFileError as error:
            problem = str(error)
        started = Import(bot.new_job_id("bir"), self._state.now(), entries, problem)
        self._state.settle_imports(bot)
        bot.imports[started.id] = started
        return json_reply(_import_document(bot, started))

    async def import_status(self, request: Request) -> ReplyResponse:
        """Report one import."""
        return self._answer(request, "import_status", self._import_status, "import")

    def _import_status(self, exchange: Exchange, bot: Bot) -> Reply:
        id_ = exchange.request.path_params["id"]
        self.limit_status(bot, "import", id_)
        found = bot.imports.get(id_)
        if found is None:
            return error_reply(400, "Invalid request ID")
        if self._state.too_soon(bot, found, self._state.now()):
            return error_reply(500, "Internal Server Error")
        self._state.settle_imports(bot)
        return json_reply(_import_document(bot, found))

    async def train(self, request: Request) -> ReplyResponse:
        """Train a language."""
        return self._answer(request, "train", self._train, "train")

    def _train(self, exchange: Exchange, bot: Bot) -> Reply:
        self.limit_starts(bot)
        language = exchange.request.headers.get("bot-language", "en")
        exchange.entry.params = {"language": language[:100]}
        earlier, now = bot.trainings.get(language), self._state.now()
        seconds = self._state.seconds(bot, bot.settings.train_seconds)
        before = earlier.state(bot.settings, seconds, now) if earlier else TrainingState()
        number = self._state.utterances(bot, language)
        training = Training(secrets.token_hex(12), now, before, number)
        bot.trainings[language] = training
        answer = {"message": "Training Queued.", "Training_ID": training.id}
        return json_reply([answer] if bot.settings.train_answer == "list" else answer)

    async def train_status(self, request: Request) -> ReplyResponse:
        """Report the latest training of a language."""
        return self._answer(request, "train_status", self._train_status, "train")

    def _train_status(self, exchange: Exchange, bot: Bot) -> Reply:
        language = exchange.request.query_params.get("language", "en")
        self.limit_status(bot, "train", language)
        training = bot.trainings.get(language)
        seconds = self._state.seconds(bot, bot.settings.train_seconds)
        told = training.told(bot.settings, seconds, self._state.now()) if training else TrainingState()
        return json_reply(told.document(bot.settings))

    async def test(self, request: Request) -> ReplyResponse:
        """Run a test suite."""
        body = await _json(request)
        return self._answer(request, "test", lambda exchange, bot: self._test(exchange, bot, body), "test")

    def _test(self, exchange: Exchange, bot: Bot, body: dict[str, Any]) -> Reply:
        self.limit_starts(bot)
        suite, version = exchange.request.path_params["suite"], body.get("version")
        if version not in VERSIONS:
            return error_reply(*_INVALID)
        if suite not in bot.settings.test_suites:
            return error_reply(400, "Test Suite not found")
        language = exchange.request.headers.get("bot-language", "en")
        exchange.entry.params = {"language": language[:100], "version": version}
        number = self._state.utterances(bot, language, version == "published")
        run = BatchTest(bot.new_job_id("tr"), suite, version, language, self._state.now(), number)
        bot.tests[run.id] = run
        return json_reply({"status": "accepted", "requestId": run.id})

    async def test_status(self, request: Request) -> ReplyResponse:
        """Report one run of a test suite."""
        return self._answer(request, "test_status", self._test_status, "test")

    def _test_status(self, exchange: Exchange, bot: Bot) -> Reply:
        id_ = exchange.request.path_params["id"]
        self.limit_status(bot, "test", id_)
        run = bot.tests.get(id_)
        if run is None or run.suite != exchange.request.path_params["suite"]:
            return error_reply(400, "Invalid request ID")
        now = self._state.now()
        document = run.document(
            bot.id, bot.settings, self._state.seconds(bot, bot.settings.test_seconds), now
        )
        if document["status"] == "completed":
            document["fileUrl"] = self._state.test_link(bot, run, now, exchange.base_url)
        return json_reply(document)

    def _answer(
        self, request: Request, call: str, act: Callable[[Exchange, Bot], Reply], scope: str
    ) -> ReplyResponse:
        bot_id = request.path_params["bot_id"]
        exchange = Exchange(self._state, request, call, bot_id)
        return exchange.answer(self.carry_out(exchange, bot_id, act, scope))


def _import_document(bot: Bot, found: Import) -> dict[str, Any]:
    document = {
        "_id": found.id,
        "status": found.status or "pending",
        "streamId": bot.id,
        "requestType": "MLimport",
        "statusLogs": found.logs,
        "createdOn": iso_time(int(found.started * 1000)),
        "__v": 0,
    }
    return document if found.message is None else {**document, "message": found.message}


async def _form(request: Request) -> tuple[bytes | None, dict[str, str]]:
    """Return the file and the fields of a multipart form; nothing if it is none."""
    try:
        async with request.form() as form:
            file = form.get("file")
            data = await file.read() if isinstance(file, UploadFile) else None
            return data, {key: value for key, value in form.items() if isinstance(value, str)}
    except HTTPException:
        return None, {}


async def _json(request: Request) -> dict[str, Any]:
    """Return the JSON object of a body; an empty one if it is none."""
    try:
        body = json.loads(await request.body())
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
