"""What a task's arguments may be after rendering."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_koreai.arguments import choice, file_type_argument
from airflow_provider_koreai.exceptions import KoreAIConfigurationError


@pytest.mark.parametrize("value", [None, ""])
def test_no_file_type_means_that_any_will_do(value):
    assert file_type_argument(value) is None


@given(st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()))
def test_what_is_none_of_the_accepted_choices_is_an_error_that_names_them(value):
    if isinstance(value, str) and value.strip().lower() in ("configured", "published"):
        return
    with pytest.raises(KoreAIConfigurationError, match=r"(?s)^state=.*configured, published"):
        choice("state", value, ("configured", "published"))


def test_a_choice_is_taken_in_any_case():
    assert choice("state", " Published", ("configured", "published")) == "published"
