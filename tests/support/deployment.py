"""
A real Airflow deployment on one machine, for tests and benchmarks: api-server, scheduler with LocalExecutor,
dag-processor and triggerer, each a process of its own, in a private AIRFLOW_HOME on loopback.

The database is PostgreSQL where its programs and drivers are installed, else SQLite; ``E2E_DATABASE`` may say
``postgresql`` or ``sqlite``. With ``E2E_KEEP=1`` the home folder, logs included, is left behind.
"""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from types import TracebackType

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
FINAL_STATES = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
# Airflow reads this module at its start: runs are started by the tests and by assets, never by the clock. A DAG that has
# ended keeps its schedule, which a backfill needs.
_LOCAL_SETTINGS = """
from airflow.sdk.definitions.timetables.simple import NullTimetable

def dag_policy(dag):
    keeps = dag.timetable.asset_condition or dag.end_date or dag.is_paused_upon_creation
    if not keeps:
        dag.timetable = NullTimetable()
"""
# What makes tests quick and small, and no user sets.
_QUICK = {
    "core.parallelism": 16,
    "scheduler.scheduler_heartbeat_sec": 1,
    "scheduler.scheduler_idle_sleep_time": 0.3,
    "scheduler.trigger_timeout_check_interval": 5,
    "scheduler.task_instance_heartbeat_timeout": 20,
    "scheduler.task_instance_heartbeat_timeout_detection_interval": 5,
    "triggerer.job_heartbeat_sec": 1,
    "triggerer.triggerer_health_check_threshold": 8,
    # A supervisor that has just missed the end of its task's process looks again after so many seconds, and until then
    # keeps the worker.
    "workers.min_heartbeat_interval": 1,
}
# Further reads after an internal error of the API.
_LOCKED_TRIES = 5
_START_TIMEOUT = 150.0
_STOP_TIMEOUT = 20.0
_MIGRATE_TIMEOUT = 180.0


class DeploymentError(Exception):
    """The deployment did not do what was waited for."""


# -- processes that surely end ----------------------------------------------------------------------------------------


class Processes:
    """
    Child processes, each the leader of a session of its own, so that all its descendants can be found and ended.

    A guard process ends them, and removes the folders, if this process is killed.
    """

    def __init__(self) -> None:
        self._children: list[tuple[subprocess.Popen[bytes], int]] = []
        self._folders: list[Path] = []
        self._guard: subprocess.Popen[str] | None = None

    def new_folder(self, prefix: str) -> Path:
        """Make a temporary folder that is removed at the end."""
        folder = Path(tempfile.mkdtemp(prefix=prefix))
        self._folders.append(folder)
        self._tell_guard(f"+folder {folder}")
        return folder

    def start(
        self, command: list[str], *, log: Path, end_with: int = signal.SIGKILL, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start a program that writes to a log file, and that will be ended with this signal."""
        with log.open("ab") as output:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                **options,
            )
        self._children.append((child, end_with))
        self._tell_guard(f"+session {child.pid} {int(end_with)}")
        return child

    def kill(self, child: subprocess.Popen[bytes]) -> None:
        """Kill -9 a child and all that it started."""
        _end_sessions({child.pid: signal.SIGKILL})
        child.wait(_STOP_TIMEOUT)
        self._children = [pair for pair in self._children if pair[0] is not child]
        self._tell_guard(f"-session {child.pid}")

    def stop(self, *, keep_folders: bool = False) -> None:
        """End all children, and remove the folders."""
        _end_sessions({child.pid: end_with for child, end_with in self._children})
        for child, _ in self._children:
            child.wait(_STOP_TIMEOUT)
        self._children.clear()
        if not keep_folders:
            for folder in self._folders:
                shutil.rmtree(folder, ignore_errors=True)
        self._folders.clear()
        guard, self._guard = self._guard, None
        if guard is not None and guard.stdin is not None:
            with contextlib.suppress(OSError):
                guard.stdin.write("done\n")
                guard.stdin.close()
            guard.wait(_STOP_TIMEOUT)

    def _tell_guard(self, line: str) -> None:
        if self._guard is None:
            self._guard = subprocess.Popen(
                [sys.executable, __file__], stdin=subprocess.PIPE, text=True, start_new_session=True
            )
        assert self._guard.stdin is not None
        self._guard.stdin.write(line + "\n")
        self._guard.stdin.flush()


def _end_sessions(sessions: Mapping[int, int]) -> None:
    """
    End every process of these sessions.

    :param sessions: the leader's process ID, and the signal that ends it; all others are killed.
    """
    killed = {pid for pid, number in sessions.items() if number == signal.SIGKILL}
    _kill_sessions(killed)
    gently = {pid: number for pid, number in sessions.items() if number != signal.SIGKILL}
    for pid, number in gently.items():
        with contextlib.suppress(OSError):
            os.kill(pid, number)
    deadline = time.monotonic() + _STOP_TIMEOUT
    while any(_members(gently)) and time.monotonic() < deadline:
        time.sleep(0.05)
    _kill_sessions(gently)


def _kill_sessions(sessions: Collection[int]) -> None:
    for _ in range(100):
        found = list(_members(sessions))
        if not found:
            return
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _members(sessions: Collection[int]) -> Iterator[int]:
    """The processes of these sessions that have not ended."""
    import psutil

    for pid in psutil.pids() if sessions else ():
        with contextlib.suppress(OSError, psutil.NoSuchProcess):
            if os.getsid(pid) in sessions and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                yield pid


def _guard(lines: Iterable[str]) -> None:
    """Remember what was started; when the other end of the pipe goes away without "done", end it."""
    sessions: dict[int, int] = {}
    folders: list[str] = []
    for line in lines:
        word, _, value = line.rstrip("\n").partition(" ")
        if word == "done":
            return
        if word == "+folder":
            folders.append(value)
        elif word == "+session":
            pid, number = value.split()
            sessions[int(pid)] = int(number)
        elif word == "-session":
            sessions.pop(int(value), None)
    _end_sessions(sessions)
    if not os.environ.get("E2E_KEEP"):
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """Let the kernel choose ports."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


def wait_until(
    what: str,
    check: Callable[[], Any],
    timeout: float,
    *,
    every: float = 0.4,
    alive: Callable[[], Any] = bool,
) -> Any:
    """
    Wait for a true answer.

    :param what: what is waited for, for the message.
    :param check: asks once.
    :param timeout: seconds.
    :param alive: raises when waiting on is of no use.
    """
    deadline = time.monotonic() + timeout
    while True:
        answer = check()
        if answer:
            return answer
        alive()
        if time.monotonic() > deadline:
            raise DeploymentError(f"{what}: not within {timeout:g} s (last seen: {answer!r})")
        time.sleep(every)


# -- the database -----------------------------------------------------------------------------------------------------


def postgresql_programs() -> Path | None:
    """The folder of the newest PostgreSQL's programs, where the drivers are installed too."""
    if not all(importlib.util.find_spec(name) for name in ("psycopg2", "asyncpg")):
        return None
    places = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name), reverse=True
    )
    found = shutil.which("initdb")
    if found:
        places.append(Path(found).resolve().parent)
    return next((p for p in places if (p / "initdb").exists() and (p / "postgres").exists()), None)


class PostgreSQL:
    """A private PostgreSQL server on loopback."""

    def __init__(self, programs: Path, processes: Processes) -> None:
        self._programs = programs
        self._processes = processes
        self._folder = processes.new_folder("koreai-e2e-postgresql-")
        self.log = self._folder / "server.log"
        # PostgreSQL refuses to run as root.
        self._user: dict[str, Any] = (
            {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        )
        self._password = secrets.token_hex(16)
        self._port = 0

    def start(self) -> None:
        """Make the cluster, and start the server."""
        password = self._folder / "password"
        password.write_text(self._password)
        if self._user:
            shutil.chown(self._folder, "postgres")
            shutil.chown(password, "postgres")
        data = self._folder / "data"
        done = subprocess.run(
            [
                self._programs / "initdb",
                *("-D", data, "-U", "airflow", "-A", "scram-sha-256", "--pwfile", password),
                *("-E", "UTF8", "--locale=C", "--no-sync"),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=self._folder,
            **self._user,
        )
        password.unlink()
        if done.returncode:
            raise DeploymentError(f"initdb failed:\n{done.stdout}{done.stderr}")
        (self._port,) = free_ports(1)
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self._port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
        }
        command = [str(self._programs / "postgres"), "-D", str(data)]
        for key, value in options.items():
            command += ["-c", f"{key}={value}"]
        self._processes.start(command, log=self.log, end_with=signal.SIGINT, cwd=self._folder, **self._user)
        wait_until("PostgreSQL accepts connections", self._answers, 60, every=0.1)
        self.create_database("airflow")

    def url(self, driver: str) -> str:
        """The URL for SQLAlchemy."""
        return f"postgresql+{driver}://airflow:{self._password}@127.0.0.1:{self._port}/airflow"

    def _answers(self) -> bool:
        import psycopg2

        try:
            self._sql("SELECT 1")
        except psycopg2.OperationalError:
            return False
        return True

    def connect(self, database: str) -> Any:
        """Connect to it."""
        import psycopg2

        return psycopg2.connect(
            host="127.0.0.1", port=self._port, user="airflow", password=self._password, dbname=database
        )

    def create_database(self, name: str) -> None:
        """Create a database."""
        self._sql(f"CREATE DATABASE {name}")

    def _sql(self, statement: str) -> None:
        with contextlib.closing(self.connect("postgres")) as connection:
            connection.autocommit = True
            connection.cursor().execute(statement)


# -- the REST API -----------------------------------------------------------------------------------------------------


class Api:
    """Airflow's public REST API; everybody is an admin."""

    def __init__(self, base_url: str) -> None:
        import requests

        self.base_url = base_url
        self._session = requests.Session()
        self._session.trust_env = False

    def call(self, method: str, path: str, *, accept: Collection[int] = (), **options: Any) -> Any:
        """Make one call, and give its JSON; None where the status is one of ``accept``."""
        answer = self._session.request(method, f"{self.base_url}/api/v2/{path}", timeout=60, **options)
        if answer.status_code in accept:
            return None
        if not answer.ok:
            raise DeploymentError(f"{method} {path}: HTTP {answer.status_code}: {answer.text[:2000]}")
        return answer.json() if answer.content else None

    def get(self, path: str, **options: Any) -> Any:
        """Ask, again where SQLite was locked for longer than Airflow waits for it: many tasks write at once."""
        for _ in range(_LOCKED_TRIES):
            answer = self.call("GET", path, accept=(500,), **options)
            if answer is not None:
                return answer
        return self.call("GET", path, **options)

    def health(self) -> dict[str, str]:
        """The health of each component, as far as the API answers."""
        import requests

        try:
            answer = self.get("monitor/health")
        except (requests.RequestException, DeploymentError):
            return {}
        return {name: str((answer.get(name) or {}).get("status")) for name in answer}

    def warm_up(self) -> None:
        """Let the server build the API that the workers use."""
        self._session.get(f"{self.base_url}/execution/health", timeout=_START_TIMEOUT).raise_for_status()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


# -- the deployment ---------------------------------------------------------------------------------------------------


class Deployment:
    """
    The deployment. A context manager.

    :param dags: folders of DAG files, by bundle name.
    :param settings: settings of Airflow that differ from those here, as ``{"section.key": value}``.
    :param as_it_comes: leave Airflow's own defaults for how often its components look at things.
    """

    home: Path
    api: Api
    #: Its processes; each name is one of Airflow's components.
    components: tuple[str, ...] = COMPONENTS

    def __init__(
        self,
        dags: Mapping[str, Path],
        settings: Mapping[str, Any] | None = None,
        *,
        as_it_comes: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._dags = dags
        self._settings = {**({} if as_it_comes else _QUICK), **(settings or {})}
        self._processes = Processes()
        self._components: dict[str, subprocess.Popen[bytes]] = {}
        self._more_environment = environment or {}
        self._environment: dict[str, str] = {}
        #: The server of its database; None: it runs on SQLite.
        self.postgresql: PostgreSQL | None = None

    def __enter__(self) -> Deployment:
        """Start, and wait until all components are healthy and all DAG files are read."""
        try:
            self._start()
        except BaseException as error:
            logs = "".join(f"\n--- {name}\n{self.log_of(name)[-3000:]}" for name in self._log_names())
            self.stop()
            if isinstance(error, Exception):
                raise DeploymentError(f"The deployment did not start: {error}{logs}") from error
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything."""
        self.stop()

    @property
    def database(self) -> str:
        """Which database it runs on."""
        return "SQLite" if self.postgresql is None else "PostgreSQL"

    @property
    def database_url(self) -> str:
        """The metadata database's URL for SQLAlchemy."""
        if self.postgresql is not None:
            return self.postgresql.url("psycopg2")
        return f"sqlite:///file:{self.home}/airflow.db?mode=ro&uri=true"

    def stop(self) -> None:
        """End every process, and remove all files."""
        if hasattr(self, "api"):
            self.api.close()
        self._components.clear()
        self._processes.stop(keep_folders=bool(os.environ.get("E2E_KEEP")))

    def start_component(self, name: str) -> None:
        """Start one of :attr:`components`."""
        self._components[name] = self._processes.start(
            self._command(name),
            log=self.home / f"{name}.log",
            env=self._environment_of(name),
            cwd=self.home,
        )

    def _command(self, name: str) -> list[str]:
        options = ["--skip-serve-logs"] if name in ("scheduler", "triggerer") else []
        return [sys.executable, "-m", "airflow", name, *options]

    def _environment_of(self, name: str) -> dict[str, str]:
        return self._environment

    def _start_services(self) -> dict[str, Any]:
        """Start what it needs besides the database, and return the settings for that."""
        return {}

    @property
    def log_folders(self) -> list[Path]:
        """Where its tasks' logs are."""
        return [self.home / "logs"]

    def kill_component(self, name: str) -> None:
        """Kill -9 a component and its children."""
        self._processes.kill(self._components.pop(name))

    def check_alive(self) -> None:
        """Raise if a component has ended by itself."""
        for name, child in self._components.items():
            if child.poll() is not None:
                raise DeploymentError(f"{name} ended with {child.returncode}:\n{self.log_of(name)[-3000:]}")

    def wait_until(self, what: str, check: Callable[[], Any], timeout: float = 90) -> Any:
        """As the function of that name, but fails early when a component has ended."""
        return wait_until(what, check, timeout, alive=self.check_alive)

    def wait_until_healthy(self) -> None:
        """Wait until every component reports that it is."""
        names = {"metadatabase", "scheduler", "dag_processor", "triggerer"}

        def healthy() -> bool:
            health = self.api.health()
            return names <= health.keys() and all(health[name] == "healthy" for name in names)

        self.wait_until("all components are healthy", healthy, _START_TIMEOUT)

    def log_of(self, name: str) -> str:
        """What a component, or the database, has printed so far."""
        path = self.postgresql.log if name == "postgresql" and self.postgresql else self.home / f"{name}.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def logs(self) -> dict[str, str]:
        """What each has printed so far."""
        return {name: self.log_of(name) for name in self._log_names()}

    def add_connection(self, conn_id: str, connection: Mapping[str, Any]) -> None:
        """Store a connection in the database, in the place of one with the same ID."""
        document = {**connection, "connection_id": conn_id}
        if isinstance(document.get("extra"), dict):
            document["extra"] = json.dumps(document["extra"])
        if self.api.call("POST", "connections", json=document, accept=(409,)) is None:
            self.api.call("PATCH", f"connections/{conn_id}", json=document)

    def trigger(self, dag_id: str, **conf: Any) -> Run:
        """Start a run of a DAG."""
        document = {"logical_date": None, "conf": conf}
        answer = self.api.call("POST", f"dags/{dag_id}/dagRuns", json=document)
        return Run(self, dag_id, answer["dag_run_id"])

    def trigger_rows(self) -> list[dict[str, Any]]:
        """The rows of the waits in the database, their arguments readable."""
        from cryptography.fernet import Fernet

        fernet = Fernet(self._environment["AIRFLOW__CORE__FERNET_KEY"])
        statement = "SELECT id, classpath, kwargs, triggerer_id FROM trigger"
        with contextlib.closing(self._connect()) as connection:
            cursor = connection.cursor()
            cursor.execute(statement)
            rows = cursor.fetchall()
        return [
            {
                "id": row[0],
                "classpath": row[1],
                # Airflow takes both, and writes a deferral's plain.
                "kwargs": json.loads(row[2] if row[2].startswith("{") else fernet.decrypt(row[2].encode())),
                "triggerer_id": row[3],
            }
            for row in rows
        ]

    def has_released(self, task_instance_id: str) -> bool:
        """Whether the scheduler knows that a worker is done with a task instance, at least for now."""
        lines = self.log_of("scheduler").splitlines()
        return any("TaskInstance Finished" in line and task_instance_id in line for line in lines)

    def _connect(self) -> Any:
        if self.postgresql is not None:
            return self.postgresql.connect("airflow")
        import sqlite3

        return sqlite3.connect(f"file:{self.home}/airflow.db?mode=ro", uri=True, timeout=30)

    def worker_stints(self, task_instance_id: str) -> list[float]:
        """
        How long, in seconds, a task instance has occupied a worker, each time that it did.

        LocalExecutor's worker itself measures this, around all it does for the task.
        """
        lines = (line for line in self.log_of("scheduler").splitlines() if "Workload finished" in line)
        found = (re.search(r"\bduration=([0-9.e-]+)", line) for line in lines if task_instance_id in line)
        return [float(match[1]) for match in found if match]

    def _log_names(self) -> list[str]:
        return (
            [*self.components, "migrate", *(["postgresql"] if self.postgresql else [])]
            if self._environment
            else []
        )

    def _start(self) -> None:
        self.home = self._processes.new_folder("koreai-e2e-airflow-")
        wanted = os.environ.get("E2E_DATABASE", "")
        programs = None if wanted == "sqlite" else postgresql_programs()
        if wanted == "postgresql" and programs is None:
            raise DeploymentError("PostgreSQL's initdb, psycopg2 or asyncpg is not installed")
        if programs is not None:
            self.postgresql = PostgreSQL(programs, self._processes)
            self.postgresql.start()
        api_port, health_port = free_ports(2)
        self._settings.update(self._start_services())
        self._environment = self._make_environment(api_port, health_port)
        self.api = Api(f"http://127.0.0.1:{api_port}")
        with (self.home / "migrate.log").open("wb") as log:
            subprocess.run(
                [sys.executable, "-m", "airflow", "db", "migrate"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd=self.home,
                timeout=_MIGRATE_TIMEOUT,
                check=True,
            )
        for name in self.components:
            self.start_component(name)
        self.wait_until_healthy()
        # The API for workers is built at its first request: not a test's affair.
        self.api.warm_up()
        files = {path.stem for folder in self._dags.values() for path in folder.glob("*.py")}
        self.wait_until("all DAG files are read", lambda: files <= self._files_read(), 60)

    def _files_read(self) -> set[str]:
        errors = self.api.get("importErrors")["import_errors"]
        if errors:
            raise DeploymentError(f"a DAG file does not import:\n{errors[0]['stack_trace']}")
        return {Path(dag["fileloc"]).stem for dag in self.api.get("dags?limit=100")["dags"]}

    def _make_environment(self, api_port: int, health_port: int) -> dict[str, str]:
        base = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("AIRFLOW", "_AIRFLOW", "KOREAI", "PYTEST"))
        }
        bundles = [
            {
                "name": name,
                "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
                "kwargs": {"path": str(path), "refresh_interval": 5},
            }
            for name, path in self._dags.items()
        ]
        settings: dict[str, Any] = {
            "core.executor": "LocalExecutor",
            "core.load_examples": False,
            "core.dags_folder": self.home / "dags",
            "core.dags_are_paused_at_creation": False,
            "core.simple_auth_manager_all_admins": True,
            "core.execution_api_server_url": f"http://127.0.0.1:{api_port}/execution/",
            "core.fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "api.host": "127.0.0.1",
            "api.port": api_port,
            "api.base_url": f"http://127.0.0.1:{api_port}",
            "api.workers": 1,
            "api.secret_key": secrets.token_hex(16),
            "api_auth.jwt_secret": secrets.token_hex(32),
            "dag_processor.dag_bundle_config_list": json.dumps(bundles),
            "dag_processor.refresh_interval": 5,
            # Once read is enough: a file that is read again and again would take time from the tests.
            "dag_processor.min_file_process_interval": 300,
            "logging.base_log_folder": self.home / "logs",
            "logging.colored_console_log": False,
            "scheduler.enable_health_check": False,
            "scheduler.scheduler_health_check_server_port": health_port,
            "usage_data_collection.enabled": False,
            **self._settings,
        }
        if self.postgresql is not None:
            settings["database.sql_alchemy_conn"] = self.postgresql.url("psycopg2")
            settings["database.sql_alchemy_conn_async"] = self.postgresql.url("asyncpg")
        (self.home / "config").mkdir()
        (self.home / "config" / "airflow_local_settings.py").write_text(_LOCAL_SETTINGS)
        (self.home / "dags").mkdir()
        (self.home / "tmp").mkdir()
        local = "127.0.0.1,localhost"
        return {
            **base,
            **self._more_environment,
            **{f"AIRFLOW__{key.replace('.', '__').upper()}": str(value) for key, value in settings.items()},
            "AIRFLOW_HOME": str(self.home),
            "TMPDIR": str(self.home / "tmp"),
            "PYTHONUNBUFFERED": "1",
            "NO_PROXY": local,
            "no_proxy": local,
        }


class Run:
    """One run of a DAG."""

    def __init__(self, deployment: Deployment, dag_id: str, run_id: str) -> None:
        self._deployment = deployment
        self._api = deployment.api
        self.dag_id = dag_id
        self.run_id = run_id
        self._path = f"dags/{dag_id}/dagRuns/{run_id}"

    @property
    def state(self) -> str:
        """Its state now."""
        return str(self._api.get(self._path)["state"])

    def tasks(self) -> list[dict[str, Any]]:
        """All its task instances."""
        found: list[dict[str, Any]] = []
        while True:
            page = self._api.get(f"{self._path}/taskInstances?limit=100&offset={len(found)}")
            found += page["task_instances"]
            if not page["task_instances"] or len(found) >= page["total_entries"]:
                return found

    def task(self, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """A task instance as the API shows it."""
        answer: dict[str, Any] = self._api.get(self._task_path(task_id, map_index))
        return answer

    def wait_for_task(self, task_id: str, *states: str, timeout: float = 120) -> dict[str, Any]:
        """Wait until a task is in one of these states, or, if none are given, over; and give it."""
        wanted = states or tuple(FINAL_STATES)

        def check() -> dict[str, Any] | None:
            task = self.task(task_id)
            if task["state"] in FINAL_STATES and task["state"] not in wanted:
                raise DeploymentError(
                    f"{self.dag_id}.{task_id} is {task['state']}, expected {' or '.join(states)}"
                )
            return task if task["state"] in wanted else None

        found: dict[str, Any] = self._deployment.wait_until(
            f"{self.dag_id}.{task_id} is {' or '.join(states) or 'over'}", check, timeout
        )
        return found

    def wait(self, timeout: float = 120) -> str:
        """Wait until the run is over; give its state."""
        self._deployment.wait_until(
            f"{self.dag_id} is over", lambda: self.state in ("success", "failed"), timeout
        )
        return self.state

    def xcoms(self, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """All XComs of a task."""
        query = {"map_index": map_index} if map_index >= 0 else {}
        path = f"{self._path}/taskInstances/{task_id}/xcomEntries"
        keys = [entry["key"] for entry in self._api.get(path, params=query)["xcom_entries"]]
        return {key: self._api.get(f"{path}/{key}", params=query)["value"] for key in keys}

    def told(self, task_id: str) -> dict[str, Any]:
        """The XComs of a task for later tasks: all but the addresses of the buttons in Airflow's UI."""
        return {key: value for key, value in self.xcoms(task_id).items() if not key.endswith("_url")}

    def log(self, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """A try's log as the UI shows it, errors included."""
        path = f"{self._path}/taskInstances/{task_id}/logs/{try_number}"
        answer = self._api.get(path, params={"map_index": map_index}, headers={"accept": "application/json"})
        lines = []
        for entry in answer["content"]:
            if isinstance(entry, str):
                lines.append(entry)
                continue
            lines.append(f"{entry.get('level', '')} {entry.get('event')}")
            errors = entry.get("error_detail") or ()
            lines.extend(f"{error.get('exc_type')}: {error.get('exc_value')}" for error in errors)
        return "\n".join(lines)

    def log_files(self, task_id: str) -> dict[str, str]:
        """The log files of a task by name, all tries and the triggerer's."""
        texts: dict[str, str] = {}
        for logs in self._deployment.log_folders:
            folder = logs / f"dag_id={self.dag_id}" / f"run_id={self.run_id}"
            for file in folder.glob(f"task_id={task_id}/**/*"):
                if file.is_file():
                    name = str(file.relative_to(folder))
                    texts[name] = texts.get(name, "") + file.read_text("utf-8", "replace")
        return texts

    def stints(self, task_id: str) -> list[float]:
        """How long the task has occupied a worker, each time that it did."""
        return self._deployment.worker_stints(self.task(task_id)["id"])

    def process_stints(self, task_id: str) -> list[float]:
        """How long the task's own process has logged, each time that it ran; only for a task that ran once."""
        (text,) = (text for name, text in self.log_files(task_id).items() if name.endswith("/attempt=1.log"))
        stints: list[list[datetime]] = []
        for line in text.splitlines():
            entry = json.loads(line)
            if entry["event"] == "::group::Pre Execute":
                stints.append([])
            stints[-1].append(datetime.fromisoformat(entry["timestamp"].replace("Z", "+00:00")))
        return [(times[-1] - times[0]).total_seconds() for times in stints]

    def _task_path(self, task_id: str, map_index: int) -> str:
        suffix = f"/{map_index}" if map_index >= 0 else ""
        return f"{self._path}/taskInstances/{task_id}{suffix}"


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _guard(sys.stdin)
