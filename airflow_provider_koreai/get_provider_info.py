"""What Airflow reads of this provider, through the entry point ``apache_airflow_provider``."""

from __future__ import annotations

from typing import Any

from airflow_provider_koreai import __version__

_INTEGRATION = "Kore.ai"
_DOCS = "https://docs.kore.ai/xo/apis/automation/api-list/"

UI_FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["schema"],
    "relabeling": {"login": "Client ID", "password": "Client Secret"},
    "placeholders": {
        "host": "https://bots.kore.ai",
        "login": "cs-...",
        "password": "the app's Client Secret, or an RSA private key in PEM",
    },
}


def _field(label: str, description: str, kind: str = "string", **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": [kind, "null"], **schema}}


CONN_FIELDS: dict[str, Any] = {
    "bot_id": _field("Bot ID for Test", "The bot that the Test button asks about, such as st-ab12cd34-..."),
    "algorithm": _field(
        "Signing algorithm",
        "How the app is registered: HS256 (default), HS512, RS256 or RS512.",
        enum=["HS256", "HS512", "RS256", "RS512", None],
    ),
    "subject": _field("Token subject", "The token's sub claim; any string."),
    "audience": _field("Token audience", "The token's aud claim. Default https://idproxy.kore.ai/authorize."),
    "token_ttl": _field(
        "Token lifetime", "Seconds, at most 3600. Default 1800.", "integer", minimum=1, maximum=3600
    ),
    "timeout": _field("Timeout", "Seconds for one HTTP request. Default 30.", "number", exclusiveMinimum=0),
    "ca_bundle": _field(
        "CA bundle", "Path of a PEM file with the CAs to trust, on each worker and triggerer."
    ),
    "download_hosts": _field(
        "Download hosts", "Further hosts that download links may point at, with commas between."
    ),
    "jwe_public_key": _field(
        "JWE public key", "The platform's public key as a JWK, for apps with Enforce JWE."
    ),
    "jwe_alg": _field("JWE algorithm", "RSA-OAEP (default) or RSA1_5.", enum=["RSA-OAEP", "RSA1_5", None]),
    "jwe_enc": _field(
        "JWE encryption",
        "A128CBC-HS256 (default), A128GCM or A256GCM.",
        enum=["A128CBC-HS256", "A128GCM", "A256GCM", None],
    ),
}


def _modules(name: str) -> list[dict[str, Any]]:
    return [{"integration-name": _INTEGRATION, "python-modules": [f"airflow_provider_koreai.{name}.koreai"]}]


def get_provider_info() -> dict[str, Any]:
    """Describe the provider, as ``airflow/provider_info.schema.json`` has it."""
    return {
        "package-name": "airflow-provider-koreai",
        "name": _INTEGRATION,
        "description": "Export the ML utterances of `Kore.ai <https://kore.ai/>`__ bots, unattended.",
        "versions": [__version__],
        "integrations": [{"integration-name": _INTEGRATION, "external-doc-url": _DOCS, "tags": ["service"]}],
        "operators": _modules("operators"),
        "sensors": _modules("sensors"),
        "hooks": _modules("hooks"),
        "triggers": _modules("triggers"),
        "connection-types": [
            {
                "connection-type": "koreai",
                "hook-name": _INTEGRATION,
                "hook-class-name": "airflow_provider_koreai.hooks.koreai.KoreAIHook",
                "ui-field-behaviour": UI_FIELD_BEHAVIOUR,
                "conn-fields": CONN_FIELDS,
            }
        ],
    }
