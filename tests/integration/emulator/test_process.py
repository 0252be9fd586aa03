"""The command line and the helper that runs it."""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from airflow_provider_koreai.emulator.__main__ import parse_arguments
from airflow_provider_koreai.emulator.process import EmulatorError, EmulatorProcess

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "airflow_provider_koreai.emulator"]


def ended(pid: int, seconds: float = 10) -> bool:
    """Wait for the end of a process that is not our child."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *args], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False
    )


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_command_prints_a_connection_and_ends_cleanly_on_a_signal(signum, tmp_path):
    port_file = tmp_path / "port"
    with subprocess.Popen(
        [*COMMAND, "--port", "0", "--port-file", str(port_file)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout
        lines = []
        while not lines or "export AIRFLOW_CONN" not in lines[-1]:
            line = child.stdout.readline()
            assert line, child.stderr and child.stderr.read()
            lines.append(line)
        assert child.stdout.readline() == "\n"
        base_url = lines[0].split()[3]
        assert requests.get(base_url + "/_emulator/health", timeout=5).ok
        child.send_signal(signum)
        assert child.wait(10) == 0
        assert child.stderr
        assert "Traceback" not in child.stderr.read()
    assert base_url.endswith(f":{port_file.read_text().strip()}")
    assert any("st-demo-bank" in line for line in lines)
    name, _, value = shlex.split(lines[-1])[1].partition("=")
    connection = json.loads(value)
    assert name == "AIRFLOW_CONN_KOREAI_DEFAULT"
    assert (connection["conn_type"], connection["host"]) == ("koreai", base_url)
    assert connection["login"] == "cs-emulator"
    assert len(connection["password"]) == 48


def test_own_secret_is_not_printed(client):
    assert "<the client secret>" in client.emulator.log()
    assert client.emulator.client_secret not in client.emulator.log()


def test_busy_port_is_a_clear_error():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run("--port", str(taken.getsockname()[1]))
    assert result.returncode == 1
    assert "Cannot listen on 127.0.0.1 port" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--algorithm", "RS256"], "--algorithm RS256 needs --public-key"),
        (["--seconds", "-1"], "must be at least 0"),
        (["--public-key", "/does/not/exist"], "file not found: /does/not/exist"),
        (["--enforce-jwe", "--ssl-keyfile", __file__], "--ssl-keyfile needs --ssl-certfile"),
        (["--jwe-private-key", __file__], "--jwe-private-key needs --enforce-jwe"),
    ],
)
def test_wrong_option_is_a_clear_error(args, message, capsys):
    with pytest.raises(SystemExit) as caught:
        parse_arguments(args)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_unreadable_key_is_a_clear_error():
    result = run("--algorithm", "RS256", "--public-key", __file__)
    assert result.returncode == 2
    assert "Cannot read a key" in result.stderr
    assert "Traceback" not in result.stderr


def test_emulator_is_stopped_after_an_error_in_the_block():
    emulator = EmulatorProcess()

    def fail_inside() -> None:
        with emulator:
            pids.append(emulator.pid)
            raise KeyError

    pids: list[int] = []
    with pytest.raises(KeyError):
        fail_inside()
    assert ended(pids[0], 0)


def test_helper_says_why_the_emulator_did_not_start():
    with pytest.raises(EmulatorError, match="unrecognized arguments: --nonsense"):
        EmulatorProcess(args=["--nonsense"]).start()


def test_helper_gives_up_waiting():
    with pytest.raises(EmulatorError, match="not ready after 0 s"):
        EmulatorProcess(start_timeout=0).start()


def test_two_emulators_run_side_by_side(client):
    with EmulatorProcess() as other:
        assert other.port != client.emulator.port


@pytest.mark.parametrize("held", [False, True], ids=["alone", "stdin held by another process"])
def test_emulator_dies_with_its_parent(held):
    script = (
        "import os, signal, sys, time\n"
        "from airflow_provider_koreai.emulator.process import EmulatorProcess\n"
        "emulator = EmulatorProcess().start()\n"
        "holder = 0\n"
        f"if {held}:\n"
        "    holder = os.fork()\n"
        "    if not holder:\n"
        "        os.close(1); os.close(2); time.sleep(60); os._exit(0)\n"
        "print(emulator.pid, holder, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    parent = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    pid, holder = map(int, parent.stdout.split())
    try:
        assert ended(pid)
    finally:
        if holder:
            os.kill(holder, signal.SIGKILL)


def test_connection_is_what_airflow_takes(client):
    connection = json.loads(client.emulator.connection_json(timeout=5))
    assert connection == {
        "conn_type": "koreai",
        "host": client.emulator.base_url,
        "login": "cs-emulator",
        "password": client.emulator.client_secret,
        "extra": {"bot_id": "st-demo-travel", "timeout": 5},
    }


def test_helper_needs_only_the_standard_library():
    script = (
        "import sys, airflow_provider_koreai.emulator.process\n"
        "print([name for name in ('starlette', 'uvicorn', 'jwt', 'cryptography', 'requests', 'airflow') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True
    )
    assert result.stdout.strip() == "[]"


def test_emulator_does_not_import_airflow():
    script = "import sys, airflow_provider_koreai.emulator.__main__\nprint('airflow' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True
    )
    assert result.stdout.strip() == "False"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "emulator")])
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
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture(scope="module")
def https_emulator(certificate):
    cert, key = certificate
    with EmulatorProcess(seconds=0, too_soon_seconds=0, ssl_certfile=cert, ssl_keyfile=key) as emulator:
        yield emulator


@pytest.fixture
def https_client(https_emulator, client):
    return type(client)(https_emulator)


def test_https_with_a_certificate_of_ones_own(https_client, certificate):
    link = https_client.link()
    assert link.startswith("https://127.0.0.1:")
    assert https_client.get(link).content.startswith(b"taskName,")
    assert https_client.emulator.connection()["extra"]["ca_bundle"] == str(certificate[0])


@pytest.mark.parametrize("kind", ["drop", "reset"])
def test_faults_work_over_https(https_client, kind):
    link = https_client.link()
    https_client.control.add_fault("st-demo-travel", "download", kind, at=100)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        https_client.get(link)
    assert https_client.get(link).ok


def test_ipv6_address(start_emulator):
    client = start_emulator(host="::1")
    assert client.emulator.base_url.startswith("http://[::1]:")
    assert client.get(client.link()).ok
