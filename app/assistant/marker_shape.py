"""What an action marker looks like: how it begins and where it ends. Knows nothing of Markdown."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

# Exactly this: a tag in capitals, with other quotes or with further attributes is text.
OPENING = re.compile(r'<action type="([a-z][a-z0-9-]{0,40})">')
CLOSING = "</action>"

_BLANKS = " \t\r\n"  # JSON's

_CLOSING_AT = re.compile(r"[ \t\r\n]*+</action>")

# Only the end of the value is wanted: a number of 5,000 digits must neither fail nor take long.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
_FIRST_WINDOW_CHARS = 1_000
# JSON that breaks this close to the end may only be unfinished: `tru`, `-Infinit`, `\ud83d\ude0`.
_LONGEST_TOKEN = 12


class NotJson(ValueError):
    """`is_cut`: it may only be unfinished. `size` is how far it was read."""

    def __init__(self, size: int, *, is_cut: bool = False) -> None:
        super().__init__("not JSON")
        self.size = size
        self.is_cut = is_cut


@dataclass(frozen=True, slots=True)
class Shape:
    """A marker's places in its text; `is_whole` when its payload is JSON and nothing else."""

    type: str
    start: int
    payload_start: int
    payload_end: int
    end: int
    is_whole: bool

    def payload(self, text: str) -> str:
        return text[self.payload_start : self.payload_end].strip(_BLANKS)


class Closings:
    """Where the next closing tag is: asked from left to right, the text is read once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._next = -1

    def after(self, position: int) -> int:
        """The text's length when there is none."""
        if self._next < position:
            found = self._text.find(CLOSING, position)
            self._next = len(self._text) if found < 0 else found
        return self._next


def decode(text: str, start: int, decoder: json.JSONDecoder = _DECODER) -> tuple[object, int]:
    """The JSON value that begins at `start`, and where it ends.

    Reads a window that grows: Python counts the lines of all that it was given for its error.
    """
    size = _FIRST_WINDOW_CHARS
    while True:
        window = text[start : start + size]
        is_all = start + size >= len(text)
        try:
            value, end = decoder.raw_decode(window, len(window) - len(window.lstrip(_BLANKS)))
        except json.JSONDecodeError as error:
            is_cut = _is_cut(error, len(window))
            if is_all or not is_cut:
                raise NotJson(error.pos, is_cut=is_cut) from error
        except RecursionError as error:
            raise NotJson(len(window)) from error
        else:
            return value, start + end
        size *= 8


def _is_cut(error: json.JSONDecodeError, size: int) -> bool:
    return error.msg.startswith("Unterminated") or error.pos > size - _LONGEST_TOKEN


def measure(text: str, tag: re.Match[str], closings: Closings, *, limit: int) -> Shape | None:
    """The marker that `tag` opens, or None when it is never closed.

    The payload ends where its JSON ends, so a closing tag in one of its strings is part of it. One
    that is no JSON ends at the next closing tag, and has to do so before `limit`.
    """
    start = tag.end()
    if closings.after(start) >= len(text):
        return None
    try:
        _, end = decode(text, start)
    except NotJson:
        end = start
    else:
        if closing := _CLOSING_AT.match(text, end):
            return Shape(tag[1], tag.start(), start, end, closing.end(), is_whole=True)
    close = closings.after(end)
    stop = close + len(CLOSING)
    if stop > min(limit, len(text)):
        return None
    return Shape(tag[1], tag.start(), start, close, stop, is_whole=False)
