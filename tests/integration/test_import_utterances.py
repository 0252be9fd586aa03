"""The import operator, over real HTTP: the same outcomes in every way of waiting."""

from __future__ import annotations

import io
import json
import logging
import re
from datetime import timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout, TaskDeferred
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_3_PLUS

from airflow_provider_koreai import deferral
from airflow_provider_koreai.exceptions import (
    KoreAIAuthError,
    KoreAIConfigurationError,
    KoreAIError,
    KoreAIFileError,
    KoreAIImportFailedError,
    KoreAIImportTimeoutError,
    KoreAIImportUncertainError,
)
from airflow_provider_koreai.hooks.koreai import KoreAIHook
from airflow_provider_koreai.jobs import polling
from airflow_provider_koreai.operators.import_utterances import KoreAIImportUtterancesOperator
from tests.support.logs import everything_logged
from tests.support.running import FakeTaskStateStore, new_context, run_task

BOT = "st-demo-travel"
MODES = ("worker", "deferrable", "deferrable, in its worker")
modes = pytest.mark.parametrize("mode", MODES)
needs_state = pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="Airflow keeps a task's state since 3.3")


@pytest.fixture(autouse=True)
def quick(monkeypatch, emulator, koreai_conn, request):
    """Pauses of a few milliseconds, and an emulator that allows as many calls."""
    monkeypatch.setattr(polling, "SHORTEST", 0.02)
    if "in its worker" in request.node.name:
        monkeypatch.setattr(deferral, "worker_stays", lambda: 1000.0)
    emulator.control.configure_bot(BOT, import_seconds=0.2, status_per_minute=10**6, status_per_hour=10**6)


def entry(sentence, task="Book Flight", **more):
    return {
        "taskName": task,
        "sentence": sentence,
        "type": "DialogIntent",
        "entities": [],
        "language": "en",
        **more,
    }


NEW = [entry("fly me to Oslo"), entry('the "moon",\nplease', entities=[{"startIndex": 4}], unknown=[1])]


@pytest.fixture
def path(tmp_path):
    """A file of two utterances."""
    (tmp_path / "new.json").write_text(json.dumps(NEW))
    return str(tmp_path / "new.json")


def exported(tmp_path):
    """What the bot has now."""
    hook = KoreAIHook()
    hook.start_export(BOT, file_type="json")
    hook.download_export(BOT, str(tmp_path / "now.json"))
    return json.loads((tmp_path / "now.json").read_text("utf-8"))


def operator(mode, path, **more):
    arguments = {"timeout": 20, **more}
    return KoreAIImportUtterancesOperator(
        task_id="import", bot_id=BOT, path=path, deferrable="deferrable" in mode, **arguments
    )


def starts(emulator) -> int:
    return len(emulator.control.requests(BOT, call="import"))


@modes
def test_it_returns_what_was_imported(mode, path, emulator, tmp_path):
    context = new_context()
    result = run_task(operator(mode, path), context)
    assert result == {
        "import_id": context["ti"].xcoms["import_id"],
        "rows": 2,
        "copied": 2,
        "file_type": "json",
        "message": "File imported completed. 2 utterances copied successfully",
    }
    english = [each for each in exported(tmp_path) if each["language"] == "en"]
    assert [each for each in english if each.get("taskName") == "Book Flight"] == NEW


def test_without_waiting_it_returns_at_once(path, emulator):
    emulator.control.configure_bot(BOT, import_seconds=3600)
    result = run_task(operator("worker", path, wait_for_completion=False))
    assert (result["rows"], result["copied"], result["message"]) == (2, "", "")


@pytest.mark.parametrize("deferrable", [False, True])
def test_the_import_id_is_pushed_before_the_first_poll(path, emulator, deferrable):
    emulator.control.add_fault(BOT, "import_status", "http", times=-1, status=403)
    context = new_context()
    with pytest.raises(KoreAIAuthError):
        run_task(operator("deferrable" if deferrable else "worker", path), context)
    assert context["ti"].xcoms["import_id"].startswith("bir-")


def test_nothing_is_sent_for_a_file_that_is_refused(emulator, tmp_path):
    (tmp_path / "new.csv").write_text("taskName,sentence,type,language\nBook Flight,,DialogIntent,en\n")
    with pytest.raises(KoreAIFileError, match="line 2"):
        run_task(operator("worker", str(tmp_path / "new.csv")))
    assert emulator.control.requests() == []


def test_nothing_is_sent_for_a_task_that_the_bot_does_not_have(emulator, tmp_path, path):
    current = tmp_path / "current.json"
    current.write_text(json.dumps([entry("x", task="Other")]))
    with pytest.raises(KoreAIFileError, match="'Book Flight'"):
        run_task(operator("worker", path, current_path=str(current)))
    assert emulator.control.requests() == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"on_incomplete": "skip"}, "on_incomplete='skip'"),
        ({"on_invalid": "skip"}, "on_invalid='skip'"),
        ({"file_type": "xml"}, "file_type='xml'"),
    ],
)
def test_a_wrong_argument_is_refused_when_the_dag_is_read(path, arguments, said):
    with pytest.raises(KoreAIConfigurationError, match=said):
        operator("worker", path, **arguments)


def test_a_wrong_timeout_is_refused_unsent(path, emulator):
    with pytest.raises(KoreAIConfigurationError, match="timeout=0"):
        run_task(operator("worker", path, timeout=0))
    assert emulator.control.requests() == []


@modes
def test_a_failed_import_tells_its_status_logs_and_may_be_retried(mode, path, emulator):
    emulator.control.configure_bot(BOT, import_fail_with=["no such entity"])
    with pytest.raises(KoreAIImportFailedError, match="no such entity") as caught:
        run_task(operator(mode, path))
    assert caught.value.status_logs == ("no such entity",)
    assert not isinstance(caught.value, AirflowFailException)


@modes
def test_fewer_copied_than_sent_fails_without_retries_and_is_in_the_xcoms(mode, path, emulator):
    emulator.control.configure_bot(BOT, import_lost_rows=1)
    context = new_context()
    with pytest.raises(KoreAIImportFailedError, match=r"copied 1 .*has 2") as caught:
        run_task(operator(mode, path), context)
    assert isinstance(caught.value, AirflowFailException)
    assert context["ti"].xcoms["copied"] == context["ti"].xcoms["return_value"]["copied"] == 1


def test_fewer_copied_may_be_a_warning(path, emulator):
    emulator.control.configure_bot(BOT, import_lost_rows=1)
    with everything_logged() as lines:
        assert run_task(operator("worker", path, on_incomplete="warn"))["copied"] == 1
    assert any("copied 1 utterances" in line for line in lines)


@modes
def test_an_import_past_its_timeout_is_not_retried(mode, path, emulator):
    emulator.control.configure_bot(BOT, import_seconds=3600)
    with pytest.raises(
        KoreAIImportTimeoutError, match=r"import bir-.* did not finish within 0\.3 seconds"
    ) as caught:
        run_task(operator(mode, path, timeout=timedelta(seconds=0.3)))
    assert isinstance(caught.value, AirflowFailException)
    assert starts(emulator) == 1


@pytest.mark.parametrize("mode", ["worker", "deferrable"])
def test_without_a_note_an_execution_timeout_is_not_retried(mode, path, emulator):
    emulator.control.configure_bot(BOT, import_seconds=3600)
    task = operator(mode, path, execution_timeout=timedelta(seconds=0.3))

    def run_out_of_time(*_):
        raise AirflowTaskTimeout

    # Airflow's own timer, in a worker.
    task._sleep = run_out_of_time
    with pytest.raises(KoreAIImportTimeoutError, match=r"within execution_timeout=0:00:00\.3") as caught:
        run_task(task)
    assert isinstance(caught.value, AirflowFailException)


@needs_state
@pytest.mark.parametrize("mode", ["worker", "deferrable"])
def test_with_a_note_an_execution_timeout_is_retried(mode, path, emulator):
    emulator.control.configure_bot(BOT, import_seconds=3600)
    task = operator(mode, path, execution_timeout=timedelta(seconds=0.3))

    def run_out_of_time(*_):
        raise AirflowTaskTimeout

    task._sleep = run_out_of_time
    with pytest.raises(AirflowTaskTimeout):
        run_task(task, new_context(task_state_store=FakeTaskStateStore()))


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize("has_store", [pytest.param(True, marks=needs_state), False])
def test_a_task_that_runs_out_of_time_during_the_start_is_not_retried(wait, has_store, path, emulator):
    task = operator("worker", path, execution_timeout=timedelta(seconds=5), wait_for_completion=wait)

    def run_out_of_time(*_):
        raise AirflowTaskTimeout

    task.hook.start_import = run_out_of_time
    with pytest.raises(KoreAIImportTimeoutError, match="may still be running"):
        run_task(task, new_context(**({"task_state_store": FakeTaskStateStore()} if has_store else {})))


def test_a_start_that_was_refused_is_an_error_of_its_own(path, emulator):
    emulator.control.add_fault(BOT, "import", "http", status=403)
    with pytest.raises(KoreAIAuthError):
        run_task(operator("worker", path))


def unable_to_push(context):
    def fail(key, value):
        if key == "import_id":
            raise RuntimeError("no XCom today")

    context["ti"].xcom_push = fail
    return context


def test_without_a_note_no_later_failure_is_retried(path, emulator):
    with pytest.raises(
        KoreAIImportUncertainError, match=r"no XCom today.* Before you clear this task"
    ) as caught:
        run_task(operator("worker", path), unable_to_push(new_context()))
    assert isinstance(caught.value, AirflowFailException)


@needs_state
def test_the_import_is_noted_before_anything_else_can_fail(path, emulator):
    store = FakeTaskStateStore()
    with pytest.raises(RuntimeError, match="no XCom today"):
        run_task(operator("worker", path), unable_to_push(new_context(task_state_store=store)))
    assert run_task(operator("worker", path), new_context(task_state_store=store))["copied"] == 2
    assert starts(emulator) == 1


def test_without_a_note_a_deferral_that_failed_is_not_retried(path, emulator):
    task = operator("deferrable", path)
    with pytest.raises(KoreAIImportUncertainError, match="Before you clear this task"):
        task.resume_execution("__fail__", {"error": "Trigger timeout"}, new_context())


@needs_state
def test_with_a_note_a_deferral_that_failed_is_retried(path, emulator):
    from airflow.sdk.exceptions import TaskDeferralTimeout

    store = FakeTaskStateStore()
    store.set("koreai_import", {"import_id": "bir-1"})
    with pytest.raises(TaskDeferralTimeout):
        operator("deferrable", path).resume_execution(
            "__fail__", {"error": "Trigger timeout"}, new_context(task_state_store=store)
        )


@pytest.mark.skipif(AIRFLOW_V_3_0_PLUS, reason="Airflow 3 does not count the time in the triggerer")
@pytest.mark.parametrize(
    ("retries", "minutes", "is_refused"), [(1, 69, True), (1, 70, False), (0, 69, False)]
)
def test_airflow_2_may_not_retry_a_deferred_import_by_itself(retries, minutes, is_refused, path, emulator):
    limit = timedelta(minutes=minutes)
    task = operator("deferrable", path, retries=retries, timeout=3600, execution_timeout=limit)
    if is_refused:
        with pytest.raises(KoreAIConfigurationError, match=r"execution_timeout=1:09:00 .* 1:10:00"):
            run_task(task)
    else:
        assert run_task(task)["copied"] == 2
    assert starts(emulator) == (0 if is_refused else 1)


@modes
def test_trouble_with_the_status_call_does_not_end_the_wait(mode, path, emulator):
    emulator.control.add_fault(BOT, "import_status", "http", times=2, status=503)
    assert run_task(operator(mode, path))["copied"] == 2


@pytest.mark.parametrize(("kind", "params"), [("drop", {"at": 0}), ("http", {"status": 502}), ("html", {})])
def test_an_import_whose_answer_was_lost_is_not_repeated(path, emulator, kind, params):
    emulator.control.add_fault(BOT, "import", kind, **params)
    with pytest.raises(KoreAIImportUncertainError, match="compare") as caught:
        run_task(operator("worker", path))
    assert isinstance(caught.value, AirflowFailException)
    assert starts(emulator) == 1


def test_the_upload_may_have_a_connection_of_its_own(path, emulator, monkeypatch):
    emulator.control.configure_account(upload_by="admin")
    admin = {**emulator.connection(), "login": "cs-emulator-admin"}
    monkeypatch.setenv("AIRFLOW_CONN_KOREAI_ADMIN", json.dumps(admin))
    result = run_task(operator("worker", path, upload_conn_id="koreai_admin"))
    assert result["copied"] == 2


def test_what_an_alias_gets_is_the_bots_asset(path, emulator):
    from airflow.providers.common.compat.sdk import AssetAlias

    from airflow_provider_koreai.assets.koreai import koreai_asset

    added = []

    class Events:
        # Not a dict: an alias has no hash on Airflow 3.0.
        def __getitem__(self, outlet):
            return SimpleNamespace(add=lambda asset, extra: added.append((outlet.name, asset, extra)))

    task = operator("worker", path, outlets=[AssetAlias("imported")])
    result = run_task(task, new_context(outlet_events=Events()))
    assert added == [("imported", koreai_asset(BOT, host=emulator.base_url), result)]


def test_the_file_id_is_nowhere(path, emulator, caplog):
    store = FakeTaskStateStore()
    context = new_context(**({"task_state_store": store} if AIRFLOW_V_3_3_PLUS else {}))
    emulator.control.configure_bot(BOT, import_seconds=3600)
    with caplog.at_level(logging.DEBUG), pytest.raises(TaskDeferred) as caught:
        operator("deferrable", path).execute(context)
    uploaded = KoreAIHook().upload_file(io.BytesIO(b"[]"), file_type="json").file_id
    row = json.dumps([caught.value.trigger.serialize(), caught.value.kwargs])
    everything = row + caplog.text + str(context["ti"].xcoms) + str(store.values)
    assert not re.search(rf"\b[0-9a-f]{{{len(uploaded)}}}\b", everything)


@needs_state
class TestAfterACrash:
    """What a retry does with the import of the try before, which left no more than a note."""

    @pytest.fixture
    def store(self, path, emulator):
        """The note of a task whose worker died while it waited."""
        emulator.control.configure_bot(BOT, import_seconds=3600)
        store = FakeTaskStateStore()

        class DiedError(BaseException):
            pass

        def die(*_):
            raise DiedError

        task = operator("worker", path)
        task._sleep = die
        with pytest.raises(DiedError):
            task.execute(new_context(task_state_store=store))
        assert store.values
        return store

    @modes
    def test_the_retry_goes_on_with_it(self, store, mode, path, emulator):
        emulator.control.configure_bot(BOT, import_seconds=0)
        result = run_task(operator(mode, path), new_context(task_state_store=store))
        assert (result["copied"], starts(emulator)) == (2, 1)
        assert store.values == {}

    @modes
    def test_the_retry_waits_for_it(self, store, mode, path, emulator):
        emulator.control.configure_bot(BOT, import_seconds=1.5)
        result = run_task(operator(mode, path), new_context(task_state_store=store))
        assert (result["copied"], starts(emulator)) == (2, 1)

    def test_one_that_failed_is_started_anew(self, store, path, emulator):
        emulator.control.configure_bot(BOT, import_seconds=0, import_fail_with=["broken"])
        KoreAIHook().get_import(BOT, store.values["koreai_import"]["import_id"])
        emulator.control.configure_bot(BOT, import_fail_with=None)
        result = run_task(operator("worker", path), new_context(task_state_store=store))
        assert (result["copied"], starts(emulator)) == (2, 2)

    def test_another_file_is_not_imported_beside_it(self, store, tmp_path, emulator):
        (tmp_path / "new.json").write_text(json.dumps(NEW[:1]))
        with pytest.raises(KoreAIError, match=r"another file .* not over yet"):
            run_task(operator("worker", str(tmp_path / "new.json")), new_context(task_state_store=store))
        assert starts(emulator) == 1
        assert store.values

    def test_the_note_of_one_that_is_over_is_not_taken_for_the_next(self, store, tmp_path, emulator):
        emulator.control.configure_bot(BOT, import_seconds=0)
        (tmp_path / "new.json").write_text(json.dumps(NEW[:1]))
        task = operator("worker", str(tmp_path / "new.json"))

        def run_out_of_time(*_):
            raise AirflowTaskTimeout

        task.hook.start_import = run_out_of_time
        with pytest.raises(KoreAIImportTimeoutError):
            run_task(task, new_context(task_state_store=store))
        assert store.values == {}

    @pytest.mark.parametrize("durable", [True, False])
    def test_only_a_durable_task_keeps_a_note(self, path, emulator, durable):
        store = FakeTaskStateStore()
        emulator.control.configure_bot(BOT, import_seconds=3600)
        with pytest.raises(TaskDeferred):
            operator("deferrable", path, durable=durable).execute(new_context(task_state_store=store))
        assert bool(store.values) == durable

    def test_one_that_koreai_does_not_know_is_started_anew(self, store, path, emulator):
        store.values["koreai_import"]["import_id"] = "bir-unknown"
        emulator.control.configure_bot(BOT, import_seconds=0)
        result = run_task(operator("worker", path), new_context(task_state_store=store))
        assert (result["copied"], starts(emulator)) == (2, 2)

    def test_another_file_is_imported_anew_once_it_is_over(self, store, tmp_path, emulator):
        emulator.control.configure_bot(BOT, import_seconds=0)
        (tmp_path / "new.json").write_text(json.dumps(NEW[:1]))
        result = run_task(operator("worker", str(tmp_path / "new.json")), new_context(task_state_store=store))
        assert (result["rows"], starts(emulator)) == (1, 2)


@needs_state
def test_a_task_that_is_cleared_after_a_timeout_goes_on_with_its_import(path, emulator):
    emulator.control.configure_bot(BOT, import_seconds=3600)
    store = FakeTaskStateStore()
    with pytest.raises(KoreAIImportTimeoutError):
        run_task(operator("deferrable", path, timeout=0.3), new_context(task_state_store=store))
    emulator.control.configure_bot(BOT, import_seconds=0)
    assert run_task(operator("deferrable", path), new_context(task_state_store=store))["copied"] == 2
    assert starts(emulator) == 1
