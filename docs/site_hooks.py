"""
What `mkdocs build` does to the pages beside what mkdocs does, so that nothing is written twice and every link works on
GitHub too.

- A line that is nothing but a link out of this folder, such as `[Connection](../README.md#connection)`, stands for what
  it leads to: the section, the whole page, or the source of an example DAG.
- Any other link out of this folder leads to the page that shows its target. One to what no page shows ends the build.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.exceptions import PluginError
from pymdownx.slugs import slugify

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
INCLUDE = re.compile(r"\[(?P<text>[^\]\n]+)\]\((?P<target>\.\./[^)\s]+)\)")
LINK = re.compile(r"(?<=\]\()(?![a-z]+:)[^)\s]+(?=\))")
HEADING = re.compile(r"(#+) +(.*)")
FENCE = re.compile(r"( *)(```+|~~~+)")
_slug = slugify(case="lower")
# Where a page shows a file of the project, or a section of one: (file, slug) -> link. Filled by `on_files`.
_shown: dict[tuple[str, str], str] = {}


@dataclass(frozen=True)
class Section:
    """A heading and what belongs to it: lines `start` to `end`, the heading's own line left out."""

    level: int
    slug: str
    start: int
    end: int


def on_files(files: Files, *, config: MkDocsConfig) -> None:
    """Note what each page shows."""
    _shown.clear()
    for file in files.documentation_pages():
        heading = ""
        for line, is_code in _lines(file.content_string):
            if is_code:
                continue
            if found := HEADING.fullmatch(line):
                heading = "" if len(found[1]) == 1 else "#" + _slug(found[2], "-")
            elif found := INCLUDE.fullmatch(line):
                path, slug = _target(found["target"], "docs")
                _shown[path, slug] = file.src_uri + heading
                _shown.setdefault((posixpath.dirname(path), ""), file.src_uri)
                if path.endswith(".md"):
                    for section in _sections_within(path, slug):
                        _shown.setdefault((path, section.slug), f"{file.src_uri}#{section.slug}")


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put in what lines stand for, and turn links."""
    lines: list[str] = []
    level = 1
    for line, is_code in _lines(markdown):
        if not is_code and (found := HEADING.fullmatch(line)):
            level = len(found[1])
        if not is_code and (found := INCLUDE.fullmatch(line)):
            path, slug = _target(found["target"], "docs")
            lines += _included(path, slug, level)
        else:
            lines.append(line if is_code else _turned(line, "docs"))
    return "\n".join(lines) + "\n"


def _included(path: str, slug: str, level: int) -> list[str]:
    if path.endswith(".py"):
        return ["```python", *(ROOT / path).read_text("utf-8").splitlines(), "```"]
    section = _section(path, slug)
    text = (ROOT / path).read_text("utf-8")
    included = []
    for line, is_code in list(_lines(text))[section.start : section.end]:
        if is_code:
            included.append(line)
        elif found := HEADING.fullmatch(line):
            included.append(f"{'#' * (len(found[1]) - section.level + level)} {found[2]}")
        else:
            included.append(_turned(line, posixpath.dirname(path), path))
    return included


def _turned(line: str, folder: str, file: str = "") -> str:
    """Turn the links of a line of a file of the project: those of a page only where they lead out of docs/."""

    def turn(found: re.Match[str]) -> str:
        target = found[0]
        if folder == "docs" and not target.startswith("../"):
            return target
        path, slug = (file, target[1:]) if target.startswith("#") else _target(target, folder)
        if path.startswith("docs/"):
            return posixpath.relpath(path, "docs") + (f"#{slug}" if slug else "")
        if (path, slug) not in _shown:
            raise PluginError(f"{line!r:.120}: no page of the site shows {path}{'#' if slug else ''}{slug}")
        return _shown[path, slug]

    return LINK.sub(turn, line)


def _target(target: str, folder: str) -> tuple[str, str]:
    """Name the file and the section that a link leads to, from the project's folder."""
    path, _, slug = target.partition("#")
    return posixpath.normpath(posixpath.join(folder, path)), slug


def _lines(text: str) -> list[tuple[str, bool]]:
    """Give each line, and whether it is code."""
    lines, fence = [], ""
    for line in text.splitlines():
        found = FENCE.match(line)
        lines.append((line, bool(fence or found)))
        if found and not fence:
            fence = found[2]
        elif fence and line.strip() == fence:
            fence = ""
    return lines


def _sections(path: str) -> list[Section]:
    lines = _lines((ROOT / path).read_text("utf-8"))
    headings = [
        (number, len(found[1]), _slug(found[2], "-"))
        for number, (line, is_code) in enumerate(lines)
        if not is_code and (found := HEADING.fullmatch(line))
    ]
    return [
        Section(
            level,
            slug,
            number + 1,
            next((later for later, other, _ in headings if later > number and other <= level), len(lines)),
        )
        for number, level, slug in headings
    ]


def _section(path: str, slug: str) -> Section:
    for section in _sections(path):
        if section.slug == slug or not slug:
            return section
    raise PluginError(f"{path} has no section #{slug}")


def _sections_within(path: str, slug: str) -> list[Section]:
    outer = _section(path, slug)
    return [section for section in _sections(path) if outer.start < section.start <= outer.end]
