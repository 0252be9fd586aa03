"""
Makes docstrings ready for the site.

Roles such as :class:`~a.B` become links, where the site has their target; and what a docstring says below its
parameters comes above them, as the parser takes it for a part of the last one's text.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|func|meth|attr|data|mod|exc):`(~?)([\w.]+)`")
FIELDS = re.compile(r"\n\n(:\w.*?)(\n\n(?!:).*)", re.DOTALL)


def _link(found: re.Match[str]) -> str:
    short, target = found[1], found[2]
    shown = target.rpartition(".")[2] if short else target
    return f'<autoref optional identifier="{target}"><code>{shown}</code></autoref>'


class Docstrings(griffe.Extension):
    """The extension that mkdocs.yml names."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite one docstring."""
        if obj.docstring:
            text = FIELDS.sub(r"\2\n\n\1", obj.docstring.value)
            obj.docstring.value = ROLE.sub(_link, text)
