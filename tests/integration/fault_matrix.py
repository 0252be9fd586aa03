"""
What makes a call meet a fault, and runs one call in one of the ways in which it happens.

Faults of an answer are the emulator's. Those of the way to it are made here: names of hosts lead, for as many
connections as a fault lasts, to an address where something is wrong. They are all on loopback, which on Linux is the
whole of 127.0.0.0/8.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import ssl
import threading
import time
import traceback
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from airflow_provider_koreai.hooks.koreai import KoreAIHook
from airflow_provider_koreai.operators.koreai import (
    KoreAIDownloadUtterancesOperator,
    KoreAIExportUtterancesOperator,
)
from airflow_provider_koreai.sensors.koreai import KoreAIExportStatusSensor
from tests.support.running import FakeTaskInstance, new_context, run_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pytest

    from airflow_provider_koreai.emulator.process import EmulatorProcess
    from tests.support.certificates import Certificate

try:
    from airflow.sdk.exceptions import AirflowRescheduleException  # from Airflow 3.2 on
except ImportError:
    from airflow.exceptions import AirflowRescheduleException

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
    :param parts: of :data:`MODES`, where it can happen.
    """

    address: str | None = None
    kind: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    takes: float = 0.0
    asks: str = ""
    is_refusal: bool = False
    parts: tuple[str, ...] = ("start", "ask", "wait", "download")


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
    "dropped in the body": Fault(kind="reset", params={"at": 100}),
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
    "secret rotated": Fault(ROTATED, is_refusal=True, parts=("wait",)),
    "slow drip": Fault(kind="drip", params={"bytes_per_second": 100}, takes=2 * TIMEOUT),
}
MODES = {
    "start": ("operator", "one task", "one task, deferrable"),
    "ask": ("hook", "hook, async"),
    "wait": ("poke", "reschedule", "deferrable", "one task", "one task, deferrable"),
    "download": ("operator", "hook"),
}
#: The emulator's names of the calls that the parts of the matrix are about.
CALLS = {"start": "start", "ask": "status", "wait": "status", "download": "download"}

#: Bytes a second of a file that drips, which has some thousands.
FILE_DRIP = 40_000
TRIES = 3
FAULTY_CALLS = 2
#: How long an export takes whose wait is refused midway.
REFUSED_EXPORT_SECONDS = 1.0
#: Status calls of a wait that its old secret is still good for.
CALLS_BEFORE_ROTATION = 2
POKE_INTERVAL = 0.02
WAIT_TIMEOUT = 0.3
LONG_WAIT_TIMEOUT = 30.0
MAX_BYTES = 32 << 20
#: What a busy machine may take for the cell's own work, beyond all that is configured.
SLACK = 6.0


@dataclass(frozen=True)
class Cell:
    """
    One call, in one mode, that meets one fault.

    :param part: of :data:`MODES`.
    :param mode: how the call comes about.
    :param fault: of :data:`FAULTS`.
    :param stays: whether the fault lasts for ever, or for :data:`FAULTY_CALLS` calls.
    """

    part: str
    mode: str
    fault: str
    stays: bool

    def __str__(self) -> str:
        return f"{self.part}-{self.mode}-{self.fault}-{'stays' if self.stays else 'goes away'}"

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
        waits = WAIT_TIMEOUT if self.part == "wait" and self.stays else 0
        asked = 2 if fault.asks and not self.stays else 0
        return calls * fault.takes + waits + asked + SLACK


CELLS = [
    Cell(part, mode, fault, stays)
    for part, modes in MODES.items()
    for mode in modes
    for fault in FAULTS
    if part in FAULTS[fault].parts
    for stays in (False, True)
]


@dataclass
class Outcome:
    """
    What became of a cell.

    :param result: what the call gave.
    :param error: what it raised.
    :param seconds: that it took.
    :param requests: what the emulator was asked in it, without what prepared it.
    :param start: identity of the export.
    """

    result: Any = None
    error: Exception | None = None
    seconds: float = 0.0
    requests: list[dict[str, Any]] = field(default_factory=list)
    start: dict[str, str] = field(default_factory=dict)
    wanted_from: float = 0.0

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
    :param rotated: likewise, at :data:`ROTATED`, with another secret.
    :param names: leads to it.
    :param ca_bundle: of the CA that vouches for it.
    :param folder: where files are downloaded to.
    :param monkeypatch: for the connections.
    """

    def __init__(
        self,
        emulator: EmulatorProcess,
        rotated: EmulatorProcess,
        names: NameServer,
        ca_bundle: Path,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self._emulator = emulator
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
        timeout = TIMEOUT if fault.takes else PATIENT_TIMEOUT
        run = Run(cell, name.replace("-", "_"), f"st-{name}", host, self._folder / name)
        run.folder.mkdir()
        if fault.address == ROTATED:
            self._prepare_rotation(run)
        self._monkeypatch.setenv(run.variable, self._connection(self._emulator, host, timeout))
        return run

    def _connection(self, emulator: EmulatorProcess, host: str, timeout: float = PATIENT_TIMEOUT) -> str:
        connection = emulator.connection_json(ca_bundle=self._ca_bundle, timeout=timeout)
        return connection.replace(emulator.base_url, f"https://{host}:{emulator.port}")

    def _prepare_rotation(self, run: Run) -> None:
        """Have the cell's export there, too, and finished; it is known by its ID, which is made of the bot's."""
        self._rotated.control.configure_bot(run.bot, rows=200, status_without_time=True)
        self._names.script(run.host, 0, ROTATED, ALWAYS)
        self._monkeypatch.setenv(run.variable, self._connection(self._rotated, run.host))
        hook = KoreAIHook(run.conn_id)
        hook.start_export(run.bot)
        hook.get_conn().close()

    def carry_out(self, run: Run) -> Outcome:
        """Let the cell happen."""
        control, cell, fault = self._emulator.control, run.cell, FAULTS[run.cell.fault]
        control.configure_bot(
            run.bot, rows=200, ranges=not cell.stays, status_per_minute=10**6, status_per_hour=10**6
        )
        if fault.address == ROTATED:
            # It ends after the rotation only; and each call has a connection of its own, which may be led elsewhere.
            control.configure_bot(run.bot, seconds=HOUR, status_without_time=True)
            for call in ("start", "status"):
                control.add_fault(run.bot, call, "drip", times=ALWAYS, bytes_per_second=1e9)
            self._names.script(run.host, 0, WORKING, ALWAYS)
        outcome = Outcome()
        if (
            cell.part == "ask"
            or (cell.part == "wait" and "one task" not in cell.mode)
            or cell.part == "download"
        ):
            outcome.start = run.hook.start_export(run.bot, file_type=run.file_type).identity.as_dict()
            # The next call needs a connection of its own.
            run.hook.get_conn().close()
        prepared = len(control.requests(run.bot))
        if fault.address is not None:
            good = {"download": 1, "wait": 1 if "one task" in cell.mode else 0}.get(cell.part, 0)
            if fault.address == ROTATED:
                good += CALLS_BEFORE_ROTATION
                if not cell.stays:
                    new = self._connection(self._rotated, run.host)
                    self._names.call_at_first(
                        run.host, ROTATED, lambda: os.environ.__setitem__(run.variable, new)
                    )
            self._names.script(run.host, good, fault.address, cell.calls_that_fail)
            if good and cell.part == "wait":
                # Answered as it should be, and the connection closed.
                control.add_fault(run.bot, "start", "drip", bytes_per_second=1e9)
        else:
            params = dict(fault.params)
            if cell.fault == "slow drip" and cell.part == "download":
                params["bytes_per_second"] = FILE_DRIP
            if fault.is_refusal and cell.part == "wait":
                # In the midst of it, not in its first call or in the confirmation of the start.
                control.configure_bot(run.bot, seconds=REFUSED_EXPORT_SECONDS)
                params["after"] = 2
            if fault.asks:
                now = time.time()
                seconds = HOUR if cell.stays else 1
                outcome.wanted_from = now + seconds if fault.asks == "seconds" else int(now) + seconds
                asked = (
                    str(seconds) if fault.asks == "seconds" else formatdate(int(now) + seconds, usegmt=True)
                )
                params["headers"] = {"Retry-After": asked}
            control.add_fault(run.bot, CALLS[cell.part], fault.kind, times=cell.calls_that_fail, **params)
        began = time.monotonic()
        try:
            outcome.result = run.go(outcome.start)
        except Exception as error:  # noqa: BLE001 - whatever it is, the table has the last word
            outcome.error = error
        outcome.seconds = time.monotonic() - began
        requests = control.requests(run.bot)[prepared:]
        outcome.requests = [request for request in requests if request["call"] == CALLS[cell.part]]
        return outcome


@dataclass
class Run:
    """
    One cell on its way.

    :param cell: which.
    :param conn_id: its connection.
    :param bot: its bot.
    :param host: its host name.
    :param folder: for its file.
    """

    cell: Cell
    conn_id: str
    bot: str
    host: str
    folder: Path

    def __post_init__(self) -> None:
        self.hook = KoreAIHook(self.conn_id, max_tries=TRIES, max_retry_wait=0.01, max_retry_seconds=20)

    @property
    def variable(self) -> str:
        """Where Airflow finds the connection."""
        return f"AIRFLOW_CONN_{self.conn_id.upper()}"

    @property
    def file_type(self) -> str:
        # A CSV that is cut between two rows looks whole; so what it is compared with is JSON.
        return "json" if self.cell.fault.startswith("JSON") else "csv"

    def go(self, start: dict[str, str]) -> Any:
        """Make the call, in its mode."""
        part, mode = self.cell.part, self.cell.mode
        if part == "ask":
            ask = self.hook.get_export if mode == "hook" else self._ask_on_a_loop
            return ask(self.bot).identity.as_dict()
        if part == "download":
            arguments = {
                "path": f"{self.folder}/utterances.{self.file_type}",
                "max_bytes": MAX_BYTES,
                **start,
            }
            if mode == "hook":
                return self.hook.download_export(self.bot, **arguments).as_dict()
            return run_task(self._with_hook(KoreAIDownloadUtterancesOperator(**self._task(), **arguments)))
        if part == "wait" and "one task" not in mode:
            return self._run_rescheduled(start) if mode == "reschedule" else run_task(self._sensor(start))
        return self._run_export()

    def _run_export(self) -> dict[str, str]:
        mode = self.cell.mode
        task = KoreAIExportUtterancesOperator(
            **self._task(),
            file_type=self.file_type,
            wait_for_completion="one task" in mode,
            deferrable="deferrable" in mode,
            timeout=self._wait_timeout,
        )
        context = new_context()
        request_id = run_task(self._with_hook(task), context)
        return {"request_id": request_id, **context["ti"].xcoms}

    def _sensor(self, start: dict[str, str]) -> Any:
        mode = self.cell.mode
        sensor = KoreAIExportStatusSensor(
            **self._task(),
            **start,
            mode="reschedule" if mode == "reschedule" else "poke",
            deferrable=mode == "deferrable",
            timeout=self._wait_timeout,
            poke_interval=POKE_INTERVAL,
        )
        return self._with_hook(sensor)

    def _run_rescheduled(self, start: dict[str, str]) -> Any:
        instance = RescheduledTaskInstance(self.conn_id)
        while True:
            # Each time a process of its own, as a worker would have.
            self.hook = KoreAIHook(self.conn_id)
            try:
                return self._sensor(start).execute({"ti": instance})
            except AirflowRescheduleException as again:
                time.sleep(max(0.0, (again.reschedule_date - datetime.now(timezone.utc)).total_seconds()))

    def _ask_on_a_loop(self, bot: str) -> Any:
        return asyncio.run(self.hook.aget_export(bot))

    def _task(self) -> dict[str, str]:
        return {"task_id": self.conn_id, "bot_id": self.bot, "koreai_conn_id": self.conn_id}

    def _with_hook(self, task: Any) -> Any:
        task.__dict__["hook"] = self.hook
        return task

    @property
    def _wait_timeout(self) -> float:
        ends_itself = not self.cell.stays or FAULTS[self.cell.fault].is_refusal
        return WAIT_TIMEOUT if self.cell.part == "wait" and not ends_itself else LONG_WAIT_TIMEOUT


class RescheduledTaskInstance(FakeTaskInstance):
    """Knows when a rescheduled task was first run, which Airflow has from its database."""

    first_dates: dict[str, datetime] = {}  # noqa: RUF012 - for all instances

    def __init__(self, task_id: str) -> None:
        super().__init__()
        self.task_id, self.dag_id, self.run_id, self.map_index, self.max_tries = task_id, "dag", "run", -1, 0
        self.first_dates[task_id] = datetime.now(timezone.utc)

    def get_first_reschedule_date(self, context: Any) -> datetime:
        """Airflow 3 asks this."""
        return self.first_dates[self.task_id]

    @classmethod
    def orig_start_date(cls, *, task_id: str, **_: Any) -> datetime:
        """In place of Airflow 2's query."""
        return cls.first_dates[task_id]
