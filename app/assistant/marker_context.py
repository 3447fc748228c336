"""Which markers of an answer are live: those in plain paragraphs at the top level of its Markdown.

Reads blocks as GitHub does and renders nothing. Where a text can be read in two ways, it takes the
reading in which fewer markers are live; where the two never meet again, nothing after it is live.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from app.assistant import marker_blocks as blocks
from app.assistant.marker_blocks import COMMENT, ESCAPED, HEADING, HTML, LINK, LIST
from app.assistant.marker_inline import Inline
from app.assistant.marker_shape import OPENING, Closings, Shape, measure

_PARAGRAPH = ""
_TOKEN = re.compile(r"\\?<|\\.|`++|[\[\]]")
_DECLARATION = re.compile(r"<!--|<!\[CDATA\[|<!(?=[A-Za-z])|<\?")
_DECLARATION_ENDS = {"<!--": "-->", "<![CDATA[": "]]>", "<!": ">", "<?": "?>"}


@dataclass(frozen=True, slots=True)
class Found:
    """A marker, and why it is not live; "" when it is."""

    start: int  # the shape's, or that of a backslash before it
    shape: Shape
    reason: str

    @property
    def end(self) -> int:
        return self.shape.end


def find(text: str) -> list[Found]:
    """Every marker in the text, from left to right, none inside another."""
    # As long as the text itself, so that every position is one of the text's as well.
    return _Scanner(text.replace("\r\n", " \n").replace("\r", "\n")).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._inline = Inline(text)
        self._closings = Closings(text)
        self._found: list[Found] = []
        self._paragraph = 0  # the first of `_found` in the paragraph being read
        self._position = 0
        self._chunk_end = -1  # the next blank line
        self._inside: str | None = None  # why the line before is not live; None after a blank line
        self._sticky = ""  # the list or note that an indented line goes on with after a blank one
        self._rest = ""  # why nothing more is live
        self._text_start = 0  # the line's, behind its indentation
        self._may_span = False  # whether a comment that begins the line is a block

    def scan(self) -> list[Found]:
        while self._position < len(self._text):
            self._read_line()
        return self._found

    # Lines

    def _read_line(self) -> None:
        line = blocks.line_at(self._text, self._position)
        bare, column = line.strip(" \t"), blocks.columns(line)
        if not bare:
            self._inside = None
            self._position += len(line) + 1
            return
        if (fence := blocks.fence_in(line)) and self._takes(column):
            self._skip_fence(fence)
            return
        if column >= 4 and self._inside is None and not self._sticky:
            self._skip(min(self._position + len(line) + 1, len(self._text)), blocks.INDENTED)
            return
        self._keep_up()
        self._may_span = False
        reason = self._begin_block(bare, column)
        self._text_start = self._position + line.index(bare[0])
        self._read_inline(reason)

    def _keep_up(self) -> None:
        if self._chunk_end < self._position:
            blank = blocks.BLANK.search(self._text, self._position)
            self._chunk_end = blank.start() if blank else len(self._text)
            self._inline.extend(self._chunk_end)

    def _begin_block(self, bare: str, column: int) -> str:
        """Why markers in the line are not live; "" in a plain paragraph."""
        before = self._inside
        if column < 4 and before != HTML and (reason := self._begin_other(bare, column)):
            return reason
        if before is not None:
            return before or (blocks.FURTHER_IN if column >= 4 else _PARAGRAPH)
        if column == 0:
            self._sticky = ""
        return self._begin(self._sticky, then=self._sticky)

    def _begin_other(self, bare: str, column: int) -> str:
        """Why the line is no paragraph's, or "" when nothing in it says so."""
        before = self._inside
        if before is not None and (kind := blocks.underlines(bare)):
            self._withdraw(kind)
            return self._begin(kind, then=before or (None if kind == HEADING else kind))
        if blocks.is_rule(bare) or blocks.is_heading(bare):
            return self._begin(HEADING, then=before or None)
        if container := blocks.container_of(bare):
            why, is_sticky = container
            if bare[0] == ":":
                self._withdraw(why)
            self._sticky = why if is_sticky else self._sticky
            return self._begin(why, then=why)
        if not OPENING.match(bare) and blocks.begins_html(bare, is_fresh=before is None):
            self._may_span = column == 0 or not self._sticky
            return self._begin(HTML, then=HTML)
        return ""

    def _begin(self, reason: str, *, then: str | None) -> str:
        if self._inside is None:  # what only looks like a list may be part of the paragraph
            self._paragraph = len(self._found)
        self._inside = then
        self._inline.begin(self._position, self._chunk_end, is_raw=reason == HTML)
        return reason

    def _withdraw(self, kind: str) -> None:
        """The line says that the paragraph above it was a heading, a table or a term all along."""
        for place in range(self._paragraph, len(self._found)):
            found = self._found[place]
            self._found[place] = replace(found, reason=found.reason or kind)

    # Stretches without paragraphs

    def _takes(self, column: int) -> bool:
        """Whether a fence begins code here, not in a paragraph's or an indented code's line."""
        return column < 4 or bool(self._holder())

    def _holder(self) -> str:
        """The list, quote or the like that a line further in belongs to."""
        return self._sticky if self._inside is None else self._inside

    def _skip_fence(self, fence: blocks.Fence) -> None:
        if self._inside == HTML:  # code for readers of Markdown between tags, tags for the others
            self._skip(len(self._text), blocks.UNCLEAR)
            return
        is_nested = bool(fence.marks or (self._holder() and fence.column))
        self._inline.begin(self._position, self._chunk_end)
        start = self._position + len(blocks.line_at(self._text, self._position)) + 1
        end = blocks.fence_end(self._text, start, fence, is_nested=is_nested)
        if fence.marks.strip("> \t"):
            self._sticky = LIST
        self._inside = (self._holder() or self._sticky or blocks.QUOTE) if is_nested else None
        self._skip(end, blocks.FENCED)

    def _skip(self, end: int, reason: str) -> None:
        """Markers up to `end` are seen, and none is live."""
        for tag in OPENING.finditer(self._text, self._position, end):
            if not self._is_free(tag.start()):
                continue
            if shape := measure(self._text, tag, self._closings, limit=end):
                self._found.append(Found(shape.start, shape, reason))
        self._position = end

    def _is_free(self, start: int) -> bool:
        return not self._found or self._found[-1].end <= start

    def _skip_declaration(self, opening: re.Match[str], line_end: int) -> None:
        """A comment or the like. One that begins within a line has to end in it."""
        is_block = self._may_span and opening.start() == self._text_start
        close = _DECLARATION_ENDS[opening[0]]
        limit = len(self._text) if is_block else line_end
        end = self._text.find(close, opening.end(), limit)
        if end < 0 or (close == "-->" and self._is_odd(opening.end(), end, is_block=is_block)):
            self._rest = COMMENT
            return
        self._skip(end + len(close), COMMENT)
        if is_block:
            self._inside = None

    def _is_odd(self, start: int, end: int, *, is_block: bool) -> bool:
        """Whether older and newer Markdown see two different comments here."""
        body = self._text[start:end]
        return self._text.startswith((">", "->"), start) or (not is_block and "--" in body)

    # Inside a line

    def _read_inline(self, reason: str) -> None:
        line_end = self._line_end()
        while token := _TOKEN.search(self._text, self._position, line_end):
            self._position = token.end()
            if token[0][-1] == "<" and (tag := OPENING.match(self._text, token.end() - 1)):
                self._note_marker(tag, token.start(), reason)
            elif token[0] == "<" and (opening := self._declared(token.start())):
                self._skip_declaration(opening, line_end)
            elif token[0][0] != "\\" or reason == HTML:
                self._position = self._inline.step(token)
            if self._position > line_end:
                line_end = self._line_end()
                self._keep_up()
        self._position = line_end + 1

    def _line_end(self) -> int:
        end = self._text.find("\n", self._position)
        return len(self._text) if end < 0 else end

    def _declared(self, start: int) -> re.Match[str] | None:
        if self._rest or self._inline.hides(start):
            return None
        return _DECLARATION.match(self._text, start)

    def _note_marker(self, tag: re.Match[str], start: int, reason: str) -> None:
        self._position = tag.end()
        if not self._is_free(start):
            return
        why = self._rest or self._inline.why_hidden(start) or reason
        if not why and start < tag.start():
            why = ESCAPED
        limit = self._chunk_end if why else len(self._text)
        shape = measure(self._text, tag, self._closings, limit=limit)
        if shape is None:
            return
        if not why and self._inline.is_linked(shape.end):
            why = LINK
        self._found.append(Found(start if why == ESCAPED else shape.start, shape, why))
        if shape.is_whole:
            self._position = shape.end
