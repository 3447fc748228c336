"""Makes passages fit to be quoted: nothing in them opens a tag, points elsewhere or hides. Knows
nothing of where they came from."""

from __future__ import annotations

import re
import unicodedata

from app.demo.assistant.block import COMMENT, FENCE, Block, blocks
from app.demo.assistant.term import key, keys

MAX_LINES = 12
IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
LINK = re.compile(r"\[([^\]^]+)\](?:\([^)]*\)|\[[^\]]*\])")
FOOTNOTE = re.compile(r"\[\^[^\]]+\]:?")
ALERT = re.compile(r"^\s*\[!\w+\]\s*$")


def opening(text: str) -> Block | None:
    """The first block that has words to quote."""
    return next((b for b in blocks(text) if not b.is_code and _quoted(b, [])), None)


def quote(passage: list[Block], wanted: list[str]) -> str:
    """The passage as a Markdown quotation; code stands after it in a fence of its own."""
    parts = [_fenced(block) if block.is_code else _quoted(block, wanted) for block in passage]
    return "\n\n".join(part for part in parts if part)


def _quoted(block: Block, wanted: list[str]) -> str:
    lines = _table_rows(block, wanted) if block.is_table else block.text.splitlines()
    kept = [line for line in map(_quotable, lines) if line.strip()]
    if len(kept) > MAX_LINES:
        kept = [*kept[:MAX_LINES], "…"]
    return "\n".join(f"> {line}" for line in kept)


def _table_rows(block: Block, wanted: list[str]) -> list[str]:
    """Head and rule, and of the rows those that matter."""
    rows = block.text.splitlines()
    near = [row for row in rows[2:] if {key(term) for term in wanted} & keys(row)]
    return rows[:2] + (near or rows[2:])


def _quotable(line: str) -> str:
    """One line without anything that points elsewhere, opens a tag or quotes by itself."""
    line = re.sub(r"^\s*(>\s?)+", "", line)
    return "" if ALERT.match(line) else _without_targets(line).replace("<", "&lt;")


def _without_targets(text: str) -> str:
    text = FOOTNOTE.sub("", IMAGE.sub("", text))
    return _printable(LINK.sub(r"\1", text))


def _fenced(block: Block) -> str:
    lines = _printable(block.text).splitlines()
    if len(lines) > MAX_LINES + 2:
        lines = [*lines[:MAX_LINES], "…"]
    mark = FENCE.match(lines[0])
    # A fence that the page forgot to close would swallow the rest of the answer.
    if mark and lines[-1].strip() != mark[1]:
        lines.append(mark[1])
    return "\n".join(lines)


def plain(text: str) -> str:
    """One line of prose: no Markdown, no tags, no line ends."""
    text = re.sub(r"^[\s>#*+|-]+|[\s|]+$", "", _without_targets(COMMENT.sub("", text)))
    text = re.sub(r"\[[ xX]\]\s*|[*`~]", "", re.sub(r"\s*\|\s*", " · ", text))
    return re.sub(r"\s+", " ", text.replace("<", "‹").replace(">", "›")).strip()


def clip(text: str, length: int) -> str:
    """At most `length` characters, cut between words where there is one."""
    if len(text) <= length:
        return text
    head = text[: length - 1]
    return (head.rsplit(" ", 1)[0] if " " in head else head).rstrip(" ,;:.") + "…"


def _printable(text: str) -> str:
    """Without control, bidi and other invisible characters, line ends and tabs kept."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf"))
