"""What is open inside a paragraph: code, tags, links, HTML elements.

Knows neither what begins a block nor what a marker is.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, defaultdict

from app.assistant.marker_blocks import ELEMENTS, HTML, LINK, SPAN, TAG_NAME, UNCLEAR, VOID

# Stands for an element that never ends: its tag has no end in raw HTML, or is hidden in what looked
# like code until another block began.
_UNFINISHED = ""

_RUN = re.compile(r"`++")
_CLOSING_NAME = re.compile(r"</([A-Za-z][A-Za-z0-9-]*+)")
_TAG = re.compile(r"<(?:[^<>\"']++|\"[^\"]*+\"|'[^']*+')*+>")
# A destination that ends at the same place for every reader: no escapes, no line breaks.
_DESTINATION = re.compile(
    r"\([ \t]*+(?:[^\s()<>\[\]\\\"'`]|\([^\s()<>\[\]\\\"'`]*+\))*+"
    r"(?:[ \t]++\"[^\"()<>\[\]\\`\n]*+\")?+[ \t]*+\)"
)


class Inline:
    """Follows a paragraph from left to right; HTML elements stay open beyond it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._runs: defaultdict[int, list[int]] = defaultdict(list)
        for run in _RUN.finditer(text):
            self._runs[len(run[0])].append(run.start())
        self._closed_at = {name[1].lower(): name.start() for name in _CLOSING_NAME.finditer(text)}
        self._elements: Counter[str] = Counter()
        self._hide(0, 0, "")
        self.begin(0, 0)

    def begin(self, start: int, end: int, *, is_raw: bool = False) -> None:
        """A new paragraph, or raw HTML; `end` is the next blank line."""
        if self.hides(start) and self._text.find("<", self._hidden_from, start) >= 0:
            self._elements[_UNFINISHED] += 1
        self._start = start
        self._is_raw = is_raw
        self._hide(0, 0, "")
        self._doubt = ""
        self._brackets = 0
        self.extend(end)

    def extend(self, end: int) -> None:
        self._end = end
        self._last: dict[str, int] = {}

    def _hide(self, start: int, end: int, why: str) -> None:
        self._hidden_from, self._hidden_to, self._why_hidden = start, end, why

    def hides(self, position: int) -> bool:
        """Whether `position` is in code or in a tag."""
        return position < self._hidden_to

    def why_hidden(self, position: int) -> str:
        """Why text at `position` is not plain text of the paragraph; "" when it is."""
        if self.hides(position):
            return self._why_hidden
        if self._elements:
            return HTML
        return self._doubt

    def is_linked(self, end: int) -> bool:
        """Whether something that ends at `end` stands between square brackets."""
        return self._brackets > 0 and self._last_of("]") >= end

    def step(self, token: re.Match[str]) -> int:
        """Take note of a backtick run, a bracket or a tag; return where to go on."""
        if self.hides(token.start()):
            return token.end()
        if token[0][-1] == "<":
            self._note_tag(token.end() - 1)
        elif self._is_raw:
            return token.end()
        elif token[0][0] == "`":
            self._open_code(token)
        elif token[0] == "[":
            self._brackets += 1
        elif token[0] == "]" and self._brackets:
            return self._close_bracket(token.end())
        return token.end()

    def _open_code(self, run: re.Match[str]) -> None:
        starts = self._runs[len(run[0])]
        place = bisect_left(starts, run.end())
        if place < len(starts) and starts[place] < self._end:
            self._hide(run.end(), starts[place] + len(run[0]), SPAN)
        elif len(run[0]) > 1 and self._last_of("`") > run.end():
            self._doubt = UNCLEAR  # some readers let a part of the run begin code

    def _close_bracket(self, position: int) -> int:
        self._brackets -= 1
        if not self._text.startswith("(", position):
            return position
        if destination := _DESTINATION.match(self._text, position, self._end):
            return destination.end()
        if self._last_of(")") > position:
            self._doubt = self._doubt or LINK
        return position

    def _note_tag(self, start: int) -> None:
        name = TAG_NAME.match(self._text, start)
        if name is None:
            return
        tag = _TAG.match(self._text, start, self._end)
        if tag is None:
            if self._is_raw:
                self._elements[_UNFINISHED] += 1
            elif self._last_of(">") > start:
                self._doubt = self._doubt or HTML
            return
        if "`" in tag[0]:  # code that begins in a tag, for those who look for code first
            self._doubt = self._doubt or HTML
        self._hide(start + 1, tag.end(), HTML)
        self._count(name[2].lower(), start, is_closing=bool(name[1]))

    def _count(self, name: str, start: int, *, is_closing: bool) -> None:
        if is_closing and name in self._elements:
            self._elements[name] -= 1
            if not self._elements[name]:
                del self._elements[name]
        elif is_closing or name in VOID:
            return
        elif name in ELEMENTS or self._closed_at.get(name, -1) > start:
            self._elements[name] += 1
        else:
            self._doubt = self._doubt or HTML

    def _last_of(self, char: str) -> int:
        """The last place of `char` in the paragraph."""
        if char not in self._last:
            self._last[char] = self._text.rfind(char, self._start, self._end)
        return self._last[char]
