"""Untrusted text to Markup: documents, the assistant's answers, source files.

The only maker of Markup. The work is done, and the HTML made safe, in processes that are killed
when they take too long (`app.render_pool`, `app.render_worker`); what they cannot do is shown as
plain text. It knows nothing of HTTP and looks at no files.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from app.render_cache import Cache
from app.render_pool import AllBusy, Crashed, Pool, RenderFailed, TooSlow

MAX_BYTES = 512 * 1024
MAX_FILE_LINES = 20_000
CACHE_BYTES = 16 << 20

# For how long a page that failed stays plain text: a hostile one costs its seconds once in a while,
# and one that only met a busy machine gets another chance.
KEEP_S: dict[type[RenderFailed], float] = {TooSlow: 600.0, Crashed: 10.0, AllBusy: 0.0}
PROBLEMS: dict[type[RenderFailed], str] = {
    TooSlow: "This page took too long to format, so it is shown as plain text.",
    Crashed: "This page could not be formatted, so it is shown as plain text.",
    AllBusy: "The server is busy formatting other pages, so this one is shown as plain text.",
}


@dataclass(frozen=True, slots=True)
class Heading:
    level: int
    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """`toc` has the headings of levels 2 and 3; `problem` says why a page is only plain text."""

    html: Markup
    title: str | None = None
    has_h1: bool = False
    toc: tuple[Heading, ...] = ()
    problem: str | None = None


class Renderer:
    """Thread-safe. Starts its processes when they are first needed; `close` leaves none."""

    def __init__(
        self, *, url_prefix: str = "", deadline_s: float = 2.0, processes: int = 2
    ) -> None:
        self._prefix = url_prefix.rstrip("/")
        self._pool = Pool(processes=processes, deadline_s=deadline_s)
        self._cache = Cache(CACHE_BYTES, _cost)

    def warm(self) -> None:
        """Start a process early, without waiting for it."""
        self._pool.warm()

    def close(self) -> None:
        self._pool.close()

    def page(self, text: str, *, path: str) -> Page:
        """A document; relative links start from the folder of `path`."""
        folder = path.rpartition("/")[0]
        return self._rendered("page", text, f"{folder}/", _page, _plain)

    def message(self, text: str) -> Markup:
        """An assistant's answer: no ids, links from the root, headings from level 3 on."""
        return self._rendered("message", text, "", _page, _plain).html

    def file(self, text: str, *, path: str) -> Markup:
        """A text file in lines that have anchors, in colour where its language is known."""
        name = path.rpartition("/")[2]
        lines = re.sub(r"\r\n?", "\n", text).removesuffix("\n").split("\n")
        shown = lines[:MAX_FILE_LINES]
        page = self._rendered("file", "\n".join(shown), name, _file, _plain_file)
        return page.html + _cut(len(shown), len(lines))

    def _rendered(
        self,
        kind: str,
        text: str,
        path: str,
        show: Callable[[dict[str, Any]], Page],
        fall_back: Callable[[str, str], Page],
    ) -> Page:
        data = text.encode("utf-8", "replace")
        text = data.decode()
        if len(data) > MAX_BYTES:
            return fall_back(text, _too_large(len(data)))
        request = {"kind": kind, "text": text, "path": path, "prefix": self._prefix}

        def make() -> tuple[Page, float]:
            try:
                answer = self._pool.ask(request)
            except RenderFailed as failure:
                return fall_back(text, PROBLEMS[type(failure)]), KEEP_S[type(failure)]
            return show(answer), float("inf")

        return self._cache.get(_digest(kind, path, text), make)


def _cost(page: Page) -> int:
    return sys.getsizeof(page.html) + 1024


def _digest(*parts: str) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "replace")
        digest.update(len(data).to_bytes(8) + data)
    return digest.digest()


def _too_large(size: int) -> str:
    limit = MAX_BYTES // 1024
    return f"This page has {size // 1024:,} KB. Over {limit} KB pages are shown as plain text."


# The two makers of trusted HTML from an answer: the worker sanitised it last.


def _page(answer: dict[str, Any]) -> Page:
    return Page(
        html=Markup(answer["html"]),  # noqa: S704
        title=answer.get("title"),
        has_h1=answer.get("has_h1", False),
        toc=tuple(Heading(*entry) for entry in answer.get("toc", ())),
    )


def _file(answer: dict[str, Any]) -> Page:
    lines = [Markup(line) for line in answer["html"].split("\n")]  # noqa: S704
    return Page(_numbered(lines, answer["language"]))


def _plain(text: str, problem: str) -> Page:
    return Page(Markup('<pre class="plain">{}</pre>').format(text), problem=problem)


def _plain_file(text: str, problem: str) -> Page:
    return Page(_numbered([escape(line) for line in text.split("\n")], ""), problem=problem)


def _numbered(lines: Sequence[Markup], language: str) -> Markup:
    named = Markup(' data-language="{}"').format(language) if language else Markup("")
    line = Markup('<span class="line" id="L%d"><a class="number" href="#L%d">%d</a>%s</span>\n')
    body = Markup("").join(line % (at, at, at, text) for at, text in enumerate(lines, start=1))
    block = Markup('<div class="code file"{}><pre tabindex="0"><code>{}</code></pre></div>')
    return block.format(named, body)


def _cut(shown: int, lines: int) -> Markup:
    if shown == lines:
        return Markup("")
    sentence = f"Only the first {shown:,} of {lines:,} lines are shown."
    return Markup('<p class="notice">{}</p>').format(sentence)
