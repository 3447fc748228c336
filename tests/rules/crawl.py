"""Walks through a site by its links and keeps every page, parsed. Knows no rule about them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

import html5lib  # type: ignore[import-untyped]
from werkzeug.test import TestResponse

from tests.support import Person

MAX_PAGES = 250
ORIGIN = "http://localhost"
# Attributes that name something to be fetched, by element; "*" stands for any.
ASSETS = (
    ("link", "href"),
    ("script", "src"),
    ("img", "src"),
    ("use", "href"),
    ("*", "hx-get"),
    ("*", "data-panel-url"),
    ("*", "data-login-url"),
    ("*", "data-root"),
)


@dataclass(frozen=True, repr=False)
class Element:
    """One element, with the elements around it, innermost first."""

    tag: str
    attributes: dict[str, str]
    node: Any
    around: tuple[Element, ...] = ()

    @property
    def text(self) -> str:
        return "".join(self.node.itertext())

    @property
    def alternatives(self) -> str:
        """The texts of the images in it."""
        return " ".join(image.get("alt", "") for image in self.node.iter("img"))

    def __getitem__(self, name: str) -> str:
        return self.attributes.get(name, "")

    def has(self, name: str) -> bool:
        return name in self.attributes

    @property
    def is_inert(self) -> bool:
        """Part of a template, which is nothing until a script fills it in."""
        return any(outer.tag == "template" for outer in self.around)

    def __repr__(self) -> str:
        shown = " ".join(f'{k}="{v}"' for k, v in self.attributes.items())
        return f"<{self.tag} {shown}>{' '.join(self.text.split())[:60]}"


@dataclass(frozen=True)
class Page:
    """A page as a browser gets it. `address` is absolute within the server."""

    address: str
    status: int
    elements: tuple[Element, ...] = field(repr=False)
    errors: tuple[str, ...]

    def all(self, *tags: str) -> list[Element]:
        return [e for e in self.elements if e.tag in tags]

    @property
    def ids(self) -> list[str]:
        return [e["id"] for e in self.elements if e.has("id")]

    @property
    def title(self) -> str:
        return self.all("title")[0].text

    def resolved(self, reference: str) -> str:
        """Where a reference in this page leads; "" for another server."""
        absolute = urljoin(f"{ORIGIN}{self.address}", reference)
        return absolute.removeprefix(ORIGIN) if absolute.startswith(f"{ORIGIN}/") else ""

    def links(self) -> Iterator[tuple[Element, str]]:
        for element in self.all("a"):
            if element.has("href"):
                yield element, self.resolved(element["href"])

    def assets(self) -> Iterator[tuple[Element, str]]:
        for element in self.elements:
            for tag, name in ASSETS:
                if tag in ("*", element.tag) and element.has(name):
                    yield element, self.resolved(element[name])


@dataclass
class Site:
    """The pages that were found, and how everything else that is linked answered."""

    person: Person
    prefix: str = ""
    is_lived_in: bool = False
    pages: dict[str, Page] = field(default_factory=dict, repr=False)
    statuses: dict[str, int] = field(default_factory=dict, repr=False)
    bodies: dict[str, str] = field(default_factory=dict, repr=False)

    def walk(self, *addresses: str) -> None:
        """Visit these, and what they lead to."""
        waiting = [f"{self.prefix}{address}" for address in addresses]
        while waiting and len(self.pages) < MAX_PAGES:
            page = self.visit(waiting.pop(0))
            if page is None:
                continue
            found = [urldefrag(to)[0] for _, to in (*page.links(), *page.assets()) if to]
            waiting += [to for to in found if to not in self.statuses and to not in waiting]

    def visit(self, address: str) -> Page | None:
        return self.keep(address, self.person.visit(address, buffered=True))

    def keep(self, address: str, response: TestResponse) -> Page | None:
        """The answer as a page, if it is a whole one."""
        self.statuses[address] = response.status_code
        self.bodies[address] = response.text if is_text(response.mimetype or "") else ""
        is_redirect = 300 <= response.status_code < 400
        if is_redirect or response.mimetype != "text/html" or "<html" not in response.text:
            return None
        page = parsed(address, response.status_code, response.text)
        self.pages[address] = page
        return page


def is_text(mimetype: str) -> bool:
    return bool(re.search(r"text|javascript|json|svg", mimetype))


def parsed(address: str, status: int, text: str, *, is_fragment: bool = False) -> Page:
    parser = html5lib.HTMLParser(tree=html5lib.getTreeBuilder("etree"), namespaceHTMLElements=False)
    tree = parser.parseFragment(text, "ul") if is_fragment else parser.parse(text)
    errors = tuple(f"{code} {data} at {place}" for place, code, data in parser.errors)
    return Page(address, status, tuple(_elements(tree, ())), errors)


def _elements(node: Any, around: tuple[Element, ...]) -> Iterator[Element]:
    if not isinstance(node.tag, str):  # a comment
        return
    element = Element(
        node.tag.rpartition("}")[2],
        {str(name): str(value) for name, value in node.attrib.items()},
        node,
        around,
    )
    yield element
    for child in node:
        yield from _elements(child, (element, *around))


def path_of(address: str) -> str:
    return urlsplit(address).path
