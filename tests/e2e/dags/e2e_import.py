"""Import a file of two utterances."""

from __future__ import annotations

import json
import tempfile
from datetime import timedelta
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_koreai.operators.import_utterances import KoreAIImportUtterancesOperator

UTTERANCES = [
    {
        "taskName": "Book Flight",
        "sentence": sentence,
        "type": "DialogIntent",
        "entities": [],
        "language": "en",
    }
    for sentence in ("fly me to the moon", "and let me play among the stars")
]

with DAG(dag_id="e2e_import", schedule=None, params={"bot_id": ""}):

    @task
    def write() -> str:
        """Write the file."""
        path = Path(tempfile.mkdtemp()) / "new.json"
        path.write_text(json.dumps(UTTERANCES))
        return str(path)

    KoreAIImportUtterancesOperator(
        task_id="import",
        bot_id="{{ params.bot_id }}",
        path=write(),
        timeout=300,
        retries=1,
        retry_delay=timedelta(seconds=1),
    )
