"""Footnotes: numbered as the text refers to them, listed behind it, each with its ways back.

Knows Python-Markdown's tree. A note that nothing refers to is not shown, as on the forge.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as etree

from markdown import Markdown
from markdown.inlinepatterns import InlineProcessor
from markdown.treeprocessors import Treeprocessor
from markdown.util import AtomicString

_REFERENCE = r"(?<!!)\[\^([^\]\s]+)\]"


class Footnotes(Treeprocessor):
    """`mark` stands in every id, so that the ids can be told from an author's."""

    md: Markdown

    def __init__(self, md: Markdown, mark: str) -> None:
        super().__init__(md)
        self._mark = mark
        self._notes: dict[str, str] = {}
        self._references: dict[str, int] = {}
        md.inlinePatterns.register(_Reference(self), "footnote", 175)
        # Behind the inline patterns: only then is it known what the text refers to.
        md.treeprocessors.register(self, "footnote", 19)

    def define(self, label: str, text: str) -> None:
        self._notes.setdefault(label, text)

    def refer(self, label: str) -> etree.Element | None:
        if label not in self._notes:
            return None
        count = self._references[label] = self._references.get(label, 0) + 1
        place = etree.Element("sup", {"id": self._place(label, count)})
        link = {"class": "footnote-ref", "href": f"#fn:{self._mark}:{label}"}
        number = list(self._references).index(label) + 1
        etree.SubElement(place, "a", link).text = AtomicString(str(number))
        return place

    def run(self, root: etree.Element) -> None:
        items = etree.Element("ol")
        done = 0
        # Notes may refer to further notes.
        while done < len(self._references):
            label = list(self._references)[done]
            items.append(self._note(label))
            done += 1
        for item, (label, count) in zip(items, self._references.items(), strict=True):
            self._add_ways_back(item, label, count)
        if done:
            block = etree.SubElement(root, "div", {"class": "footnote"})
            etree.SubElement(block, "hr")
            block.append(items)

    def _note(self, label: str) -> etree.Element:
        outside = etree.Element("div")
        item = etree.SubElement(outside, "li", {"id": f"fn:{self._mark}:{label}"})
        self.md.parser.parseChunk(item, self._notes[label])
        self.md.treeprocessors["inline"].run(outside)
        return item

    def _add_ways_back(self, item: etree.Element, label: str, count: int) -> None:
        last = item[-1] if len(item) and item[-1].tag == "p" else etree.SubElement(item, "p")
        for at in range(1, count + 1):
            if len(last):
                last[-1].tail = f"{last[-1].tail or ''} "
            else:
                last.text = f"{last.text or ''} "
            link = {"class": "footnote-backref", "href": f"#{self._place(label, at)}"}
            etree.SubElement(last, "a", link).text = "↩"

    def _place(self, label: str, count: int) -> str:
        return f"fnref{count if count > 1 else ''}:{self._mark}:{label}"


class _Reference(InlineProcessor):
    ANCESTOR_EXCLUDES = ("a",)

    def __init__(self, footnotes: Footnotes) -> None:
        super().__init__(_REFERENCE)
        self._footnotes = footnotes

    def handleMatch(  # type: ignore[override]  # noqa: N802
        self, match: re.Match[str], data: str
    ) -> tuple[etree.Element | None, int | None, int | None]:
        place = self._footnotes.refer(match[1])
        return (place, match.start(), match.end()) if place is not None else (None, None, None)
