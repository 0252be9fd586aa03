"""Assets of the scheme ``koreai``, as Airflow makes them."""

from __future__ import annotations

import warnings
from collections import defaultdict
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import Asset
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_koreai.assets.koreai import (
    convert_asset_to_openlineage,
    create_asset,
    koreai_asset,
    tell_outlets,
)

URI = "koreai://bots.kore.ai/st-Ab12"


@pytest.mark.parametrize(
    "written",
    [
        URI,
        "koreai://bots.kore.ai/st-Ab12/",
        "koreai://BOTS.kore.ai/st-Ab12",
        "koreai://bots.kore.ai:443/st-Ab12",
        "KOREAI://bots.kore.ai//st-Ab12#fragment",
    ],
)
def test_airflow_brings_a_uri_into_its_normal_form(written):
    assert Asset(uri=written).uri == URI


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("koreai:///st-1", "has no host"),
        ("koreai://bots.kore.ai", "bot_id"),
        ("koreai://bots.kore.ai/st-1/more", "bot_id"),
        ("koreai://bots.kore.ai/st 1", "bot_id"),
        ("koreai://bots.kore.ai/st-1?state=published", "has a query"),
    ],
)
def test_airflow_refuses_another_form(written, problem):
    if AIRFLOW_V_3_0_PLUS:
        with pytest.raises(ValueError, match=problem):
            Asset(uri=written)
    else:
        with pytest.warns(UserWarning, match=problem):
            Asset(uri=written)


@pytest.mark.parametrize(
    "host", [None, "", "bots.kore.ai", "https://bots.kore.ai", "https://Bots.Kore.ai:443/"]
)
def test_a_bots_asset_is_the_same_however_its_host_is_written(host):
    asset = koreai_asset("st-Ab12", host=host)
    assert asset == Asset(uri=URI)
    # One URI under two names would be two assets to Airflow 3, and it refuses that.
    assert getattr(asset, "name", URI) == URI


def test_a_bots_asset_has_the_port_of_its_host():
    assert koreai_asset("st-1", host="http://127.0.0.1:8080").uri == "koreai://127.0.0.1:8080/st-1"


@pytest.mark.parametrize("host", ["https://", "a user:secret@bots.kore.ai"])
def test_a_host_that_is_not_valid_is_refused_without_repeating_a_secret(host):
    with pytest.raises(ValueError, match="koreai://<host>/<bot_id>") as caught:
        koreai_asset("st-1", host=host)
    assert "secret" not in str(caught.value)


def test_airflows_lineage_collector_can_make_one():
    assert create_asset(bot_id="st-Ab12", extra={"a": 1}) == koreai_asset("st-Ab12", extra={"a": 1})


def test_openlineage_names_a_bot_after_its_host():
    dataset = convert_asset_to_openlineage(Asset(uri=URI), None)
    assert (dataset.namespace, dataset.name) == ("koreai://bots.kore.ai", "st-Ab12")


def test_making_one_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        koreai_asset("st-1")


@pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="Airflow 3 has references to assets")
def test_the_event_of_a_reference_to_an_asset_gets_the_same_extra():
    references = [Asset.ref(name="utterances"), Asset.ref(uri=URI)]
    events = defaultdict(lambda: SimpleNamespace(extra={}))
    tell_outlets(references, events, {"rows": 7}, lambda: koreai_asset("st-1"))
    assert [events[reference].extra for reference in references] == [{"rows": 7}, {"rows": 7}]


@pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="on Airflow 2, every outlet has an event")
def test_an_outlet_that_is_for_openlineage_only_is_passed_over():
    from airflow.providers.common.compat.lineage.entities import File
    from airflow.sdk.execution_time.context import OutletEventAccessors

    events = OutletEventAccessors()
    tell_outlets([File(url="s3://lake/x.csv"), Asset(uri=URI)], events, {"rows": 7})
    assert events[Asset(uri=URI)].extra == {"rows": 7}
