"""Fetch an export that somebody else has started to Amazon S3, as a test plays it."""

from __future__ import annotations

import os
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_koreai.operators.koreai import KoreAIDownloadUtterancesOperator


def trust(context: Any) -> None:
    """Let this task's process trust the CA of what plays Amazon: a connection has no field for that."""
    os.environ["AWS_CA_BUNDLE"] = context["params"]["ca_bundle"]


with DAG(
    dag_id="koreai_to_s3",  # its page is a picture in the documentation
    schedule=None,
    params={"bot_id": "", "request_id": "", "requested_time": "", "path": "", "ca_bundle": ""},
):
    KoreAIDownloadUtterancesOperator(
        task_id="fetch",
        bot_id="{{ params.bot_id }}",
        request_id="{{ params.request_id }}",
        requested_time="{{ params.requested_time }}",
        path="{{ params.path }}",
        storage_conn_id="amazon",
        pre_execute=trust,
    )
