"""Whether a bot has what was imported, under each of the ways in which Kore.ai may do it."""

from __future__ import annotations

import json

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_koreai.exceptions import KoreAIComparisonError
from airflow_provider_koreai.hooks.koreai import KoreAIHook
from airflow_provider_koreai.operators.import_utterances import KoreAIImportUtterancesOperator
from airflow_provider_koreai.operators.verify_import import KoreAIVerifyImportOperator
from tests.support.running import new_context, run_task

BOT = "st-demo-bank"


def export(path):
    hook = KoreAIHook()
    hook.start_export(BOT, file_type="json")
    hook.download_export(BOT, str(path))
    return json.loads(path.read_text("utf-8"))


@pytest.fixture
def folder(koreai_conn, emulator, tmp_path):
    emulator.control.configure_bot(BOT, import_seconds=0)
    return tmp_path


@pytest.fixture
def send(folder):
    """Import utterances; the file, and that of the export after it, are in the folder."""

    def run(entries, **more) -> None:
        (folder / "new.json").write_text(json.dumps(entries))
        run_task(
            KoreAIImportUtterancesOperator(
                task_id="import", bot_id=BOT, path=str(folder / "new.json"), on_incomplete="warn", **more
            )
        )
        export(folder / "after.json")

    return run


def verify(folder, context=None, **more):
    task = KoreAIVerifyImportOperator(
        task_id="verify",
        bot_id=BOT,
        path=str(folder / "new.json"),
        exported_path=str(folder / "after.json"),
        backup_path="s3://lake/backup.json",
        **more,
    )
    return run_task(task, context)


def of_tasks(entries):
    return [each for each in entries if each.get("taskName")]


def test_a_bot_that_has_what_was_sent_passes(folder, send):
    before = export(folder / "before.json")
    sent = of_tasks(before)[1:]
    send(sent)
    assert verify(folder) == {
        "rows": len(sent),
        "missing": 0,
        "unexpected": 0,
        "untouched": len(before) - len(of_tasks(before)),
    }


def test_rows_that_got_lost_are_missing_and_the_backup_is_named(folder, send, emulator):
    emulator.control.configure_bot(BOT, import_lost_rows=2)
    send(of_tasks(export(folder / "before.json")))
    context = new_context()
    with pytest.raises(
        KoreAIComparisonError,
        match=rf"2 missing .*KoreAIImportUtterancesOperator\(task_id='restore', bot_id='{BOT}', "
        r"path='s3://lake/backup.json', on_invalid='drop'\)",
    ) as caught:
        verify(folder, context)
    assert isinstance(caught.value, AirflowFailException)
    assert context["ti"].xcoms["missing"] == 2


def test_the_task_that_restores_the_backup_has_the_connections(folder, send, emulator):
    emulator.control.configure_bot(BOT, import_lost_rows=2)
    send(of_tasks(export(folder / "before.json")))
    with pytest.raises(
        KoreAIComparisonError,
        match=r"on_invalid='drop', storage_conn_id='lake', koreai_conn_id='koreai_prod'\)",
    ):
        verify(folder, storage_conn_id="lake", koreai_conn_id="koreai_prod")


def test_what_should_have_been_replaced_is_unexpected(folder, send, emulator):
    emulator.control.configure_bot(BOT, import_semantics="append")
    task = of_tasks(export(folder / "before.json"))[0]["taskName"]
    sent = [{"taskName": task, "sentence": "new", "type": "DialogIntent", "entities": [], "language": "en"}]
    send(sent)
    with pytest.raises(KoreAIComparisonError, match=rf"that were not sent \('{task}' en"):
        verify(folder)


def test_a_sentence_in_another_task_is_missing_and_unexpected(folder, send):
    entries = of_tasks(export(folder / "before.json"))
    send(entries)
    other = next(each["taskName"] for each in entries if each["taskName"] != entries[0]["taskName"])
    (folder / "new.json").write_text(json.dumps([{**entries[0], "taskName": other}, *entries[1:]]))
    with pytest.raises(KoreAIComparisonError, match=r"1 missing .*1 that were not sent"):
        verify(folder)


@pytest.mark.parametrize("semantics", ["replace", "wipe"])
def test_tasks_of_which_nothing_was_sent_may_stay_or_go(folder, send, emulator, semantics):
    emulator.control.configure_bot(BOT, import_semantics=semantics)
    entries = of_tasks(export(folder / "before.json"))
    send([each for each in entries if each["taskName"] == entries[0]["taskName"]])
    assert (verify(folder)["untouched"] > 0) is (semantics == "replace")


def test_rows_that_were_left_out_are_not_missing(folder, send):
    entries = of_tasks(export(folder / "before.json"))
    send([*entries, entries[0], {**entries[0], "taskName": ""}], on_invalid="drop")
    assert verify(folder, on_invalid="drop")["rows"] == len(entries)
