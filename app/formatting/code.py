"""Source code to HTML in Pygments' short classes, and plain text where no lexer is sure.

Knows nothing of Markdown. It gives no styles.
"""

from __future__ import annotations

import re
from html import escape

from pygments import highlight
from pygments.formatters.html import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import find_lexer_class_for_filename, get_lexer_by_name
from pygments.util import ClassNotFound

LANGUAGE = re.compile(r"[A-Za-z0-9_+#.-]{1,30}")
MAX_FENCE_CHARS = 50_000

_FORMATTER = HtmlFormatter(nowrap=True)
_OPTIONS = {"stripnl": False, "ensurenl": False}


def fenced(code: str, info: str = "") -> str:
    """A block of code; `info` is what stands behind the fence, first of all a language."""
    language = language_of(info)
    lexer = _by_name(language) if language and len(code) <= MAX_FENCE_CHARS else None
    named = f' data-language="{language}"' if language else ""
    return f'<div class="code"{named}><pre><code>{_coloured(code, lexer)}</code></pre></div>'


def language_of(info: str) -> str:
    """`python`, `rust,ignore`, `{.python}` and `js {1,3}` name a language; nonsense names none."""
    words = re.split(r"[\s,{}]+", info.strip(" \t{}"), maxsplit=1)
    word = words[0].removeprefix(".")
    return word if LANGUAGE.fullmatch(word) else ""


def file_lines(code: str, name: str) -> tuple[str, str]:
    """The language of a file and its lines, each a closed piece of HTML."""
    found = find_lexer_class_for_filename(name)
    if found is None:
        return "", escape(code)
    return found.aliases[0] if found.aliases else "", _coloured(code, found(**_OPTIONS))


def _by_name(language: str) -> Lexer | None:
    try:
        return get_lexer_by_name(language.lower(), **_OPTIONS)
    except ClassNotFound:
        return None


def _coloured(code: str, lexer: Lexer | None) -> str:
    if lexer is None:
        return escape(code)
    # With a line end of our own, so that it is ours that is taken away again.
    return highlight(f"{code}\n", lexer, _FORMATTER).removesuffix("\n")
