"""Rate limits."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_koreai.emulator.limits import HOUR, MINUTE, RollingWindows

BOT = "st-demo-travel"
MESSAGE = "Rate limit for this API has been reached. Please try again after some time."


def test_start_is_limited_to_sixty_a_minute_per_bot(client):
    assert {client.start().status_code for _ in range(60)} == {200}
    response = client.start()
    assert response.status_code == 429
    assert response.json() == {"errors": [{"msg": MESSAGE, "code": 429}]}
    assert client.start("st-demo-bank").status_code == 200


def test_status_is_limited_to_sixty_a_minute_per_request_id(client):
    client.start()
    client.start("st-demo-bank")
    assert {client.status().status_code for _ in range(60)} == {200}
    assert client.status().status_code == 429
    assert client.status("st-demo-bank").status_code == 200
    assert client.start().status_code == 200


def test_status_limit_stays_with_a_reused_record_and_goes_with_a_new_one(client):
    client.control.configure_bot(BOT, status_per_minute=1)
    client.start()
    client.status()
    client.start()
    assert client.status().status_code == 429
    client.control.configure_bot(BOT, reuse_record=False)
    client.start()
    assert client.status().status_code == 200


def test_hourly_limit_counts_too(client):
    client.control.configure_bot(BOT, start_per_hour=2)
    assert [client.start().status_code for _ in range(3)] == [200, 200, 429]
    assert int(client.start().headers["retry-after"]) > 3000


def test_starts_of_all_kinds_share_one_bucket(client):
    client.control.configure_bot(BOT, start_per_minute=4)
    base = client.emulator.base_url
    bot, suite = f"{base}/api/public/bot/{BOT}", f"{base}/api/public/stream/{BOT}/testsuite/x"
    urls = [f"{bot}/mlimport", f"{bot}/ml/train", f"{suite}/run", f"{bot}/mlexport?state=published&type=csv"]
    assert [client.call("POST", url).status_code for url in urls] == [412, 200, 412, 200]
    assert {client.call("POST", url).status_code for url in urls} == {429}


def test_uploads_have_a_bucket_for_each_app(client):
    client.control.configure_account(upload_per_minute=1)
    url = client.emulator.base_url + "/api/public/uploadfile"
    admin = client.token(appId="cs-emulator-admin")
    codes = [client.call("POST", url, token=token).status_code for token in (None, None, admin)]
    assert codes == [412, 429, 412]


def test_an_account_may_have_a_limit_that_all_its_calls_share(client):
    client.start()
    client.control.configure_account(shared_limit=3)
    calls = [client.start, client.status, lambda: client.start("st-demo-bank"), client.status]
    assert [call().status_code for call in calls] == [200, 200, 200, 429]


def test_the_window_of_the_shared_limit_can_be_shorter(client):
    client.control.configure_account(shared_limit=1, shared_seconds=5)
    assert [client.start().status_code, client.start().status_code] == [200, 429]
    assert 1 <= int(client.start().headers["retry-after"]) <= 5


@pytest.mark.parametrize(
    ("limit", "named"), [("start_per_minute", "Per-minute"), ("start_per_hour", "Hourly")]
)
def test_newer_texts_name_the_limit(client, limit, named):
    client.control.configure_bot(BOT, rate_limit_texts="new", **{limit: 1})
    client.start()
    text = client.start().json()["errors"][0]["msg"]
    assert text == f"{named} rate limit for this API has been reached. Please try again after some time."


def test_limit_can_come_with_another_status(client):
    client.control.configure_bot(BOT, start_per_minute=0, rate_limit_status=403)
    assert client.start().status_code == 403


def test_refused_token_does_not_count(client):
    client.control.configure_bot(BOT, start_per_minute=1)
    client.start(token="x")
    assert client.start().status_code == 200


def test_retry_after_in_seconds_by_default(client):
    client.control.configure_bot(BOT, start_per_minute=1)
    client.start()
    assert 55 <= int(client.start().headers["retry-after"]) <= 60


def test_retry_after_as_a_date(client):
    client.control.configure_bot(BOT, start_per_minute=1, retry_after="date")
    client.start()
    until = parsedate_to_datetime(client.start().headers["retry-after"]).timestamp() - time.time()
    assert 50 <= until <= 61


def test_retry_after_can_be_left_out(client):
    client.control.configure_bot(BOT, start_per_minute=0, retry_after="none")
    assert "retry-after" not in client.start().headers


def test_limits_are_forgotten_by_a_reset(client):
    client.control.configure_bot(BOT, start_per_minute=1)
    client.start()
    client.control.reset()
    assert client.start().status_code == 200


def test_refused_call_is_admitted_after_the_time_that_it_was_told():
    windows, limits = RollingWindows(), [(MINUTE, 2), (HOUR, 3)]
    assert [windows.admit("k", now, limits) for now in (0.0, 10.0)] == [None, None]
    assert windows.admit("k", 20.0, limits) == pytest.approx(40.0)
    assert windows.admit("k", 60.0, limits) is None
    assert windows.admit("k", 61.0, limits) == pytest.approx(HOUR - 61.0)
    assert windows.admit("k", HOUR, limits) is None


@given(st.lists(st.floats(0, 20), max_size=60))
def test_no_window_of_a_minute_ever_holds_more_than_allowed(gaps):
    windows, now, admitted = RollingWindows(), 0.0, []
    for gap in gaps:
        now += gap
        if windows.admit("k", now, [(MINUTE, 5)]) is None:
            admitted.append(now)
    for index, moment in enumerate(admitted):
        assert sum(moment - MINUTE < other <= moment for other in admitted[: index + 1]) <= 5


def test_quiet_keys_are_forgotten():
    windows = RollingWindows()
    for key in range(1000):
        windows.admit(key, 1000.0, [(MINUTE, 5)])
    windows.admit("later", 1000.0 + HOUR + 1, [(MINUTE, 5)])
    assert len(windows._calls) == 1
