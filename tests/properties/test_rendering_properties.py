"""Whatever is written, only what is listed comes out, and nothing that runs or calls out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

import html5lib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.render_worker import render_file, render_message, render_page

PREFIX = "/wiki"

PLAIN = """
abbr b blockquote br caption cite code col colgroup dd del details dfn div dl dt em figcaption
figure hr i ins kbd li mark ol p q rp rt ruby s samp small span strike strong sub summary
tbody td tfoot th thead tr tt u ul var
"""
HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
TAGS: dict[str, set[str]] = {
    **{name: set() for name in PLAIN.split()},
    "a": {"href", "title", "class", "rel", "aria-label"},
    "abbr": {"title"},
    "details": {"open"},
    "div": {"class", "data-language", "tabindex", "role", "aria-label"},
    **{name: {"id"} for name in (*HEADINGS, "sup")},
    "img": {"src", "alt", "title", "width", "height", "loading"},
    "input": {"type", "disabled", "checked", "aria-label"},
    "li": {"class", "id"},
    "ol": {"start"},
    "p": {"class"},
    "pre": {"tabindex"},
    "span": {"class"},
    "table": {"class"},
    "td": {"align", "colspan", "rowspan"},
    "th": {"align", "colspan", "rowspan", "scope"},
}
CLASSES = re.compile(
    r"|[a-z][a-z0-9]{0,2}|anchor|external|code|table|task|front-matter|footnote(-ref|-backref)?"
    r"|admonition(-title)?( note| tip| important| warning| caution)*"
    r"|( ?(code|admonition|note|tip|important|warning|caution|footnote))+"
)


def parsed(html: str) -> list[Element]:
    """As a browser sees it."""
    tree = html5lib.parseFragment(html, treebuilder="etree", namespaceHTMLElements=False)
    return [element for element in tree.iter() if element is not tree]


def check(html: str, *, is_message: bool = False) -> None:
    elements = parsed(html)
    for element in elements:
        assert isinstance(element.tag, str), "a comment"
        assert element.tag in TAGS
        assert set(element.attrib) <= TAGS[element.tag]
        assert CLASSES.fullmatch(element.get("class", ""))
        check_addresses(element)
        check_nesting(element)
    ids = [element.get("id") for element in elements if element.get("id") is not None]
    assert len(ids) == len(set(ids))
    assert not any(name is None or name.lower().startswith("lectern-") for name in ids)
    assert not any(re.search(r"\s", name or " ") for name in ids)
    assert sum(element.tag == "h1" for element in elements) <= (0 if is_message else 1)
    assert not (is_message and ids)


def check_nesting(element: Element) -> None:
    inside = {str(each.tag) for each in element.iter() if each is not element}
    assert element.tag != "a" or "a" not in inside
    assert element.tag not in HEADINGS or not inside & HEADINGS


def check_addresses(element: Element) -> None:
    source, address = element.get("src"), element.get("href")
    if source is not None:
        assert source.startswith(f"{PREFIX}/docs/")
        assert not set(source) & set("?#\\")
    if address is None:
        return
    if element.get("class") == "external":
        assert urlsplit(address).scheme.lower() in ("http", "https")
        assert re.match(r"https?://[^/\\?#]", address, re.IGNORECASE)
        assert element.get("rel") == "noopener noreferrer nofollow"
    else:
        assert re.match(rf"#|mailto:|{PREFIX}/(docs/[^/\\]|$|#)", address, re.IGNORECASE)
        assert "/../" not in address


ATTACKS = Path(__file__).parents[1].joinpath("data/markup_attacks.txt").read_text("utf-8")
CORPUS = [*ATTACKS.splitlines(), "\x02wzxhzdk:0\x03 \x02klzzwxh:0000\x03 \x02amp\x03lt;"]


@pytest.mark.parametrize("text", [*CORPUS, "\n".join(CORPUS), "\n\n".join(CORPUS)])
def test_nothing_that_runs_or_calls_out_comes_through(text: str) -> None:
    check(str(render_page(text, "docs/a.md", PREFIX)["html"]))
    check(str(render_message(text, prefix=PREFIX)["html"]), is_message=True)
    for language in ("a.py", "a.html", "a.md", "a.unknown"):
        check(str(render_file(text, language)["html"]))


def test_no_beginning_of_an_answer_runs() -> None:
    text = (
        "a <im"
        + 'g src="https://e.t/x" onerror=alert(1)> [a](javascript:x) <script>alert(1)</script>'
    )

    for length in range(len(text)):
        check(str(render_message(text[:length], prefix=PREFIX)["html"]), is_message=True)


def test_what_stands_behind_an_unclosed_tag_is_not_lost() -> None:
    for tag in ("script", "style", "title", "textarea", "xmp", "noscript", "template", "iframe"):
        page = render_page(f"The <{tag}> tag.\n\nThe end.", "a.md")
        assert "The end." in str(page["html"]), tag


PIECES = r"""# ## - 1. > ``` ~~~ ```js [ ] ( ) ![ ]( ](x.md) ](https://e.t/a.png) < > </ <a·href=
<img·src= <h1> </h1> <h2> <p> </p> <div> </div> <table> <tr> <td> <b> </b> <a·href=x> </a> <li> <ul>
<details> <summary> <pre> <code> <button> <svg> <math> <style> </style> <script> </script> <!-- -->
" ' = ·onerror=alert(1)· ·id=x· ·class=code· javascript: &#106; &lt; &amp; \ ` * ** _ ~~ $ $$ [^a]
[^a]:· [a]:·x !!!·note >·[!TIP] -·[x]· :· word ä | |---| |·a·| """
SPACES = ["\n", "\n\n", "\n", " ", "  ", "    ", "\t", "\r\n", "\u00a0", "\u2028", "\0", "\2", "\3"]
FRAGMENTS = st.sampled_from([piece.replace("·", " ") for piece in PIECES.split()])
TEXTS = st.one_of(
    st.text(max_size=200), st.lists(FRAGMENTS | st.sampled_from(SPACES), max_size=40).map("".join)
)


@given(TEXTS)
@settings(max_examples=300, deadline=None)
def test_any_text_gives_only_what_is_listed(text: str) -> None:
    check(str(render_page(text, "docs/a.md", PREFIX)["html"]))
    check(str(render_message(text, prefix=PREFIX)["html"]), is_message=True)


@given(TEXTS)
@settings(max_examples=200, deadline=None)
def test_the_contents_name_headings_that_are_there(text: str) -> None:
    page = render_page(text, "docs/a.md", PREFIX)
    found = {element.get("id"): element for element in headings(str(page["html"]))}
    toc = page["toc"]

    assert isinstance(toc, list)
    assert all(found[name].tag == f"h{level}" for level, name, _ in toc)
    assert page["has_h1"] == any(element.tag == "h1" for element in found.values())


def headings(html: str) -> Iterator[Element]:
    return (element for element in parsed(html) if element.tag in HEADINGS)


@given(st.text(alphabet="/\\.:%?#@ahtps25eEfF \t\u00e4&;", max_size=30))
@settings(max_examples=300, deadline=None)
def test_any_address_stays_here_or_is_marked_as_leading_away(address: str) -> None:
    text = f'<a href="{address}">x</a> <img src="{address}" alt="y">'

    check(str(render_page(text, "docs/a.md", PREFIX)["html"]))


@given(st.text(max_size=300), st.sampled_from(["a.py", "a.html", "a.sh", "a.json", "a.unknown"]))
@settings(max_examples=150, deadline=None)
def test_a_file_keeps_its_lines(text: str, name: str) -> None:
    text = text.replace("\r", "")
    html = str(render_file(text, name)["html"])

    check(html)
    assert html.count("\n") == text.count("\n")
