"""One short text for each different utterance: the SHA-256 of all that an export says of it, without I/O."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_koreai.utterances.model import Utterance

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_encode_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode
_encode_ascii_json = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def entities_text(entities: tuple[Any, ...]) -> str:
    """
    Write the entities of an utterance as JSON: compact, with sorted keys, so that equal ones have one text.

    :param entities: the entities.
    :return: the JSON; it can be stored as UTF-8 and holds no NUL, whatever the entities hold.
    """
    if not entities:
        return "[]"
    text = _encode_json(entities)
    # Half a surrogate pair is nothing that UTF-8 has; JSON can still say it in ASCII.
    return _encode_ascii_json(entities) if _LONE_SURROGATE.search(text) else text


def row_hash(utterance: Utterance) -> str:
    r"""
    Give the SHA-256 (hex) of an utterance: of all of it but ``extra``.

    It is taken of the UTF-8 bytes of ``<a> <b> <c> <d>\n<task_name><sentence><type><language><entities>``, where a
    to d are the lengths in characters of the four texts that follow, and the entities are compact JSON with sorted
    keys, ``[]`` for none. An absent text is an empty one. A database can compute the same.

    :param utterance: the utterance.
    """
    task, sentence, kind, language, entities, _ = utterance
    return hash_of(task or "", sentence, kind or "", language or "", entities_text(entities))


def hash_of(task: str, sentence: str, kind: str, language: str, entities: str) -> str:
    """
    Give :func:`row_hash` of an utterance that is taken apart.

    :param task: its task name, ``""`` for none.
    :param sentence: its sentence.
    :param kind: its type, ``""`` for none.
    :param language: its language, ``""`` for none.
    :param entities: its entities, from :func:`entities_text`.
    """
    text = (
        f"{len(task)} {len(sentence)} {len(kind)} {len(language)}\n{task}{sentence}{kind}{language}{entities}"
    )
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
