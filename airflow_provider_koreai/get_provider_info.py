"""What Airflow reads of this provider, through the entry point ``apache_airflow_provider``."""

from __future__ import annotations

from typing import Any

from airflow_provider_koreai import __version__
from airflow_provider_koreai.connection_form import CONN_FIELDS, UI_FIELD_BEHAVIOUR

_INTEGRATION = "Kore.ai"
_DOCS = "https://docs.kore.ai/xo/apis/automation/api-list/"
_ASSET_URIS = [
    {
        "schemes": ["koreai"],
        "handler": "airflow_provider_koreai.assets.koreai.sanitize_uri",
        "factory": "airflow_provider_koreai.assets.koreai.create_asset",
        "to_openlineage_converter": "airflow_provider_koreai.assets.koreai.convert_asset_to_openlineage",
    }
]


def _modules(kind: str, *names: str) -> list[dict[str, Any]]:
    modules = [f"airflow_provider_koreai.{kind}.{name}" for name in names]
    return [{"integration-name": _INTEGRATION, "python-modules": modules}]


def get_provider_info() -> dict[str, Any]:
    """Describe the provider, as ``airflow/provider_info.schema.json`` has it."""
    return {
        "package-name": "airflow-provider-koreai",
        "name": _INTEGRATION,
        "description": "Export, check, import and train the ML utterances of `Kore.ai <https://kore.ai/>`__ bots, unattended.",
        "versions": [__version__],
        "integrations": [{"integration-name": _INTEGRATION, "external-doc-url": _DOCS, "tags": ["service"]}],
        "operators": _modules(
            "operators",
            "batch_test",
            "check_utterances",
            "compare_utterances",
            "convert_utterances",
            "delete_snapshots",
            "download_analytics",
            "import_utterances",
            "koreai",
            "load_analytics",
            "load_utterances",
            "report_utterances",
            "train",
            "verify_import",
        ),
        "sensors": _modules("sensors", "koreai"),
        "hooks": _modules("hooks", "koreai"),
        "triggers": _modules("triggers", "koreai", "export_event"),
        "asset-uris": _ASSET_URIS,
        # What Airflow 2 calls them.
        "dataset-uris": _ASSET_URIS,
        "extra-links": [
            "airflow_provider_koreai.links.koreai.KoreAIBotLink",
            "airflow_provider_koreai.links.koreai.KoreAIExportedFileLink",
        ],
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
