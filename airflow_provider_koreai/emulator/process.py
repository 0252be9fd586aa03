"""The emulator as a child process, for tests. Needs nothing but the standard library."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.emulator.config import (
    DEMO_BOT,
    DEMO_CLIENT_ID,
    DEMO_CLIENT_SECRET,
    SECRET_VARIABLE,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

_CALL_TIMEOUT = 30.0
_STOP_TIMEOUT = 5.0
_LOG_EXCERPT = 4000


def _reachable(host: str) -> str:
    """Return the host part of a URL for an address that a server listens on."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (nothing is bound to it here)
    return f"[{host}]" if ":" in host else host


class EmulatorError(Exception):
    """The emulator did not start, or refused a control call."""


class EmulatorControl:
    """Client of the control endpoints.

    :param base_url: of the emulator.
    :param context: for https.
    """

    def __init__(self, base_url: str, context: ssl.SSLContext | None = None) -> None:
        self._base_url = base_url
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if context is not None:
            handlers.append(urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)

    def health(self) -> dict[str, Any]:
        """Return whether it is up, and which tokens it wants."""
        return self._call("GET", "health")

    def configure_bot(self, bot_id: str, **settings: Any) -> dict[str, Any]:
        """Change settings of a bot, which is created if it is new; what is not named stays as it is.

        :param bot_id: which.
        :param settings: see the guide; ``None`` brings a default back.
        :return: the bot with all its settings.
        """
        return self._call("PUT", f"bots/{urllib.parse.quote(bot_id, safe='')}", settings)

    def configure_account(self, **settings: Any) -> dict[str, Any]:
        """Change settings of what belongs to no bot, see the guide; ``None`` brings a default back."""
        return self._call("PUT", "account", settings)

    def add_fault(
        self, bot_id: str | None, call: str, kind: str, times: int = 1, **params: Any
    ) -> dict[str, Any]:
        """Let something go wrong.

        :param bot_id: with calls for this bot; ``None``: with calls for the account.
        :param call: ``start``, ``status``, ``download``, ``import``, ...; for the account ``bots`` or ``upload``. See the guide.
        :param kind: what; see the guide.
        :param times: how often; -1: always.
        :param params: of the kind, and ``after`` (calls to let pass), ``carried_out``.
        """
        order = {"call": call, "kind": kind, "times": times, **params}
        return self._call("POST", _faults_of(bot_id), order)

    def clear_faults(self, bot_id: str | None) -> None:
        """Drop the faults of a bot that have not happened yet.

        :param bot_id: which; ``None``: those of the account.
        """
        self._call("DELETE", _faults_of(bot_id))

    def requests(self, bot_id: str | None = None, call: str | None = None) -> list[dict[str, Any]]:
        """Return what was asked since the start or the last reset, oldest first.

        :param bot_id: only about this bot.
        :param call: only this call, or ``other``.
        """
        query = {key: value for key, value in (("bot", bot_id), ("call", call)) if value is not None}
        found: list[dict[str, Any]] = self._call("GET", "requests?" + urllib.parse.urlencode(query))[
            "requests"
        ]
        return found

    def reset(self) -> None:
        """Back to how it was after the start: settings, faults, exports, limits, log."""
        self._call("POST", "reset")

    def _call(self, method: str, path: str, document: Any = None) -> dict[str, Any]:
        data = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(  # noqa: S310 (the emulator's own URL)
            f"{self._base_url}/_emulator/{path}", data, {"content-type": "application/json"}, method=method
        )
        try:
            with self._opener.open(request, timeout=_CALL_TIMEOUT) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode("utf-8", "replace")
            with contextlib.suppress(ValueError, KeyError, IndexError, TypeError):
                text = json.loads(text)["errors"][0]["msg"]
            raise EmulatorError(f"HTTP {error.code}: {text}") from None


def _faults_of(bot_id: str | None) -> str:
    return "faults" if bot_id is None else f"bots/{urllib.parse.quote(bot_id, safe='')}/faults"


class EmulatorProcess:
    """An emulator of one's own, on a free port.

    .. code-block:: python

        with EmulatorProcess(seconds=0.1) as emulator:
            monkeypatch.setenv("AIRFLOW_CONN_KOREAI_DEFAULT", emulator.connection_json())

    :param client_id: Client ID that it accepts.
    :param client_secret: its secret.
    :param seconds: how long an export takes; ``None``: the emulator's default.
    :param too_soon_seconds: how long the status call answers 500 after a start. ``None``: the first one does. 0: none does.
    :param args: further arguments of the command line.
    :param host: address to listen on.
    :param ssl_certfile: serve https with this certificate, which is also trusted by :attr:`control`.
    :param ssl_keyfile: its key.
    :param start_timeout: seconds that it may take to start.
    """

    control: EmulatorControl
    base_url: str
    port: int

    def __init__(
        self,
        *,
        client_id: str = DEMO_CLIENT_ID,
        client_secret: str = DEMO_CLIENT_SECRET,
        seconds: float | None = None,
        too_soon_seconds: float | None = None,
        args: Sequence[str] = (),
        host: str = "127.0.0.1",
        ssl_certfile: str | os.PathLike[str] | None = None,
        ssl_keyfile: str | os.PathLike[str] | None = None,
        start_timeout: float = 30.0,
    ) -> None:
        self.client_id = client_id
        self.client_secret = client_secret
        self._host = host
        self._certificate = ssl_certfile
        self._start_timeout = start_timeout
        self._arguments = ["--host", host, "--port", "0", "--client-id", client_id, "--exit-with-parent"]
        for option, value in (
            ("--seconds", seconds),
            ("--too-soon-seconds", too_soon_seconds),
            ("--ssl-certfile", ssl_certfile),
            ("--ssl-keyfile", ssl_keyfile),
        ):
            if value is not None:
                self._arguments += [option, str(value)]
        self._arguments += args
        self._child: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None

    @property
    def pid(self) -> int:
        """Process ID of the emulator."""
        if self._child is None:
            raise EmulatorError("the emulator is not running")
        return self._child.pid

    def start(self) -> EmulatorProcess:
        """Start, and wait until requests are accepted."""
        if self._child is not None:
            raise EmulatorError("the emulator is running already")
        self._folder = Path(tempfile.mkdtemp(prefix="koreai-emulator-"))
        try:
            self._launch(self._folder)
            self._await_ready(self._folder / "port")
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop it, by force if it has to be."""
        child, self._child = self._child, None
        if child is not None:
            if child.stdin is not None:
                with contextlib.suppress(OSError):
                    child.stdin.close()
            child.terminate()
            try:
                child.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def __enter__(self) -> EmulatorProcess:
        """Start it."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    def connection(self, **extra: Any) -> dict[str, Any]:
        """Return the Airflow connection as a dictionary.

        :param extra: added to its extra.
        """
        health = self.control.health()
        settings: dict[str, Any] = {"bot_id": DEMO_BOT}
        if health["algorithm"] != "HS256":
            settings["algorithm"] = health["algorithm"]
        if health["jwe_public_key"] is not None:
            settings["jwe_public_key"] = health["jwe_public_key"]
        if self._certificate is not None:
            settings["ca_bundle"] = os.fspath(self._certificate)
        return {
            "conn_type": "koreai",
            "host": self.base_url,
            "login": self.client_id,
            "password": self.client_secret,
            "extra": {**settings, **extra},
        }

    def connection_json(self, **extra: Any) -> str:
        """Return the Airflow connection as ``AIRFLOW_CONN_...`` takes it.

        :param extra: added to its extra.
        """
        return json.dumps(self.connection(**extra))

    def log(self) -> str:
        """Return what the emulator has printed and logged so far."""
        if self._folder is None:
            return ""
        return (self._folder / "log").read_text("utf-8", "replace")

    def _launch(self, folder: Path) -> None:
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        environment = {
            **os.environ,
            "PYTHONPATH": path,
            SECRET_VARIABLE: self.client_secret,
            "PYTHONUTF8": "1",
        }
        command = [
            sys.executable,
            "-m",
            "airflow_provider_koreai.emulator",
            "--port-file",
            str(folder / "port"),
        ]
        with (folder / "log").open("wb") as log:
            self._child = subprocess.Popen(  # noqa: S603 (our own interpreter)
                command + self._arguments, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment
            )

    def _await_ready(self, port_file: Path) -> None:
        deadline = time.monotonic() + self._start_timeout
        while not port_file.exists():
            if self._child is None or self._child.poll() is not None:
                raise EmulatorError(f"the emulator ended before it was ready:\n{self.log()[-_LOG_EXCERPT:]}")
            if time.monotonic() > deadline:
                log = self.log()[-_LOG_EXCERPT:]
                raise EmulatorError(f"the emulator was not ready after {self._start_timeout:g} s:\n{log}")
            time.sleep(0.01)
        self.port = int(port_file.read_text())
        scheme = "http" if self._certificate is None else "https"
        host = _reachable(self._host)
        self.base_url = f"{scheme}://{host}:{self.port}"
        context = ssl.create_default_context(cafile=self._certificate) if self._certificate else None
        self.control = EmulatorControl(self.base_url, context)
        self.control.health()
