"""Where `[text][label]` leads; a label may hold code, as in [`fs.open()`][].

Knows that Python-Markdown has put the code aside by the time it asks.
"""

from __future__ import annotations

import re
from html import unescape

from markdown import Markdown
from markdown.treeprocessors import InlineProcessor
from markdown.util import INLINE_PLACEHOLDER_RE


class References(dict[str, tuple[str, str]]):
    """Address and title by label; the first definition of a label is the one that counts."""

    def __init__(self, md: Markdown) -> None:
        super().__init__()
        self._md = md

    def define(self, label: str, address: str, title: str) -> None:
        self.setdefault(_key(label), (address, title))

    def __contains__(self, label: object) -> bool:
        return super().__contains__(self._plain(str(label)))

    def __getitem__(self, label: str) -> tuple[str, str]:
        return super().__getitem__(self._plain(label))

    def _plain(self, label: str) -> str:
        inline = self._md.treeprocessors["inline"]
        assert isinstance(inline, InlineProcessor)
        stash = inline.stashed_nodes

        def put_back(match: re.Match[str]) -> str:
            node = stash.get(match[1], "")
            return node if isinstance(node, str) else unescape("".join(node.itertext()))

        return _key(INLINE_PLACEHOLDER_RE.sub(put_back, label))


def _key(label: str) -> str:
    return " ".join(label.replace("`", "").lower().split())
