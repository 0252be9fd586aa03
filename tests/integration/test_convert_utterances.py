"""The convert task: what a DAG's author sees of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_koreai.exceptions import KoreAIFileError
from airflow_provider_koreai.hooks.koreai import KoreAIHook
from airflow_provider_koreai.operators.convert_utterances import KoreAIConvertUtterancesOperator
from airflow_provider_koreai.utterances import read_utterances
from tests.support.running import run_task

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("pyarrow")

BOT = "st-demo-travel"


def convert(path: Path, target: Path, **more: Any) -> Any:
    task = KoreAIConvertUtterancesOperator(task_id="convert", path=str(path), target=str(target), **more)
    return run_task(task)


@pytest.mark.parametrize("file_type", ["csv", "json"])
def test_an_export_becomes_a_parquet_file_with_the_same_utterances(
    koreai_conn: str, tmp_path: Path, file_type: str
) -> None:
    started = KoreAIHook().start_export(BOT, file_type=file_type)
    file, target = tmp_path / f"utterances.{file_type}", tmp_path / "utterances.parquet"
    stored = KoreAIHook().download_export(BOT, str(file), request_id=started.request_id)
    result = convert(file, target)
    assert (result["rows"], result["path"]) == (stored.rows, str(target))
    assert list(read_utterances(str(target))) == list(read_utterances(str(file)))


def test_a_missing_file_is_reported_and_not_tried_again(tmp_path: Path) -> None:
    with pytest.raises(KoreAIFileError, match=r"path='.*x.csv' does not exist") as caught:
        convert(tmp_path / "x.csv", tmp_path / "x.parquet")
    assert isinstance(caught.value, AirflowFailException)


def test_a_broken_file_is_reported_by_path_and_line(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("taskName,sentence,type,language\nA,b,c\n")
    with pytest.raises(
        KoreAIFileError, match=r"x.csv': The CSV file is broken: line 2: .* Nothing was written"
    ):
        convert(file, tmp_path / "x.parquet")
