"""From export to table on workers that share no disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.cluster import TRIGGERERS, WORKERS
from tests.support.fleet import Fleet

if TYPE_CHECKING:
    from tests.support.cluster import Cluster
    from tests.support.scenarios import KoreAI

FAULTS = (
    {"call": "start", "kind": "http", "status": 503},
    {"call": "status", "kind": "http", "status": 500, "times": 2},
    {"call": "status", "kind": "html"},
    {"call": "status", "kind": "http", "status": 429, "headers": {"retry-after": "1"}},
    {"call": "status", "kind": "truncated_json"},
    {"call": "download", "kind": "drop", "at": 1500},
    {"call": "download", "kind": "http", "status": 502},
    {"call": "download", "kind": "expired"},
    {"call": "download", "kind": "reset", "at": "before_headers"},
    {"call": "download", "kind": "lie_length", "delta": -9},
)


def test_machines_share_no_files(cluster: Cluster) -> None:
    homes = {name: cluster.home_of(name) for name in (*WORKERS, *TRIGGERERS)}
    for name, home in homes.items():
        (home / "marker").write_text(name)
    for name in homes:
        root = Path(f"/proc/{cluster.pid_of(name)}/root")
        seen = {other for other, home in homes.items() if (root / home.relative_to("/") / "marker").exists()}
        assert seen == {name}
        assert not (root / cluster.home.relative_to("/")).exists()


def test_many_bots_get_from_export_to_table_in_spite_of_faults(
    cluster: Cluster, koreai: KoreAI, tmp_path: Path, bots: int
) -> None:
    fleet = Fleet(koreai, tmp_path, bots, seconds=15)
    fleet.add_faults(*FAULTS)
    run = fleet.export(cluster)
    fleet.check_success(cluster, run, timeout=900)
    fleet.check_whole(cluster, run)
    assert set(fleet.starts().values()) == {1}
    assert cluster.lake.uploads(f"{fleet.prefix}/") == []
    # Both workers have had a share of it.
    assert {task["hostname"] for task in run.tasks()} >= set(WORKERS)
