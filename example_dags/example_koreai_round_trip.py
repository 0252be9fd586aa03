"""
The whole loop: utterances that people have corrected in a database go back into the bot, which is trained and tested.

It goes on where ``example_koreai_to_warehouse`` ends, with its table ``koreai_utterances``. Whoever reviews utterances
writes the right task for a sentence into a second table, ``koreai_corrections``:

.. code-block:: sql

    CREATE TABLE koreai_corrections (
        bot_id text, language text, sentence text, task_name text, PRIMARY KEY (bot_id, language, sentence)
    );

The DAG takes the bot's latest snapshot with these corrections, backs the bot up, imports the whole set, checks that the
bot has it, trains the bot and runs its batch test. It is started by hand: an import replaces what the bot has. Change
``SELECT``, the limits and the language below.

It needs a connection ``koreai_default`` of type Kore.ai with the API scopes of import, training and batch tests, and one
of the database, ``warehouse_default``.
"""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_koreai.task_groups import koreai_import_utterances

SELECT = """
    SELECT coalesce(c.task_name, u.task_name) AS task_name, u.sentence, u.type, u.language, u.entities
    FROM koreai_utterances u
    LEFT JOIN koreai_corrections c
        ON c.bot_id = u.bot_id AND c.language = u.language AND c.sentence = u.sentence
    WHERE u.bot_id = :bot_id AND u.task_name IS NOT NULL
        AND u.snapshot = (SELECT max(snapshot) FROM koreai_utterances WHERE bot_id = :bot_id)
"""

with DAG(
    dag_id="example_koreai_round_trip",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    # Two imports into a bot at the same time would spoil each other.
    max_active_runs=1,
    params={
        "bot_id": Param("st-demo-travel", type="string", title="Bot ID"),
        "folder": Param(
            "/tmp/koreai",
            type="string",
            title="Folder",
            description="For the corrected file and the backups: a local folder, or a URL such as s3://lake/koreai",
        ),
        "conn_id": Param("warehouse_default", type="string", title="Connection of the database"),
        "min_f1": Param(0.7, type="number", minimum=0, maximum=1, title="Lowest F1 score of the batch test"),
    },
    tags=["koreai", "example"],
    doc_md=__doc__,
):

    @task
    def corrected(params: dict, run_id: str) -> str:
        """Write the bot's utterances, corrected, as the JSON that Kore.ai imports; return the path."""
        # Imported here, they cost nothing when the DAG file is parsed.
        import json

        from airflow.providers.common.compat.sdk import BaseHook, ObjectStoragePath
        from sqlalchemy import text

        engine = BaseHook.get_connection(params["conn_id"]).get_hook().get_sqlalchemy_engine()
        with engine.connect() as connection:
            found = connection.execute(text(SELECT), {"bot_id": params["bot_id"]}).all()
        utterances = [
            {
                "taskName": row.task_name,
                "sentence": row.sentence,
                "type": row.type,
                # A JSON column is a list already, where the database has such columns.
                "entities": json.loads(row.entities) if isinstance(row.entities, str) else row.entities or [],
                "language": row.language,
            }
            for row in found
        ]
        path = ObjectStoragePath(params["folder"]) / f"{params['bot_id']}-{run_id.replace(':', '')}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(utterances, ensure_ascii=False))
        return str(path)

    koreai_import_utterances(
        bot_id="{{ params.bot_id }}",
        path=corrected(),
        backup_path="{{ params.folder }}/backup/{{ params.bot_id }}/",
        # A sentence that leaves one of two tasks is twice in the other; rows without a sentence cannot be imported.
        on_invalid="drop",
        max_removed_fraction=0.1,
        test_suite="Developer defined utterances",
        min_f1="{{ params.min_f1 }}",
        deferrable=True,
    )
