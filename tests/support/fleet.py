"""Many bots, each with sentences of its own, and what has become of them."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.cluster import Cluster
    from tests.support.deployment import Run
    from tests.support.scenarios import KoreAI

_numbers = itertools.count(1)
_HEADER = "taskName,sentence,type,language\n"


class Fleet:
    """
    Bots whose exported files differ in every row.

    :param koreai: where they are.
    :param folder: for the files that they export.
    :param count: how many.
    :param rows: how many utterances each has.
    :param settings: of each bot in the emulator.
    """

    def __init__(self, koreai: KoreAI, folder: Path, count: int, *, rows: int = 200, **settings: Any) -> None:
        self.koreai = koreai
        number = next(_numbers)
        self.bots = [f"st-fleet-{number}-{index}" for index in range(count)]
        self.table = f"utterances_{number}"
        self.prefix = f"fleet-{number}"
        self.files: dict[str, bytes] = {}
        for bot in self.bots:
            lines = (f"Task {row % 7},sentence {row} of {bot},DialogIntent,en\n" for row in range(rows))
            self.files[bot] = (_HEADER + "".join(lines)).encode()
            file = folder / f"{bot}.csv"
            file.write_bytes(self.files[bot])
            koreai.control.configure_bot(bot, file=str(file), too_soon_seconds=0, **settings)

    def add_faults(self, *faults: Mapping[str, Any]) -> None:
        """Let something else go wrong for each bot, in turn."""
        for bot, fault in zip(self.bots, itertools.cycle(faults), strict=False):
            self.koreai.control.add_fault(bot, **fault)

    def export(self, cluster: Cluster) -> Run:
        """Start a run from export to table."""
        folder = f"s3://{cluster.lake.name}/{self.prefix}"
        return cluster.trigger("cluster_bots", bots=self.bots, folder=folder, table=self.table)

    def check_success(self, cluster: Cluster, run: Run, timeout: float) -> None:
        """Wait for the run, and assert that it has succeeded; if not, show what its failed tasks and the scheduler say."""
        state = run.wait(timeout)
        shown = [line for line in cluster.log_of("scheduler").splitlines() if "[error" in line][-20:]
        for task in (task for task in run.tasks() if task["state"] == "failed"):
            number = task["map_index"]
            place = f"map_index={number}/" if number >= 0 else ""
            logs = run.log_files(task["task_id"])
            shown += [
                f"{task['task_id']} {name}\n{text[-2500:]}" for name, text in logs.items() if place in name
            ]
        assert state == "success", "\n".join(shown)

    def starts(self) -> dict[str, int]:
        """How many exports of each bot were started, by whichever call."""
        return {bot: len(self.koreai.calls(bot, "start", status=200)) for bot in self.bots}

    def check_whole(self, cluster: Cluster, run: Run) -> None:
        """Assert that each bot's sentences are in its object and in the table: all of them, once, and no others."""
        keys = cluster.lake.keys(f"{self.prefix}/")
        assert Counter(key.split("/")[1] for key in keys) == Counter(self.bots)
        for key in keys:
            assert cluster.lake.get(key) == self.files[key.split("/")[1]], key
        statement = f"SELECT bot_id, sentence, count(*) FROM {self.table} GROUP BY 1, 2"
        rows = {(bot, sentence): count for bot, sentence, count in cluster.warehouse.run(statement)}
        expected = {
            (bot, line.split(",")[1]): 1
            for bot, file in self.files.items()
            for line in file.decode().splitlines()[1:]
        }
        assert rows == expected
        snapshots = cluster.warehouse.run(f"SELECT DISTINCT snapshot FROM {self.table}")
        assert len(snapshots) == 1
        assert {task["state"] for task in run.tasks()} == {"success"}
