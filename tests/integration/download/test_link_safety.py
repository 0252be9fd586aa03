"""Where links are followed to, what is sent there, and where they show."""

from __future__ import annotations

import datetime
import ipaddress
import logging
import socket
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from airflow_provider_koreai.emulator.process import EmulatorProcess
from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIDownloadError, KoreAIError

from .conftest import Bot, ScriptedServer, csv_bytes, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "c2VjcmV0"


def test_no_download_carries_the_token(bot: Bot) -> None:
    bot.fault("drop", at=1000)
    bot.download()
    assert [each["auth"] for each in bot.requests()] == [False, False]


def test_no_download_carries_credentials_from_netrc(
    bot: Bot, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = bot.folder / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.whole(bot.content)
    bot.download()
    assert "authorization" not in server.asked[0].lower()


def test_a_redirect_on_the_same_host_is_followed(bot: Bot, server: ScriptedServer) -> None:
    server.answer("302 Found", Location="/elsewhere?s=2", Content_Length="0")
    server.whole(bot.content)
    bot.download()
    assert server.asked[1].startswith("GET /elsewhere?s=2 ")


def test_a_redirect_to_another_host_is_not_followed(bot: Bot, server: ScriptedServer) -> None:
    bot.fault("redirect", location=server.link.replace("127.0.0.1", "localhost"))
    bot.mutate = lambda export: export
    with pytest.raises(
        KoreAIConfigurationError, match="redirect of the download link leads to host 'localhost'"
    ) as caught:
        bot.download()
    assert SECRET not in str(caught.value)
    assert server.asked == []


def test_a_redirect_to_a_host_in_download_hosts_is_followed(bot: Bot, server: ScriptedServer) -> None:
    server.answer("302 Found", Location=server.link.replace("127.0.0.1", "localhost"), Content_Length="0")
    server.whole(bot.content)
    bot.download(settings={"download_hosts": (f"localhost:{server.port}",)})
    assert len(server.asked) == 2


def test_a_link_to_another_host_is_not_followed(bot: Bot, server: ScriptedServer) -> None:
    bot.mutate = lambda export: replace(export, download_url=server.link.replace("127.0.0.1", "localhost"))
    with pytest.raises(KoreAIConfigurationError, match="download_hosts"):
        bot.download()
    assert server.asked == []


def test_the_file_behind_a_redirect_is_continued(bot: Bot, server: ScriptedServer) -> None:
    server.answer("307 Temporary Redirect", Location="/f", Content_Length="0")
    server.whole(bot.content, sent=5000, ETag='"1"')
    server.answer("307 Temporary Redirect", Location="/f", Content_Length="0")
    server.rest(bot.content, 5000, ETag='"1"')
    bot.download()
    assert bot.file.read_bytes() == bot.content


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://127.0.0.1/f", "http://me:mine@127.0.0.1/f", "http://[::1"]
)
def test_a_redirect_to_something_else_than_a_web_address_is_not_followed(bot: Bot, location: str) -> None:
    bot.fault("redirect", location=location)
    with pytest.raises(KoreAIDownloadError, match="not a plain http"):
        bot.download()


def test_redirects_in_a_circle_end(bot: Bot, server: ScriptedServer) -> None:
    server.answers = [b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"] * 100
    with pytest.raises(KoreAIDownloadError, match="more than 5 redirects"):
        bot.download()


@pytest.fixture
def everything_logged() -> Iterator[list[str]]:
    """All that any logger is told, at any level, formatted with its traceback."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(logging.Formatter("%(name)s %(message)s").format(record))

    root, handler = logging.getLogger(), Keep()
    names = [
        "",
        "urllib3",
        "urllib3.connectionpool",
        "urllib3.connection",
        "urllib3.util.retry",
        "requests",
        "tests",
    ]
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    root.addHandler(handler)
    yield lines
    root.removeHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def told_by(error: BaseException | None) -> str:
    """All that an error tells to whoever prints it, its causes and contexts included."""
    lines = traceback.format_exception(error) if error is not None else []
    while error is not None:
        lines += [repr(error), repr(error.args)]
        error = error.__cause__ or error.__context__
    return "\n".join(lines)


def refuse_connections(server: ScriptedServer) -> None:
    server.stop()


TROUBLE = {
    "none": lambda server, data: server.whole(data),
    "drop": lambda server, data: (
        server.whole(data, sent=5000, ETag='"1"'),
        server.rest(data, 5000, ETag='"1"'),
    ),
    "status 500": lambda server, data: [server.answer("500 No", Content_Length="0") for _ in range(9)],
    "refused": lambda server, data: [server.answer("403 No", Content_Length="0") for _ in range(9)],
    "nonsense": lambda server, data: server.answers.extend([b"nonsense\r\n\r\n"] * 9),
    "bad headers": lambda server, data: server.answers.extend(
        [b"HTTP/1.1 200 OK\r\n: x\r\nno colon\r\n\r\n"] * 9
    ),
    "bad length": lambda server, data: server.answers.extend(
        [b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n"] * 9
    ),
    "bad chunks": lambda server, data: [
        server.answer("200 OK", b"zz\r\n", Transfer_Encoding="chunked") for _ in range(9)
    ],
    "html": lambda server, data: server.whole(b"<html>"),
    "redirect": lambda server, data: server.answer("302 Found", Location="http://evil.example/?s=" + SECRET),
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_the_link_shows_in_no_log_line_and_no_error(
    bot: Bot, server: ScriptedServer, everything_logged: list[str], trouble: str
) -> None:
    TROUBLE[trouble](server, bot.content)
    error: BaseException | None = None
    try:
        bot.download(settings={"timeout": 0.5})
    except KoreAIError as caught:
        error = caught
    assert server.asked
    assert SECRET in server.asked[0]
    text = told_by(error) + "\n".join(everything_logged)
    assert "test_link_safety" in text or error is None
    assert SECRET not in text
    assert "getMediaStream" not in text


def test_the_link_shows_nowhere_when_nobody_listens(bot: Bot, everything_logged: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    bot.mutate = lambda export: replace(export, download_url=f"http://127.0.0.1:{port}/f.csv?s={SECRET}")
    with pytest.raises(KoreAIDownloadError, match="Connection refused") as caught:
        bot.download()
    assert SECRET not in told_by(caught.value) + "\n".join(everything_logged)


def test_the_proxy_of_the_environment_is_used(
    bot: Bot, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot.mutate = lambda export: replace(export, download_url="http://files.example.com/f.csv?s=1")
    ask = bot.get_export
    export = ask()
    monkeypatch.setattr(bot, "get_export", lambda: export)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.port}")
    server.whole(bot.content)
    bot.download(settings={"download_hosts": ("files.example.com",)})
    assert server.asked[0].startswith("GET http://files.example.com/f.csv?s=1 ")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody trusts by itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def https_bot(
    certificate: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bot]:
    cert, key = certificate
    with EmulatorProcess(seconds=0, too_soon_seconds=0, ssl_certfile=cert, ssl_keyfile=key) as emulator:
        bot = Bot(emulator, settings_of(emulator), tmp_path, "st-tls")
        bot.configure(content=csv_bytes())
        with monkeypatch.context() as patched:
            patched.setenv("REQUESTS_CA_BUNDLE", str(cert))  # for the tests' own calls
            bot.start()
            export = bot.get_export()
        monkeypatch.setattr(bot, "get_export", lambda: export)
        yield bot


def test_ca_bundle_is_trusted(https_bot: Bot) -> None:
    https_bot.fault("drop", at=50_000)
    assert https_bot.download().rows == 3000
    assert https_bot.file.read_bytes() == https_bot.content


def test_ca_bundle_is_not_overruled_by_the_environment(
    https_bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    import certifi

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    assert https_bot.download().rows == 3000


def test_a_certificate_that_nobody_vouches_for_is_refused(https_bot: Bot) -> None:
    with pytest.raises(KoreAIDownloadError, match="certificate was not accepted"):
        https_bot.download(settings={"ca_bundle": None})
