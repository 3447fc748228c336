"""A Markdown text as blocks: paragraphs, lists, tables and fences under their headings. Knows
nothing of questions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
HEADING = re.compile(r" {0,3}(#{1,6})\s+(.+?)\s*#*$")
FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A run of lines that belong together, and the heading they stand under."""

    text: str
    heading: str = ""

    @property
    def is_code(self) -> bool:
        return FENCE.match(self.text) is not None

    @property
    def is_table(self) -> bool:
        return self.text.lstrip().startswith("|")

    @property
    def leads_on(self) -> bool:
        """Whether its last line announces what follows."""
        return not self.is_code and self.text.rstrip().endswith(":")


def blocks(text: str) -> list[Block]:
    """Paragraphs, lists, tables and fences of a Markdown text, without headings and comments."""
    text = COMMENT.sub("", FRONT_MATTER.sub("", text))
    found, heading = [], ""
    for run in _runs(text.splitlines()):
        title = HEADING.fullmatch(run[0])
        if title:
            heading = title[2]
        else:
            found.append(Block("\n".join(run), heading))
    return found


def _runs(lines: Iterable[str]) -> Iterator[list[str]]:
    """Lines between blank ones; a heading is a run by itself; a fence stays whole."""
    run: list[str] = []
    fence = ""
    for line in lines:
        mark = FENCE.match(line)
        is_edge = not fence and (mark or HEADING.fullmatch(line) or not line.strip())
        if is_edge and run:
            yield run
            run = []
        if fence or line.strip():
            run.append(line)
        is_closing = bool(fence and mark and mark[1].startswith(fence) and line.strip() == mark[1])
        if is_closing or (not fence and HEADING.fullmatch(line)):
            yield run
            run = []
        if is_closing:
            fence = ""
        elif mark and not fence:
            fence = mark[1]
    if run:
        yield run


def headings(text: str) -> list[str]:
    """The headings of a text, the title among them, outside fences."""
    runs = _runs(COMMENT.sub("", FRONT_MATTER.sub("", text)).splitlines())
    titles = (HEADING.fullmatch(run[0]) for run in runs if len(run) == 1)
    return [title[2] for title in titles if title]
