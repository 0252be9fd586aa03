"""How a wait can end, in each mode of the sensor and in the one-task form, on real components."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.scenarios import NEVER, Scenario, about, in_every_mode

if TYPE_CHECKING:
    from tests.support.scenarios import Launched

STATUS_LOG = "Synonyms of the intent 'Book Ticket' could not be read"


@about(
    *(
        Scenario(f"e2e_wait_{mode}", {"seconds": NEVER}, starts=True, name=mode)
        for mode in ("poke", "reschedule")
    )
)
def test_wait_ends_when_the_export_is_done(run: Launched) -> None:
    run.wait_until_under_way()
    run.finish_export()
    assert run.wait_for_task("wait")["state"] == "success"
    assert run.xcoms("wait")["return_value"] == {
        "request_id": run.started["_id"],
        "requested_time": run.started["requestedTime"],
        "file_type": "csv",
    }


@in_every_mode("_timeout", bot={"seconds": NEVER})
def test_timeout_fails_the_task_without_a_retry(run: Launched) -> None:
    task = run.wait_for_task("wait", "failed")
    assert task["try_number"] == 1
    assert "AirflowSensorTimeout" in run.log("wait")


@in_every_mode("_soft_fail", bot={"seconds": NEVER})
def test_soft_fail_skips_the_task_at_its_timeout(run: Launched) -> None:
    assert run.wait_for_task("wait")["state"] == "skipped"


@about(
    *(
        Scenario(f"e2e_wait_{mode}_execution_timeout", {"seconds": NEVER}, starts=True, name=mode)
        for mode in ("poke", "deferrable")
    )
)
def test_execution_timeout_fails_the_try_and_airflow_retries_the_task(run: Launched) -> None:
    task = run.wait_for_task("wait", "failed")
    assert task["try_number"] == 2
    assert "AirflowTaskTimeout" in run.log("wait", 1)


@in_every_mode(bot={"seconds": NEVER, "fail_with": [STATUS_LOG]})
def test_failed_export_fails_the_task_without_a_retry_and_shows_the_status_logs(run: Launched) -> None:
    run.wait_until_under_way()
    run.finish_export()
    task = run.wait_for_task("wait", "failed")
    assert task["try_number"] == 1
    assert STATUS_LOG in run.log("wait")


@about(Scenario("e2e_one_task", {"seconds": 1, "fail_with": [STATUS_LOG]}))
def test_failed_export_of_the_one_task_form_is_started_anew_by_the_retry(run: Launched) -> None:
    task = run.wait_for_task("export", "failed")
    assert task["try_number"] == 2
    assert len(run.koreai.calls(run.bot, "start")) == 2
    assert STATUS_LOG in run.log("export", 1)
    assert STATUS_LOG in run.log("export", 2)


@about(Scenario("e2e_one_task_deferrable", {"seconds": NEVER}))
def test_one_task_form_waits_in_the_triggerer(run: Launched) -> None:
    run.wait_until_under_way()
    run.finish_export()
    assert run.wait_for_task("export")["state"] == "success"
    assert run.has_deferred("export")
    latest = run.koreai.status(run.bot)
    assert run.told("export") == {
        "return_value": latest["_id"],
        "requested_time": latest["requestedTime"],
        "file_type": "csv",
    }
    assert len(run.koreai.calls(run.bot, "start")) == 1


@about(Scenario("e2e_wait_deferrable", {"seconds": NEVER}, starts=True, name="fail"))
def test_newer_export_ends_the_wait_and_both_times_are_told(run: Launched) -> None:
    run.wait_until_under_way()
    newer = run.koreai.start_export(run.bot)
    task = run.wait_for_task("wait", "failed")
    assert task["try_number"] == 1
    log = run.log("wait")
    assert "A newer export of bot" in log
    assert run.started["requestedTime"] in log
    assert newer["requestedTime"] in log


@about(
    Scenario(
        "e2e_wait_deferrable",
        {"seconds": NEVER},
        starts=True,
        conf={"on_superseded": "follow"},
        name="follow",
    )
)
def test_newer_export_is_followed(run: Launched) -> None:
    run.wait_until_under_way()
    newer = run.koreai.start_export(run.bot)
    run.finish_export()
    assert run.wait_for_task("wait")["state"] == "success"
    assert run.xcoms("wait")["return_value"]["requested_time"] == newer["requestedTime"]
    assert newer["requestedTime"] != run.started["requestedTime"]


@about(Scenario("e2e_wait_deferrable", {"seconds": NEVER}, starts=True, name="401"))
def test_401_that_is_repeated_ends_a_deferred_wait(run: Launched) -> None:
    run.wait_until_under_way()
    run.configure(linked=False)
    task = run.wait_for_task("wait", "failed")
    assert task["try_number"] == 1
    assert len(run.koreai.calls(run.bot, "status", status=401)) == 2
    log = run.log("wait")
    assert "Invalid SDK credentials" in log
    assert "koreai_default" in log


TROUBLE = [
    {"call": "status", "kind": "http", "status": 503},
    {"call": "status", "kind": "drop"},
    {"call": "status", "kind": "html"},
    {"call": "status", "kind": "http", "status": 503},
]


@about(Scenario("e2e_wait_deferrable", {"seconds": NEVER}, starts=True, faults=TROUBLE, name="trouble"))
def test_trouble_with_the_status_call_does_not_end_the_wait(run: Launched) -> None:
    run.wait_until_under_way()
    run.finish_export()
    task = run.wait_for_task("wait")
    assert task["state"] == "success"
    assert task["try_number"] == 1
    calls = run.koreai.calls(run.bot, "status")
    assert [call["fault"] for call in calls][:5] == ["http", "drop", "html", "http", None]
    trigger_log = "".join(text for name, text in run.log_files("wait").items() if ".trigger." in name)
    # 503 and the dropped connection are the same kind, the login page is another; each is told once.
    assert trigger_log.count("The status call failed") == 2
