"""GitHub's blocks for Python-Markdown, as people write them for a forge.

Python-Markdown's own want four spaces and blank lines everywhere. This parser reads lists nested by
two spaces, lists and tables right after a paragraph, fences in items, Markdown between HTML tags.
It knows blocks; what stands inside a paragraph is Python-Markdown's, and nothing here is safe yet.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as etree
from collections.abc import Callable, Iterable, Sequence

from markdown import Markdown
from markdown.blockparser import BlockParser
from markdown.extensions.tables import TableProcessor
from markdown.util import AtomicString

from app.formatting import lines as line
from app.formatting.code import fenced
from app.formatting.footnotes import Footnotes
from app.formatting.references import References

# Deeper quotes and lists are read as text: nobody means them, and each level reads its lines again.
MAX_DEPTH = 24

# A tag that no browser knows. The sanitiser takes it away and leaves what is in it.
BARE = "bare"

ALERTS = ("note", "tip", "important", "warning", "caution")
# Further words for admonitions, and which of the five each is nearest to.
LIKE = {
    "attention": "warning",
    "bug": "caution",
    "danger": "caution",
    "error": "caution",
    "failure": "caution",
    "hint": "tip",
    "success": "tip",
}

_UNDERLINE = re.compile(r"(?:=+|-+)[ \t]*$")
_TASK = re.compile(r"\[([ xX])\][ \t]+(?=\S)")
_ALERT = re.compile(rf"\[!({'|'.join(ALERTS)})\][ \t]*", re.IGNORECASE)
_REFERENCE = re.compile(
    r"\[(?!\^)((?:[^\[\]\\]|\\.)+)\]:[ \t]*(<[^<>]*>|[^\s<]\S*)"
    r"(?:[ \t]+(\"[^\"]*\"|'[^']*'|\([^()]*\)))?[ \t]*$"
)

Reader = Callable[[etree.Element, list[str], int], int]


class GfmBlocks(BlockParser):
    """A reader takes its block from the lines at a position and returns its end, or 0: not mine."""

    def __init__(self, md: Markdown, references: References, footnotes: Footnotes | None) -> None:
        super().__init__(md)
        self._references = references
        self._footnotes = footnotes
        self._tables = TableProcessor(self, {"use_align_attribute": True})
        self._depth = 0
        leaves = (self._indented, self._fence, self._heading, self._rule, self._html)
        containers = (self._quote, self._list, self._admonition, self._footnote)
        texts = (self._reference, self._table, self._definition, self._paragraph)
        self._readers: tuple[Reader, ...] = (*leaves, *containers, *texts)

    def parseDocument(self, lines: Iterable[str]) -> etree.ElementTree:  # noqa: N802
        self.root = etree.Element(self.md.doc_tag)
        self._depth = 0
        self._read(self.root, list(lines))
        return etree.ElementTree(self.root)

    def parseChunk(self, parent: etree.Element, text: str) -> None:  # noqa: N802
        self._read(parent, text.split("\n"))

    def _read(self, parent: etree.Element, lines: list[str]) -> bool:
        """Whether a blank line stands between two of the blocks, which makes a list item loose."""
        at = line.skip_blank(lines, 0)
        is_loose = False
        while at < len(lines):
            end = next(end for read in self._readers if (end := read(parent, lines, at)))
            at = line.skip_blank(lines, end)
            is_loose |= end < at < len(lines)
        return is_loose

    def _inside(self, parent: etree.Element, lines: list[str]) -> bool:
        self._depth += 1
        is_loose = self._read(parent, lines)
        self._depth -= 1
        return is_loose

    def _is_too_deep(self) -> bool:
        return self._depth >= MAX_DEPTH

    def _raw(self, parent: etree.Element, html: str) -> None:
        etree.SubElement(parent, BARE).text = AtomicString(self.md.htmlStash.store(html))

    def _indented(self, parent: etree.Element, lines: list[str], at: int) -> int:
        if line.columns(lines[at]) < 4:
            return 0
        body, end = [], at
        while end < len(lines) and (line.is_blank(lines[end]) or line.columns(lines[end]) >= 4):
            body.append(line.dedent(lines[end], 4))
            end += 1
        while line.is_blank(body[-1]):
            body.pop()
        self._raw(parent, fenced("\n".join(body)))
        return at + len(body)

    def _fence(self, parent: etree.Element, lines: list[str], at: int) -> int:
        opening = line.opening_fence(lines[at])
        if opening is None:
            return 0
        fence, info = opening
        width = line.columns(lines[at])
        end = at + 1
        while end < len(lines) and not line.closes_fence(lines[end], fence):
            end += 1
        code = "\n".join(line.dedent(each, width) for each in lines[at + 1 : end])
        self._raw(parent, fenced(code, info))
        return end + 1

    def _heading(self, parent: etree.Element, lines: list[str], at: int) -> int:
        match = line.HEADING.match(lines[at].strip(" \t"))
        if match is None:
            return 0
        text = match[2] or ""
        without = text.rstrip("#")
        if not without or without[-1] in " \t":
            text = without.rstrip()
        etree.SubElement(parent, f"h{len(match[1])}").text = text
        return at + 1

    def _rule(self, parent: etree.Element, lines: list[str], at: int) -> int:
        if not line.RULE.match(lines[at].lstrip(" \t")):
            return 0
        etree.SubElement(parent, "hr")
        return at + 1

    def _html(self, parent: etree.Element, lines: list[str], at: int) -> int:
        kind = line.html_start(lines[at].lstrip(" \t"))
        if kind is None:
            return 0
        end = at
        if kind.end is None:
            while end < len(lines) and not line.is_blank(lines[end]):
                end += 1
        else:
            while end < len(lines) and not kind.end.search(lines[end]):
                end += 1
            end += 1
        self._raw(parent, "\n".join(lines[at:end]))
        return end

    def _quote(self, parent: etree.Element, lines: list[str], at: int) -> int:
        if not lines[at].lstrip(" \t").startswith(">") or self._is_too_deep():
            return 0
        body, end = line.quoted(lines, at)
        alert = _ALERT.fullmatch(body[0])
        if alert:
            self._admonish(parent, alert[1], alert[1].capitalize(), body[1:])
        else:
            self._inside(etree.SubElement(parent, "blockquote"), body)
        return end

    def _admonition(self, parent: etree.Element, lines: list[str], at: int) -> int:
        match = line.ADMONITION.match(lines[at].strip(" \t"))
        if match is None or self._is_too_deep():
            return 0
        body, end = line.indented(lines, at + 1, 4)
        title = match[1].capitalize() if match[2] is None else match[2]
        self._admonish(parent, match[1], title, body)
        return end

    def _admonish(self, parent: etree.Element, word: str, title: str, body: list[str]) -> None:
        kind = LIKE.get(word.lower(), word.lower())
        kind = kind if kind in ALERTS else "note"
        box = etree.SubElement(parent, "div", {"class": f"admonition {kind}"})
        if title:
            etree.SubElement(box, "p", {"class": "admonition-title"}).text = title
        self._inside(box, body)

    def _list(self, parent: etree.Element, lines: list[str], at: int) -> int:
        start = first = line.marker(lines[at])
        if first is None or self._is_too_deep():
            return 0
        items = etree.SubElement(parent, "ul" if first.kind in "-+*" else "ol")
        if first.number != 1:
            items.set("start", str(first.number))
        is_loose, end = False, at
        while start and start.kind == first.kind:
            is_loose |= at > end
            body, end = line.item(lines, at, start)
            is_loose |= self._item(items, body)
            at = line.skip_blank(lines, end)
            start = line.marker_at(lines, at)
        if not is_loose:
            _tighten(items)
        return end

    def _item(self, items: etree.Element, body: list[str]) -> bool:
        item = etree.SubElement(items, "li")
        task = _TASK.match(body[0])
        if task:
            item.set("class", "task-open" if task[1] == " " else "task-done")
            body[0] = body[0][task.end() :]
        return self._inside(item, body)

    def _footnote(self, parent: etree.Element, lines: list[str], at: int) -> int:
        match = line.FOOTNOTE.match(lines[at].strip(" \t"))
        if match is None or self._footnotes is None:
            return 0
        body, end = line.indented(lines, at + 1, 4, first=match[2])
        self._footnotes.define(match[1], "\n".join(body))
        return end

    def _reference(self, parent: etree.Element, lines: list[str], at: int) -> int:
        text, end = lines[at].strip(" \t"), at + 1
        if text.endswith("]:") and end < len(lines):
            text, end = f"{text} {lines[end].strip()}", end + 1
        match = _REFERENCE.match(text)
        if match is None:
            return 0
        self._references.define(match[1], match[2].strip("<>"), (match[3] or "  ")[1:-1])
        return end

    def _table(self, parent: etree.Element, lines: list[str], at: int) -> int:
        if not line.is_table(lines, at):
            return 0
        end = at + 2
        while end < len(lines) and not (line.is_blank(lines[end]) or line.interrupts(lines[end])):
            end += 1
        block = "\n".join(each.strip(" \t") for each in lines[at:end])
        if not self._tables.test(parent, block):
            return 0
        self._tables.run(parent, [block])
        for cell in parent[-1].iter():
            # What kept the bar from ending the cell is not part of its text, in code neither.
            cell.text = cell.text and cell.text.replace("\\|", "|")
        return end

    def _definition(self, parent: etree.Element, lines: list[str], at: int) -> int:
        found = line.skip_blank(lines, at + 1)
        if found > at + 2 or not line.is_definition(lines, found) or self._is_too_deep():
            return 0
        is_more = len(parent) > 0 and parent[-1].tag == "dl"
        terms = parent[-1] if is_more else etree.SubElement(parent, "dl")
        etree.SubElement(terms, "dt").text = lines[at].strip()
        end = found
        while line.is_definition(lines, found):
            text = lines[found].lstrip(" \t")[1:].lstrip(" \t")
            body, end = line.indented(lines, found + 1, 2, first=text)
            detail = etree.SubElement(terms, "dd")
            if not self._inside(detail, body):
                _tighten([detail])
            found = line.skip_blank(lines, end)
        return end

    def _paragraph(self, parent: etree.Element, lines: list[str], at: int) -> int:
        end, tag = at + 1, "p"
        while tag == "p" and end < len(lines) and not line.is_blank(lines[end]):
            if line.columns(lines[end]) < 4 and _UNDERLINE.match(lines[end].lstrip(" \t")):
                tag = "h1" if "=" in lines[end] else "h2"
            elif line.interrupts(lines[end]) or line.is_table(lines, end):
                break
            else:
                end += 1
        text = "\n".join(each.lstrip(" \t") for each in lines[at:end]).rstrip()
        etree.SubElement(parent, tag).text = text
        return end if tag == "p" else end + 1


def _tighten(items: Sequence[etree.Element] | etree.Element) -> None:
    for item in items:
        for child in item:
            if child.tag == "p" and not child.attrib:
                child.tag = BARE
