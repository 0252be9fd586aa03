"""Trainings: what is sent, what the answers mean, and which of them is about ours."""

from __future__ import annotations

import json

import pytest

from airflow_provider_koreai.api.calls import ApiAnswer
from airflow_provider_koreai.exceptions import (
    KoreAIConfigurationError,
    KoreAIRequestError,
    KoreAITrainingFailedError,
)
from airflow_provider_koreai.jobs.status import JobStatus
from airflow_provider_koreai.jobs.training import (
    STANDING_SECONDS,
    Training,
    TrainingWatch,
    read_start,
    read_status,
    start_request,
    status_request,
)

BASE = "https://bots.kore.ai"
BOT = "st-1"
START = start_request(BASE, BOT, "de")
STATUS = status_request(BASE, BOT, "de")
QUEUED = {"message": "Training Queued.", "Training_ID": "64c1f00dc0ffee64c1f00dca"}


def answer(document: object) -> ApiAnswer:
    return ApiAnswer(200, {}, json.dumps(document).encode())


def training(word: str, version: int | None = 3) -> Training:
    details = {} if version is None else {"trainDetails": {"nlpVersion": 3, "trainVersion": version}}
    return read_status(STATUS, answer({"trainingStatus": word, **details}), "c")


def test_a_start_names_its_language_in_a_header():
    assert (START.method, START.url) == ("POST", f"{BASE}/api/public/bot/{BOT}/ml/train")
    assert START.headers == {"bot-language": "de"}
    assert START.body is None


def test_a_status_call_names_its_language_and_the_version_in_development():
    assert STATUS.url == f"{BASE}/api/public/bot/{BOT}/ml/train/status?language=de&state=configured"


@pytest.mark.parametrize("build", [start_request, status_request])
@pytest.mark.parametrize("language", ["", "English, please", "e", None, "en\r\nx: y"])
def test_what_is_not_a_language_code_is_refused(build, language):
    with pytest.raises(KoreAIConfigurationError, match="language="):
        build(BASE, BOT, language)


@pytest.mark.parametrize("document", [[QUEUED], QUEUED])
def test_a_start_is_answered_with_an_array_or_an_object(document):
    started = read_start(START, answer(document), "c")
    assert started == Training(BOT, "de", QUEUED["Training_ID"])


@pytest.mark.parametrize(
    "document", [[], {}, [[QUEUED]], "Training Queued.", [{"message": "Training Queued."}]]
)
def test_a_start_without_an_id_is_not_the_apis(document):
    with pytest.raises(KoreAIRequestError, match="Training_ID"):
        read_start(START, answer(document), "c")


def test_a_status_has_the_version_where_the_platform_has_it():
    assert training("Finished").train_version == 3
    assert training("Finished", None).train_version is None
    assert training("Finished").status is JobStatus.SUCCESS


def test_a_status_without_a_word_is_not_the_apis():
    with pytest.raises(KoreAIRequestError, match="trainingStatus"):
        read_status(STATUS, answer({"trainDetails": {}}), "c")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def watch_after(before, clock=None, **kwargs) -> TrainingWatch:
    return TrainingWatch(BOT, "de", before=before, clock=clock or Clock(), **kwargs)


@pytest.mark.parametrize("word", ["Finished", "Failed"])
@pytest.mark.parametrize("before", [training("Finished"), None])
def test_an_answer_like_the_one_before_the_start_is_waited_out(word, before):
    assert watch_after(before).observe(training(word)) is None


def test_another_version_is_ours():
    assert watch_after(training("Finished", 3)).observe(training("Finished", 4)) is not None


def test_a_version_that_was_not_known_before_says_nothing():
    assert watch_after(training("Finished", None)).observe(training("Finished", 4)) is None
    assert watch_after(training("Finished", 4)).observe(training("Finished", None)) is None


def test_what_was_seen_running_is_ours():
    watch = watch_after(training("Finished"))
    assert watch.observe(training("Inprogress")) is None
    assert watch.observe(training("Finished")) is not None


def test_a_training_that_ran_before_the_start_is_not_ours(clock):
    watch = watch_after(training("Inprogress", 3), clock)
    assert watch.observe(training("Inprogress", 3)) is None
    assert watch.observe(training("Finished", 4)) is None
    clock.now += STANDING_SECONDS
    assert watch.observe(training("Finished", 4)) is not None


def test_a_restarted_trigger_remembers_that_it_was_running():
    assert watch_after(None, seen_running=True).observe(training("Finished")) is not None


def test_an_answer_that_stands_for_a_minute_is_ours(clock):
    watch = watch_after(training("Finished"), clock)
    assert watch.observe(training("Finished")) is None
    clock.now += STANDING_SECONDS - 0.1
    assert watch.observe(training("Finished")) is None
    clock.now += 0.1
    assert watch.observe(training("Finished")) is not None


def test_the_minute_begins_anew_with_another_answer(clock):
    watch = watch_after(None, clock)
    assert watch.observe(training("Finished", 3)) is None
    clock.now += STANDING_SECONDS
    assert watch.observe(training("Failed", 4)) is None


@pytest.mark.parametrize("word", ["Queued", "Inprogress", "Paused"])
def test_what_runs_or_is_not_known_is_waited_on_however_long(word, clock):
    watch = watch_after(training("Finished"), clock)
    assert watch.observe(training(word, 4)) is None
    clock.now += 10 * STANDING_SECONDS
    assert watch.observe(training(word, 4)) is None


@pytest.mark.parametrize(
    ("seen_running", "version", "elapsed"), [(True, 3, 0), (False, 4, 0), (False, 3, STANDING_SECONDS)]
)
def test_a_failure_is_judged_like_a_success(seen_running, version, elapsed, clock):
    watch = watch_after(training("Finished", 3), clock, seen_running=seen_running)
    if elapsed:
        assert watch.observe(training("Failed", version)) is None
    clock.now += elapsed
    with pytest.raises(KoreAITrainingFailedError, match=r"bot st-1 in language de"):
        watch.observe(training("Failed", version))


@pytest.mark.parametrize("before", [training("Finished", 3), training("Inprogress", None)])
def test_what_was_before_survives_its_note(before):
    assert Training.of_note(BOT, "de", before.note()).note() == before.note()
    assert Training.of_note(BOT, "de", None) is None
