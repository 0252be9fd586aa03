"""
The connection form, described once: Airflow 3.2 and later reads it from the provider info, older versions ask the hook.

Imported with the provider info by every airflow command: nothing heavy here.
"""

from __future__ import annotations

from typing import Any

UI_FIELD_BEHAVIOUR: dict[str, Any] = {
    # Host takes a whole URL. Port does not have to be filled in, but the Test button of Airflow 3.3.1 and 3.3.2 refuses
    # connections without one (https://github.com/apache/airflow/pull/73298).
    "hidden-fields": ["schema"],
    "relabeling": {"login": "Client ID", "password": "Client Secret"},
    "placeholders": {
        "host": "https://bots.kore.ai",
        "port": "443",
        "login": "cs-...",
        "password": "the app's Client Secret, or an RSA private key in PEM",
        "extra": "the fields below, as JSON",
    },
}


def _field(label: str, description: str, kind: str = "string", **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": [kind, "null"], **schema}}


CONN_FIELDS: dict[str, Any] = {
    "bot_id": _field(
        "Bot ID for Test", "The bot that the Test button asks about, for example st-ab12cd34-..."
    ),
    "algorithm": _field(
        "Signing algorithm",
        "How the app is registered: HS256 (default), HS512, RS256 or RS512.",
        enum=["HS256", "HS512", "RS256", "RS512"],
        default="HS256",
    ),
    "subject": _field("Token subject", "The token's sub claim; any string."),
    "audience": _field("Token audience", "The token's aud claim. Default https://idproxy.kore.ai/authorize."),
    "token_ttl": _field(
        "Token lifetime", "Seconds, at most 3600. Default 1800.", "integer", minimum=1, maximum=3600
    ),
    "timeout": _field(
        "Timeout",
        "Seconds to connect, and to wait for each piece of an answer; at most 3600. Default 30.",
        "number",
        exclusiveMinimum=0,
        maximum=3600,
    ),
    "ca_bundle": _field(
        "CA bundle", "Path of a PEM file with the CAs to trust, on each worker and triggerer."
    ),
    "download_hosts": _field(
        "Download hosts", "Further hosts that download links may lead to, separated by commas."
    ),
    "jwe_public_key": _field(
        "JWE public key", "The platform's public key as a JWK, for apps with Enforce JWE."
    ),
    "jwe_alg": _field(
        "JWE algorithm", "RSA-OAEP (default) or RSA1_5.", enum=["RSA-OAEP", "RSA1_5"], default="RSA-OAEP"
    ),
    "jwe_enc": _field(
        "JWE encryption",
        "A128CBC-HS256 (default), A128GCM or A256GCM.",
        enum=["A128CBC-HS256", "A128GCM", "A256GCM"],
        default="A128CBC-HS256",
    ),
}


def field_behaviour() -> dict[str, Any]:
    """Return :data:`UI_FIELD_BEHAVIOUR` under the names that a hook uses."""
    return {key.replace("-", "_"): value.copy() for key, value in UI_FIELD_BEHAVIOUR.items()}


def widgets() -> dict[str, Any]:
    """Return :data:`CONN_FIELDS` as form fields, for an Airflow with Flask AppBuilder."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget  # type: ignore[import-not-found]
    from wtforms import IntegerField, StringField  # type: ignore[import-untyped]
    from wtforms.validators import Optional, any_of  # type: ignore[import-untyped]

    def widget(label: str, description: str, schema: dict[str, Any]) -> Any:
        # Airflow 2 and 3.0 know no other field classes, and none for fractions.
        cls = IntegerField if "integer" in schema["type"] else StringField
        choices = schema.get("enum")
        return cls(
            label,
            validators=[Optional(), *([any_of(choices)] if choices else [])],
            widget=BS3TextFieldWidget(),
            description=description,
        )

    return {name: widget(**field) for name, field in CONN_FIELDS.items()}
