"""What the download tests share: an emulator, a bot of one's own in it, and a server that says exactly what it is told."""

from __future__ import annotations

import base64
import csv
import io
import itertools
import json
import logging
import socket
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_koreai.api.calls import ApiAnswer, ApiRequest
from airflow_provider_koreai.api.settings import ConnectionSettings, settings_from_connection
from airflow_provider_koreai.api.tokens import TokenSigner
from airflow_provider_koreai.download import attempts, fresh_link
from airflow_provider_koreai.download.export_file import DownloadResult, download_export
from airflow_provider_koreai.emulator.process import EmulatorProcess
from airflow_provider_koreai.jobs import export as export_job
from airflow_provider_koreai.jobs import polling
from airflow_provider_koreai.jobs.export import Export, ExportIdentity, ExportStatus, ExportWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

log = logging.getLogger("tests.download")
_numbers = itertools.count(1)


def csv_bytes(rows: int = 3000, *, bom: bool = False) -> bytes:
    """An export with all that makes CSV hard: quotes, commas, newlines, characters of several bytes."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["taskName", "sentence", "type", "language"])
    for number in range(rows):
        writer.writerow(
            ["Book Flight", f'{number}: "São Paulo", 東京\nor nowhere', "DialogIntent", "en"]
            if number % 3 == 0
            else ["Flüge", f"einfach {number}", "DialogIntent", "de"]
        )
    return (b"\xef\xbb\xbf" if bom else b"") + out.getvalue().encode()


def json_bytes(rows: int = 3000) -> bytes:
    entry = {"taskName": "Flüge", "type": "DialogIntent", "entities": [{"x": [1]}], "language": "de"}
    return json.dumps(
        [{**entry, "sentence": f'{number} "{{"}}],['} for number in range(rows)], ensure_ascii=False
    ).encode()


@dataclass
class Bot:
    """A bot of the emulator, seen by one task."""

    emulator: EmulatorProcess
    settings: ConnectionSettings
    folder: Path
    id: str
    content: bytes = b""
    asked: int = 0
    mutate: Callable[[Export], Export] = field(default=lambda export: export)

    def configure(self, **settings: Any) -> None:
        if isinstance(settings.get("content"), bytes):
            self.content = settings.pop("content")
            settings["content_b64"] = base64.b64encode(self.content).decode()
        self.emulator.control.configure_bot(self.id, **settings)

    def fault(self, kind: str, **params: Any) -> None:
        self.emulator.control.add_fault(self.id, params.pop("call", "download"), kind, **params)

    def _call(self, request: ApiRequest) -> Export:
        token = TokenSigner(self.settings).sign()
        response = requests.request(request.method, request.url, headers={"auth": token}, timeout=10)
        return export_job.read_export(
            request, ApiAnswer(response.status_code, response.headers, response.content), "test"
        )

    def start(self, file_type: str = "csv") -> ExportIdentity:
        return self._call(
            export_job.start_request(self.settings.base_url, self.id, file_type=file_type)
        ).identity

    def get_export(self) -> Export:
        self.asked += 1
        return self.mutate(self._call(export_job.status_request(self.settings.base_url, self.id)))

    def download(
        self,
        path: str | Path | None = None,
        *,
        ours: ExportIdentity | None = None,
        on_superseded: str = "fail",
        settings: dict[str, Any] | None = None,
        **arguments: Any,
    ) -> DownloadResult:
        return download_export(
            get_export=self.get_export,
            watch=ExportWatch(self.id, ours or ExportIdentity(), on_superseded=on_superseded, log=log),
            settings=replace(self.settings, **(settings or {})),
            path=str(path or self.folder / "utterances.csv"),
            log=log,
            **{"link_wait": 5.0, **arguments},
        )

    @property
    def file(self) -> Path:
        return self.folder / "utterances.csv"

    def requests(self, call: str = "download") -> list[dict[str, Any]]:
        return self.emulator.control.requests(self.id, call)

    def leftovers(self) -> list[str]:
        return sorted(each.name for each in self.folder.iterdir() if each.name.startswith("."))


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(attempts, "LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(fresh_link, "EMPTY_LINK_PAUSE", 0.01)
    monkeypatch.setattr(polling, "SHORTEST", 0.01)


@pytest.fixture(scope="session")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess(seconds=0, too_soon_seconds=0) as emulator:
        yield emulator


def settings_of(emulator: EmulatorProcess, **extra: Any) -> ConnectionSettings:
    connection = emulator.connection(**extra)
    return settings_from_connection(
        "test",
        host=connection["host"],
        login=connection["login"],
        password=connection["password"],
        extra=connection["extra"],
    )


@pytest.fixture
def bot(emulator: EmulatorProcess, tmp_path: Path) -> Bot:
    """A bot with a finished CSV export."""
    made = Bot(emulator, settings_of(emulator), tmp_path, f"st-download-{next(_numbers)}")
    made.configure(content=csv_bytes())
    made.start()
    return made


class ScriptedServer:
    """Answers each connection with the next of its answers, byte for byte, and closes it."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.asked: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def link(self) -> str:
        return f"http://127.0.0.1:{self.port}/f-1.csv?n=1&s=c2VjcmV0&e=2"

    def answer(self, status: str, body: bytes = b"", **headers: str) -> None:
        lines = [f"HTTP/1.1 {status}", "Date: Tue, 14 Nov 2023 22:13:20 GMT"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.answers.append("\r\n".join([*lines, "", ""]).encode() + body)

    def whole(self, body: bytes, sent: int | None = None, **headers: str) -> None:
        self.answer("200 OK", body[:sent], Content_Length=str(len(body)), **headers)

    def rest(self, body: bytes, start: int, total: int | str | None = None, **headers: str) -> None:
        span = f"bytes {start}-{len(body) - 1}/{len(body) if total is None else total}"
        length = str(len(body) - start)
        self.answer("206 Partial Content", body[start:], Content_Length=length, Content_Range=span, **headers)

    def stop(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                head = b""
                while b"\r\n\r\n" not in head:
                    piece = connection.recv(65536)
                    if not piece:
                        break
                    head += piece
                self.asked.append(head.decode("latin-1"))
                connection.sendall(self.answers.pop(0) if self.answers else b"HTTP/1.1 500 No\r\n\r\n")


@pytest.fixture
def server(bot: Bot) -> Iterator[ScriptedServer]:
    """A scripted server behind the bot's link."""
    server = ScriptedServer()
    bot.mutate = lambda export: replace(
        export, download_url=server.link if export.status is ExportStatus.SUCCESS else None
    )
    yield server
    server.stop()
