"""What docs/upgrading.md promises of waits that are under way while worker and triggerer have different versions."""

from __future__ import annotations

import pytest

from airflow_provider_koreai.exceptions import KoreAIError, KoreAIExportFailedError
from airflow_provider_koreai.jobs.events import export_of_event
from airflow_provider_koreai.triggers.koreai import KoreAIExportStatusTrigger

EXPORT = {"request_id": "er-1", "requested_time": "2026-11-25T06:00:00.000Z", "file_type": "csv"}


def test_a_trigger_s_row_keeps_its_deadline():
    _, row = KoreAIExportStatusTrigger(bot_id="st-1", deadline=1.5e9).serialize()
    assert KoreAIExportStatusTrigger(**row).deadline == 1.5e9


def test_an_argument_that_an_older_row_lacks_has_its_default():
    assert (
        KoreAIExportStatusTrigger(bot_id="st-1").serialize()[1]
        == KoreAIExportStatusTrigger(
            bot_id="st-1", on_superseded="fail", poll_interval=60.0, not_before=None
        ).serialize()[1]
    )


def test_an_argument_of_a_newer_version_is_ignored():
    _, row = KoreAIExportStatusTrigger(bot_id="st-1").serialize()
    assert KoreAIExportStatusTrigger(**row, of_a_newer_version=1).serialize()[1] == row


def test_an_event_of_a_newer_version_is_understood():
    assert export_of_event({"status": "success", **EXPORT, "of_a_newer_version": 1}) == EXPORT


def test_an_error_of_an_unknown_type_keeps_its_text():
    with pytest.raises(KoreAIError, match="something new went wrong") as caught:
        export_of_event(
            {"status": "error", "error": "KoreAINewerError", "message": "something new went wrong"}
        )
    assert type(caught.value) is KoreAIError


def test_an_error_of_a_known_type_keeps_its_type():
    with pytest.raises(KoreAIExportFailedError):
        export_of_event({"status": "error", "error": "KoreAIExportFailedError", "message": "failed"})


@pytest.mark.parametrize("event", [None, {}, {"status": "finished"}, {"status": "success", "id": "er-1"}])
def test_an_event_of_another_kind_fails_the_task_with_the_text_of_the_page(event):
    with pytest.raises(KoreAIError, match="The trigger resumed this task without an event"):
        export_of_event(event)
