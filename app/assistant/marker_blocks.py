"""Lines of GitHub's Markdown: what block a line begins, and where code ends.

Knows neither what stood before the line nor what a marker is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Why something is not plain text of a paragraph, as the person is told.
FENCED = "It stands in a code block."
INDENTED = "It stands in indented code."
FURTHER_IN = "It stands in an indented line."
SPAN = "It stands in inline code."
QUOTE = "It stands in a quote."
LIST = "It stands in a list."
NOTE = "It stands in a note or a definition."
TABLE = "It stands in a table."
HEADING = "It stands in a heading."
HTML = "It stands inside an HTML element."
COMMENT = "It stands in an HTML comment."
LINK = "It stands in a link."
ESCAPED = "It is written with a backslash, as text."
UNCLEAR = "It stands in or after Markdown that can be read in two ways."

BLANK = re.compile(r"\n[ \t]*+(?=\n|\Z)")
TAG_NAME = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9-]*+)(?=[\s/>]|\Z)")

_VOID = "area base br col embed hr img input link meta source track wbr"
_RAW = "pre script style textarea"
_BLOCK = """
    address article aside base basefont blockquote body caption center col colgroup dd details
    dialog dir div dl dt fieldset figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6
    head header hr html iframe legend li link main menu menuitem nav noframes ol optgroup option
    p param search section summary table tbody td tfoot th thead title tr track ul
"""
_PHRASE = """
    a abbr audio b bdi bdo big button canvas cite code data datalist del dfn em font i ins kbd
    label map mark math meter noscript object output picture progress q rp rt ruby s samp select
    slot small span strike strong sub sup svg template time tt u var video
"""
VOID = frozenset(_VOID.split())
_BLOCK_CLOSINGS = frozenset(_BLOCK.split())
_BLOCK_OPENINGS = _BLOCK_CLOSINGS | frozenset(_RAW.split())
ELEMENTS = frozenset((_BLOCK + _PHRASE + _RAW).split())

_BULLET = r"(?:[-+*]|\d+[.)])(?=[ \t]|$)"
_FENCE = re.compile(rf"((?:[ \t]*+(?:>|{_BULLET}))*+[ \t]*+)(`{{3,}}+(?=[^`]*$)|~{{3,}}+)")
_ATX = re.compile(r"#{1,6}(?=[ \t]|$)")
_SETEXT = re.compile(r"=+|-+")
_DELIMITERS = re.compile(r"(?=.*-)(?=.*[|:])[-:| \t]+")
_LONE_TAG = re.compile(r"</?[A-Za-z][^<>]*+>")

# Each keeps the lines up to the next blank line; a sticky one the indented lines after it as well.
_CONTAINERS = (
    (re.compile(r">"), QUOTE, False),
    (re.compile(_BULLET), LIST, True),
    (re.compile(r"\*?\[[^\]]*+\]:"), NOTE, True),
    (re.compile(r":[ \t]"), NOTE, True),
    (re.compile(r"!!!|\?\?\?"), NOTE, True),
    (re.compile(r"\|"), TABLE, False),
    (re.compile(r"#"), HEADING, False),
)


@dataclass(frozen=True, slots=True)
class Fence:
    """The opening of fenced code: the marks of lists and quotes before it, its column, itself."""

    marks: str
    column: int
    run: str

    def is_closed_by(self, line: str, *, is_nested: bool) -> bool | None:
        """None when the code ends there for some readers and goes on for others.

        That is a closing fence that is longer or further in than it should be, and, in a list or a
        quote, a line that stands further out than the fence.
        """
        marks = ">" if is_nested else ""
        bare, column = line.lstrip(" \t" + marks).rstrip(" \t"), columns(line, marks)
        if len(bare) >= len(self.run) and not bare.strip(self.run[0]):
            first = self.column if is_nested else 0
            return True if bare == self.run and first <= column <= first + 3 else None
        return None if is_nested and bare and column < self.column else False


def line_at(text: str, start: int) -> str:
    end = text.find("\n", start)
    return text[start:] if end < 0 else text[start:end]


def columns(line: str, marks: str = "") -> int:
    """The column the text begins in, behind blanks and the given marks."""
    lead = line[: len(line) - len(line.lstrip(" \t" + marks))]
    return len(lead.expandtabs(4))


def fence_in(line: str) -> Fence | None:
    match = _FENCE.match(line)
    if match is None:
        return None
    return Fence(match[1].strip(" \t"), len(match[1].expandtabs(4)), match[2])


def fence_end(text: str, start: int, fence: Fence, *, is_nested: bool) -> int:
    """Behind the line that closes the fence; the text's end when none does without doubt."""
    while start < len(text):
        line = line_at(text, start)
        start += len(line) + 1
        is_closed = fence.is_closed_by(line, is_nested=is_nested)
        if is_closed is not False:
            return min(start, len(text)) if is_closed else len(text)
    return len(text)


def container_of(bare: str) -> tuple[str, bool] | None:
    """Which block that is no paragraph begins here, and whether it holds indented lines as well."""
    return next(((why, sticky) for start, why, sticky in _CONTAINERS if start.match(bare)), None)


def underlines(bare: str) -> str | None:
    """What the line makes of the paragraph above it."""
    if _SETEXT.fullmatch(bare):
        return HEADING
    return TABLE if _DELIMITERS.fullmatch(bare) else None


def is_rule(bare: str) -> bool:
    marks = "".join(bare.split())
    return len(marks) >= 3 and marks[0] in "-*_" and not marks.strip(marks[0])


def is_heading(bare: str) -> bool:
    return _ATX.match(bare) is not None


def begins_html(bare: str, *, is_fresh: bool) -> bool:
    """`is_fresh` after a blank line: only there does a lone tag of any name begin a block."""
    if bare.startswith(("<?", "<!")):
        return True
    tag = TAG_NAME.match(bare)
    if tag is None:
        return False
    is_block = tag[2].lower() in (_BLOCK_CLOSINGS if tag[1] else _BLOCK_OPENINGS)
    return is_block or (is_fresh and _LONE_TAG.fullmatch(bare) is not None)
