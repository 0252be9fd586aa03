"""The pauses of the sensor in its rescheduling mode."""

from __future__ import annotations

import time

import pytest

from airflow_provider_koreai import deferral
from airflow_provider_koreai.sensors.koreai import KoreAIExportStatusSensor


def next_pause(sensor: KoreAIExportStatusSensor) -> float:
    return sensor._get_next_poke_interval(time.monotonic(), lambda: 1.0, 1)


def sensor(**arguments) -> KoreAIExportStatusSensor:
    return KoreAIExportStatusSensor(task_id="wait", bot_id="st-1", **arguments)


def test_a_rescheduled_task_never_comes_back_before_airflow_can_bear_it():
    assert next_pause(sensor(mode="reschedule", poke_interval=1)) == deferral.shortest_absence()


def test_a_longer_poke_interval_is_kept():
    assert next_pause(sensor(mode="reschedule", poke_interval=90)) == 90


def test_poking_in_one_process_has_no_shortest_pause():
    assert next_pause(sensor(mode="poke", poke_interval=1)) == 1


def test_what_kore_ai_asked_to_wait_is_waited_in_reschedule_mode():
    waits = sensor(mode="reschedule", poke_interval=10)
    waits._not_before = time.monotonic() + 300
    assert next_pause(waits) == pytest.approx(300, abs=5)


def test_what_kore_ai_asked_to_wait_does_not_outlast_the_timeout():
    waits = sensor(mode="reschedule", poke_interval=10, timeout=120)
    waits._not_before = time.monotonic() + 300
    assert waits._get_next_poke_interval(time.monotonic(), lambda: 20.0, 1) == 100
