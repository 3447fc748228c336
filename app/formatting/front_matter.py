"""The YAML block at the head of a document, as something to look at: never run, never an error.

Knows YAML. What it returns is HTML still to be sanitised.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from html import escape

import yaml

from app.formatting.code import fenced

MAX_CHARS = 64 * 1024

# A key first: a document may also begin with a rule and have another one further down.
_BLOCK = re.compile(
    r"---[ \t]*\n((?:[ \t]*\n)*[\w\"'][^:\n]*:(?:[ \t\n]).*?)?^(?:---|\.\.\.)[ \t]*(?:\n|\Z)",
    re.DOTALL | re.MULTILINE,
)


class _Loader(yaml.BaseLoader):
    """Every scalar a string; no aliases, which can make gigabytes of one line."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not read")
        return super().compose_node(parent, index)


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """`html` is the block as a table, or as it was written where it is no YAML that makes one."""

    html: str = ""
    title: str | None = None


def split_front_matter(text: str) -> tuple[FrontMatter, str]:
    """The front matter and the text behind it, which is the whole text when there is none."""
    match = _BLOCK.match(text)
    if match is None:
        return FrontMatter(), text
    source, body = match[1] or "", text[match.end() :]
    if not source.strip():
        return FrontMatter(), body
    values = _values(source)
    if values is None:
        return FrontMatter(fenced(source.rstrip("\n"), "yaml")), body
    title = values.get("title")
    return FrontMatter(
        _table(values), title.strip() or None if isinstance(title, str) else None
    ), body


def _values(source: str) -> dict[str, object] | None:
    if len(source) > MAX_CHARS:
        return None
    try:
        values = _Loader(source).get_single_data()
    except (yaml.YAMLError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def _table(values: dict[str, object]) -> str:
    rows = (
        f'<tr><th scope="row">{escape(str(key))}</th><td>{escape(_shown(value))}</td></tr>'
        for key, value in values.items()
    )
    return f'<table class="front-matter"><tbody>{"".join(rows)}</tbody></table>'


def _shown(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return json.dumps(value, ensure_ascii=False)
