"""The allow-list for HTML from untrusted text: tags, attributes, classes and values.

nh3 parses the text as a browser does and writes it anew; what is not listed here does not come out.
Knows nothing of Markdown or of where links may lead, only their schemes.
"""

from __future__ import annotations

import re
import secrets

import nh3
from pygments.token import STANDARD_TYPES

from app.formatting.code import LANGUAGE

# Stands in the ids that footnotes get, so that an id of the author's is never taken for ours.
MARK = secrets.token_hex(8)


def _names(text: str) -> set[str]:
    return set(text.split())


TAGS = _names("""
    a abbr b blockquote br caption cite code col colgroup dd del details dfn div dl dt em
    figcaption figure h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q rp rt ruby s
    samp small span strike strong sub summary sup table tbody td tfoot th thead tr tt u ul var
""")
ATTRIBUTES: dict[str, set[str]] = {
    # Stated, because nh3 would else allow title and lang everywhere.
    "*": set(),
    "a": {"href", "title"},
    "abbr": {"title"},
    "details": {"open"},
    "div": {"data-language"},
    "img": {"src", "alt", "title", "width", "height"},
    "li": {"id"},
    "ol": {"start"},
    "sup": {"id"},
    "td": {"align", "colspan", "rowspan"},
    "th": {"align", "colspan", "rowspan", "scope"},
}
# Only what Markdown itself can give: writing these as HTML gains an author nothing.
CLASSES = {
    "a": {"footnote-ref", "footnote-backref"},
    "div": {"code", "admonition", "note", "tip", "important", "warning", "caution", "footnote"},
    "li": {"task-open", "task-done"},
    "p": {"admonition-title"},
    "span": set(STANDARD_TYPES.values()) - {""},
    "table": {"front-matter"},
}
VALUES = {
    "align": re.compile(r"left|center|right"),
    "colspan": re.compile(r"[1-9]\d?"),
    "data-language": LANGUAGE,
    "height": re.compile(r"\d{1,4}%?"),
    "id": re.compile(rf"fn(?:ref\d*)?:{MARK}:\S+"),
    "rowspan": re.compile(r"[1-9]\d?"),
    "scope": re.compile(r"row|col"),
    "start": re.compile(r"\d{1,9}"),
    "width": re.compile(r"\d{1,4}%?"),
}

# To an HTML parser all that follows these is text, to the end of the page if they stay open.
_SWALLOWING = re.compile(
    r"<(?=/?(?:title|textarea|xmp|iframe|noembed|noframes|noscript|plaintext|template)\b)",
    re.IGNORECASE,
)
_SILENT = re.compile(r"<(/?)(script|style)\b", re.IGNORECASE)


def _permitted(tag: str, name: str, value: str) -> str | None:
    pattern = VALUES.get(name)
    return value if pattern is None or pattern.fullmatch(value) else None


_CLEANER = nh3.Cleaner(
    tags=TAGS,
    clean_content_tags={"script", "style"},
    attributes=ATTRIBUTES,
    attribute_filter=_permitted,
    allowed_classes=CLASSES,
    url_schemes={"http", "https", "mailto"},
    link_rel=None,
)


def clean(html: str) -> str:
    """Only what the lists allow; where links lead is still as the author wrote it."""
    return _CLEANER.clean(_with_open_ends_shown(_SWALLOWING.sub("&lt;", html)))


def _with_open_ends_shown(html: str) -> str:
    """A script that is never closed would take the rest of the page along: its tag becomes text."""
    last_end = {tag[2].lower(): tag.start() for tag in _SILENT.finditer(html) if tag[1]}

    def shown(tag: re.Match[str]) -> str:
        is_closed = tag.start() <= last_end.get(tag[2].lower(), -1)
        return tag[0] if is_closed else f"&lt;{tag[0][1:]}"

    return _SILENT.sub(shown, html)
