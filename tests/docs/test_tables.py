"""Each operator's docstring, which the site shows as its table, has every argument, and says which are templated."""

from __future__ import annotations

import inspect
import re

import pytest

from airflow_provider_koreai.connection_form import CONN_FIELDS
from airflow_provider_koreai.get_provider_info import get_provider_info
from airflow_provider_koreai.operators.batch_test import KoreAIBatchTestOperator
from airflow_provider_koreai.operators.check_utterances import KoreAICheckUtterancesOperator
from airflow_provider_koreai.operators.compare_utterances import KoreAICompareUtterancesOperator
from airflow_provider_koreai.operators.convert_utterances import KoreAIConvertUtterancesOperator
from airflow_provider_koreai.operators.delete_snapshots import KoreAIDeleteSnapshotsOperator
from airflow_provider_koreai.operators.download_analytics import KoreAIDownloadAnalyticsOperator
from airflow_provider_koreai.operators.import_utterances import KoreAIImportUtterancesOperator
from airflow_provider_koreai.operators.koreai import (
    KoreAIDownloadUtterancesOperator,
    KoreAIExportUtterancesOperator,
)
from airflow_provider_koreai.operators.load_analytics import KoreAILoadAnalyticsOperator
from airflow_provider_koreai.operators.load_utterances import KoreAILoadUtterancesOperator
from airflow_provider_koreai.operators.report_utterances import KoreAIReportUtterancesOperator
from airflow_provider_koreai.operators.train import KoreAITrainOperator
from airflow_provider_koreai.operators.verify_import import KoreAIVerifyImportOperator
from airflow_provider_koreai.sensors.koreai import KoreAIExportStatusSensor
from airflow_provider_koreai.task_groups import koreai_export_utterances, koreai_import_utterances

from .blocks import ROOT

OPERATORS = (
    KoreAICheckUtterancesOperator,
    KoreAIExportUtterancesOperator,
    KoreAIExportStatusSensor,
    KoreAIDownloadUtterancesOperator,
    KoreAILoadUtterancesOperator,
    KoreAICompareUtterancesOperator,
    KoreAIConvertUtterancesOperator,
    KoreAIReportUtterancesOperator,
    KoreAIDeleteSnapshotsOperator,
    KoreAIDownloadAnalyticsOperator,
    KoreAILoadAnalyticsOperator,
    KoreAIImportUtterancesOperator,
    KoreAIVerifyImportOperator,
    KoreAITrainOperator,
    KoreAIBatchTestOperator,
)


def described(thing: object) -> dict[str, str]:
    """The text of each ``:param`` of a docstring."""
    docstring = inspect.getdoc(thing) or ""
    found = re.findall(r"^:param (\w+): (.*?)(?=^:|^\S|\Z)", docstring, re.MULTILINE | re.DOTALL)
    return {name: " ".join(text.split()) for name, text in found}


def arguments(function: object) -> set[str]:
    """The arguments that a function names itself."""
    parameters = inspect.signature(inspect.unwrap(function)).parameters  # type: ignore[arg-type]
    return {n for n, p in parameters.items() if n != "self" and p.kind is not p.VAR_KEYWORD}


@pytest.mark.parametrize("operator", OPERATORS)
def test_each_argument_is_described_and_no_other(operator):
    assert described(operator).keys() == arguments(operator.__init__)


@pytest.mark.parametrize("operator", OPERATORS)
def test_exactly_the_template_fields_are_said_to_be_templated(operator):
    templated = {name for name, text in described(operator).items() if "(templated)" in text}
    assert templated == set(operator.template_fields)


def test_no_operator_is_left_out():
    modules = [
        module
        for kind in ("operators", "sensors")
        for integration in get_provider_info()[kind]
        for module in integration["python-modules"]
    ]
    assert {each.__module__ for each in OPERATORS} == set(modules)


@pytest.mark.parametrize("group", [koreai_export_utterances, koreai_import_utterances])
def test_each_argument_of_a_task_group_is_described(group):
    assert described(group).keys() >= arguments(group)


def test_each_field_of_the_connection_is_named():
    page = (ROOT / "docs" / "connection.md").read_text("utf-8")
    named = {
        name.removeprefix("Extra ").strip("`")
        for name in re.findall(r"^\| ([^|]+?) \| .* \|$", page, re.MULTILINE)
    }
    assert set(CONN_FIELDS) <= named


def test_each_page_of_an_operator_is_linked_from_the_readme():
    readme = (ROOT / "README.md").read_text("utf-8")
    for operator in OPERATORS:
        assert operator.__name__ in readme


def test_the_readme_stays_short():
    assert len((ROOT / "README.md").read_text("utf-8").split()) <= 1500
