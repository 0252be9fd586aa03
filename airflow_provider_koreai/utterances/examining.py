"""
Check the utterances of a file: SQLite sorts them, so that equal sentences come together.

Only the sentences among which near conflicts are looked for are in memory, and there is a limit to these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_koreai.storage.scratch import scratch_database
from airflow_provider_koreai.text import storable
from airflow_provider_koreai.utterances.folding import folded, unusable
from airflow_provider_koreai.utterances.quality import (
    UNUSABLE,
    Finding,
    Row,
    judge_sentences,
    judge_tasks,
)
from airflow_provider_koreai.utterances.reading import read_utterances

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_koreai.utterances.alike import NearPairs
    from airflow_provider_koreai.utterances.quality import Quality

_TABLE = "CREATE TABLE utterances (language INTEGER, folded TEXT, task INTEGER, sentence TEXT)"
_SORTED = "SELECT language, folded, task, sentence FROM utterances ORDER BY language, folded, task, rowid"
_ROOM = "A check needs about twice as much room there as the file takes uncompressed"


def examine(
    quality: Quality,
    file_type: str | None,
    storage_conn_id: str | None,
    min_per_task: int,
    near_pairs: NearPairs | None,
) -> None:
    """
    Read the file of a check and judge what is in it; the arguments are those of ``read_utterances``.

    :raises KoreAIFileError: the file is broken.
    :raises KoreAIError: there is no room for the temporary database.
    """
    languages: dict[str, int] = {}
    tasks: dict[str, int] = {}

    def rows() -> Iterator[tuple[int, str, int, str]]:
        for utterance in read_utterances(quality.path, file_type, storage_conn_id):
            language, task = storable(utterance.language or ""), storable(utterance.task_name or "")
            if is_usable(utterance.sentence, task, language, quality):
                yield (
                    languages.setdefault(language, len(languages)),
                    folded(utterance.sentence, language),
                    tasks.setdefault(task, len(tasks)),
                    utterance.sentence,
                )

    with scratch_database(_TABLE, _ROOM) as database:
        database.executemany("INSERT INTO utterances VALUES (?, ?, ?, ?)", rows())
        names, codes = list(tasks), list(languages)
        found = database.execute(_SORTED)
        judge_sentences((Row(codes[a], b, names[c], d) for a, b, c, d in found), quality, near_pairs)
    judge_tasks(quality, min_per_task)


def is_usable(sentence: str, task: str, language: str, quality: Quality) -> bool:
    """Count an utterance, and return whether its sentence trains a task."""
    quality.rows += 1
    if task:
        # Even without a usable sentence, the task has the language.
        quality.tasks[task][language] += 0
    else:
        quality.without_task += 1
    problem = unusable(sentence)
    if task and problem:
        quality.add(Finding(UNUSABLE, task, language, storable(sentence), note=problem))
    return bool(task and not problem)
