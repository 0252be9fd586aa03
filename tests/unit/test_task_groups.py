"""The task group: its tasks, how they hang together, how it maps, and what it refuses when the DAG is read."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from airflow.providers.common.compat.sdk import DAG, Asset, chain, task

from airflow_provider_koreai.exceptions import KoreAIConfigurationError
from airflow_provider_koreai.task_groups import koreai_export_utterances

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUP = "koreai_export_utterances"


@pytest.fixture(autouse=True)
def dag() -> Iterator[DAG]:
    with DAG("test_task_groups", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)) as dag:
        yield dag


def test_export_wait_and_fetch_follow_each_other(dag):
    made = koreai_export_utterances(bot_id="st-1", path="/data/")
    assert set(dag.task_ids) == {f"{GROUP}.{task_id}" for task_id in ("export", "wait", "fetch")}
    assert made.wait.upstream_task_ids == {made.export.task_id}
    assert made.fetch.upstream_task_ids == {made.export.task_id, made.wait.task_id}


def test_each_argument_reaches_its_tasks():
    asset = Asset("koreai://bots.kore.ai/st-1")
    made = koreai_export_utterances(
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
    tasks = (made.export, made.wait, made.fetch)
    assert {(task.bot_id, task.koreai_conn_id, task.pool, task.retries) for task in tasks} == {
        ("st-1", "koreai_prod", "koreai", 4)
    }
    assert (made.export.state, made.export.file_type) == ("published", "json")
    assert (made.wait.timeout, made.wait.deferrable, made.wait.poke_interval) == (7200, True, 5)
    assert (made.wait.on_superseded, made.fetch.on_superseded) == ("follow", "follow")
    assert (made.fetch.path, made.fetch.min_rows, made.fetch.compression) == ("/data/", 7, "gzip")
    assert (made.fetch.storage_conn_id, list(made.fetch.outlets)) == ("lake", [asset])
    assert list(made.export.outlets) == []


def test_what_comes_before_it_comes_before_the_export_and_what_comes_after_it_after_the_file():
    @task
    def begin() -> None: ...

    @task
    def end() -> None: ...

    first, last = begin(), end()
    made = koreai_export_utterances(bot_id="st-1", path="/data/")
    chain(first, made, last)
    assert made.export.upstream_task_ids == {"begin"}
    assert "begin" not in made.fetch.upstream_task_ids
    assert last.operator.upstream_task_ids == {made.fetch.task_id}


def test_its_output_is_what_the_download_returns():
    made = koreai_export_utterances(bot_id="st-1", path="/data/")
    assert made.output.operator is made.fetch
    assert made.output.key == "return_value"


def test_two_groups_of_one_dag_have_ids_of_their_own():
    one = koreai_export_utterances(bot_id="st-1", path="/data/", group_id="one")
    two = koreai_export_utterances(bot_id="st-2", path="/data/", group_id="two")
    assert (one.fetch.task_id, two.fetch.task_id) == ("one.fetch", "two.fetch")


def test_it_maps_over_another_tasks_output():
    @task
    def bots() -> list[str]:
        return ["st-1"]

    made = koreai_export_utterances.partial(path="/data/", retries=4).expand(bot_id=bots())
    assert type(made.group).__name__ == "MappedTaskGroup"
    assert made.export.upstream_task_ids == {"bots"}
    assert made.fetch.retries == 4


def test_partial_leaves_the_helper_as_it_is():
    koreai_export_utterances.partial(path="/data/", min_rows=7)
    assert koreai_export_utterances(bot_id="st-1", path="/other/").fetch.min_rows is None


@pytest.mark.parametrize("path", ["/data/", "s3://lake/{{ ds }}/", "/data/{{ ti.task.bot_id }}.csv"])
def test_a_path_that_differs_from_bot_to_bot_is_accepted(path):
    koreai_export_utterances.partial(path=path).expand(bot_id=["st-1", "st-2"])


@pytest.mark.parametrize("path", ["/data/utterances.csv", "s3://lake/{{ ds }}/utterances.csv"])
def test_a_path_that_is_the_same_for_every_bot_is_refused(path):
    with pytest.raises(KoreAIConfigurationError, match=r"path=.*task\.bot_id"):
        koreai_export_utterances.partial(path=path).expand(bot_id=["st-1", "st-2"])


def test_a_bot_that_is_named_twice_is_refused():
    with pytest.raises(KoreAIConfigurationError, match="'st-1' is named twice"):
        koreai_export_utterances.partial(path="/data/").expand(bot_id=["st-1", "st-2", "st-1"])


@pytest.mark.parametrize("given", [{"bot_id": "st-1", "path": "/data/"}, {}])
def test_what_is_missing_or_given_twice_is_refused(given):
    with pytest.raises(TypeError, match=r"bot_id|path"):
        koreai_export_utterances.partial(**given).expand(bot_id=["st-1"])


def test_the_bot_is_rendered_before_the_path_so_that_the_path_can_name_it():
    made = koreai_export_utterances(bot_id="{{ params.bot }}", path="/data/{{ ti.task.bot_id }}.csv")
    made.fetch.request_id = made.fetch.requested_time = made.fetch.file_type = None
    made.fetch.render_template_fields({"params": {"bot": "st-1"}, "ti": SimpleNamespace(task=made.fetch)})
    assert made.fetch.path == "/data/st-1.csv"
