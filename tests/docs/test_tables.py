"""The tables of arguments in README.md have each argument of the code, and no other."""

from __future__ import annotations

import inspect
import re

import pytest

from airflow_provider_koreai.connection_form import CONN_FIELDS
from airflow_provider_koreai.operators.compare_utterances import KoreAICompareUtterancesOperator
from airflow_provider_koreai.operators.convert_utterances import KoreAIConvertUtterancesOperator
from airflow_provider_koreai.operators.koreai import (
    KoreAIDownloadUtterancesOperator,
    KoreAIExportUtterancesOperator,
)
from airflow_provider_koreai.operators.load_utterances import KoreAILoadUtterancesOperator
from airflow_provider_koreai.sensors.koreai import KoreAIExportStatusSensor
from airflow_provider_koreai.task_groups import koreai_export_utterances

from .blocks import ROOT

README = (ROOT / "README.md").read_text("utf-8")
# An argument of BaseSensorOperator that means more here.
INHERITED = {KoreAIExportStatusSensor: {"poke_interval"}}


def section(title: str) -> str:
    """Give a section of README.md."""
    found = re.search(rf"^#+ {title}\n(.*?)(?=^#|\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def rows(text: str) -> dict[str, list[str]]:
    """Give the rows of a section's table by what is quoted first in each."""
    table = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    return {row[0].split("`")[1]: row[1:] for row in table if "`" in row[0]}


def arguments(function: object) -> dict[str, inspect.Parameter]:
    """Give the arguments that a function names itself."""
    parameters = inspect.signature(inspect.unwrap(function)).parameters  # type: ignore[arg-type]
    return {n: p for n, p in parameters.items() if n != "self" and p.kind is not p.VAR_KEYWORD}


OPERATORS = (KoreAIExportUtterancesOperator, KoreAIExportStatusSensor, KoreAIDownloadUtterancesOperator)


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_table_has_each_argument_and_says_which_are_templated(operator):
    table = rows(section(operator.__name__))
    assert table.keys() == arguments(operator.__init__).keys() | INHERITED.get(operator, set())
    templated = {name for name, (cross, *_) in table.items() if cross == "x"}
    assert templated == set(operator.template_fields)


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_table_says_each_default(operator):
    table = rows(section(operator.__name__))
    said = {name: row[-1].replace("`", "").replace('"', "'") for name, row in table.items()}
    for name, argument in arguments(operator.__init__).items():
        if argument.default is argument.empty:
            assert said[name] == "required"
        elif name == "deferrable":
            assert said[name] == "[operators] default_deferrable"
        else:
            assert said[name] == repr(argument.default)


@pytest.mark.parametrize(
    ("word", "operator"),
    [
        ("Load", KoreAILoadUtterancesOperator),
        ("Convert", KoreAIConvertUtterancesOperator),
        ("Compare", KoreAICompareUtterancesOperator),
    ],
)
def test_the_list_of_an_operator_names_each_argument(word, operator):
    (line,) = re.findall(
        rf"^- {word}: (.*?)(?=^- |\Z)", section("From file to table"), re.MULTILINE | re.DOTALL
    )
    named = set(re.findall(r"`(\w+)`", line))
    assert arguments(operator.__init__).keys() - named == set()


def test_the_task_group_s_arguments_are_named():
    named = set(re.findall(r"`(\w+)`", section("Many bots")))
    assert arguments(koreai_export_utterances).keys() - named == set()


def test_each_field_of_the_connection_is_named():
    named = {row.removeprefix("Extra ") for row in rows(section("Connection"))}
    assert named == set(CONN_FIELDS)
