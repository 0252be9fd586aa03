"""
When two sentences count as the same, and which ones Kore.ai cannot train with.

Sentences are compared without regard to case, to how their characters are encoded (NFKC: full-width forms, ligatures,
combining marks), to the width of spaces and to the punctuation at their end. That is all: no word is left out and none
is reduced to its stem.
"""

from __future__ import annotations

import re
import unicodedata

from airflow_provider_koreai.text import encodable
from airflow_provider_koreai.utterances.model import LONGEST_SENTENCE

# What ends a sentence or a clause in the scripts of the world, as NFKC leaves it.
_END = ".,;:!?\u2026\u203d\u3002\u3001\uff61\u061f\u060c\u061b\u06d4\u0964\u0965\u0589\u055c\u055e\u05c3\u104b\u1362\u1367\u1368\u17d4\u17d5\u0f0d\u1803 "
# All but tabs and line ends.
_CONTROL = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")
_DOTTED = str.maketrans({"I": "\u0131", "\u0130": "i"})
_TURKIC = ("tr", "az")


def folded(sentence: str, language: str = "") -> str:
    """Return the form in which a sentence is compared."""
    is_turkic = re.split("[-_]", language.lower(), maxsplit=1)[0] in _TURKIC
    text = sentence.lower() if sentence.isascii() and not is_turkic else _folded(sentence, is_turkic)
    text = " ".join(text.split())
    # A sentence that is nothing but punctuation stays as it is.
    return text.rstrip(_END) or text


def _folded(sentence: str, is_turkic: bool) -> str:
    if is_turkic:
        # There, i and dotless i are two letters, each with a capital of its own.
        sentence = unicodedata.normalize("NFKC", sentence).translate(_DOTTED)
    # Unicode's compatibility caseless match: neither step leaves intact what the other one does.
    text = unicodedata.normalize("NFD", sentence).casefold()
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    # A capital I with a dot folds to an i with a second dot above it.
    return text.replace("i\u0307", "i")


def unusable(sentence: str) -> str:
    """Return why nothing can be trained with a sentence, or ``""``."""
    if not sentence.strip():
        return "empty"
    if len(sentence) > LONGEST_SENTENCE:
        return f"{len(sentence):,} characters; Kore.ai accepts {LONGEST_SENTENCE:,}"
    if encodable(sentence) != sentence:
        return "contains an unpaired surrogate"
    if found := _CONTROL.search(sentence):
        return f"contains the control character U+{ord(found[0]):04X}"
    return ""
