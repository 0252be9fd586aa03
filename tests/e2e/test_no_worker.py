"""The opt-in that keeps a wait out of the workers altogether."""

from __future__ import annotations

from scenarios import Launched, Scenario, about

DAG = "e2e_no_worker"


@about(Scenario(DAG, {"seconds": 4}, starts=True, name="success"))
def test_a_wait_begins_and_ends_in_the_triggerer(run: Launched) -> None:
    assert run.wait_for_task("wait")["state"] == "success"
    assert run.stints("wait") == []
    assert run.xcoms("wait")["return_value"] == {
        "request_id": run.started["_id"],
        "requested_time": run.started["requestedTime"],
        "file_type": "csv",
    }


@about(Scenario(DAG, {"seconds": 2, "fail_with": ["The model is broken"]}, starts=True, name="failure"))
def test_an_export_that_fails_is_told_to_the_task(run: Launched) -> None:
    assert run.wait_for_task("wait")["state"] == "failed"
    assert "The model is broken" in run.log("wait")
