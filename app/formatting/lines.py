"""What a line of Markdown begins, and which lines belong to a quote, an item or an indented block.

Knows columns, tabs and GitHub's block starts; builds nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

FENCE = re.compile(r"(`{3,})([^`]*)$|(~{3,})(.*)$")
HEADING = re.compile(r"(#{1,6})(?:[ \t]+(.*))?$")
RULE = re.compile(r"([-_*])(?:[ \t]*\1){2,}[ \t]*$")
FOOTNOTE = re.compile(r"\[\^([^\]\s]+)\]:[ \t]*(.*)$")
ADMONITION = re.compile(r"!!![ \t]+([A-Za-z][\w-]*)[ \t]*(?:\"(.*)\")?[ \t]*$")

_MARKER = re.compile(r"([-+*]|(\d{1,9})[.)])([ \t]+|$)")
_DELIMITERS = re.compile(r"\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?$")
_DEFINITION = re.compile(r":[ \t]+(?=\S)")

_HTML_NAMES = (
    "address|article|aside|base|basefont|blockquote|body|caption|center|col|colgroup|dd|details|"
    "dialog|dir|div|dl|dt|fieldset|figcaption|figure|footer|form|frame|frameset|h[1-6]|head|header|"
    "hr|html|iframe|legend|li|link|main|menu|menuitem|nav|noframes|ol|optgroup|option|p|param|search|"
    "section|summary|table|tbody|td|tfoot|th|thead|title|tr|track|ul"
)
_ATTRIBUTES = (
    r"(?:[ \t]++[A-Za-z_:][\w.:-]*+"
    r"(?:[ \t]*+=[ \t]*+(?:\"[^\"]*+\"|'[^']*+'|[^ \t\"'=<>`]++))?+)*+[ \t]*+"
)


class Html(NamedTuple):
    """How a block of HTML begins and ends (CommonMark 4.6); no `end` means at a blank line."""

    start: re.Pattern[str]
    end: re.Pattern[str] | None
    interrupts: bool = True


def _html(start: str, end: str | None = None, *, interrupts: bool = True) -> Html:
    closing = re.compile(end, re.IGNORECASE) if end else None
    return Html(re.compile(start, re.IGNORECASE), closing, interrupts)


_HTML = (
    _html(r"<(?:script|pre|style|textarea)(?:[\s>]|$)", r"</(?:script|pre|style|textarea)>"),
    _html(r"<!--", r"-->"),
    _html(r"<\?", r"\?>"),
    _html(r"<![a-z]", r">"),
    _html(r"<!\[CDATA\[", r"\]\]>"),
    _html(rf"</?(?:{_HTML_NAMES})(?:\s|/?>|$)"),
    _html(
        rf"<(?:[a-z][a-z0-9-]*+{_ATTRIBUTES}/?|/[a-z][a-z0-9-]*+[ \t]*+)>[ \t]*+$", interrupts=False
    ),
)


class Marker(NamedTuple):
    """The bullet or number of an item: its column, its kind, and where its text starts."""

    column: int
    kind: str
    number: int
    width: int
    text: str


def is_blank(line: str) -> bool:
    return not line.strip(" \t")


def skip_blank(lines: Sequence[str], at: int) -> int:
    while at < len(lines) and is_blank(lines[at]):
        at += 1
    return at


def columns(text: str, start: int = 0) -> int:
    """The column the text starts in; a tab goes on to the next multiple of four."""
    column = start
    for char in text:
        if char == " ":
            column += 1
        elif char == "\t":
            column += 4 - column % 4
        else:
            break
    return column


def dedent(line: str, width: int) -> str:
    """Tabs behind the indentation that is taken away stay tabs."""
    if line.startswith(" " * width):
        return line[width:]
    column = index = 0
    while column < width and index < len(line) and line[index] in " \t":
        column += 1 if line[index] == " " else 4 - column % 4
        index += 1
    return " " * max(column - width, 0) + line[index:]


def opening_fence(line: str) -> tuple[str, str] | None:
    """The fence and what stands behind it."""
    match = FENCE.match(line.lstrip(" \t")) if columns(line) < 4 else None
    if match is None:
        return None
    return (match[1], match[2]) if match[1] else (match[3], match[4])


def closes_fence(line: str, fence: str) -> bool:
    text = line.strip(" \t")
    return len(text) >= len(fence) and not text.strip(fence[0]) and columns(line) < 4


def html_start(text: str) -> Html | None:
    if not text.startswith("<"):
        return None
    return next((kind for kind in _HTML if kind.start.match(text)), None)


def marker(line: str) -> Marker | None:
    column, text = columns(line), line.lstrip(" \t")
    match = _MARKER.match(text)
    if match is None or column > 3 or RULE.match(text):
        return None
    after = column + len(match[1])
    width, rest = columns(match[3], after), text[match.end() :]
    if is_blank(rest):
        width, rest = after + 1, ""
    elif width - after > 4:
        width, rest = after + 1, " " * (width - after - 1) + rest
    return Marker(column, match[1][-1], int(match[2] or 1), width, rest)


def marker_at(lines: Sequence[str], at: int) -> Marker | None:
    return marker(lines[at]) if at < len(lines) else None


def is_table(lines: Sequence[str], at: int) -> bool:
    if "|" not in lines[at] or at + 1 >= len(lines):
        return False
    return _DELIMITERS.match(lines[at + 1].strip(" \t")) is not None


def is_definition(lines: Sequence[str], at: int) -> bool:
    return at < len(lines) and _DEFINITION.match(lines[at].lstrip(" \t")) is not None


def interrupts(line: str) -> bool:
    """Whether the line begins a block although a paragraph stands right before it."""
    if columns(line) > 3:
        return False
    text = line.lstrip(" \t")
    html = html_start(text)
    if html:
        return html.interrupts
    if any(start.match(text) for start in (RULE, HEADING, FENCE, FOOTNOTE, ADMONITION)):
        return True
    item = marker(line)
    # "1986. A great year" inside a paragraph is a sentence.
    return text.startswith(">") or (item is not None and item.text != "" and item.number == 1)


def _goes_on(previous: str, line: str) -> bool:
    """Whether a line without the mark of a quote or an item goes on with the paragraph in it."""
    text = previous.strip(" \t")
    if not text or HEADING.match(text) or RULE.match(text):
        return False
    return not interrupts(line) and marker(line) is None


class Body:
    """The lines of a container without what marks them as its; knows whether a fence is open."""

    def __init__(self, first: str | None = None) -> None:
        self.lines: list[str] = []
        self.fence: str | None = None
        if first is not None:
            self.add(first)

    def add(self, line: str) -> None:
        self.lines.append(line)
        if self.fence is not None:
            self.fence = None if closes_fence(line, self.fence) else self.fence
        elif opening := opening_fence(line):
            self.fence = opening[0]

    def takes(self, line: str) -> bool:
        return bool(self.lines) and self.fence is None and _goes_on(self.lines[-1], line)

    def ended(self, at: int) -> tuple[list[str], int]:
        """Blank lines at the end stand after the container, not in it."""
        while len(self.lines) > 1 and is_blank(self.lines[-1]):
            self.lines.pop()
            at -= 1
        return self.lines, at


def quoted(lines: Sequence[str], at: int) -> tuple[list[str], int]:
    """The lines of a quote and where it ends."""
    body = Body()
    while at < len(lines) and not is_blank(lines[at]):
        text = lines[at].lstrip(" \t")
        if text.startswith(">") and columns(lines[at]) < 4:
            body.add(text[2:] if text[1:2] == " " else text[1:])
        elif body.takes(lines[at]):
            body.add(text)
        else:
            break
        at += 1
    return body.lines, at


def indented(
    lines: Sequence[str], at: int, width: int, first: str | None = None
) -> tuple[list[str], int]:
    """The lines from `at` that are indented by `width`, and where they end."""
    body = Body(first)
    while at < len(lines):
        line = lines[at]
        if is_blank(line) or columns(line) >= width:
            body.add(dedent(line, width))
        elif body.takes(line):
            body.add(line.lstrip(" \t"))
        else:
            break
        at += 1
    return body.ended(at)


def item(lines: Sequence[str], at: int, start: Marker) -> tuple[list[str], int]:
    """The lines of a list item that starts at `at`, and where it ends."""
    body, width = Body(start.text), start.width
    at += 1
    while at < len(lines):
        line = lines[at]
        if is_blank(line):
            if body.lines == [""]:
                break
            body.add("")
        elif columns(line) >= width:
            body.add(dedent(line, width))
        elif body.fence is None and _is_nested(line, start):
            # Two spaces under "1." are one too few for CommonMark, and what people write.
            width = columns(line)
            body.add(dedent(line, width))
        elif body.takes(line):
            body.add(line.lstrip(" \t"))
        else:
            break
        at += 1
    return body.ended(at)


def _is_nested(line: str, parent: Marker) -> bool:
    if columns(line) < parent.column + 2:
        return False
    nested = marker(line.lstrip(" \t"))
    return nested is not None and nested.number == 1
