"""
What is in an exported file: reading it, checking it while it streams, judging its utterances, and the same as Parquet.

May import: storage and what that may import.
"""

from airflow_provider_koreai.exceptions import KoreAIFileError
from airflow_provider_koreai.utterances.model import Utterance
from airflow_provider_koreai.utterances.reading import open_export, read_utterances

__all__ = ["KoreAIFileError", "Utterance", "open_export", "read_utterances"]
