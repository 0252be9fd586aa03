"""
Every call x every fault x every way in which the call comes about, over real https: what becomes of it.

The table below says it, by DESIGN.md's "Behaviour". Of each fault there are two cells a mode: one where it goes away
after a call or two, and one where it stays.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_koreai import deferral
from airflow_provider_koreai.download import attempts as download
from airflow_provider_koreai.emulator.process import EmulatorProcess
from airflow_provider_koreai.exceptions import (
    KoreAIAuthError,
    KoreAIConfigurationError,
    KoreAIDownloadError,
    KoreAIExportTimeoutError,
    KoreAIRateLimitError,
    KoreAIRequestError,
    KoreAIServerError,
)
from airflow_provider_koreai.jobs import polling
from tests.support.certificates import Authority
from tests.support.logs import everything_logged
from tests.support.running import prepare_thread

from .fault_matrix import (
    CELLS,
    DOMAIN,
    FAULTS,
    ROTATED,
    TRIES,
    Cell,
    Matrix,
    NameServer,
    Outcome,
    RescheduledTaskInstance,
    bad_addresses,
)

#: Cells that run at the same time; they mostly wait.
AT_ONCE = 6


@dataclass(frozen=True)
class Expected:
    """
    What becomes of a call that meets a fault.

    :param recovers: the fault goes away, and so the call succeeds.
    :param error: what it ends with while the fault stays; and, if it does not recover, at the first sight of it.
    :param text: pattern of the error's text. None: it succeeds although the fault stays.
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


#: While a task waits, trouble with the status call is not trouble with the export: it waits on, up to its timeout.
WAITS_ON = Expected(True, None)
#: It takes longer, and that is all.
BEARS_IT = Expected(True, None)

Auth, Server, Limit, Request, Download, Config = (
    KoreAIAuthError,
    KoreAIServerError,
    KoreAIRateLimitError,
    KoreAIRequestError,
    KoreAIDownloadError,
    KoreAIConfigurationError,
)
# fmt: off
TABLE = {
    # fault                       start: the operator, and       ask: a status call of the      wait: a task's status calls,     download: the operator,
    #                             the one-task form              hook, sync and async           in all its five forms            and the hook
    "connection refused":         (retried(Server, "Connection refused"),     retried(Server, "Connection refused"),     WAITS_ON, retried(Download, "Connection refused")),
    "host unknown":               (retried(Server, "not known"),              retried(Server, "not known"),              WAITS_ON, retried(Download, "not known")),
    "certificate not trusted":    (retried(Server, "certificate.*ca_bundle"), retried(Server, "certificate.*ca_bundle"), WAITS_ON, retried(Download, "certificate.*ca_bundle")),
    "no connection in time":      (retried(Server, "nothing arrived for 0.4 seconds|too slowly"),                retried(Server, "nothing arrived for 0.4 seconds|too slowly"),                WAITS_ON, retried(Download, "nothing arrived for 0.4 seconds")),
    "no answer in time":          (retried(Server, "nothing arrived for 0.4 seconds|too slowly"),                retried(Server, "nothing arrived for 0.4 seconds|too slowly"),                WAITS_ON, retried(Download, "nothing arrived for 0.4 seconds")),
    "dropped before the headers": (retried(Server, "ended early|connection failed"),  retried(Server, "ended early|connection failed"),  WAITS_ON, retried(Download, "connection failed|ended early")),
    "dropped in the headers":     (retried(Server, "got no answer"),          retried(Server, "got no answer"),          WAITS_ON, retried(Download, "connection failed|ended early|no file|how long")),
    "dropped after the headers":  (retried(Server, "ended early|connection failed"),    retried(Server, "ended early|connection failed"),    WAITS_ON, retried(Download, "ended early")),
    "dropped in the body":        (retried(Server, "got no answer"),          retried(Server, "got no answer"),          WAITS_ON, retried(Download, "reset|ended early")),
    "429":                        (retried(Limit, "answered 429"),            retried(Limit, "answered 429"),            WAITS_ON, retried(Download, "answered 429")),
    "429, Retry-After seconds":   (retried(Limit, "answered 429"),            retried(Limit, "answered 429"),            WAITS_ON, retried(Download, "answered 429")),
    "429, Retry-After date":      (retried(Limit, "answered 429"),            retried(Limit, "answered 429"),            WAITS_ON, retried(Download, "answered 429")),
    "500":                        (retried(Server, "answered 500"),           retried(Server, "answered 500"),           WAITS_ON, retried(Download, "answered 500")),
    "502":                        (retried(Server, "answered 502"),           retried(Server, "answered 502"),           WAITS_ON, retried(Download, "answered 502")),
    "503":                        (retried(Server, "answered 503"),           retried(Server, "answered 503"),           WAITS_ON, retried(Download, "answered 503")),
    "504":                        (retried(Server, "answered 504"),           retried(Server, "answered 504"),           WAITS_ON, retried(Download, "answered 504")),
    # A start whose answer arrived but cannot be read is not repeated blindly; a file that is none will not be one.
    "HTML with status 200":       (final(Request, "not a JSON object"),       retried(Request, "not a JSON object"),     WAITS_ON, final(Download, "not the CSV file")),
    "JSON that is cut":           (final(Request, "not a JSON object"),       retried(Request, "not a JSON object"),     WAITS_ON, final(Download, "not the JSON file")),
    "JSON of another shape":      (final(Request, "has no _id"),              retried(Request, "has no status"),         WAITS_ON, final(Download, "not the JSON file")),
    "huge body":                  (final(Request, "larger than"),             retried(Request, "larger than"),           WAITS_ON, final(Config, "max_bytes")),
    "gateway's 404 in text":      (retried(Request, "gateway or proxy"),      retried(Request, "gateway or proxy"),      WAITS_ON, retried(Download, "the link was")),
    "gateway's 404 in HTML":      (retried(Request, "gateway or proxy"),      retried(Request, "gateway or proxy"),      WAITS_ON, retried(Download, "the link was")),
    # A 401 is asked once more, with the connection read anew, and then believed; one of a file's server means that its link has expired.
    "possibly a replay":          (retried(Auth, "possibly a replay"),        retried(Auth, "possibly a replay"),        retried(Auth, "possibly a replay"), retried(Download, "the link was")),
    "secret rotated":             (None,                                      None,                                      retried(Auth, "Invalid SDK credentials"), None),
    # A file may come as slowly as it likes, as long as it comes.
    "slow drip":                  (retried(Server, "too slowly"),             retried(Server, "too slowly"),             WAITS_ON, BEARS_IT),
}
# fmt: on
COLUMNS = ("start", "ask", "wait", "download")
TIMEOUT_TEXT = r"did not finish within 0\.3 seconds.*The last status call failed: "
TIMEOUTS = {
    "poke": AirflowSensorTimeout,
    "reschedule": AirflowSensorTimeout,
    "deferrable": AirflowSensorTimeout,
    "one task": KoreAIExportTimeoutError,
    "one task, deferrable": KoreAIExportTimeoutError,
}


def expected_of(cell: Cell) -> Expected:
    """Read the table."""
    return TABLE[cell.fault][COLUMNS.index(cell.part)]


@dataclass
class Results:
    """
    What became of all cells.

    :param outcomes: by cell.
    :param log: all that was logged meanwhile, at DEBUG.
    :param secrets: the client secrets.
    """

    outcomes: dict[Cell, Outcome]
    log: str
    secrets: tuple[str, ...]


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
        patched.setattr(polling, "LONGEST_AFTER_FAILURE", 0.05)
        patched.setattr(download, "FIRST_PAUSE", 0.001)
        patched.setattr(download, "LONGEST_ASKED_PAUSE", 1.0)
        patched.setattr(download, "MAX_VAIN_ATTEMPTS", TRIES)
        if not AIRFLOW_V_3_0_PLUS:
            patched.setattr("airflow.sensors.base._orig_start_date", RescheduledTaskInstance.orig_start_date)
        with (
            EmulatorProcess(
                seconds=0, too_soon_seconds=0, ssl_certfile=certificate.chain, ssl_keyfile=certificate.key
            ) as emulator,
            EmulatorProcess(
                host=ROTATED,
                args=("--port", str(emulator.port)),
                client_secret="the-secret-that-came-after-it-0123456789",
                seconds=0,
                too_soon_seconds=0,
                ssl_certfile=certificate.chain,
                ssl_keyfile=certificate.key,
            ) as rotated,
            bad_addresses(emulator.port, untrusted),
        ):
            matrix = Matrix(emulator, rotated, NameServer(patched), authority.bundle, folder, patched)
            runs = [matrix.prepare(cell) for cell in CELLS if cell in asked]
            with (
                everything_logged() as lines,
                ThreadPoolExecutor(AT_ONCE, initializer=prepare_thread) as pool,
            ):
                outcomes = dict(
                    zip([run.cell for run in runs], pool.map(matrix.carry_out, runs), strict=True)
                )
            yield Results(outcomes, "\n".join(lines), (emulator.client_secret, rotated.client_secret))


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
        assert outcome.result["request_id"].startswith("ds-")
        assert outcome.start.items() <= outcome.result.items()
    else:
        error, text = (expected.error, expected.text)
        if expected is WAITS_ON:
            error, text = TIMEOUTS[cell.mode], TIMEOUT_TEXT
        assert isinstance(outcome.error, error), outcome.told
        assert re.search(text, str(outcome.error)), outcome.error
    if not expected.recovers:
        assert len(outcome.requests) == 1
    assert outcome.seconds <= cell.budget
    assert_each_request_had_a_token_of_its_own(cell, outcome)
    # A sensor that is rescheduled begins each time anew; its poke_interval alone says when.
    if FAULTS[cell.fault].asks and not cell.stays and cell.mode != "reschedule":
        assert outcome.requests[1]["time"] >= outcome.wanted_from
    assert not any(secret in outcome.told for secret in results.secrets)
    assert not LINK.search(outcome.told)


def assert_each_request_had_a_token_of_its_own(cell: Cell, outcome: Outcome) -> None:
    tokens = [request["jti"] for request in outcome.requests]
    if cell.part == "download":
        assert set(tokens) <= {None}
        assert not any(request["auth"] for request in outcome.requests)
    else:
        assert None not in tokens
        assert len(set(tokens)) == len(tokens)
        if FAULTS[cell.fault].address is None and expected_of(cell).recovers and not cell.stays:
            assert len(tokens) >= 2


# A link's signature, and where a link leads; a token's beginning.
LINK = re.compile(r"getMediaStream|[?&]s=[0-9a-f]{16}")
TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{20}")


def test_the_log_of_all_cells_at_debug_holds_no_secret(results):
    assert "urllib3" in results.log
    assert "httpcore" in results.log
    assert not any(secret in results.log for secret in results.secrets)
    assert not LINK.search(results.log)
    assert not TOKEN.search(results.log)


def test_the_table_names_every_fault_and_the_cells_are_many(capsys):
    assert list(TABLE) == list(FAULTS)
    assert len(CELLS) == len(set(map(str, CELLS))) >= 150
    with capsys.disabled():
        print(f"\nfault matrix: {len(CELLS)} cells", end=" ")
