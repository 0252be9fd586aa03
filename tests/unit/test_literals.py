"""Literals that are not accepted are refused when the DAG is parsed; templates are not."""

from __future__ import annotations

import pytest

from airflow_provider_koreai.exceptions import KoreAIConfigurationError
from airflow_provider_koreai.operators.compare_utterances import KoreAICompareUtterancesOperator
from airflow_provider_koreai.operators.convert_utterances import KoreAIConvertUtterancesOperator
from airflow_provider_koreai.operators.koreai import KoreAIDownloadUtterancesOperator
from airflow_provider_koreai.operators.verify_import import KoreAIVerifyImportOperator

VERIFY = {"bot_id": "st-1", "path": "/data/a.json", "exported_path": "/data/b.json"}
CONVERT = {"path": "/data/a.csv", "target": "/data/a.parquet"}
DOWNLOAD = {"bot_id": "st-1", "path": "/data/a.csv"}


@pytest.mark.parametrize(
    ("operator", "arguments", "name"),
    [
        (KoreAIVerifyImportOperator, VERIFY, "on_invalid"),
        (KoreAICompareUtterancesOperator, {}, "missing_before"),
        (KoreAIConvertUtterancesOperator, CONVERT, "compression"),
        (KoreAIConvertUtterancesOperator, CONVERT, "file_type"),
        (KoreAIDownloadUtterancesOperator, DOWNLOAD, "compression"),
    ],
)
class TestLiterals:
    def test_one_that_is_not_accepted_is_refused(self, operator, arguments, name):
        with pytest.raises(KoreAIConfigurationError, match=f"{name}='nonsense' is not accepted"):
            operator(task_id="task", **arguments, **{name: "nonsense"})

    def test_a_template_is_not_judged(self, operator, arguments, name):
        assert operator(task_id="task", **arguments, **{name: "{{ params.x }}"})
