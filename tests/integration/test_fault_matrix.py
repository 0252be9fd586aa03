"""
Every call x every fault x every way in which the call comes about, over real https: what it ends with.

The tables below, one for each kind of call, follow DESIGN.md's "Behaviour". Of each fault there are two cells a mode: one
where it goes away after a call or two, and one where it stays.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_koreai import deferral
from airflow_provider_koreai.download import attempts
from airflow_provider_koreai.emulator.process import EmulatorProcess
from airflow_provider_koreai.exceptions import (
    KoreAIAuthError,
    KoreAIConfigurationError,
    KoreAIDownloadError,
    KoreAIExportTimeoutError,
    KoreAIGatewayError,
    KoreAIImportTimeoutError,
    KoreAIImportUncertainError,
    KoreAIRateLimitError,
    KoreAIRequestError,
    KoreAIServerError,
    KoreAITimeoutError,
)
from airflow_provider_koreai.jobs import polling
from tests.support.certificates import Authority
from tests.support.logs import everything_logged
from tests.support.running import prepare_thread

from .fault_matrix import (
    CALLS,
    CELLS,
    DOMAIN,
    FAULTS,
    ROTATED,
    TRIES,
    Cell,
    Matrix,
    NameServer,
    Outcome,
    bad_addresses,
)
from .fault_matrix_runs import RescheduledTaskInstance

#: Cells that run at the same time; they mostly wait.
AT_ONCE = 6


@dataclass(frozen=True)
class Expected:
    """
    What a call that meets a fault ends with.

    :param recovers: the fault goes away, and so the call succeeds.
    :param error: what it ends with while the fault stays; and, if it does not recover, at the first sight of it.
    :param text: pattern of the error's text. None: it succeeds although the fault stays. NEEDED stands for the field that
        an answer must have.
    """

    recovers: bool
    error: type[Exception] | None
    text: str = ""


def retried(error: type[Exception], text: str) -> Expected:
    """Sent again with a new token, and within bounds."""
    return Expected(True, error, text)


def final(error: type[Exception], text: str) -> Expected:
    """The answer says all there is to say; it is not asked for again."""
    return Expected(False, error, text)


def uncertain(text: str) -> Expected:
    """The import may be running, so the call is not sent again, and the task is not retried."""
    return final(KoreAIImportUncertainError, f"not known whether the import.*(?:{text}).*export the bot")


#: While a task waits, trouble with the status call is not trouble with the job: it waits on, up to its timeout.
WAITS_ON = Expected(True, None)
#: It takes longer, and that is all.
BEARS_IT = Expected(True, None)

Auth, Server, Limit, Request, Gateway, Download, Config = (
    KoreAIAuthError,
    KoreAIServerError,
    KoreAIRateLimitError,
    KoreAIRequestError,
    KoreAIGatewayError,
    KoreAIDownloadError,
    KoreAIConfigurationError,
)
LATE = "nothing arrived for 0.4 seconds|too slowly"
CUT = "ended early|connection failed"

# Starts an export, a training or a batch test, or uploads a file: safe to repeat.
START = {
    "connection refused": retried(Server, "Connection refused"),
    "host unknown": retried(Server, "not known"),
    "certificate not trusted": retried(Server, "certificate.*ca_bundle"),
    "no connection in time": retried(Server, LATE),
    "no answer in time": retried(Server, LATE),
    "dropped before the headers": retried(Server, CUT),
    "dropped in the headers": retried(Server, "got no answer"),
    "dropped after the headers": retried(Server, CUT),
    "dropped in the body": retried(Server, "got no answer"),
    "429": retried(Limit, "answered 429"),
    "429, Retry-After seconds": retried(Limit, "answered 429"),
    "429, Retry-After date": retried(Limit, "answered 429"),
    "500": retried(Server, "answered 500"),
    "502": retried(Server, "answered 502"),
    "503": retried(Server, "answered 503"),
    "504": retried(Server, "answered 504"),
    # A start whose answer arrived but cannot be read is not repeated blindly.
    "HTML with status 200": final(Request, "not a JSON object|has no NEEDED"),
    "JSON that is cut": final(Request, "not a JSON object|has no NEEDED"),
    "JSON of another shape": final(Request, "has no NEEDED"),
    "huge body": final(Request, "larger than"),
    "gateway's 404 in text": retried(Gateway, "gateway or proxy"),
    "gateway's 404 in HTML": retried(Gateway, "gateway or proxy"),
    # A 401 is asked once more, with the connection read anew, and then believed.
    "possibly a replay": retried(Auth, "possibly a replay"),
    "slow drip": retried(Server, "too slowly"),
}
# Starts an import (mlimport): never repeated unless it surely did not begin.
IMPORT = {
    "connection refused": retried(Server, "Connection refused"),
    "host unknown": retried(Server, "not known"),
    "certificate not trusted": retried(Server, "certificate.*ca_bundle"),
    "no connection in time": retried(Server, LATE),
    "no answer in time": uncertain(LATE),
    "dropped before the headers": uncertain(CUT),
    "dropped in the headers": uncertain("got no answer"),
    "dropped after the headers": uncertain(CUT),
    "dropped in the body": uncertain("got no answer"),
    "429": retried(Limit, "answered 429"),
    "429, Retry-After seconds": retried(Limit, "answered 429"),
    "429, Retry-After date": retried(Limit, "answered 429"),
    "500": uncertain("answered 500"),
    "502": uncertain("answered 502"),
    "503": uncertain("answered 503"),
    "504": uncertain("answered 504"),
    "HTML with status 200": uncertain("not a JSON object"),
    "JSON that is cut": uncertain("not a JSON object"),
    "JSON of another shape": uncertain("has no NEEDED"),
    "huge body": uncertain("larger than"),
    # It did not let the call through.
    "gateway's 404 in text": final(Gateway, "gateway or proxy"),
    "gateway's 404 in HTML": final(Gateway, "gateway or proxy"),
    "possibly a replay": retried(Auth, "possibly a replay"),
    "slow drip": uncertain("too slowly"),
}
# A status call of the hook, or of a task before it starts anything: an answer that cannot be read is asked for again.
ASK = {
    **START,
    "HTML with status 200": retried(Request, "not a JSON object"),
    "JSON that is cut": retried(Request, "not a JSON object"),
    "JSON of another shape": retried(Request, "has no NEEDED"),
    "huge body": retried(Request, "larger than"),
}
# The status calls of a task that waits.
WAIT = {
    **dict.fromkeys(FAULTS, WAITS_ON),
    "possibly a replay": retried(Auth, "possibly a replay"),
    "secret rotated": retried(Auth, "Invalid SDK credentials"),
}
# A file's server.
DOWNLOAD = {
    "connection refused": retried(Download, "Connection refused"),
    "host unknown": retried(Download, "not known"),
    "certificate not trusted": retried(Download, "certificate.*ca_bundle"),
    "no connection in time": retried(Download, "nothing arrived for 0.4 seconds"),
    "no answer in time": retried(Download, "nothing arrived for 0.4 seconds"),
    "dropped before the headers": retried(Download, CUT),
    "dropped in the headers": retried(Download, f"{CUT}|no file|how long"),
    "dropped after the headers": retried(Download, "ended early"),
    "dropped in the body": retried(Download, "reset|ended early"),
    "429": retried(Download, "answered 429"),
    "429, Retry-After seconds": retried(Download, "answered 429"),
    "429, Retry-After date": retried(Download, "answered 429"),
    "500": retried(Download, "answered 500"),
    "502": retried(Download, "answered 502"),
    "503": retried(Download, "answered 503"),
    "504": retried(Download, "answered 504"),
    # What is not the file will not become it.
    "HTML with status 200": final(Download, "not the CSV file"),
    "JSON that is cut": final(Download, "not the JSON file"),
    "JSON of another shape": final(Download, "not the JSON file"),
    "huge body": final(Config, "max_bytes"),
    # The link may have expired.
    "gateway's 404 in text": retried(Download, "the link was"),
    "gateway's 404 in HTML": retried(Download, "the link was"),
    "possibly a replay": retried(Download, "the link was"),
    # A file may come as slowly as it likes, as long as it comes.
    "slow drip": BEARS_IT,
}
TABLES = {"start": START, "import": IMPORT, "ask": ASK, "wait": WAIT, "download": DOWNLOAD}
TIMEOUT_TEXT = r"did not finish within 0\.3 seconds.*The last status call failed: "


def timeout_error_of(cell: Cell) -> type[Exception]:
    """Return what the wait ends with when its timeout has passed."""
    if cell.what == "export wait":
        return KoreAIExportTimeoutError if "one task" in cell.mode else AirflowSensorTimeout
    return KoreAIImportTimeoutError if cell.what == "import wait" else KoreAITimeoutError


def expected_of(cell: Cell) -> Expected:
    """Read the tables."""
    return TABLES[cell.call.kind][cell.fault]


@dataclass
class Results:
    """
    What all cells ended with.

    :param outcomes: by cell.
    :param log: all that was logged meanwhile, at DEBUG.
    :param client_secrets: of the emulators.
    """

    outcomes: dict[Cell, Outcome]
    log: str
    client_secrets: tuple[str, ...]

    def secrets_in(self, text: str) -> list[str]:
        """Return the secrets that a text contains."""
        found = [secret for secret in self.client_secrets if secret in text]
        # The ID of a training looks like that of an uploaded file, but is none.
        trainings = {each for outcome in self.outcomes.values() for each in outcome.training_ids}
        return (
            found + LINK.findall(text) + TOKEN.findall(text) + sorted(set(FILE_ID.findall(text)) - trainings)
        )


# A link's signature, and where a link leads; a token's beginning; the ID of an uploaded file.
LINK = re.compile(r"getMediaStream|[?&]s=[0-9a-f]{16}")
TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{20}")
FILE_ID = re.compile(r"\b[0-9a-f]{24}\b")


@pytest.fixture(scope="module")
def results(request, tmp_path_factory):
    """Let those cells happen that this session's tests ask about, some at the same time."""
    asked = {item.callspec.params["cell"] for item in request.session.items if _asks_about_a_cell(item)}
    folder = tmp_path_factory.mktemp("matrix")
    authority, stranger = Authority(folder / "company"), Authority(folder / "stranger")
    certificate = authority.sign("127.0.0.1", ROTATED, f"*.{DOMAIN}")
    untrusted = stranger.sign(f"*.{DOMAIN}")
    with pytest.MonkeyPatch.context() as patched:
        for name in ("NO_PROXY", "no_proxy"):
            patched.setenv(name, "*")
        # Pauses of milliseconds, where the code has seconds.
        patched.setattr(deferral, "worker_stays", lambda: 0.0)
        patched.setattr(deferral, "MARGIN", 0.0)
        patched.setattr(polling, "SHORTEST", 0.01)
        patched.setattr(polling, "LONGEST_AFTER_FAILURE", 0.1)
        patched.setattr(attempts, "FIRST_PAUSE", 0.001)
        patched.setattr(attempts, "LONGEST_ASKED_PAUSE", 1.0)
        patched.setattr(attempts, "MAX_VAIN_ATTEMPTS", TRIES)
        if not AIRFLOW_V_3_0_PLUS:
            patched.setattr("airflow.sensors.base._orig_start_date", RescheduledTaskInstance.orig_start_date)
        tls = {"ssl_certfile": certificate.chain, "ssl_keyfile": certificate.key}
        with (
            EmulatorProcess(seconds=0, too_soon_seconds=0, **tls) as emulator,
            EmulatorProcess(seconds=0, too_soon_seconds=0, **tls) as uploads,
            EmulatorProcess(
                host=ROTATED,
                args=("--port", str(emulator.port)),
                client_secret="the-secret-that-came-after-it-0123456789",
                seconds=0,
                too_soon_seconds=0,
                **tls,
            ) as rotated,
            bad_addresses(emulator.port, untrusted),
            bad_addresses(uploads.port, untrusted),
        ):
            for each in (emulator, uploads, rotated):
                each.control.configure_account(upload_per_minute=10**6, upload_per_hour=10**6)
            matrix = Matrix(
                emulator, uploads, rotated, NameServer(patched), authority.bundle, folder, patched
            )
            runs = [matrix.prepare(cell) for cell in CELLS if cell in asked]
            with (
                everything_logged() as lines,
                ThreadPoolExecutor(AT_ONCE, initializer=prepare_thread) as pool,
                ThreadPoolExecutor(1, initializer=prepare_thread) as one_at_a_time,
            ):
                started = {
                    run.cell: (one_at_a_time if run.cell.what == "upload" else pool).submit(
                        matrix.carry_out, run
                    )
                    for run in runs
                }
            outcomes = {cell: future.result() for cell, future in started.items()}
            secrets = (emulator.client_secret, rotated.client_secret)
            yield Results(outcomes, "\n".join(lines), secrets)


def _asks_about_a_cell(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and "cell" in getattr(
        getattr(item, "callspec", None), "params", {}
    )


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_cell(results, cell):
    outcome, expected = results.outcomes[cell], expected_of(cell)
    succeeds = expected.recovers and not (cell.stays and (expected.error or expected is WAITS_ON))
    if succeeds:
        assert outcome.error is None, outcome.told
        name, beginning = cell.call.result
        assert outcome.result[name].startswith(beginning)
        assert outcome.known.items() <= outcome.result.items()
    else:
        error, text = expected.error, expected.text.replace("NEEDED", cell.call.needed)
        if expected is WAITS_ON:
            error, text = timeout_error_of(cell), TIMEOUT_TEXT
        assert isinstance(outcome.error, error), outcome.told
        assert re.search(text, str(outcome.error)), outcome.error
    if not expected.recovers:
        assert len(outcome.requests) == 1
    assert outcome.seconds <= cell.budget
    assert_each_request_had_a_token_of_its_own(cell, outcome)
    # A sensor that is rescheduled begins each time anew; its poke_interval alone says when.
    if FAULTS[cell.fault].asks and not cell.stays and cell.mode != "reschedule":
        assert first_after_the_refusal(outcome)["time"] >= outcome.wanted_from
    assert not results.secrets_in(outcome.told + outcome.stored)


def first_after_the_refusal(outcome: Outcome) -> dict:
    statuses = [request["status"] for request in outcome.requests]
    return outcome.requests[statuses.index(429) + 1]


def assert_each_request_had_a_token_of_its_own(cell: Cell, outcome: Outcome) -> None:
    tokens = [request["jti"] for request in outcome.requests]
    if cell.call.kind == "download":
        assert set(tokens) <= {None}
        assert not any(request["auth"] for request in outcome.requests)
    else:
        assert None not in tokens
        assert len(set(tokens)) == len(tokens)
        if FAULTS[cell.fault].address is None and expected_of(cell).recovers and not cell.stays:
            assert len(tokens) >= 2


@pytest.mark.parametrize(
    "cell", [cell for cell in CELLS if expected_of(cell).error is KoreAIImportUncertainError], ids=str
)
def test_an_import_that_may_be_running_is_not_retried_by_airflow(results, cell):
    assert isinstance(results.outcomes[cell].error, AirflowFailException)


def test_the_log_of_all_cells_at_debug_holds_no_secret(results):
    assert "urllib3" in results.log
    assert "httpcore" in results.log
    assert not results.secrets_in(results.log)


def test_a_deferral_was_stored_for_each_kind_of_job(results):
    for what, name in (("import", "import_id"), ("train", "seen_running"), ("test", "test_suite")):
        cells = [
            cell for cell in results.outcomes if (cell.what, cell.mode) == (f"{what} wait", "deferrable")
        ]
        assert any(f'"{name}": ' in results.outcomes[cell].stored for cell in cells)


def test_the_tables_name_every_fault_and_the_cells_are_many(capsys):
    for kind, table in TABLES.items():
        assert set(table) == {fault for fault in FAULTS if kind in FAULTS[fault].kinds}
    assert {call.kind for call in CALLS.values()} == set(TABLES)
    assert len(CELLS) == len(set(map(str, CELLS))) >= 500
    with capsys.disabled():
        print(f"\nfault matrix: {len(CELLS)} cells", end=" ")
