"""Payloads that were copied: looked for in everything the model was shown."""

from __future__ import annotations

import html
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from app.assistant.marker_shape import NotJson, decode

# The bounds of the search for copies: characters of text, and characters decoded as JSON. Both are
# above what a turn reads; when they are used up, every payload counts as copied.
MAX_READ_CHARS = 4_000_000
MAX_DECODED_CHARS = 8_000_000
_CHARS_PER_OBJECT = 200  # to begin one takes as long as that

# An object and its first key: most objects are told from a payload by that alone.
_OBJECT = re.compile(r'\{(?=[ \t\r\n]*+(?:\}|"((?:[^"\\]|\\.)*+)"))', re.DOTALL)
# Line numbers as read_file writes them, indentation, and the marks of quotes, comments and diffs.
_LINE_LEAD = re.compile(r"^[ \t]*+(?:\d++\t)?+[ \t>|#*/]*+(?:[+-](?!\d)[ \t]*+)?+", re.MULTILINE)
_JSON_ESCAPE = re.compile(r"\\([nrt\"\\/])")
_UNESCAPED = {"n": "\n", "r": "\r", "t": "\t"}
_LOOSE = json.JSONDecoder(parse_int=float, parse_float=float)


def copied(payloads: Iterable[str], read: Iterable[str]) -> frozenset[str]:
    """The payloads that stood in a text that was read: as the same object, or letter by letter.

    Blanks, the order of keys and escapes make no difference, nor do line numbers, quote marks or
    HTML escapes in the text, nor that it was a string in JSON. Only objects are compared.
    """
    search = _Search(payload for payload in payloads if payload.startswith("{"))
    chars = 0
    for text in read:
        chars += len(text)
        if chars > MAX_READ_CHARS:
            return search.payloads
        for form in dict.fromkeys(_forms(text)):
            search.look_at(form)
            if search.is_over:
                return search.payloads
    return frozenset(search.found)


def _forms(text: str) -> Iterator[str]:
    for form in (text, _LINE_LEAD.sub("", text)):
        yield form
        yield html.unescape(form)
        yield _JSON_ESCAPE.sub(lambda escape: _UNESCAPED.get(escape[1], escape[1]), form)


class _Search:
    def __init__(self, payloads: Iterable[str]) -> None:
        self.payloads = frozenset(payloads)
        self.found: set[str] = set()
        self._budget = MAX_DECODED_CHARS
        self._letters = {payload: _without_blanks(payload) for payload in self.payloads}
        self._objects: defaultdict[str | None, set[str]] = defaultdict(set)
        self._keys: set[str] = set()
        for payload in self.payloads:
            value, _ = _decoded(payload, 0)
            if isinstance(value, dict):
                self._objects[_canonical(value)].add(payload)
                self._keys.update(value)

    @property
    def is_over(self) -> bool:
        return self._budget < 0

    def look_at(self, text: str) -> None:
        bare = _without_blanks(text)
        self.found.update(payload for payload, letters in self._letters.items() if letters in bare)
        for start in _OBJECT.finditer(text):
            key = start[1]
            if key is None or key in self._keys or "\\" in key:
                self._compare(text, start.start())
            if self.is_over:
                return

    def _compare(self, text: str, start: int) -> None:
        value, looked_at = _decoded(text, start)
        self._budget -= looked_at + _CHARS_PER_OBJECT
        if isinstance(value, dict):
            self.found.update(self._objects.get(_canonical(value), ()))


def _decoded(text: str, start: int) -> tuple[object, int]:
    """The JSON value that begins at `start`, or None, and how many characters that took."""
    try:
        value, end = decode(text, start, _LOOSE)
    except NotJson as error:
        return None, error.size
    return value, end - start


def _canonical(value: dict[str, object]) -> str | None:
    try:
        return _without_blanks(json.dumps(value, sort_keys=True))
    except RecursionError:  # far too deep for a payload
        return None


def _without_blanks(text: str) -> str:
    return "".join(text.split())
