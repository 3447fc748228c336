"""A marker's payload: read strictly, and looked for in what the model was shown.

Knows no action's fields.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NoReturn

from app.assistant.marker_shape import NotJson, decode

MAX_BYTES = 64 * 1024
MAX_DEPTH = 8

# The bounds of the search for copies: characters of text, and characters decoded as JSON. Both are
# above what a turn reads; when they are used up, every payload counts as copied.
MAX_READ_CHARS = 4_000_000
MAX_DECODED_CHARS = 8_000_000
_CHARS_PER_OBJECT = 200  # to begin one takes as long as that

_MAX_INTEGER_DIGITS = 30
_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)

# An object and its first key: most objects are told from a payload by that alone.
_OBJECT = re.compile(r'\{(?=[ \t\r\n]*+(?:\}|"((?:[^"\\]|\\.)*+)"))', re.DOTALL)
# Line numbers as read_file writes them, indentation, and the marks of quotes, comments and diffs.
_LINE_LEAD = re.compile(r"^[ \t]*+(?:\d++\t)?+[ \t>|#*/]*+(?:[+-](?!\d)[ \t]*+)?+", re.MULTILINE)
_JSON_ESCAPE = re.compile(r"\\([nrt\"\\/])")
_UNESCAPED = {"n": "\n", "r": "\r", "t": "\t"}
_LOOSE = json.JSONDecoder(parse_int=float, parse_float=float)


class PayloadError(ValueError):
    """`str(error)` is a sentence that says what is wrong with the payload."""


def parse_payload(text: str) -> dict[str, object]:
    """One JSON object, and nothing that two readers could understand differently."""
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise PayloadError("The action's text is longer than 64 KiB.")
    if _depth(text) > MAX_DEPTH:
        raise PayloadError(f"The action's JSON is nested deeper than {MAX_DEPTH} levels.")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_refuse_constant,
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise PayloadError(f"The action is not valid JSON at {place}: {error.msg}.") from error
    if not isinstance(value, dict):
        raise PayloadError("The action's JSON is not an object.")
    _refuse_half_characters(value)
    return value


def _depth(text: str) -> int:
    depth = deepest = 0
    for token in _STRUCTURE.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        deepest = max(deepest, depth)
    return deepest


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result: dict[str, object] = {}
    for key, value in pairs:
        if key in result:
            raise PayloadError(f"The action's JSON has the key {json.dumps(key)} twice.")
        result[key] = value
    return result


def _integer(digits: str) -> int:
    if len(digits) > _MAX_INTEGER_DIGITS:
        raise PayloadError("The action's JSON has a number that is too large.")
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise PayloadError("The action's JSON has a number that is too large.")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise PayloadError(f"The action's JSON has {name}, which is not a number in JSON.")


def _refuse_half_characters(value: dict[str, object]) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise PayloadError("The action's JSON has half a character (a lone surrogate).") from error


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
        self._keys: set[frozenset[str]] = set()
        self._any_keys: set[str] = set()
        for payload in self.payloads:
            value, _ = _decoded(payload, 0)
            if isinstance(value, dict):
                self._objects[_canonical(value)].add(payload)
                self._keys.add(frozenset(value))
                self._any_keys.update(value)

    @property
    def is_over(self) -> bool:
        return self._budget < 0

    def look_at(self, text: str) -> None:
        bare = _without_blanks(text)
        self.found.update(payload for payload, letters in self._letters.items() if letters in bare)
        for start in _OBJECT.finditer(text):
            key = start[1]
            if key is None or key in self._any_keys or "\\" in key:
                self._compare(text, start.start())
            if self.is_over:
                return

    def _compare(self, text: str, start: int) -> None:
        value, looked_at = _decoded(text, start)
        self._budget -= looked_at + _CHARS_PER_OBJECT
        if isinstance(value, dict) and frozenset(value) in self._keys:
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
