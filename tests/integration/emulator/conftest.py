"""One emulator for the whole folder, reset before each test, and a client that knows how to talk to it."""

from __future__ import annotations

import contextlib
import socket
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import jwt
import pytest
import requests

from airflow_provider_koreai.emulator.process import EmulatorProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET = "a-secret-of-the-tests-that-must-not-show-up-in-any-log-0123456789"
BOT = "st-demo-travel"


@dataclass
class RawAnswer:
    """What came over the wire until the connection ended.

    :param data: all of it.
    :param reset: whether it ended with a TCP reset.
    """

    data: bytes
    reset: bool

    @property
    def head(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[0]

    @property
    def body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]


class Client:
    """A caller of the API."""

    def __init__(self, emulator: EmulatorProcess) -> None:
        self.emulator = emulator
        self.control = emulator.control
        self.http = requests.Session()
        self.http.trust_env = False

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Claims of a good token; a change to None removes one."""
        now = int(time.time())
        claims = {
            "appId": self.emulator.client_id,
            "sub": "tests",
            "iat": now,
            "exp": now + 600,
            "iss": self.emulator.client_id,
            "aud": "https://idproxy.kore.ai/authorize",
            "isAnonymous": False,
            "jti": uuid.uuid4().hex,
            **changes,
        }
        return {key: value for key, value in claims.items() if value is not None}

    def token(self, *, key: str | None = None, algorithm: str = "HS256", **changes: Any) -> str:
        return jwt.encode(self.claims(**changes), key or self.emulator.client_secret, algorithm)

    def export_url(self, bot: str = BOT) -> str:
        return f"{self.emulator.base_url}/api/public/bot/{bot}/mlexport"

    def call(self, method: str, url: str, *, token: str | None = None, **options: Any) -> requests.Response:
        """One call with a fresh token, or this one ("" for none)."""
        token = self.token() if token is None else token
        headers = {**({"auth": token} if token else {}), **options.pop("headers", {})}
        return self.http.request(
            method, url, headers=headers, timeout=20, allow_redirects=False, verify=self._trust(), **options
        )

    def _trust(self) -> str | bool:
        return str(self.emulator.connection()["extra"].get("ca_bundle", "")) or True

    def start(
        self, bot: str = BOT, state: str = "configured", file_type: str = "csv", **options: Any
    ) -> requests.Response:
        return self.call("POST", f"{self.export_url(bot)}?state={state}&type={file_type}", **options)

    def status(self, bot: str = BOT, **options: Any) -> requests.Response:
        return self.call("GET", f"{self.export_url(bot)}/status", **options)

    def link(self, bot: str = BOT, file_type: str = "csv") -> str:
        """The download link of a new export."""
        assert self.start(bot, file_type=file_type).status_code == 200
        link: str = self.status(bot).json()["downloadUrl"]
        return link

    def get(self, link: str, method: str = "GET", **headers: str) -> requests.Response:
        """A download, uncompressed unless asked otherwise, without a token."""
        sent = {
            "accept-encoding": "identity",
            **{key.replace("_", "-"): value for key, value in headers.items()},
        }
        return self.call(method, link, token="", headers=sent)

    def raw(
        self,
        url: str,
        *,
        method: str = "GET",
        token: bool = False,
        timeout: float = 20,
        **headers: str,
    ) -> RawAnswer:
        """What the server really sends."""
        parts = urlsplit(url)
        lines = [f"{method} {parts.path}?{parts.query} HTTP/1.1", f"host: {parts.netloc}"]
        lines += [f"{key.replace('_', '-')}: {value}" for key, value in headers.items()]
        if token:
            lines.append(f"auth: {self.token()}")
        assert parts.hostname
        received = bytearray()
        with socket.create_connection((parts.hostname, parts.port), timeout) as sock:
            sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
            try:
                while data := sock.recv(1 << 20):
                    received += data
            except ConnectionResetError:
                return RawAnswer(bytes(received), reset=True)
        return RawAnswer(bytes(received), reset=False)


@pytest.fixture(scope="session")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess(client_secret=SECRET, seconds=0, too_soon_seconds=0) as process:
        yield process


@pytest.fixture
def client(emulator: EmulatorProcess) -> Iterator[Client]:
    emulator.control.reset()
    client = Client(emulator)
    with client.http:
        yield client


@pytest.fixture
def start_emulator() -> Iterator[Callable[..., Client]]:
    """Starts an emulator with other options."""
    with contextlib.ExitStack() as stack:

        def start(*args: str, **options: Any) -> Client:
            options = {"client_secret": SECRET, "seconds": 0, "too_soon_seconds": 0, **options}
            client = Client(stack.enter_context(EmulatorProcess(args=args, **options)))
            stack.enter_context(client.http)
            return client

        yield start
