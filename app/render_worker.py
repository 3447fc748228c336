"""The rendering process: untrusted text in, sanitised HTML out, one request after the other.

Knows nothing of the server at the other end of its pipes. It is killed when it takes too long, so
it keeps no state, and it ends by itself when its input ends: the server is gone.
"""

from __future__ import annotations

import json
import os
import re
import resource
import struct
import sys
import traceback
from collections.abc import Callable
from html import escape
from types import TracebackType
from typing import BinaryIO

from app.formatting.allowed import MARK, clean
from app.formatting.code import file_lines
from app.formatting.front_matter import split_front_matter
from app.formatting.inline import to_html
from app.formatting.links import Base
from app.formatting.shape import shape

Answer = dict[str, object]

LENGTH = struct.Struct("!I")
MAX_MEMORY_BYTES = 1 << 30
# The server kills a slow request long before, unless it is gone.
MAX_CPU_S = 20


def render_page(text: str, path: str, prefix: str = "") -> Answer:
    """A document: its front matter and body, its title and its table of contents."""
    matter, body = split_front_matter(_unified(text).removeprefix("\ufeff"))
    shaped = shape(clean(matter.html + to_html(body, mark=MARK)), _base(path, prefix))
    first = next((heading.text for heading in shaped.headings if heading.level == 1), None)
    return {
        "html": shaped.html,
        "title": first or matter.title,
        "has_h1": first is not None,
        "toc": [
            [each.level, each.id, each.text] for each in shaped.headings if each.level in (2, 3)
        ],
    }


def render_message(text: str, path: str = "", prefix: str = "") -> Answer:
    """An answer in the drawer: no ids, no footnotes, headings below those of the page."""
    html = clean(to_html(_unified(text), mark=None))
    return {"html": shape(html, _base(path, prefix), is_message=True).html}


def render_file(text: str, path: str, prefix: str = "") -> Answer:
    """The lines of a source file in colour, without anchors; as many as the text has."""
    text = _unified(text)
    language, coloured = file_lines(text, path.rpartition("/")[2])
    html = clean(coloured)
    if html.count("\n") != text.count("\n"):
        # A lexer that loses or adds a line would put the anchors at the wrong ones.
        return {"html": escape(text), "language": ""}
    return {"html": html, "language": language}


RENDER: dict[str, Callable[..., Answer]] = {
    "page": render_page,
    "message": render_message,
    "file": render_file,
}


def _unified(text: str) -> str:
    """With one kind of line end."""
    return re.sub(r"\r\n?", "\n", text)


def _base(path: str, prefix: str) -> Base:
    return Base(path.rpartition("/")[0], prefix.rstrip("/"))


def _read(source: BinaryIO) -> dict[str, str] | None:
    head = source.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    body = source.read(length)
    if len(body) < length:
        return None
    request: dict[str, str] = json.loads(body)
    return request


def _write(target: BinaryIO, value: Answer) -> None:
    body = json.dumps(value).encode()
    target.write(LENGTH.pack(len(body)) + body)
    target.flush()


def _limit(kind: int, soft: int) -> None:
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _say_where(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """An error's own words may quote the document, and documents do not belong in logs."""
    frame = traceback.extract_tb(trace)[-1] if trace else None
    where = f" at {frame.filename}:{frame.lineno}" if frame else ""
    sys.stderr.write(f"rendering failed: {kind.__name__}{where}\n")


def main() -> None:
    sys.excepthook = _say_where
    _limit(resource.RLIMIT_AS, MAX_MEMORY_BYTES)
    _limit(resource.RLIMIT_CORE, 0)
    # What a library prints must not end up between the answers.
    target = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _write(target, {"ready": True})
    while request := _read(sys.stdin.buffer):
        used = resource.getrusage(resource.RUSAGE_SELF)
        _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + MAX_CPU_S)
        render = RENDER[request.pop("kind")]
        _write(target, render(**request))


if __name__ == "__main__":
    main()
