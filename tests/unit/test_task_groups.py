"""The task group: its tasks, how they hang together, and how it maps."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from airflow.providers.common.compat.sdk import DAG, Asset, chain, task, task_group

from airflow_provider_koreai.exceptions import KoreAIConfigurationError
from airflow_provider_koreai.task_groups import koreai_export_utterances, koreai_import_utterances

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUP = "koreai_export_utterances"


@pytest.fixture(autouse=True)
def dag() -> Iterator[DAG]:
    with DAG("test_task_groups", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)) as dag:
        yield dag


def tasks_of(group):
    return [group.get_child_by_label(label) for label in ("export", "wait", "fetch")]


def test_export_wait_and_fetch_follow_each_other(dag):
    export, wait, fetch = tasks_of(koreai_export_utterances(bot_id="st-1", path="/data/"))
    assert set(dag.task_ids) == {f"{GROUP}.{task_id}" for task_id in ("export", "wait", "fetch")}
    assert wait.upstream_task_ids == {export.task_id}
    assert fetch.upstream_task_ids == {export.task_id, wait.task_id}


def test_each_argument_reaches_its_tasks():
    asset = Asset("koreai://bots.kore.ai/st-1")
    tasks = export, wait, fetch = tasks_of(
        koreai_export_utterances(
            bot_id="st-1",
            path="/data/",
            state="published",
            file_type="json",
            on_superseded="follow",
            min_rows=7,
            timeout=timedelta(hours=2),
            deferrable=True,
            storage_conn_id="lake",
            koreai_conn_id="koreai_prod",
            outlets=[asset],
            wait_args={"poke_interval": 5},
            fetch_args={"compression": "gzip"},
            pool="koreai",
            retries=4,
        )
    )
    assert {(task.bot_id, task.koreai_conn_id, task.pool, task.retries) for task in tasks} == {
        ("st-1", "koreai_prod", "koreai", 4)
    }
    assert (export.state, export.file_type) == ("published", "json")
    assert (wait.timeout, wait.deferrable, wait.poke_interval) == (7200, True, 5)
    assert (wait.on_superseded, fetch.on_superseded) == ("follow", "follow")
    assert (fetch.path, fetch.min_rows, fetch.compression) == ("/data/", 7, "gzip")
    assert (fetch.storage_conn_id, list(fetch.outlets)) == ("lake", [asset])
    assert list(export.outlets) == []


def test_what_comes_before_it_comes_before_the_export_and_what_comes_after_it_after_the_file():
    @task
    def begin() -> None: ...

    @task
    def end() -> None: ...

    first, last = begin(), end()
    group = koreai_export_utterances(bot_id="st-1", path="/data/")
    chain(first, group, last)
    export, _, fetch = tasks_of(group)
    assert export.upstream_task_ids == {"begin"}
    assert "begin" not in fetch.upstream_task_ids
    assert last.operator.upstream_task_ids == {fetch.task_id}


def test_one_group_may_follow_another_or_lead_to_several():
    first, second, third = (
        koreai_export_utterances(bot_id="st-1", path="/data/", group_id=name) for name in ("a", "b", "c")
    )
    first >> [second, third]
    assert {tasks_of(group)[0].task_id for group in (second, third)} == tasks_of(first)[2].downstream_task_ids


def test_two_groups_of_one_dag_have_ids_of_their_own():
    one = koreai_export_utterances(bot_id="st-1", path="/data/", group_id="one")
    two = koreai_export_utterances(bot_id="st-2", path="/data/", group_id="two")
    assert [tasks_of(group)[2].task_id for group in (one, two)] == ["one.fetch", "two.fetch"]


def test_a_group_of_the_users_own_maps_it_and_hands_its_file_on():
    @task
    def bots() -> list[str]:
        return ["st-1"]

    @task
    def load(path: str) -> None: ...

    @task_group
    def one_bot(bot_id: str) -> None:
        group = koreai_export_utterances(bot_id=bot_id, path="/data/")
        load(group.get_child_by_label("fetch").output["path"])

    mapped = one_bot.expand(bot_id=bots())
    assert type(mapped).__name__ == "MappedTaskGroup"
    export, _, fetch = tasks_of(mapped.get_child_by_label(GROUP))
    assert export.upstream_task_ids == {"bots"}
    assert "one_bot.load" in fetch.downstream_task_ids


def test_the_ui_shows_the_bot_of_a_mapped_task():
    for task_of_group in tasks_of(koreai_export_utterances(bot_id="st-1", path="/data/")):
        assert task_of_group.map_index_template == "{{ ti.task.bot_id }}"


def test_the_bot_is_rendered_before_the_path_so_that_the_path_can_name_it():
    group = koreai_export_utterances(bot_id="{{ params.bot }}", path="/data/{{ ti.task.bot_id }}.csv")
    fetch = tasks_of(group)[2]
    fetch.request_id = fetch.requested_time = fetch.file_type = None
    fetch.render_template_fields({"params": {"bot": "st-1"}, "ti": SimpleNamespace(task=fetch)})
    assert fetch.path == "/data/st-1.csv"


def import_group(**more):
    return koreai_import_utterances(
        bot_id="st-1", path="/data/new.json", **{"backup_path": "/data/backup.json", **more}
    )


def order_of(dag) -> list[str]:
    """The labels of the tasks, in the order in which they run."""
    return [each.label for each in dag.topological_sort()]


def test_an_import_is_guarded_before_and_verified_after(dag):
    import_group(test_suite="Nightly")
    exports = ["export", "wait", "fetch"]
    order = order_of(dag)
    assert sorted(order[3:5]) == ["check", "compare"]
    assert order[:3] + order[5:] == [*exports, "import", *exports, "verify", "train", "test"]


def test_the_check_may_have_limits_or_be_left_out(dag):
    group = import_group(check_args={"max_conflicts": 0, "min_per_task": 3})
    check = group.get_child_by_label("check")
    assert (check.path, check.max_conflicts, check.min_per_task) == ("/data/new.json", 0, 3)
    assert check.task_id in group.get_child_by_label("import").upstream_task_ids
    import_group(group_id="another", check=False)
    assert "another.check" not in dag.task_ids


@pytest.mark.parametrize(
    ("arguments", "last"),
    [
        ({"train": False}, ["verify"]),
        ({}, ["verify", "train"]),
        ({"min_f1": 0.8}, ["verify", "train", "test"]),
        ({"train": False, "test_suite": "Nightly"}, ["verify", "test"]),
    ],
)
def test_training_and_test_follow_where_they_are_wanted(dag, arguments, last):
    import_group(**arguments)
    order = order_of(dag)
    assert order[order.index("verify") :] == last


def test_each_argument_of_an_import_reaches_its_tasks(dag):
    asset = Asset("koreai://bots.kore.ai/st-1")
    group = import_group(
        file_type="csv",
        max_removed_fraction=0.5,
        on_invalid="drop",
        language="de",
        test_suite="Nightly",
        min_f1=0.7,
        min_precision=0.8,
        min_recall=0.9,
        timeout=timedelta(hours=2),
        deferrable=True,
        storage_conn_id="lake",
        upload_conn_id="koreai_admin",
        koreai_conn_id="koreai_prod",
        outlets=[asset],
        pool="koreai",
        retries=4,
    )
    assert {(each.pool, each.retries) for each in dag.tasks} == {("koreai", 4)}
    assert {each.koreai_conn_id for each in dag.tasks if hasattr(each, "koreai_conn_id")} == {"koreai_prod"}
    assert {each.storage_conn_id for each in dag.tasks if hasattr(each, "storage_conn_id")} == {"lake"}
    assert {each.deferrable for each in dag.tasks if hasattr(each, "timeout")} == {True, False}
    compare, import_, verify, train, test = (
        group.get_child_by_label(label) for label in ("compare", "import", "verify", "train", "test")
    )
    assert compare.max_removed_fraction == 0.5
    assert {(each.file_type, each.on_invalid) for each in (import_, verify)} == {("csv", "drop")}
    assert import_.upload_conn_id == "koreai_admin"
    assert verify.outlets == [asset]
    assert import_.outlets == []
    assert {(each.language, each.timeout, each.deferrable) for each in (train, test)} == {
        ("de", timedelta(hours=2), True)
    }
    assert (test.test_suite, test.min_f1, test.min_precision, test.min_recall) == ("Nightly", 0.7, 0.8, 0.9)


def test_a_backup_that_the_comparison_does_not_see_is_no_empty_one():
    assert import_group().get_child_by_label("compare").missing_before == "fail"


def test_a_backup_path_that_is_not_known_when_the_dag_is_parsed_is_refused():
    @task
    def backup() -> str:
        return "/data/"

    with pytest.raises(
        KoreAIConfigurationError, match=r"backup_path is of type .*XComArg, but must be a string"
    ):
        import_group(backup_path=backup())


@pytest.mark.parametrize(
    ("backup", "after"),
    [
        ("/data/{{ ds }}/backup.json", "/data/{{ ds }}/backup-imported.json"),
        ("s3://lake/backup.json.gz", "s3://lake/backup-imported.json.gz"),
        ("/data/backup", "/data/backup-imported"),
        ("/data/backup/", "/data/backup/"),
    ],
)
def test_the_export_after_an_import_lies_beside_the_backup(backup, after):
    group = import_group(backup_path=backup)
    paths = [
        group.get_child_by_label(label).get_child_by_label("fetch").path
        for label in ("back_up", "export_again")
    ]
    assert paths == [backup, after]
