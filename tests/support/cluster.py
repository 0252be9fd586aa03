"""
Airflow as it runs on several machines: CeleryExecutor with Redis, PostgreSQL and an S3 server as real processes, two
workers and two triggerers.

Each worker and triggerer is a machine of its own as far as files go: a mount namespace with empty temporary folders, its
own host name, its own AIRFLOW_HOME and its own copy of the DAG files. What they have in common are the services, reached
over the network, and the installed programs.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.deployment import (
    Deployment,
    DeploymentError,
    free_ports,
    postgresql_programs,
    wait_until,
)
from tests.support.object_store import Bucket, s3_connection
from tests.support.warehouses import postgresql_warehouse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.support.deployment import Processes
    from tests.support.warehouses import Warehouse

ROOT = Path(__file__).resolve().parents[2]
WORKERS = ("worker-1", "worker-2")
TRIGGERERS = ("triggerer-1", "triggerer-2")
# A machine's own: nothing that is written there reaches another machine.
_EMPTY_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")
_WAREHOUSE = "warehouse"
_CONCURRENCY = 4
_SETTINGS = {
    "core.executor": "CeleryExecutor",
    "core.parallelism": 32,
    "core.max_active_tasks_per_dag": 64,
    # No machine here is known to a name server.
    "core.hostname_callable": "socket.gethostname",
    "celery.worker_concurrency": _CONCURRENCY,
    # What a busy test machine needs; a user keeps Airflow's default of 300.
    "scheduler.task_instance_heartbeat_timeout": 40,
    # A message that Redis has lost is sent again after so long.
    "scheduler.task_queued_timeout": 45,
    "scheduler.task_queued_timeout_check_interval": 5,
}


def missing() -> str | None:
    """What such a cluster needs and this machine does not have; None: nothing."""
    import importlib.util

    if not shutil.which("redis-server"):
        return "redis-server is not installed"
    if postgresql_programs() is None:
        return "PostgreSQL or one of its drivers is not installed"
    if not importlib.util.find_spec("airflow.providers.celery"):
        return "the Celery provider is not installed: make cluster does that"
    if not importlib.util.find_spec("moto.server"):
        return "moto is not installed"
    done = subprocess.run([*_unshare(), "true"], capture_output=True, text=True, check=False)
    return f"mount namespaces are not allowed here: {done.stderr.strip()}" if done.returncode else None


class Redis:
    """A private Redis server on loopback that keeps nothing on disk."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._folder = processes.new_folder("koreai-redis-")
        self.log = self._folder / "server.log"
        self._password = secrets.token_hex(16)
        self._port = 0

    def start(self) -> None:
        """Start it."""
        (self._port,) = free_ports(1)
        settings = self._folder / "redis.conf"
        settings.write_text(
            f'bind 127.0.0.1\nport {self._port}\nrequirepass {self._password}\nsave ""\nappendonly no\n'
            f"dir {self._folder}\n"
        )
        settings.chmod(0o600)
        self._processes.start(["redis-server", str(settings)], log=self.log, cwd=self._folder)
        wait_until("Redis accepts connections", self._answers, 30, every=0.1)

    @property
    def url(self) -> str:
        """Its URL for Celery."""
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    def client(self) -> Any:
        """A client of it."""
        import redis

        return redis.Redis.from_url(self.url)

    def _answers(self) -> bool:
        import redis

        with contextlib.suppress(redis.RedisError):
            return bool(self.client().ping())
        return False


class ObjectStore:
    """A private S3 server on loopback."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._folder = processes.new_folder("koreai-s3-")
        self.log = self._folder / "server.log"
        self.endpoint = ""

    def start(self) -> None:
        """Start it."""
        (port,) = free_ports(1)
        self.endpoint = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
        self._processes.start(command, log=self.log, cwd=self._folder)
        wait_until("the S3 server answers", self._answers, 60, every=0.2)

    def _answers(self) -> bool:
        import requests

        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.endpoint}/moto-api/data.json", timeout=10).ok
        return False


class Cluster(Deployment):
    """
    Airflow on several machines. A context manager.

    It has the connections ``lake`` (the object store, with the bucket ``lake``) and ``warehouse`` (a database on the same
    PostgreSQL server as Airflow's own).
    """

    redis: Redis
    store: ObjectStore
    lake: Bucket
    warehouse: Warehouse
    components = ("api-server", "scheduler", "dag-processor", *TRIGGERERS, *WORKERS)

    def __init__(self, dags: Mapping[str, Path], settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(dags, {**_SETTINGS, **(settings or {})})
        self._homes: dict[str, Path] = {}
        self._ready_before: dict[str, int] = {}

    @property
    def log_folders(self) -> list[Path]:
        return [self.home / "logs", *(home / "logs" for home in self._homes.values())]

    def home_of(self, name: str) -> Path:
        """The AIRFLOW_HOME of a worker or triggerer, as seen from outside its namespace."""
        return self._homes[name]

    def pid_of(self, name: str) -> int:
        """The process ID of a component."""
        return self._components[name].pid

    def is_running(self, name: str) -> bool:
        """Whether a component was started, and not killed since."""
        return name in self._components

    def start_component(self, name: str) -> None:
        self._ready_before[name] = self._times_ready(name)
        super().start_component(name)

    def wait_until_ready(self) -> None:
        """Wait until each worker takes tasks, and each triggerer waits."""
        for name in (*WORKERS, *TRIGGERERS):
            self.wait_until(
                f"{name} is ready", lambda name=name: self._times_ready(name) > self._ready_before[name], 180
            )

    def triggerers(self) -> dict[int, str]:
        """The name of each triggerer by its number in Airflow's database: that of its latest start."""
        with contextlib.closing(self._connect()) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT id, hostname FROM job WHERE job_type = 'TriggererJob' ORDER BY id")
            return dict(cursor.fetchall())

    def _times_ready(self, name: str) -> int:
        line = f"celery@{name} ready" if name in WORKERS else "Starting the triggerer"
        return self.log_of(name).count(line)

    def _start_services(self) -> dict[str, Any]:
        if self.postgresql is None:
            raise DeploymentError("A cluster needs PostgreSQL")
        self.redis, self.store = Redis(self._processes), ObjectStore(self._processes)
        self.redis.start()
        self.store.start()
        self.lake = Bucket(self.store.endpoint, "lake")
        self.postgresql.create_database(_WAREHOUSE)
        return {
            "celery.broker_url": self.redis.url,
            "celery.result_backend": self.postgresql.url("psycopg2").replace("postgresql+", "db+postgresql+"),
        }

    def _start(self) -> None:
        super()._start()
        self.wait_until_ready()
        assert self.postgresql is not None
        self.warehouse, connection = postgresql_warehouse(self.postgresql, _WAREHOUSE)
        self.add_connection("warehouse", json.loads(connection))
        self.add_connection("lake", s3_connection(self.store.endpoint))

    def _command(self, name: str) -> list[str]:
        kind, _, number = name.partition("-")
        if not number.isdigit():
            return super()._command(name)
        if kind == "triggerer":
            command = super()._command(kind)
        else:
            command = [sys.executable, "-m", "airflow", "celery", "worker", "--celery-hostname", name]
            command += ["--skip-serve-logs", "--without-gossip", "--without-mingle"]
        if name not in self._homes:
            self._make_home(name)
        return _on_a_machine(name, self._homes[name], command)

    def _make_home(self, name: str) -> None:
        home = self._homes[name] = self._processes.new_folder(f"koreai-{name}-")
        (home / "tmp").mkdir()
        for bundle, folder in self._dags.items():
            shutil.copytree(folder, home / "dags" / bundle, ignore=shutil.ignore_patterns("__pycache__"))

    def _environment_of(self, name: str) -> dict[str, str]:
        if name not in self._homes:
            return self._environment
        home = self._homes[name]
        bundles = json.loads(self._environment["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
        for bundle in bundles:
            bundle["kwargs"]["path"] = str(home / "dags" / bundle["name"])
        return {
            **self._environment,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
            "HOME": str(home),
            "TMPDIR": str(home / "tmp"),
        }


# -- machines ---------------------------------------------------------------------------------------------------------


def _unshare() -> list[str]:
    rights = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *rights, "--mount", "--uts"]


def _on_a_machine(name: str, home: Path, command: Iterable[str]) -> list[str]:
    """The command in a namespace where all temporary folders are empty but its home."""
    hidden = _outermost(p for p in (*_EMPTY_FOLDERS, tempfile.gettempdir()) if Path(p).is_dir())
    # Programs, too, where they are installed in a temporary folder.
    kept = _outermost((home, ROOT, sys.prefix, sys.base_prefix))
    kept = [path for path in kept if any(path.is_relative_to(folder) for folder in hidden)]
    lines = ["set -e", f"hostname {name}", "mount -t tmpfs tmpfs /mnt"]
    for number, path in enumerate(kept):
        lines += [f"mkdir /mnt/{number}", f"mount --bind {shlex.quote(str(path))} /mnt/{number}"]
    lines += [f"mount -t tmpfs -o mode=1777 tmpfs {shlex.quote(str(folder))}" for folder in hidden]
    for number, path in enumerate(kept):
        place = shlex.quote(str(path))
        lines += [f"mkdir -p {place}", f"mount --move /mnt/{number} {place}"]
    lines += [f"cd {shlex.quote(str(home))}", f"exec {shlex.join(command)}"]
    return [*_unshare(), "sh", "-c", "\n".join(lines)]


def _outermost(paths: Iterable[str | Path]) -> list[Path]:
    """These paths without those inside another of them."""
    found = sorted({Path(path).resolve() for path in paths})
    return [path for path in found if not any(path.is_relative_to(o) for o in found if o != path)]
