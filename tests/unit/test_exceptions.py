"""The tree of errors: what Airflow retries, and what survives a trigger's event."""

from __future__ import annotations

import json
import pickle
import traceback

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_koreai import exceptions
from airflow_provider_koreai.exceptions import (
    KoreAIAuthError,
    KoreAIBatchTestError,
    KoreAIComparisonError,
    KoreAIConfigurationError,
    KoreAIDatabaseError,
    KoreAIDownloadError,
    KoreAIError,
    KoreAIExportFailedError,
    KoreAIExportSupersededError,
    KoreAIExportTimeoutError,
    KoreAIFileError,
    KoreAIGatewayError,
    KoreAIImportFailedError,
    KoreAIImportTimeoutError,
    KoreAIImportUncertainError,
    KoreAIQualityError,
    KoreAIRateLimitError,
    KoreAIRefusedError,
    KoreAIRequestError,
    KoreAIServerError,
    KoreAITimeoutError,
    KoreAITrainingFailedError,
    final,
    from_payload,
    to_payload,
)

FAILS_AT_ONCE = {
    KoreAIError: False,
    KoreAIConfigurationError: True,
    KoreAIAuthError: True,
    KoreAIRequestError: False,
    KoreAIGatewayError: False,
    KoreAIRefusedError: True,
    KoreAIServerError: False,
    KoreAIRateLimitError: False,
    KoreAIExportFailedError: False,
    KoreAIExportSupersededError: False,
    KoreAITimeoutError: False,
    KoreAIImportTimeoutError: True,
    KoreAIExportTimeoutError: False,
    KoreAIImportFailedError: False,
    KoreAIImportUncertainError: True,
    KoreAITrainingFailedError: False,
    KoreAIBatchTestError: True,
    KoreAIDownloadError: False,
    KoreAIFileError: True,
    KoreAIComparisonError: True,
    KoreAIQualityError: True,
    KoreAIDatabaseError: False,
}


def all_errors() -> set[type]:
    return {
        value
        for name, value in vars(exceptions).items()
        if isinstance(value, type) and issubclass(value, KoreAIError) and not name.startswith("_")
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


def test_a_refused_request_can_be_caught_as_a_request_error():
    assert issubclass(KoreAIRefusedError, KoreAIRequestError)


FINAL_KINDS = pytest.mark.parametrize(
    "kind", [KoreAIExportFailedError, KoreAIImportFailedError, KoreAIExportSupersededError]
)


@FINAL_KINDS
def test_an_error_made_final_is_caught_by_its_documented_name_and_not_retried(kind):
    error = final(kind("text"))
    assert isinstance(error, kind)
    assert isinstance(error, AirflowFailException)
    assert str(error) == "text"


@FINAL_KINDS
def test_an_error_made_final_shows_the_documented_name(kind):
    (last,) = traceback.format_exception_only(final(kind("text")))
    assert last == f"airflow_provider_koreai.exceptions.{kind.__name__}: text\n"


@FINAL_KINDS
def test_an_error_made_final_survives_pickling_as_final(kind):
    error = pickle.loads(pickle.dumps(final(kind("text"))))
    assert isinstance(error, kind)
    assert isinstance(error, AirflowFailException)
    assert str(error) == "text"


@pytest.mark.parametrize("kind", [KoreAIExportFailedError, KoreAIImportFailedError])
def test_a_failure_made_final_keeps_its_status_logs_also_when_pickled(kind):
    error = final(kind("it failed", status_logs=["no model"]))
    assert error.status_logs == pickle.loads(pickle.dumps(error)).status_logs == ("no model",)


@pytest.mark.parametrize(
    "cls",
    [
        cls
        for cls in FAILS_AT_ONCE
        if not issubclass(
            cls, (KoreAIExportFailedError, KoreAIExportSupersededError, KoreAIImportFailedError)
        )
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


@pytest.mark.parametrize("kind", [KoreAIExportFailedError, KoreAIImportFailedError])
def test_status_logs_come_out_of_a_triggers_event(kind):
    failed = kind("failed", status_logs=["first", "second"])
    carried = json.loads(json.dumps(to_payload(failed)))
    error = from_payload(carried)
    assert isinstance(error, kind)
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
