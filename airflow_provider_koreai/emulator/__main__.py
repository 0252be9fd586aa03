"""Command line of the emulator."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from types import FrameType

try:
    import uvicorn
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    from airflow_provider_koreai.emulator.app import create_app
    from airflow_provider_koreai.emulator.config import (
        ALGORITHMS,
        DEMO_BOT,
        DEMO_CLIENT_ID,
        DEMO_CLIENT_SECRET,
        SECRET_VARIABLE,
        EmulatorConfig,
    )
    from airflow_provider_koreai.emulator.jwe import JweKey
    from airflow_provider_koreai.emulator.state import State
    from airflow_provider_koreai.emulator.wire import WireProtocol
except ModuleNotFoundError as missing:
    sys.exit(f"The emulator needs {missing.name}: pip install 'airflow-provider-koreai[emulator]'")

logger = logging.getLogger("koreai.emulator")

_PARENT_CHECK_SECONDS = 0.5


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_koreai.emulator",
        description="A local Kore.ai: exports, imports, trainings and batch tests of ML utterances, to try and test DAGs.",
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=8077, help="port to listen on; 0: any free one (default: %(default)s)")
    add("--port-file", type=Path, help="write the port to this file once the server accepts requests")
    add("--client-id", default=DEMO_CLIENT_ID, help="the Client ID to accept (default: %(default)s)")
    add("--client-secret", help=f"its secret (default: ${SECRET_VARIABLE}, else a demo secret)")
    add(
        "--algorithm",
        choices=ALGORITHMS,
        default="HS256",
        help="how tokens must be signed (default: %(default)s)",
    )
    add("--public-key", type=Path, help="PEM file of the public key, for RS256 and RS512")
    add("--enforce-jti", action="store_true", help="refuse tokens without jti")
    add("--enforce-jwe", action="store_true", help="refuse tokens that are not encrypted")
    add(
        "--jwe-private-key",
        type=Path,
        help="PEM file of the RSA key that tokens are encrypted for (default: a new one)",
    )
    add("--seconds", type=_seconds, default=3.0, help="duration of an export (default: %(default)s)")
    add(
        "--too-soon-seconds",
        type=_seconds,
        help="how long after a start the status call answers 500 (default: only the first status call does)",
    )
    add(
        "--link-ttl", type=_seconds, default=600.0, help="seconds until a link expires (default: %(default)s)"
    )
    add("--media-url", help="base URL of download links (default: that of the status request)")
    add("--ssl-certfile", type=Path, help="serve https with this certificate")
    add("--ssl-keyfile", type=Path, help="its key")
    add(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="info",
        help="(default: %(default)s)",
    )
    add(
        "--exit-with-parent", action="store_true", help="exit when stdin is closed or the parent process ends"
    )
    options = parser.parse_args(arguments)
    if options.algorithm.startswith("RS") and options.public_key is None:
        parser.error(f"--algorithm {options.algorithm} needs --public-key")
    if options.ssl_keyfile and not options.ssl_certfile:
        parser.error("--ssl-keyfile needs --ssl-certfile")
    if options.jwe_private_key and not options.enforce_jwe:
        parser.error("--jwe-private-key needs --enforce-jwe")
    for name in ("public_key", "jwe_private_key", "ssl_certfile", "ssl_keyfile"):
        path = getattr(options, name)
        if path is not None and not path.is_file():
            parser.error(f"--{name.replace('_', '-')}: file not found: {path}")
    return options


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("must be at least 0")
    return value


def make_config(options: argparse.Namespace) -> EmulatorConfig:
    """Return the server's settings from the command line, the environment and key files."""
    jwe_key = None
    if options.enforce_jwe:
        jwe_key = JweKey(options.jwe_private_key.read_bytes() if options.jwe_private_key else None)
    public_key = options.public_key.read_text() if options.public_key else None
    if public_key is not None:
        load_pem_public_key(public_key.encode())
    return EmulatorConfig(
        client_id=options.client_id,
        client_secret=options.client_secret or os.environ.get(SECRET_VARIABLE) or DEMO_CLIENT_SECRET,
        algorithm=options.algorithm,
        public_key=public_key,
        enforce_jti=options.enforce_jti,
        jwe_key=jwe_key,
        seconds=options.seconds,
        too_soon_seconds=options.too_soon_seconds,
        link_ttl=options.link_ttl,
        media_url=options.media_url,
    )


def banner(state: State, base_url: str, *, secret_is_demo: bool) -> str:
    """Return the text to print on start."""
    config = state.config
    extra: dict[str, Any] = {"bot_id": DEMO_BOT}
    if config.algorithm != "HS256":
        extra["algorithm"] = config.algorithm
    if config.jwe_key is not None:
        extra["jwe_public_key"] = config.jwe_key.public_jwk
    password = config.client_secret if secret_is_demo else "<the client secret>"
    if config.algorithm.startswith("RS"):
        password = "<the private key in PEM>"  # noqa: S105 (a placeholder)
    connection = {
        "conn_type": "koreai",
        "host": base_url,
        "login": config.client_id,
        "password": password,
        "extra": extra,
    }
    width = max(map(len, state.bots))
    bots = "\n".join(f"    {bot.id:<{width}}  {bot.name}" for bot in state.bots.values())
    return (
        f"Kore.ai emulator at {base_url} (Ctrl+C stops it)\n\n"
        f"  Bots:\n{bots}\n\n"
        f"  Connection for Airflow:\n"
        f"    export AIRFLOW_CONN_KOREAI_DEFAULT='{json.dumps(connection)}'\n"
    )


class EmulatorServer(uvicorn.Server):
    """uvicorn that says when it is ready."""

    def __init__(self, config: uvicorn.Config, text: str, port: int, port_file: Path | None) -> None:
        super().__init__(config)
        self._text = text
        self._port = port
        self._port_file = port_file

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then print the text and write the port."""
        await super().startup(sockets)
        print(self._text, flush=True)
        if self._port_file is not None:
            part = self._port_file.with_name(f"{self._port_file.name}.{os.getpid()}.part")
            part.write_text(f"{self._port}\n")
            part.replace(self._port_file)


def listen(host: str, port: int) -> socket.socket:
    """Return a bound socket."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, kind, protocol)
    if os.name == "posix":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(address)
    return sock


def _leave(signum: int, frame: FrameType | None) -> NoReturn:
    sys.exit(0)


def _exit_with_parent() -> None:
    """Stop when stdin ends, or when the parent is another one: its other children may hold our stdin open."""
    parent = os.getppid()

    def stop() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    def read() -> None:
        try:
            while os.read(0, 1024):
                pass
        except OSError:
            pass
        stop()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_CHECK_SECONDS)
        stop()

    for target in (read, watch):
        threading.Thread(target=target, daemon=True).start()


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal arrives."""
    options = parse_arguments(arguments)
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    if options.exit_with_parent:
        _exit_with_parent()
    level = options.log_level.upper()
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("uvicorn").setLevel(max(logging.WARNING, logging.getLevelName(level)))
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    try:
        config = make_config(options)
    except (OSError, ValueError) as error:
        print(f"Cannot read a key: {error}", file=sys.stderr)
        return 2
    try:
        sock = listen(options.host, options.port)
    except OSError as error:
        print(
            f"Cannot listen on {options.host} port {options.port}: {error.strerror or error}", file=sys.stderr
        )
        return 1
    port = sock.getsockname()[1]
    state = State(config)
    scheme = "https" if options.ssl_certfile else "http"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(options.host, options.host)  # noqa: S104 (for display)
    base_url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    server_config = uvicorn.Config(
        create_app(state),
        http=WireProtocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
        ssl_certfile=options.ssl_certfile,
        ssl_keyfile=options.ssl_keyfile,
    )
    demo = config.client_secret == DEMO_CLIENT_SECRET
    text = banner(state, base_url, secret_is_demo=demo)
    EmulatorServer(server_config, text, port, options.port_file).run(sockets=[sock])
    return 0


if __name__ == "__main__":
    sys.exit(main())
