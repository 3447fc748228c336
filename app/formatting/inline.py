"""GitHub's Markdown as a Python-Markdown instance: our blocks, and what GitHub adds inside them.

Knows Python-Markdown's registries; its HTML is not safe yet.
"""

from __future__ import annotations

import string

from markdown import Markdown
from markdown.inlinepatterns import SimpleTextInlineProcessor, SubstituteTagInlineProcessor
from markdown.util import ETX, STX
from pymdownx.betterem import BetterEmExtension
from pymdownx.magiclink import MagiclinkExtension
from pymdownx.tilde import DeleteSubExtension

from app.formatting.blocks import GfmBlocks
from app.formatting.footnotes import Footnotes
from app.formatting.references import References

# $x_1$ and $$…$$ stay as they were written: the pages show formulas as text.
_MATH = r"(\$\$[^$]+\$\$|(?<![\w$\\])\$(?![\s$])[^$\n]*[^\s$]\$(?![\w$]))"
_HARD_BREAK = r"\\\n"


def to_html(text: str, *, mark: str | None) -> str:
    """Untrusted HTML. With a mark, footnotes are read and the mark stands in each id they make."""
    return _markdown(mark).convert(text.replace(STX, "").replace(ETX, ""))


def _markdown(mark: str | None) -> Markdown:
    # A new one each time: what an error leaves behind in it cannot reach another page.
    md = Markdown(output_format="html")
    md.ESCAPED_CHARS = list(string.punctuation)
    references = References(md)
    md.parser = GfmBlocks(md, references, Footnotes(md, mark) if mark else None)
    # Our parser finds the blocks of HTML; and tabs inside code stay tabs.
    md.preprocessors.deregister("html_block")
    md.preprocessors.deregister("normalize_whitespace")
    md.references = references
    BetterEmExtension().extendMarkdown(md)
    DeleteSubExtension(subscript=False).extendMarkdown(md)
    MagiclinkExtension().extendMarkdown(md)
    md.inlinePatterns.register(SubstituteTagInlineProcessor(_HARD_BREAK, "br"), "hard_break", 185)
    md.inlinePatterns.register(SimpleTextInlineProcessor(_MATH), "math", 182)
    return md
