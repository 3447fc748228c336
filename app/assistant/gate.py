"""The answer while it is being written: what may be shown of it, without markers or parts of one.

Keeps back whatever has the shape of a marker, wherever it stands: what is code or quoted is known
when the answer is finished and split. What is shown depends on the text, not on how it came.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.assistant.marker_shape import CLOSING, OPENING, Closings, NotJson, decode

_PREFIX = '<action type="'
_LONGEST_OPENING = len(_PREFIX) + 41 + len('">')
_HALF_OPENING = re.compile(rf'{_PREFIX}[a-z][a-z0-9-]{{0,40}}"?')
# Shorter beginnings ("<", "<act") are shown when nothing more comes.
_TELLING = "<action"
_HALF_MARKER = re.compile(r"[ \t\r\n]*+(?:\{|\Z)")
# A string may be full of closing tags: after so many, what is kept is read when it has doubled.
_EAGER_READS = 16


class Gate:
    """Feed it the answer piece by piece, and show what it returns."""

    def __init__(self) -> None:
        self._kept: list[str] = []
        self._marker: _OpenMarker | None = None
        self._is_line_start = True

    def feed(self, delta: str) -> str:
        if not self._kept and "<" not in delta:
            self._note_shown(delta)
            return delta
        self._kept.append(delta)
        if self._marker and not self._marker.is_worth_reading(delta):
            return ""
        return self._release(is_final=False)

    def finish(self) -> str:
        """What is left, without a marker that was never closed, if it was meant as one."""
        return self._release(is_final=True)

    def _release(self, *, is_final: bool) -> str:
        reader = _Reader("".join(self._kept), is_final=is_final)
        shown = []
        for piece in reader.pieces():
            # A line break in a marker's place, so that what stood around it does not become one.
            text = piece or ("" if self._is_line_start else "\n")
            self._note_shown(text)
            shown.append(text)
        rest = reader.rest()
        self._kept = [rest] if rest else []
        if not reader.is_in_marker:
            self._marker = None
        elif self._marker is None:
            self._marker = _OpenMarker(rest)
        return "".join(shown)

    def _note_shown(self, text: str) -> None:
        if text:
            self._is_line_start = text.endswith("\n")


class _OpenMarker:
    """Knows when what is kept is worth reading again, so that all readings together stay cheap."""

    def __init__(self, text: str) -> None:
        self._tail = text[1 - len(CLOSING) :]  # a closing tag may come in two pieces
        self._size = len(text)
        self._read_size = 0
        self._reads = 0
        self._is_closed = False

    def is_worth_reading(self, delta: str) -> bool:
        seen = self._tail + delta
        self._tail = seen[1 - len(CLOSING) :]
        self._size += len(delta)
        self._is_closed = self._is_closed or CLOSING in seen
        is_soon = self._reads < _EAGER_READS or self._size >= 2 * self._read_size
        if not (self._is_closed and is_soon):
            return False
        self._reads, self._read_size, self._is_closed = self._reads + 1, self._size, False
        return True


class _Reader:
    """Reads a text that begins outside a marker."""

    def __init__(self, text: str, *, is_final: bool) -> None:
        self.is_in_marker = False
        self._text = text
        self._is_final = is_final
        self._closings = Closings(text)
        self._last_closing = text.rfind(CLOSING)
        self._at = 0

    def rest(self) -> str:
        return self._text[self._at :]

    def pieces(self) -> Iterator[str]:
        """Text to be shown; "" in the place of a marker."""
        while self._at < len(self._text):
            end, is_shown = self._piece()
            if end == self._at:
                return
            yield self._text[self._at : end] if is_shown else ""
            self._at = end

    def _piece(self) -> tuple[int, bool]:
        """Where the next piece ends: where it begins when nothing can be said of it yet."""
        start = self._text.find("<", self._at)
        if start != self._at:
            return (len(self._text) if start < 0 else start), True
        if tag := OPENING.match(self._text, start):
            return self._marker_piece(tag)
        if not _is_half_opening(self._text, start):
            return start + 1, True
        if not self._is_final:
            return start, True
        return len(self._text), len(self._text) - start < len(_TELLING)

    def _marker_piece(self, tag: re.Match[str]) -> tuple[int, bool]:
        if end := self._marker_end(tag):
            return end, False
        if not self._is_final:
            self.is_in_marker = True
            return tag.start(), False
        if _HALF_MARKER.match(self._text, tag.end()) or self._last_closing > tag.start():
            return len(self._text), False
        return tag.end(), True

    def _marker_end(self, tag: re.Match[str]) -> int:
        """Behind the marker, or at the next opening tag if that comes first; 0 is not known yet."""
        end = tag.end()
        if self._closings.after(end) == len(self._text):
            return 0
        try:
            _, end = decode(self._text, end)
        except NotJson as error:
            if error.is_cut and not self._is_final:
                return 0
        close = self._closings.after(end)
        if close == len(self._text):
            return 0
        inner = OPENING.search(self._text, end, close)
        return inner.start() if inner else close + len(CLOSING)


def _is_half_opening(text: str, start: int) -> bool:
    if len(text) - start > _LONGEST_OPENING:
        return False
    half = text[start:]
    return _PREFIX.startswith(half) or _HALF_OPENING.fullmatch(half) is not None
