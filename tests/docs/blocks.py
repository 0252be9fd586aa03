"""The code blocks of README.md, docs/ and their like. What a page takes over from another file is that file's."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    page
    for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**/*.md")
    for page in sorted(ROOT.glob(name))
]
FENCE = re.compile(r"^( *)(```+|~~~+)([^\n`]*)\n(.*?)^\1\2$", re.MULTILINE | re.DOTALL)
# A task is made, but no DAG for it.
TASK = re.compile(r"\btask_id=|@task\b|\bkoreai_export_utterances\b")


@dataclass(frozen=True)
class Block:
    """
    A code block.

    :param page: the file, from the project's folder.
    :param line: of its first line of code.
    :param language: as the page says it, or ``""``.
    :param code: its lines, without the fence.
    """

    page: str
    line: int
    language: str
    code: str

    @property
    def id(self) -> str:
        """Where it is."""
        return f"{self.page}:{self.line}"

    @property
    def name(self) -> str:
        """The same as a name for a module or a DAG."""
        return re.sub(r"\W", "_", self.id)

    @property
    def kind(self) -> str:
        """How it is run: ``dag``, ``tasks``, ``pytest``, ``python``, or as its language says."""
        if self.language != "python":
            return self.language
        if re.search(r"\bDAG\(|@dag\b", self.code):
            return "dag"
        if TASK.search(self.code):
            return "tasks"
        return "pytest" if re.search(r"^def test_", self.code, re.MULTILINE) else "python"


def blocks_of(page: Path) -> list[Block]:
    """Find the code blocks of a page."""
    text = page.read_text("utf-8")
    return [
        Block(
            page.relative_to(ROOT).as_posix(),
            text.count("\n", 0, found.start(4)) + 1,
            found[3].strip(),
            textwrap.dedent(found[4]),
        )
        for found in FENCE.finditer(text)
        # A file of the project that the page shows whole has tests of its own.
        if not found[4].lstrip().startswith("--8<--")
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def of_kind(*kinds: str) -> list[Block]:
    """Select blocks."""
    return [block for block in BLOCKS if block.kind in kinds]
