"""A backfill of several days, one run at a time, as the examples advise: no export is superseded by the next run's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.deployment import Deployment
    from tests.support.scenarios import KoreAI

DAG_ID, DAYS = "e2e_backfill", 3


def test_each_run_of_a_backfill_with_one_active_run_stores_an_export_of_its_own(
    deployment: Deployment, koreai: KoreAI, tmp_path: Path
) -> None:
    koreai.control.configure_bot("st-e2e-backfill", seconds=3)
    backfill = {
        "dag_id": DAG_ID,
        "from_date": "2026-01-10T00:00:00Z",
        "to_date": f"2026-01-{9 + DAYS}T00:00:00Z",
        "max_active_runs": 1,
        "dag_run_conf": {"folder": str(tmp_path)},
    }
    deployment.api.call("POST", "backfills", json=backfill)

    def runs_that_are_over() -> list[dict[str, Any]] | None:
        runs: list[dict[str, Any]] = deployment.api.get(f"dags/{DAG_ID}/dagRuns")["dag_runs"]
        over = [run for run in runs if run["state"] in ("success", "failed")]
        return over if len(over) == DAYS else None

    runs = deployment.wait_until("the backfill is over", runs_that_are_over, 240)
    assert {(run["run_type"], run["state"]) for run in runs} == {("backfill", "success")}
    assert len(list(tmp_path.glob("st-e2e-backfill-*.csv"))) == DAYS
