"""
Downloading: time for a large export beside ``curl`` and what users do without us, and memory for exports of any size.

Run it alone (``python benchmarks/bench_download.py``) or through ``make bench``. nginx serves one file behind the
emulator's link, so the server is no bottleneck. All ways take turns in one run; the medians are compared. Each way
replaces yesterday's file: ``curl`` too writes to a temporary name, which is then renamed.

It needs nginx and curl (``apt-get install nginx-light curl``), and three times the largest size of free disk. The
HttpOperator's line needs apache-airflow-providers-http, the S3 line
apache-airflow-providers-amazon[s3fs] and moto[server].
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="koreai-bench-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")

from measuring import has, measured, peak_and_now

from airflow_provider_koreai.emulator.content import GeneratedContent
from airflow_provider_koreai.emulator.process import EmulatorProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIB = 1 << 20
BOT = "st-bench"
NGINX = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off; sendfile on; tcp_nopush on;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{port}; root {folder}/www; rewrite ^ /export.csv break; }}
}}
"""


# What runs in a child process of its own, so that its memory is its own. Each prints one JSON document.


def child_ours(link: str, target: str) -> dict[str, float]:
    """This provider, with all its checks."""
    import requests  # noqa: F401 - what a task that has asked for the status has imported

    from airflow_provider_koreai.api.settings import settings_from_connection
    from airflow_provider_koreai.download.export_file import download_export
    from airflow_provider_koreai.jobs.export import Export, ExportIdentity, ExportStatus, ExportWatch

    base, _, _ = link.partition("/api/")
    settings = settings_from_connection("bench", host=base, login="cs-1", password="secret")
    export = Export(BOT, "ds-1", ExportStatus.SUCCESS, 100, "csv", "2026-01-01T00:00:00Z", download_url=link)
    conn_id = "moto" if target.startswith("s3:") else None
    bare = peak_and_now()[1]
    if conn_id:
        from airflow_provider_koreai.storage.paths import file_system

        file_system(target, conn_id)[0].exists("bench/nothing")  # loads the client, which is large itself
    found, figures = measured(
        lambda: download_export(
            get_export=lambda: export,
            watch=ExportWatch(BOT, ExportIdentity()),
            settings=settings,
            path=target,
            storage_conn_id=conn_id,
        )
    )
    return {**figures, "client": figures["idle"] - bare, "rows": found.rows}


def child_naive(link: str, target: str) -> dict[str, float]:
    """What a @task usually does."""
    import requests

    def download() -> None:
        Path(target).write_bytes(requests.get(link, timeout=60).content)

    return measured(download)[1]


def child_http_operator(link: str, target: str) -> dict[str, float]:
    """Airflow's HttpOperator, its response filter writing the file."""
    from airflow.providers.http.operators.http import HttpOperator

    base, _, endpoint = link.partition("/api/")
    host, _, port = base.removeprefix("http://").partition(":")
    os.environ["AIRFLOW_CONN_BENCH"] = json.dumps(
        {"conn_type": "http", "host": f"http://{host}", "port": int(port)}
    )
    operator = HttpOperator(
        task_id="bench",
        http_conn_id="bench",
        endpoint="api/" + endpoint,
        method="GET",
        log_response=False,
        response_filter=lambda response: Path(target).write_bytes(response.content),
    )
    return measured(lambda: operator.execute({}))[1]


CHILDREN = {"ours": child_ours, "naive": child_naive, "http_operator": child_http_operator}


def in_child(way: str, link: str, target: str, environment: dict[str, str] | None = None) -> dict[str, float]:
    """Run one of :data:`CHILDREN`."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", way, link, target],
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def curl(link: str, target: str, *, sync: bool) -> dict[str, float]:
    """Run curl as a careful script does; with ``sync``, as careful as we are."""
    pause = 'sync "$1.part" && ' if sync else ""
    command = f'curl -sSf -o "$1.part" "$2" && {pause}mv "$1.part" "$1"'
    began = time.perf_counter()
    subprocess.run(["sh", "-c", command, "sh", target, link], check=True)
    return {"seconds": time.perf_counter() - began}


# Servers and files.


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def nginx(folder: Path) -> Iterator[str]:
    """nginx, answering every path with ``www/export.csv``."""
    port = free_port()
    (folder / "www").mkdir()
    (folder / "nginx.conf").write_text(
        ("user root;" if os.getuid() == 0 else "") + NGINX.format(folder=folder, port=port)
    )
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    server = subprocess.Popen([program, "-c", str(folder / "nginx.conf")], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def make_file(path: Path, size: int) -> None:
    """Write an export of that many bytes, and leave it in the page cache."""
    content = GeneratedContent("travel", "csv", size=size)
    with path.open("wb") as file:
        for piece in content.read(0, size):
            file.write(piece)
    with path.open("rb", buffering=0) as file:
        while file.read(8 * MIB):
            pass


def link_from(emulator: EmulatorProcess, media_url: str) -> str:
    """The download link that the emulator's status call gives for a finished export."""
    import requests

    from airflow_provider_koreai.api.settings import settings_from_connection
    from airflow_provider_koreai.api.tokens import TokenSigner

    connection = emulator.connection()
    settings = settings_from_connection(
        "bench", host=connection["host"], login=connection["login"], password=connection["password"]
    )
    emulator.control.configure_bot(BOT, media_url=media_url)
    base = f"{settings.base_url}/api/public/bot/{BOT}/mlexport"
    signer = TokenSigner(settings)
    requests.post(
        f"{base}?state=configured&type=csv", headers={"auth": signer.sign()}, timeout=10
    ).raise_for_status()
    document = requests.get(f"{base}/status", headers={"auth": signer.sign()}, timeout=10).json()
    return str(document["downloadUrl"])


# The measurements.


def compare_times(link: str, folder: Path, size: int, rounds: int) -> None:
    """Let all ways take turns at one file."""
    ways: dict[str, Callable[[str], dict[str, float]]] = {
        "ours": lambda target: in_child("ours", link, target),
        "curl -o, mv": lambda target: curl(link, target, sync=False),
        "curl -o, sync, mv": lambda target: curl(link, target, sync=True),
        "requests.get().content": lambda target: in_child("naive", link, target),
    }
    if has("airflow.providers.http.operators.http"):
        ways["HttpOperator"] = lambda target: in_child("http_operator", link, target)
    results: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for turn in range(rounds + 1):
        order = list(ways)
        order = order[turn % len(order) :] + order[: turn % len(order)]
        for way in order:
            target = folder / f"{list(ways).index(way)}.csv"
            os.sync()  # what others have written must not slow this one down
            result = ways[way](str(target))
            if turn:  # the first round warms up, and makes yesterday's files
                results[way].append(result)
    medians = {way: statistics.median(each["seconds"] for each in results[way]) for way in ways}
    print(
        f"\n{size / MIB:,.0f} MiB to local disk, {rounds} rounds in turn (medians; rate relative to curl -o, mv)"
    )
    print(f"{'':26}{'seconds':>9}{'min':>8}{'max':>8}{'MiB/s':>9}{'ratio':>7}{'peak memory':>15}")
    for way, found in results.items():
        seconds = [each["seconds"] for each in found]
        memory = max((each["memory"] for each in found if "memory" in each), default=None)
        print(
            f"{way:26}{medians[way]:9.2f}{min(seconds):8.2f}{max(seconds):8.2f}{size / MIB / medians[way]:9.0f}"
            f"{medians['curl -o, mv'] / medians[way]:7.2f}"
            + (f"{memory:11.1f} MiB" if memory is not None else "")
        )
    for index in range(len(ways)):
        (folder / f"{index}.csv").unlink(missing_ok=True)


def measure_memory(link: str, folder: Path, sizes: list[int], limit: float) -> None:
    """Download files of several sizes."""
    print(f"\nPeak memory of a download above the idle process (at most {limit:.0f} MiB)")
    for size in sizes:
        make_file(folder / "www" / "export.csv", size)
        found = in_child("ours", link, str(folder / "memory.csv"))
        print(
            f"{size / MIB:10,.0f} MiB {found['memory']:8.1f} MiB above {found['idle']:.0f}, {found['seconds']:.2f} s"
        )
        (folder / "memory.csv").unlink()


def measure_s3(link: str, folder: Path, sizes: list[int], limit: float) -> None:
    """Download to an S3 server of our own."""
    if not (has("s3fs") and has("moto.server")):
        print("\nS3: not measured; it needs apache-airflow-providers-amazon[s3fs] and moto[server]")
        return
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    extra = {"region_name": "us-east-1", "endpoint_url": endpoint}
    connection = {"conn_type": "aws", "login": "testing", "password": "testing", "extra": extra}
    try:
        import boto3

        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )
        for _ in range(200):
            try:
                client.create_bucket(Bucket="bench")
                break
            except Exception:  # noqa: BLE001 - it is not up yet
                time.sleep(0.1)
        print(f"\nPeak memory of a download to S3 (moto) above the idle process (at most {limit:.0f} MiB)")
        for size in sizes:
            make_file(folder / "www" / "export.csv", size)
            found = in_child(
                "ours", link, "s3://bench/export.csv", {"AIRFLOW_CONN_MOTO": json.dumps(connection)}
            )
            print(
                f"{size / MIB:10,.0f} MiB {found['memory']:8.1f} MiB above {found['idle']:.0f}, {found['seconds']:.2f} s "
                f"(loading the S3 client took {found['client']:.1f} MiB before)"
            )
            client.delete_object(Bucket="bench", Key="export.csv")
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--size", type=int, default=1024, help="MiB of the file whose time is taken (default 1024)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each way takes its turn (default 5)")
    parser.add_argument(
        "--memory-sizes", default="10,1024,5120", help="MiB, for the memory (default 10,1024,5120)"
    )
    parser.add_argument("--s3-sizes", default="10,256", help="MiB, for the memory of S3 (default 10,256)")
    parser.add_argument("--folder", help="where files are written (default: a new one in the current folder)")
    parser.add_argument("--child", nargs=3, metavar=("WAY", "LINK", "TARGET"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        way, link, target = options.child
        print(json.dumps(CHILDREN[way](link, target)))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # and clean up
    sizes = [int(each) * MIB for each in options.memory_sizes.split(",") if each]
    s3_sizes = [int(each) * MIB for each in options.s3_sizes.split(",") if each]
    with tempfile.TemporaryDirectory(dir=options.folder or Path.cwd(), prefix="bench-") as name:
        folder = Path(name)
        needed = max(7 * options.size * MIB, 2 * max(sizes, default=0), 3 * max(s3_sizes, default=0))
        if shutil.disk_usage(folder).free < needed:
            sys.exit(f"needs {needed / MIB:,.0f} MiB of free disk; see --size, --memory-sizes and --folder")
        with nginx(folder) as media_url, EmulatorProcess(seconds=0, too_soon_seconds=0) as emulator:
            link = link_from(emulator, media_url)
            make_file(folder / "www" / "export.csv", options.size * MIB)
            if options.rounds:
                compare_times(link, folder, options.size * MIB, options.rounds)
            measure_memory(link, folder, sizes, 32)
            measure_s3(link, folder, s3_sizes, 64)


if __name__ == "__main__":
    main()
