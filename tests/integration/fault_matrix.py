"""
The cells of the fault matrix: which call meets which fault in which way, and how the fault is brought about.

Faults of an answer are the emulator's. Faults on the way to it are made here: host names lead, for as many connections
as a fault lasts, to an address where something is wrong. The addresses are all on loopback, which on Linux is the whole
of 127.0.0.0/8. How each call is made is in ``fault_matrix_runs``.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import socket
import ssl
import threading
import time
import traceback
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_koreai.hooks.koreai import KoreAIHook

from .fault_matrix_runs import RUNS, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pytest

    from airflow_provider_koreai.emulator.process import EmulatorProcess
    from tests.support.certificates import Certificate

DOMAIN = "koreai.localhost"
WORKING, REFUSING, SILENT, UNTRUSTED = "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"
ROTATED = "127.0.0.5"  # a Kore.ai with the same bots and another secret
UNKNOWN = ""  # no address at all
ALWAYS = -1


class NameServer:
    """Says where the hosts of :data:`DOMAIN` are: each host's next connection, and all after its last rule."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._answers: dict[str, Iterator[str]] = {}
        self._at_first: dict[tuple[str, str], Callable[[], None]] = {}
        self._ask = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._getaddrinfo)

    def script(self, host: str, good: int, bad: str, times: int) -> None:
        """Lead so many connections to the working address, then so many to a bad one, then to the working again."""
        wrong = itertools.repeat(bad) if times == ALWAYS else itertools.repeat(bad, times)
        self._answers[host] = itertools.chain(
            itertools.repeat(WORKING, good), wrong, itertools.repeat(WORKING)
        )

    def call_at_first(self, host: str, address: str, action: Callable[[], None]) -> None:
        """Call this when the host is led to the address for the first time, before the connection is made."""
        self._at_first[host, address] = action

    def _getaddrinfo(self, host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name is None or not name.endswith(DOMAIN):
            return self._ask(host, port, *args, **kwargs)
        address = next(self._answers[name]) if name in self._answers else WORKING
        self._at_first.pop((name, address), lambda: None)()
        if address == UNKNOWN:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, int(port)))]


@contextlib.contextmanager
def bad_addresses(port: int, untrusted: Certificate) -> Iterator[None]:
    """Have one address that accepts no connection, and one with a certificate that nobody trusts."""
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.socket())
        silent.bind((SILENT, port))
        silent.listen(0)
        for _ in range(3):  # more than its queue holds; to further ones it does not answer
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((SILENT, port))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(untrusted.chain, untrusted.key)
        listener = stack.enter_context(socket.create_server((UNTRUSTED, port)))
        thread = threading.Thread(target=_shake_hands, args=(listener, context), daemon=True)
        thread.start()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _shake_hands(listener: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            connection = listener.accept()[0]
        except OSError:
            return
        connection.settimeout(2)
        with (
            contextlib.suppress(OSError),
            connection,
            context.wrap_socket(connection, server_side=True) as tls,
        ):
            tls.recv(1)


@dataclass(frozen=True)
class Fault:
    """
    Something that goes wrong with a call.

    :param address: where the connection is led to instead; None: to the emulator.
    :param kind: the emulator's fault.
    :param params: its parameters.
    :param takes: seconds that the call itself takes at most; 0: it ends at once.
    :param asks: seconds that the answer asks to wait: while the fault stays, an hour.
    :param is_refusal: it is a 401, which is asked once more and then believed, in a wait too.
    :param kinds: the kinds of :data:`CALLS` that it can happen to.
    """

    address: str | None = None
    kind: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    takes: float = 0.0
    asks: str = ""
    is_refusal: bool = False
    kinds: tuple[str, ...] = ("start", "import", "ask", "wait", "download")


# Seconds. A connection with little patience, for the faults that take time.
TIMEOUT = 0.4
PATIENT_TIMEOUT = 10.0
HOUR = 3600

FAULTS = {
    "connection refused": Fault(REFUSING),
    "host unknown": Fault(UNKNOWN),
    "certificate not trusted": Fault(UNTRUSTED),
    "no connection in time": Fault(SILENT, takes=TIMEOUT),
    "no answer in time": Fault(
        kind="stall", params={"at": "before_headers", "seconds": 60, "then": "close"}, takes=TIMEOUT
    ),
    "dropped before the headers": Fault(kind="drop", params={"at": "before_headers"}),
    "dropped in the headers": Fault(kind="drop", params={"at": "in_headers"}),
    "dropped after the headers": Fault(kind="drop", params={"at": 0}),
    "dropped in the body": Fault(kind="reset", params={"at": 20}),
    "429": Fault(kind="http", params={"status": 429}),
    "429, Retry-After seconds": Fault(kind="http", params={"status": 429}, asks="seconds"),
    "429, Retry-After date": Fault(kind="http", params={"status": 429}, asks="date"),
    "500": Fault(kind="http", params={"status": 500}),
    "502": Fault(kind="http", params={"status": 502}),
    "503": Fault(kind="http", params={"status": 503}),
    "504": Fault(kind="http", params={"status": 504}),
    "HTML with status 200": Fault(kind="html"),
    "JSON that is cut": Fault(kind="truncated_json"),
    "JSON of another shape": Fault(kind="json_shape", params={"value": {"errors": []}}),
    "huge body": Fault(kind="huge", params={"size": 64 << 20}),
    "gateway's 404 in text": Fault(kind="http", params={"status": 404, "body": "default backend - 404"}),
    "gateway's 404 in HTML": Fault(kind="http", params={"status": 404, "body": "<html>Not Found</html>"}),
    "possibly a replay": Fault(
        kind="http",
        params={"status": 401, "msg": "error verifying the jwt: possibly a replay", "code": 401},
        is_refusal=True,
    ),
    # It goes away if the connection is changed, too.
    "secret rotated": Fault(ROTATED, is_refusal=True, kinds=("wait",)),
    "slow drip": Fault(kind="drip", params={"bytes_per_second": 40}, takes=2 * TIMEOUT),
}


@dataclass(frozen=True)
class Call:
    """
    A call to Kore.ai, or the status calls of a wait.

    :param kind: what it ends with depends on this only: ``start``, ``import``, ``ask``, ``wait`` or ``download``.
    :param name: the emulator's name of the call.
    :param run: how it is made, of :data:`RUNS`.
    :param modes: the ways in which it comes about, each with the calls that it makes before.
    :param result: the entry of its result that names what was started or asked for, and how that begins.
    :param needed: the field that an answer to it must have.
    """

    kind: str
    name: str
    run: str
    modes: dict[str, tuple[str, ...]]
    result: tuple[str, str]
    needed: str = ""


_HOOK: dict[str, tuple[str, ...]] = {"hook": (), "hook, async": ()}


def _task(*before: str) -> dict[str, tuple[str, ...]]:
    return {"worker": before, "deferrable": before}


def _hook_or_task(*before: str) -> dict[str, tuple[str, ...]]:
    # Where a task waits afterwards makes no difference to its start.
    return {"hook": (), "worker": before}


_EXPORT = ("request_id", "ds-")
_IMPORT = ("import_id", "bir-")
_TEST = ("request_id", "tr-")
_ONE_TASK = ("one task", "one task, deferrable")
CALLS = {
    "export": Call(
        "start", "start", "export", {"operator": (), **dict.fromkeys(_ONE_TASK, ())}, _EXPORT, "_id"
    ),
    "export status": Call("ask", "status", "export", _HOOK, _EXPORT, "status"),
    "export wait": Call(
        "wait",
        "status",
        "export",
        {"poke": (), "reschedule": (), "deferrable": (), **dict.fromkeys(_ONE_TASK, ("start",))},
        _EXPORT,
    ),
    "download": Call(
        "download", "download", "export", dict.fromkeys(("operator", "hook"), ("status",)), _EXPORT
    ),
    "upload": Call("start", "upload", "import", _hook_or_task(), ("file_type", "json"), "fileId"),
    "import": Call("import", "import", "import", {"hook": (), **_task("upload")}, _IMPORT, "_id"),
    "import status": Call("ask", "import_status", "import", _HOOK, _IMPORT, "status"),
    "import wait": Call("wait", "import_status", "import", _task("upload", "import"), _IMPORT),
    "train": Call(
        "start", "train", "training", _hook_or_task("train_status"), ("training_id", ""), "Training_ID"
    ),
    "train status": Call(
        "ask",
        "train_status",
        "training",
        {**_HOOK, "before a start": ()},
        ("language", "en"),
        "trainingStatus",
    ),
    "train wait": Call(
        "wait", "train_status", "training", _task("train_status", "train"), ("training_id", "")
    ),
    "test": Call("start", "test", "test", _hook_or_task(), _TEST, "requestId"),
    "test status": Call("ask", "test_status", "test", _HOOK, _TEST, "status"),
    # It starts nothing, and is a POST all the same.
    "analytics": Call(
        "start", "analytics", "analytics", {"hook": (), "worker": ()}, ("start", "2026-"), "result"
    ),
    "test wait": Call("wait", "test_status", "test", _task("test"), _TEST),
}

#: Bytes a second of a file that drips, which has some thousands.
FILE_DRIP = 40_000
TRIES = 3
FAULTY_CALLS = 2
#: How long a job takes whose wait is refused once, midway.
REFUSED_JOB_SECONDS = 1.0
#: Status calls of a wait that its old secret is still good for.
CALLS_BEFORE_ROTATION = 2
WAIT_TIMEOUT = 0.3
#: What a busy machine may take for the cell's own work, beyond all that is configured.
SLACK = 6.0


@dataclass(frozen=True)
class Cell:
    """
    One call, in one mode, that meets one fault.

    :param what: of :data:`CALLS`.
    :param mode: of the call's modes.
    :param fault: of :data:`FAULTS`.
    :param stays: whether the fault lasts for ever, or for :data:`FAULTY_CALLS` calls.
    """

    what: str
    mode: str
    fault: str
    stays: bool

    def __str__(self) -> str:
        return f"{self.what}-{self.mode}-{self.fault}-{'stays' if self.stays else 'goes away'}"

    @property
    def call(self) -> Call:
        """The call."""
        return CALLS[self.what]

    @property
    def calls_before(self) -> tuple[str, ...]:
        """The calls that the mode makes before, by the emulator's names."""
        return self.call.modes[self.mode]

    @property
    def ends_by_timeout(self) -> bool:
        """Whether nothing but the task's ``timeout`` ends it."""
        return self.call.kind == "wait" and self.stays and not FAULTS[self.fault].is_refusal

    @property
    def calls_that_fail(self) -> int:
        """Calls that meet the fault before it goes away; those that take time, or ask for it, meet it once."""
        fault = FAULTS[self.fault]
        if self.stays or fault.address == ROTATED:
            return ALWAYS
        return 1 if fault.takes or fault.asks or fault.is_refusal else FAULTY_CALLS

    @property
    def budget(self) -> float:
        """Seconds that the configuration allows for the cell."""
        fault = FAULTS[self.fault]
        calls = TRIES if self.stays else 1
        waits = WAIT_TIMEOUT if self.ends_by_timeout else 0
        asked = 2 if fault.asks and not self.stays else 0
        return calls * fault.takes + waits + asked + SLACK


#: Airflow has a part in a wait only, so on another than the newest the other cells would show nothing new.
KINDS = {call.kind for call in CALLS.values()} if AIRFLOW_V_3_3_PLUS else {"wait"}
CELLS = [
    Cell(what, mode, fault, stays)
    for what, call in CALLS.items()
    if call.kind in KINDS
    for mode in call.modes
    for fault in FAULTS
    if call.kind in FAULTS[fault].kinds
    for stays in (False, True)
]


@dataclass
class Outcome:
    """
    What a cell ended with.

    :param result: what the call returned.
    :param error: what it raised.
    :param seconds: that it took.
    :param requests: the cell's requests of this call, without those that prepared it.
    :param known: what the result must contain.
    :param wanted_from: when the answer asked to be called again, in seconds since the epoch.
    :param stored: what the task left with Airflow.
    """

    result: Any = None
    error: Exception | None = None
    seconds: float = 0.0
    requests: list[dict[str, Any]] = field(default_factory=list)
    known: dict[str, Any] = field(default_factory=dict)
    wanted_from: float = 0.0
    stored: str = ""

    @property
    def training_ids(self) -> set[str]:
        """The IDs of trainings that it shows, which are not secret."""
        return set(re.findall(r"training_id\W+([0-9a-f]{24})\b", f"{self.result!r} {self.stored}"))

    @property
    def told(self) -> str:
        """All that the error tells to whoever prints it, its causes and contexts included."""
        if self.error is None:
            return repr(self.result)
        lines = traceback.format_exception(self.error)
        error: BaseException | None = self.error
        seen: list[BaseException] = []
        while error is not None:
            assert error not in seen, "an error is its own cause"
            seen.append(error)
            lines += [repr(error), repr(error.args)]
            error = error.__cause__ or error.__context__
        return "\n".join(lines)


class Matrix:
    """
    Runs cells, each with a bot, a connection and a host name of its own.

    :param emulator: speaks https.
    :param uploads: likewise, for the cells about uploads, of which one runs at a time: their faults belong to no bot.
    :param rotated: likewise, at :data:`ROTATED`, with another secret.
    :param names: leads to them.
    :param ca_bundle: of the CA that vouches for them.
    :param folder: for files.
    :param monkeypatch: for the connections.
    """

    def __init__(
        self,
        emulator: EmulatorProcess,
        uploads: EmulatorProcess,
        rotated: EmulatorProcess,
        names: NameServer,
        ca_bundle: Path,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self._emulator = emulator
        self._uploads = uploads
        self._rotated = rotated
        self._names = names
        self._ca_bundle = str(ca_bundle)
        self._folder = folder
        self._monkeypatch = monkeypatch
        self._numbers = itertools.count(1)

    def prepare(self, cell: Cell) -> Run:
        """Set up all but what happens in the cell; not for several threads at once."""
        number = next(self._numbers)
        fault, name = FAULTS[cell.fault], f"cell-{number}"
        host = f"{name}.{DOMAIN}"
        run = RUNS[cell.call.run](
            cell, name.replace("-", "_"), f"st-{name}", host, self._folder / name, TRIES, WAIT_TIMEOUT
        )
        run.folder.mkdir()
        if fault.address == ROTATED:
            self._prepare_rotation(run)
        connection = self._connection(
            self._emulator_of(cell), host, TIMEOUT if fault.takes else PATIENT_TIMEOUT
        )
        self._monkeypatch.setenv(run.variable, connection)
        return run

    def _emulator_of(self, cell: Cell) -> EmulatorProcess:
        return self._uploads if cell.what == "upload" else self._emulator

    def _connection(self, emulator: EmulatorProcess, host: str, timeout: float = PATIENT_TIMEOUT) -> str:
        connection = emulator.connection_json(ca_bundle=self._ca_bundle, timeout=timeout)
        return connection.replace(emulator.base_url, f"https://{host}:{emulator.port}")

    def _prepare_rotation(self, run: Run) -> None:
        """Have the cell's job there, too, and finished; it is known by its ID, which is made of the bot's."""
        self._rotated.control.configure_bot(run.bot, status_without_time=True)
        self._names.script(run.host, 0, ROTATED, ALWAYS)
        self._monkeypatch.setenv(run.variable, self._connection(self._rotated, run.host))
        hook = KoreAIHook(run.conn_id)
        run.start(hook)
        hook.get_conn().close()
        self._names.script(run.host, 0, WORKING, ALWAYS)

    def carry_out(self, run: Run) -> Outcome:
        """Let the cell happen."""
        cell, call, outcome = run.cell, run.cell.call, Outcome()
        control = self._emulator_of(cell).control
        control.configure_bot(
            run.bot, ranges=not cell.stays, status_per_minute=10**6, status_per_hour=10**6, **run.settings
        )
        if FAULTS[cell.fault].address == ROTATED:
            # The job ends after the rotation only.
            control.configure_bot(run.bot, seconds=HOUR, status_without_time=True)
        outcome.known = run.prepare()
        if FAULTS[cell.fault].address is None:
            outcome.wanted_from = self._order_fault(run)
        else:
            self._lead_astray(run)
        began, began_at = time.monotonic(), time.time()
        try:
            outcome.result = run.go(outcome.known)
        except Exception as error:  # noqa: BLE001 - whatever it is, the table has the last word
            outcome.error = error
        outcome.seconds = time.monotonic() - began
        outcome.stored = run.stored
        asked = control.requests(None if cell.what == "upload" else run.bot, call.name)
        outcome.requests = [request for request in asked if request["time"] >= began_at]
        if cell.what == "upload":
            control.clear_faults(None)
        return outcome

    def _lead_astray(self, run: Run) -> None:
        """Lead the call's connections to the fault's address."""
        control, cell, address = self._emulator_of(run.cell).control, run.cell, FAULTS[run.cell.fault].address
        good = len(cell.calls_before)
        # Each call before has a connection of its own, so that the call in question needs a new one. A file's server
        # is called by another client anyway, and an upload by the hook of another connection.
        closing = [name for name in cell.calls_before if name != "upload" and cell.call.kind != "download"]
        times = 1
        if address == ROTATED:
            # Each status call may be led elsewhere.
            closing, times = [*closing, cell.call.name], ALWAYS
            good += CALLS_BEFORE_ROTATION
            if not cell.stays:
                new = self._connection(self._rotated, run.host)
                self._names.call_at_first(
                    run.host, ROTATED, lambda: os.environ.__setitem__(run.variable, new)
                )
        for name in closing:
            # Answered as it should be, and the connection closed.
            control.add_fault(run.bot, name, "drip", times=times, bytes_per_second=1e9)
        self._names.script(run.host, good, str(address), cell.calls_that_fail)

    def _order_fault(self, run: Run) -> float:
        """Order the emulator's fault; return when the call may be repeated, 0 if the answer does not say."""
        cell, fault = run.cell, FAULTS[run.cell.fault]
        control = self._emulator_of(cell).control
        params: dict[str, Any] = {**fault.params, "after": cell.calls_before.count(cell.call.name)}
        wanted_from = 0.0
        if cell.fault == "slow drip" and cell.call.kind == "download":
            params["bytes_per_second"] = FILE_DRIP
        if fault.is_refusal and cell.call.kind == "wait":
            # In the midst of it, not in its first call or in the confirmation of the start.
            control.configure_bot(run.bot, seconds=HOUR if cell.stays else REFUSED_JOB_SECONDS)
            params["after"] += 2
        if fault.asks:
            now, seconds = time.time(), HOUR if cell.stays else 1
            wanted_from = now + seconds if fault.asks == "seconds" else int(now) + seconds
            asked = str(seconds) if fault.asks == "seconds" else formatdate(int(now) + seconds, usegmt=True)
            params["headers"] = {"Retry-After": asked}
        bot = None if cell.what == "upload" else run.bot
        control.add_fault(bot, cell.call.name, fault.kind, times=cell.calls_that_fail, **params)
        return wanted_from
