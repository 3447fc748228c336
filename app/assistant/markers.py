"""Action markers in a finished answer: which are live, and what to show of the others.

Knows nothing of what an action does, nor whether its type exists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.assistant.marker_blocks import ESCAPED, FENCED, INDENTED, SPAN
from app.assistant.marker_context import Found, find
from app.assistant.marker_copy import copied
from app.assistant.marker_payload import PayloadError, parse_payload

__all__ = ["Inert", "Marker", "Part", "PayloadError", "Prose", "display", "parse_payload", "split"]

MAX_MARKERS = 5
# Copies do not count towards the five, but no more than these are compared, and so can be live.
_MAX_COMPARED = 20

COPIED = "This was copied from something the assistant read, so it cannot be clicked."
TOO_MANY = "Only five actions are taken from one answer; this is one more."

_IN_CODE = (FENCED, INDENTED, SPAN)
_BACKTICKS = re.compile("`+")


@dataclass(frozen=True, slots=True)
class Prose:
    text: str


@dataclass(frozen=True, slots=True)
class Marker:
    """A live marker; `payload` is what stands in it, whether it is JSON or not."""

    text: str
    type: str
    payload: str


@dataclass(frozen=True, slots=True)
class Inert:
    """A marker that is only text; `reason` is a sentence that says why."""

    text: str
    reason: str


Part = Prose | Marker | Inert


def split(answer: str, *, read: Iterable[str] = ()) -> tuple[Part, ...]:
    """The answer in parts whose texts, joined, are the answer again.

    `read` is everything in the request that somebody else than the assistant wrote.
    """
    found = find(answer)
    live = [one for one in found if not one.reason][:_MAX_COMPARED]
    payloads = {one.start: one.shape.payload(answer) for one in live}
    inert = copied(payloads.values(), read) if payloads else frozenset()
    return tuple(_parts(answer, found, payloads, inert))


def _parts(
    answer: str, found: Sequence[Found], payloads: Mapping[int, str], inert: frozenset[str]
) -> Iterator[Part]:
    at, left = 0, MAX_MARKERS
    for one in found:
        if at < one.start:
            yield Prose(answer[at : one.start])
        at, text = one.end, answer[one.start : one.end]
        payload = payloads.get(one.start)
        if one.reason:
            yield Inert(text, one.reason)
        elif payload in inert:
            yield Inert(text, COPIED)
        elif payload is None or not left:
            yield Inert(text, TOO_MANY)
        else:
            left -= 1
            yield Marker(text, one.shape.type, payload)
    if at < len(answer):
        yield Prose(answer[at:])


def display(parts: Iterable[Part]) -> str:
    """The Markdown to be rendered: live markers become cards, the others are seen as text."""
    return "".join(map(_shown, parts))


def _shown(part: Part) -> str:
    match part:
        case Prose(text):
            return text
        case Marker():
            return "\n\n"
        case Inert(text, reason) if reason in (COPIED, TOO_MANY):
            return f"\n\n*{reason}*\n\n{_as_code(text)}\n\n"
        case Inert(text, reason) if reason in _IN_CODE:
            return text
        case Inert(text, reason):
            text = text[1:] if reason == ESCAPED else text
            return text.replace("<action ", "&lt;action ").replace("</action", "&lt;/action")


def _as_code(text: str) -> str:
    longest = max((len(run) for run in _BACKTICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"
