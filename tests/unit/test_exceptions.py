"""The tree of errors: what Airflow retries, and what survives a trigger's event."""

from __future__ import annotations

import json
import pickle

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_koreai import exceptions
from airflow_provider_koreai.exceptions import (
    KoreAIAuthError,
    KoreAIComparisonError,
    KoreAIConfigurationError,
    KoreAIDatabaseError,
    KoreAIDownloadError,
    KoreAIError,
    KoreAIExportFailedError,
    KoreAIExportFailedFinalError,
    KoreAIExportSupersededError,
    KoreAIExportSupersededFinalError,
    KoreAIExportTimeoutError,
    KoreAIFileError,
    KoreAIRateLimitError,
    KoreAIRefusedError,
    KoreAIRequestError,
    KoreAIServerError,
    final,
    from_payload,
    to_payload,
)

FAILS_AT_ONCE = {
    KoreAIError: False,
    KoreAIConfigurationError: True,
    KoreAIAuthError: True,
    KoreAIRequestError: False,
    KoreAIRefusedError: True,
    KoreAIServerError: False,
    KoreAIRateLimitError: False,
    KoreAIExportFailedError: False,
    KoreAIExportFailedFinalError: True,
    KoreAIExportSupersededError: False,
    KoreAIExportSupersededFinalError: True,
    KoreAIExportTimeoutError: False,
    KoreAIDownloadError: False,
    KoreAIFileError: True,
    KoreAIComparisonError: True,
    KoreAIDatabaseError: False,
}


def all_errors() -> set[type]:
    return {
        value
        for value in vars(exceptions).values()
        if isinstance(value, type) and issubclass(value, KoreAIError)
    }


def test_the_table_of_what_fails_at_once_names_every_error():
    assert set(FAILS_AT_ONCE) == all_errors()


@pytest.mark.parametrize(
    ("cls", "at_once"), FAILS_AT_ONCE.items(), ids=lambda value: getattr(value, "__name__", value)
)
def test_airflow_spends_no_retry_on_what_a_retry_cannot_mend(cls, at_once):
    assert issubclass(cls, AirflowFailException) is at_once


@pytest.mark.parametrize("cls", FAILS_AT_ONCE)
def test_every_error_can_be_caught_as_airflows_exception(cls):
    assert issubclass(cls, AirflowException)


@pytest.mark.parametrize(
    ("cls", "base"),
    [
        (KoreAIRefusedError, KoreAIRequestError),
        (KoreAIExportFailedFinalError, KoreAIExportFailedError),
        (KoreAIExportSupersededFinalError, KoreAIExportSupersededError),
    ],
)
def test_a_final_variant_can_be_caught_as_the_error_that_is_documented(cls, base):
    assert issubclass(cls, base)


def test_a_failed_export_made_final_keeps_its_text_and_status_logs():
    error = final(KoreAIExportFailedError("it failed", status_logs=["no model"]))
    assert isinstance(error, KoreAIExportFailedFinalError)
    assert (str(error), error.status_logs) == ("it failed", ("no model",))


def test_a_superseded_export_made_final_keeps_its_text():
    error = final(KoreAIExportSupersededError("a newer one"))
    assert isinstance(error, KoreAIExportSupersededFinalError)
    assert str(error) == "a newer one"


@pytest.mark.parametrize(
    "cls",
    [
        cls
        for cls in FAILS_AT_ONCE
        if not issubclass(cls, (KoreAIExportFailedError, KoreAIExportSupersededError))
    ],
)
def test_final_leaves_every_other_error_as_it_is(cls):
    error = cls("text")
    assert final(error) is error


@pytest.mark.parametrize("cls", FAILS_AT_ONCE)
def test_an_error_comes_out_of_a_triggers_event_as_it_went_in(cls):
    carried = json.loads(json.dumps(to_payload(cls("what happened"))))
    error = from_payload(carried)
    assert (type(error), str(error)) == (cls, "what happened")


@pytest.mark.parametrize("cls", [KoreAIExportFailedError, KoreAIExportFailedFinalError])
def test_status_logs_come_out_of_a_triggers_event(cls):
    carried = json.loads(json.dumps(to_payload(cls("failed", status_logs=["first", "second"]))))
    error = from_payload(carried)
    assert isinstance(error, KoreAIExportFailedError)
    assert error.status_logs == ("first", "second")


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (KoreAIAuthError("refused", status_code=403), "status_code"),
        (KoreAIRefusedError("refused", by_api=True), "by_api"),
        (KoreAIRateLimitError("too many", retry_after=1.5), "retry_after"),
    ],
)
def test_what_an_error_says_beside_its_text_comes_out_of_a_triggers_event(error, name):
    carried = from_payload(json.loads(json.dumps(to_payload(error))))
    assert getattr(carried, name) == getattr(error, name)


@given(name=st.none() | st.text() | st.integers(), message=st.none() | st.text() | st.integers())
def test_an_event_of_another_version_still_becomes_an_error_with_its_text(name, message):
    error = from_payload({"error": name, "message": message})
    assert isinstance(error, KoreAIError)
    assert str(error) == str(message)


@pytest.mark.parametrize("cls", FAILS_AT_ONCE)
def test_an_error_survives_pickling(cls):
    # How an executor or a subprocess hands it on.
    error = pickle.loads(pickle.dumps(cls("text")))
    assert (type(error), str(error)) == (cls, "text")


@pytest.mark.parametrize(
    ("error", "attribute", "value"),
    [
        (KoreAIExportFailedError("text", status_logs=["a"]), "status_logs", ("a",)),
        (KoreAIRateLimitError("text", retry_after=7.0), "retry_after", 7.0),
    ],
)
def test_what_an_error_carries_survives_pickling(error, attribute, value):
    assert getattr(pickle.loads(pickle.dumps(error)), attribute) == value
