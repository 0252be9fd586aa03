"""What Airflow learns of the provider: it breaks every airflow command when it is wrong."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from importlib.metadata import entry_points, version
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import airflow_provider_koreai
from airflow_provider_koreai.api import settings
from airflow_provider_koreai.get_provider_info import get_provider_info
from airflow_provider_koreai.hooks.koreai import KoreAIHook

DISTRIBUTION = "airflow-provider-koreai"
KINDS = ("operators", "sensors", "hooks", "triggers")
INFO = get_provider_info()
(CONNECTION_TYPE,) = INFO["connection-types"]


@pytest.fixture(scope="module")
def schema() -> Any:
    return json.loads((files("airflow") / "provider_info.schema.json").read_text())


def test_obeys_airflows_schema(schema):
    jsonschema.validate(INFO, schema)


def test_the_schema_is_one_that_refuses(schema):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**INFO, "connection-types": [{"connection-type": 7}]}, schema)


def test_is_json():
    assert json.loads(json.dumps(INFO)) == INFO


def test_the_entry_point_leads_to_it():
    (entry,) = (
        entry
        for entry in entry_points(group="apache_airflow_provider")
        if entry.dist is not None and entry.dist.name == DISTRIBUTION
    )
    assert entry.name == "provider_info"
    assert entry.load()() == INFO


def test_there_is_one_version():
    assert INFO["versions"] == [airflow_provider_koreai.__version__]
    assert version(DISTRIBUTION) == airflow_provider_koreai.__version__
    assert INFO["package-name"] == DISTRIBUTION


@pytest.mark.parametrize("kind", KINDS)
def test_names_every_module_with_something_for_dags(kind):
    package = Path(airflow_provider_koreai.__file__).parent
    there = {
        f"airflow_provider_koreai.{kind}.{path.stem}"
        for path in (package / kind).glob("*.py")
        if "class KoreAI" in path.read_text("utf-8")
    }
    named = {module for entry in INFO[kind] for module in entry["python-modules"]}
    assert named == there
    for module in named:
        importlib.import_module(module)


def test_every_integration_that_is_named_is_described():
    described = {integration["integration-name"] for integration in INFO["integrations"]}
    assert {entry["integration-name"] for kind in KINDS for entry in INFO[kind]} <= described


def test_every_operator_link_is_listed():
    from airflow_provider_koreai.operators import koreai as operators
    from airflow_provider_koreai.sensors import koreai as sensors

    links = {
        f"{type(link).__module__}.{type(link).__qualname__}"
        for module in (operators, sensors)
        for cls in vars(module).values()
        if isinstance(cls, type) and cls.__module__ == module.__name__
        for link in getattr(cls, "operator_extra_links", ())
    }
    assert set(INFO.get("extra-links", ())) == links


def test_the_connection_type_is_the_hooks():
    module, _, name = CONNECTION_TYPE["hook-class-name"].rpartition(".")
    assert getattr(importlib.import_module(module), name) is KoreAIHook
    assert CONNECTION_TYPE["connection-type"] == KoreAIHook.conn_type == "koreai"
    assert CONNECTION_TYPE["hook-name"] == KoreAIHook.hook_name
    assert KoreAIHook.default_conn_name == "koreai_default"


# What Airflow itself makes of the form: the answer of its REST API, or on Airflow 2 the fields of its form.
FORM_PROBE = """
import json
try:
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
except ImportError:
    from airflow.providers_manager import ProvidersManager
    manager = ProvidersManager()
    fields = {
        widget.field_name: {
            "title": widget.field.args[0],
            "description": widget.field.kwargs["description"],
            "class": widget.field.field_class.__name__,
            "accepts": next((v.values for v in widget.field.kwargs["validators"] if hasattr(v, "values")), None),
            "masked": widget.is_sensitive,
        }
        for name, widget in manager.connection_form_widgets.items() if name.startswith("extra__koreai__")
    }
    behaviour = manager.field_behaviours["koreai"]
    standard = {
        name: {
            "hidden": name in behaviour["hidden_fields"],
            "title": behaviour["relabeling"].get(name),
            "placeholder": behaviour["placeholders"].get(name),
        }
        for name in ("description", "host", "port", "schema", "login", "password")
    }
else:
    (meta,) = (m for m in HookMetaService.hook_meta_data() if m.connection_type == "koreai")
    fields = {}
    for name, field in meta.extra_fields.items():
        schema = field["schema"]
        fields[name] = {
            "title": schema["title"],
            "description": field["description"],
            "class": "IntegerField" if "integer" in schema["type"] else "StringField",
            "accepts": schema.get("enum"),
            "masked": schema.get("format") == "password",
        }
    empty = {"hidden": False, "title": None, "placeholder": None}
    standard = {
        key.replace("url_schema", "schema"): value or empty
        for key, value in meta.standard_fields.model_dump().items()
    }
print("FORM" + json.dumps({"fields": fields, "standard": standard}))
"""


@pytest.fixture(scope="module")
def probed() -> subprocess.CompletedProcess[str]:
    answer = subprocess.run(
        [sys.executable, "-W", "always", "-c", FORM_PROBE],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer


@pytest.fixture(scope="module")
def form(probed) -> Any:
    """The form as this Airflow shows it."""
    return json.loads(probed.stdout.partition("FORM")[2].splitlines()[0])


def test_airflow_shows_every_extra_field_as_it_is_described(form):
    described = CONNECTION_TYPE["conn-fields"]
    assert {name: (field["title"], field["description"]) for name, field in form["fields"].items()} == {
        name: (field["label"], field["description"]) for name, field in described.items()
    }


def test_airflow_offers_the_accepted_algorithms(form):
    assert {name: field["accepts"] for name, field in form["fields"].items() if field["accepts"]} == {
        "algorithm": list(settings.ALGORITHMS),
        "jwe_alg": list(settings.JWE_ALGORITHMS),
        "jwe_enc": list(settings.JWE_ENCRYPTIONS),
    }


def test_airflow_takes_a_number_for_the_token_lifetime(form):
    assert [name for name, field in form["fields"].items() if field["class"] == "IntegerField"] == [
        "token_ttl"
    ]


def test_no_extra_field_holds_a_secret(form):
    # The platform's public key is none; the Client Secret is the password, which Airflow masks.
    assert not any(field["masked"] for field in form["fields"].values())


def test_airflow_labels_the_standard_fields_and_hides_the_schema(form):
    standard = form["standard"]
    assert {name: field["title"] for name, field in standard.items() if field["title"]} == {
        "login": "Client ID",
        "password": "Client Secret",
    }
    assert {name for name, field in standard.items() if field["hidden"]} == {"schema"}
    assert standard["host"]["placeholder"] == settings.DEFAULT_HOST


def test_airflow_warns_of_nothing_in_the_form(probed):
    said = (probed.stdout + probed.stderr).replace("FORM", "\nFORM").splitlines()
    assert [line for line in said if "koreai" in line.lower() and not line.startswith("FORM")] == []


def test_the_form_has_every_extra_field_and_no_other():
    assert set(CONNECTION_TYPE["conn-fields"]) == set(settings.EXTRA_FIELDS)


@pytest.mark.parametrize(
    ("field", "accepted"),
    [
        ("algorithm", settings.ALGORITHMS),
        ("jwe_alg", settings.JWE_ALGORITHMS),
        ("jwe_enc", settings.JWE_ENCRYPTIONS),
    ],
)
def test_the_form_offers_what_is_accepted(field, accepted):
    assert CONNECTION_TYPE["conn-fields"][field]["schema"]["enum"] == list(accepted)


@pytest.mark.parametrize("field", settings.EXTRA_FIELDS)
def test_the_form_may_leave_a_field_as_it_is(field):
    schema = CONNECTION_TYPE["conn-fields"][field]["schema"]
    jsonschema.validate(schema.get("default"), schema)


def test_the_form_begins_with_the_defaults():
    begins = {
        name: field["schema"]["default"]
        for name, field in CONNECTION_TYPE["conn-fields"].items()
        if "default" in field["schema"]
    }
    connection = settings.settings_from_connection("c", host=None, login="cs-1", password="secret")
    assert begins == {name: getattr(connection, name) for name in ("algorithm", "jwe_alg", "jwe_enc")}


def test_the_form_keeps_the_token_lifetime_within_the_vendors_limit():
    lifetime = CONNECTION_TYPE["conn-fields"]["token_ttl"]["schema"]
    jsonschema.validate(settings.MAX_TOKEN_TTL, lifetime)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(settings.MAX_TOKEN_TTL + 1, lifetime)


def airflow_json(*arguments: str) -> list[dict[str, str]]:
    answer = subprocess.run(
        [sys.executable, "-m", "airflow", *arguments, "-o", "json"],
        env={**os.environ, "COLUMNS": "10000"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    # Warnings may stand before it.
    rows: list[dict[str, str]] = json.loads(answer.stdout[answer.stdout.index("[{") :])
    return rows


def test_airflow_lists_the_provider():
    (row,) = (row for row in airflow_json("providers", "list") if row["package_name"] == DISTRIBUTION)
    assert row["version"] == airflow_provider_koreai.__version__
    assert "Kore.ai" in row["description"]


def test_airflow_lists_the_hook():
    (row,) = (row for row in airflow_json("providers", "hooks") if row["connection_type"] == "koreai")
    assert row["class"] == "airflow_provider_koreai.hooks.koreai.KoreAIHook"
    assert row["conn_id_attribute_name"] == "koreai_conn_id"
    assert row["package_name"] == DISTRIBUTION
    assert row["hook_name"] == "Kore.ai"
