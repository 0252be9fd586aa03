"""
No secret is in anything that a whole Airflow writes while it logs all it can and much goes wrong.

What is searched: every file under AIRFLOW_HOME (the logs of tasks, triggers and DAG files, OpenLineage's events),
what the processes print, and every column of every row of the metadata database, while tasks are deferred and
after the end. What is searched for is what was seen on the wire, and what the connections hold.
"""

from __future__ import annotations

import json
import secrets
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_koreai.emulator.process import EmulatorProcess
from tests.support.deployment import Deployment, Run

from .leaks import Needles, Relay, files_in, pem_needles, rows_of, token_needles

if TYPE_CHECKING:
    from collections.abc import Iterator

DAGS = Path(__file__).parent / "dags_secrets"
MODES = ("poke", "reschedule", "deferrable")
SUCCEED = {
    *(f"{step}_{mode}" for step in ("export", "wait", "fetch") for mode in MODES),
    *(f"export_{name}" for name in ("failed", "elsewhere", "expired", "page")),
    "one_task",
    "one_task_deferrable",
}
FAIL = {
    *(f"{step}_{mode}" for step in ("failed", "refused") for mode in MODES),
    *(f"fetch_{name}" for name in ("elsewhere", "expired", "page")),
    "refused_export",
    "raise_with_everything_at_hand",
}
# Links that nobody issued, where the vendor's own texts may hold some.
STRAY_SIGNATURE = secrets.token_hex(32)
STRAY_LINK = f"https://bots.kore.ai/api/getMediaStream/market/f-1.csv?n=1&s={STRAY_SIGNATURE}&e=2"
STATUS_TROUBLE = (
    {"call": "status", "kind": "http", "status": 503, "body": f"gone to {STRAY_LINK}"},
    {"call": "status", "kind": "drop"},
    {"call": "status", "kind": "html", "body": f"<html><a href='{STRAY_LINK}'>Log in</a></html>"},
)


@dataclass
class Evidence:
    """
    All that was written, and what must not be in it.

    :param needles: the secrets.
    :param tokens: how many tokens were sent.
    :param signatures: how many links were given out.
    :param runs: the runs, over.
    :param places: texts by place, of each kind of place.
    """

    needles: Needles
    tokens: int
    signatures: int
    runs: list[Run]
    places: dict[str, list[tuple[str, bytes]]] = field(default_factory=dict)

    def leaks(self, kind: str) -> dict[str, list[str]]:
        found = ((place, self.needles.found_in(text)) for place, text in self.places[kind])
        return {place: names for place, names in found if names}


def new_key() -> tuple[str, str]:
    """A private RSA key and its public half, in PEM."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public.decode()


def set_up_bots(emulator: EmulatorProcess, bot: str) -> None:
    control = emulator.control
    for name in (*MODES, "one-false", "one-true"):
        control.configure_bot(f"{bot}-{name}", seconds=20)
        for fault in STATUS_TROUBLE:
            control.add_fault(f"{bot}-{name}", **fault, after=1)
        control.add_fault(f"{bot}-{name}", "download", "expired")
        control.add_fault(f"{bot}-{name}", "download", "drop", at=500)
    control.configure_bot(f"{bot}-failed", seconds=20, fail_with=[f"Upload to {STRAY_LINK} failed"])
    for name in ("elsewhere", "expired", "page", "own"):
        control.configure_bot(f"{bot}-{name}", seconds=0)
    control.add_fault(f"{bot}-elsewhere", "download", "redirect", times=-1, location=STRAY_LINK)
    control.add_fault(f"{bot}-expired", "download", "expired", times=-1)
    control.add_fault(f"{bot}-page", "download", "html", times=-1, body=f"<html>{STRAY_LINK}</html>")


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of OpenLineage's events."""
    return tmp_path_factory.mktemp("openlineage") / "events.jsonl"


@pytest.fixture(scope="module")
def deployment(events: Path) -> Iterator[Deployment]:
    if tuple(map(int, airflow_version.split(".")[:2])) < (3, 3):
        pytest.skip("a deployment of these components is that of Airflow 3.3 and later")
    settings = {
        "logging.logging_level": "DEBUG",
        "openlineage.transport": json.dumps({"type": "file", "log_file_path": str(events), "append": True}),
        "openlineage.include_full_task_info": True,
    }
    with Deployment({"secrets": DAGS}, settings) as running:
        yield running


@pytest.fixture(scope="module")
def evidence(deployment: Deployment, events: Path, tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """Let two runs go, one with a Client Secret and one with an RSA key and encrypted tokens, and keep what there is."""
    key, public_key = new_key()
    key_file = tmp_path_factory.mktemp("key") / "public.pem"
    key_file.write_text(public_key)
    secret, wrong_secret = secrets.token_hex(24), secrets.token_hex(24)
    with ExitStack() as stack:
        with_secret = stack.enter_context(EmulatorProcess(client_secret=secret, too_soon_seconds=0))
        with_key = stack.enter_context(
            EmulatorProcess(
                too_soon_seconds=0,
                args=["--algorithm", "RS256", "--public-key", str(key_file), "--enforce-jwe"],
            )
        )
        relays = []
        runs = []
        for name, emulator, password in (("secret", with_secret, secret), ("key", with_key, key)):
            relay = stack.enter_context(Relay(emulator.port))
            relays.append(relay)
            connection = {**emulator.connection(), "host": relay.url, "password": password}
            deployment.add_connection(f"koreai_{name}", connection)
            bot = f"st-e2e-{name}"
            set_up_bots(emulator, bot)
            runs.append((bot, f"koreai_{name}", connection))
        refused = {**runs[0][2], "password": wrong_secret}
        deployment.add_connection("koreai_refused", refused)
        folder = str(tmp_path_factory.mktemp("files"))
        launched = [
            deployment.trigger(
                "e2e_secrets", bot=bot, folder=f"{folder}/{bot}", koreai=conn_id, refused="koreai_refused"
            )
            for bot, conn_id, _ in runs
        ]
        places: dict[str, list[tuple[str, bytes]]] = {}
        places["trigger rows"] = watch_until_over(deployment, launched)
        tokens = set().union(*(relay.tokens() for relay in relays))
        signatures = set().union(*(relay.signatures() for relay in relays))
    places["files"] = [
        *files_in(deployment.home),
        *((name, text.encode()) for name, text in deployment.logs().items()),
    ]
    places["database"] = list(rows_of(deployment.database_url))
    places["OpenLineage events"] = list(files_in(events.parent))
    needles = Needles(
        {
            "the Client Secret": secret.encode(),
            "the refused Client Secret": wrong_secret.encode(),
            "a signature in the vendor's texts": STRAY_SIGNATURE.encode(),
            **pem_needles("the private key", key),
            **token_needles(tokens),
            **{f"signature {number}": each for number, each in enumerate(sorted(signatures), start=1)},
        }
    )
    return Evidence(needles, len(tokens), len(signatures), launched, places)


def watch_until_over(deployment: Deployment, runs: list[Run]) -> list[tuple[str, bytes]]:
    """Wait for the runs to end, and collect the rows of their deferrals, which are gone by then."""
    rows: dict[int, bytes] = {}

    def are_over() -> bool:
        rows.update((row["id"], json.dumps(row).encode()) for row in deployment.trigger_rows())
        return all(run.state in ("success", "failed") for run in runs)

    deployment.wait_until("the runs are over", are_over, 420)
    return [(f"trigger {number}", row) for number, row in rows.items()]


def test_everything_that_should_be_searched_for_has_happened(evidence: Evidence) -> None:
    expected = {**dict.fromkeys(SUCCEED, "success"), **dict.fromkeys(FAIL, "failed")}
    for run in evidence.runs:
        assert {task["task_id"]: task["state"] for task in run.tasks()} == expected
    # A deferral of each task whose export takes longer than a busy machine needs to get to the wait, and Airflow keeps a worker.
    assert len(evidence.places["trigger rows"]) >= 6
    assert evidence.tokens > 50
    assert evidence.signatures > 15
    logged = b"".join(
        text for place, text in evidence.places["files"] if place.startswith("logs/dag_id=e2e_secrets")
    )
    assert b'"level":"debug"' in logged
    for said in (
        b"Invalid SDK credentials",
        b"was refused with 403",
        b"leads to host",
        b"Upload to",
        b"RuntimeError",
    ):
        assert said in logged
    events = b"".join(text for _, text in evidence.places["OpenLineage events"])
    assert all(f"e2e_secrets.{task}".encode() in events for task in SUCCEED | FAIL)


@pytest.mark.parametrize("kind", ["files", "database", "trigger rows", "OpenLineage events"])
def test_no_secret_is_in_any_of_the(
    kind: str, evidence: Evidence, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = evidence.places[kind]
    size = sum(len(text) for _, text in texts)
    with capsys.disabled():
        print(
            f"\n{kind}: {len(texts)} with {size} bytes searched for {len(evidence.needles)} secrets ", end=""
        )
    assert size
    assert evidence.leaks(kind) == {}


def test_a_secret_that_is_written_is_found(evidence: Evidence, deployment: Deployment) -> None:
    planted = evidence.needles.one_of_each()
    text = "\n".join(value.decode() for value in planted.values())
    (deployment.home / "logs" / "planted.log").write_text(text)
    run_path = f"dags/e2e_secrets/dagRuns/{evidence.runs[0].run_id}"
    deployment.api.call("PATCH", run_path, json={"note": text})
    for places in (files_in(deployment.home), rows_of(deployment.database_url)):
        assert set(planted) <= {name for _, text in places for name in evidence.needles.found_in(text)}
