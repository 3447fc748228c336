"""The shape that our pages give to cleaned HTML: addresses, ids, anchors, tables, checkboxes.

Works on nh3's output, which is strictly regular, and writes no tag that it did not find there or
make itself. Knows nothing of Markdown, files or processes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape, unescape
from unicodedata import category

from app.formatting.allowed import MARK
from app.formatting.links import Base, own_fragment

Values = dict[str, str]

_TAG = re.compile(r'<(/?)([a-z][a-z0-9]*)((?: [a-z-]+="[^"]*")*)>')
_ATTRIBUTE = re.compile(r' ([a-z-]+)="([^"]*)"')
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_MAX_ID_CHARS = 200


@dataclass(frozen=True, slots=True)
class Heading:
    level: int
    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Shaped:
    html: str
    headings: tuple[Heading, ...]


def shape(html: str, base: Base, *, is_message: bool = False) -> Shaped:
    """`html` must come from `allowed.clean`. A message has no ids, and headings below a page's."""
    shaper = _Shaper(base, is_message)
    return Shaped(shaper.run(html), tuple(shaper.headings))


def slug(text: str) -> str:
    """GitHub's: lower case; letters, digits, marks, "_" and "-" stay, a space becomes "-"."""
    kept = (char for char in text.lower() if char in "-_ " or category(char)[0] in "LMN")
    return own_fragment("".join(kept).strip().replace(" ", "-")[:_MAX_ID_CHARS]) or "section"


def _tag(name: str, values: Values) -> str:
    attributes = "".join(f' {key}="{escape(value)}"' for key, value in values.items())
    return f"<{name}{attributes}>"


@dataclass(slots=True)
class _Open:
    """A heading whose end has not come yet, and where in the output its start tag goes."""

    level: int
    at: int
    text: list[str] = field(default_factory=list)


class _Shaper:
    def __init__(self, base: Base, is_message: bool) -> None:
        self._base = base
        self._is_message = is_message
        self._out: list[str] = []
        # For each tag below, the end tags of those that are open.
        self._ends: dict[str, list[str]] = {"heading": []}
        self._heading: _Open | None = None
        self._checkbox = ""
        self._is_reference = False
        self._has_h1 = False
        self._ids: set[str] = set()
        self._repeats: dict[str, int] = {}
        self.headings: list[Heading] = []
        self._starts: dict[str, Callable[[Values], tuple[str, str]]] = {
            "a": self._a,
            "img": self._img,
            "li": self._li,
            "pre": self._pre,
            "sup": self._sup,
            "table": self._table,
        }

    def run(self, html: str) -> str:
        at = 0
        for tag in _TAG.finditer(html):
            self._text(html[at : tag.start()])
            at = tag.end()
            self._element(tag[0], tag[2], tag[3], is_end=bool(tag[1]))
        self._text(html[at:])
        # What HTML's rules leave behind when a block ends a paragraph early.
        return "".join(self._out).replace("<p></p>", "")

    def _text(self, text: str) -> None:
        # nh3 leaves no bare "<"; should it ever, it is no tag here.
        text = text.replace("<", "&lt;")
        if text.strip():
            self._put_checkbox()
        if self._heading and not self._is_reference:
            self._heading.text.append(unescape(text))
        self._out.append(text)

    def _element(self, tag: str, name: str, attributes: str, *, is_end: bool) -> None:
        if name != "p" or is_end:
            self._put_checkbox()
        if name in _HEADINGS:
            self._heading_tag(int(name[1]), is_end=is_end)
        elif name not in self._starts:
            self._out.append(tag.replace(' class=""', ""))
        elif is_end:
            self._out.append(self._ends[name].pop())
            self._is_reference &= name != "sup"
        else:
            self._start(name, attributes)

    def _start(self, name: str, attributes: str) -> None:
        values = {key: unescape(value) for key, value in _ATTRIBUTE.findall(attributes)}
        start, end = self._starts[name](values)
        self._out.append(start)
        if name != "img":
            self._ends.setdefault(name, []).append(end)

    def _put_checkbox(self) -> None:
        self._out.append(self._checkbox)
        self._checkbox = ""

    def _heading_tag(self, level: int, *, is_end: bool) -> None:
        # A heading inside a heading is only text.
        depth = self._ends["heading"]
        if is_end:
            depth.pop()
        if not depth:
            self._end_heading() if is_end else self._start_heading(level)
        if not is_end:
            depth.append("")

    def _start_heading(self, level: int) -> None:
        if self._is_message:
            level = min(level + 2, 6)
        elif level == 1 and self._has_h1:
            level = 2
        self._heading = _Open(level, len(self._out))
        self._out.append("")

    def _end_heading(self) -> None:
        heading, self._heading = self._heading, None
        if heading is None:
            return
        text = " ".join("".join(heading.text).split())
        name = f"h{heading.level}" if text else "div"
        if not text or self._is_message:
            self._out[heading.at] = f"<{name}>"
        else:
            found = self._unique(slug(text))
            self._out[heading.at] = _tag(name, {"id": found})
            self.headings.append(Heading(heading.level, found, text))
            self._has_h1 |= heading.level == 1
            self._put_anchor(found)
        self._out.append(f"</{name}>")

    def _put_anchor(self, name: str) -> None:
        if self._ends.get("a"):
            return
        values = {"class": "anchor", "href": f"#{name}", "aria-label": "Link to this section"}
        self._out.append(f"{_tag('a', values)}#</a>")

    def _unique(self, name: str) -> str:
        found, count = name, self._repeats.get(name, 0)
        while found in self._ids:
            count += 1
            found = f"{name}-{count}"
        self._repeats[name] = count
        self._ids.add(found)
        return found

    # Start and end of a tag, from the attributes that came through the allow-list

    def _pre(self, values: Values) -> tuple[str, str]:
        return '<pre tabindex="0">', "</pre>"

    def _sup(self, values: Values) -> tuple[str, str]:
        self._is_reference |= "id" in values
        return _tag("sup", _unmarked(values)), "</sup>"

    def _li(self, values: Values) -> tuple[str, str]:
        values = _unmarked(values)
        task = values.pop("class", "")
        if not task:
            return _tag("li", values), "</li>"
        state = 'checked aria-label="Done"' if task == "task-done" else 'aria-label="Not done"'
        self._checkbox = f'<input type="checkbox" disabled {state}> '
        return _tag("li", {"class": "task"} | values), "</li>"

    def _table(self, values: Values) -> tuple[str, str]:
        if values.get("class"):
            return _tag("table", values), "</table>"
        wrapper = {"class": "table", "tabindex": "0", "role": "region", "aria-label": "Table"}
        return f"{_tag('div', wrapper)}<table>", "</table></div>"

    def _a(self, values: Values) -> tuple[str, str]:
        if self._ends.get("a"):
            return "", ""
        address = values.pop("href", "")
        if f":{MARK}:" in address:
            is_back = values.get("class") == "footnote-backref"
            label = {"aria-label": "Back to the text"} if is_back else {}
            return _tag("a", _unmarked({"href": address} | values) | label), "</a>"
        values.pop("class", None)
        link = self._base.link(address)
        if link:
            values = (_outward(link.href) if link.host else {"href": link.href}) | values
        return _tag("a", values), "</a>"

    def _img(self, values: Values) -> tuple[str, str]:
        link = self._base.link(values.pop("src", ""))
        alt = values.pop("alt", "").strip()
        if link and link.host:
            return self._distant_image(link.href, link.host, alt), ""
        if self._heading:
            self._heading.text.append(alt)
        if link is None or not link.path:
            return escape(alt), ""
        source = {"src": link.href.partition("#")[0], "alt": alt, "loading": "lazy"}
        return _tag("img", source | values), ""

    def _distant_image(self, address: str, host: str, alt: str) -> str:
        """Named, never loaded: the request alone would tell another site who reads what."""
        text = f"Image: {alt} ({host})" if alt else f"Image ({host})"
        if self._heading:
            self._heading.text.append(text)
        if self._ends.get("a"):
            return escape(text)
        return f"{_tag('a', _outward(address))}{escape(text)}</a>"


def _unmarked(values: Values) -> Values:
    """Only ids of ours have the mark, and only they came through the allow-list."""
    return {key: value.replace(f":{MARK}:", ":") for key, value in values.items()}


def _outward(address: str) -> Values:
    return {"class": "external", "rel": "noopener noreferrer nofollow", "href": address}
