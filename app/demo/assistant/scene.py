"""The conversation as the simulated assistant sees it: the question, the page, what was looked up.
Knows nothing of what to do about it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.demo.assistant import draft
from app.demo.assistant.block import headings
from app.demo.assistant.draft import Finding

PAGE = re.compile(r"\[Page: (?P<path>[^\]\n]*)\][^\n]*\n(?P<text>.*)", re.DOTALL)
# What Lectern says before the page's own text.
INTRODUCTION = re.compile(r"\s*The (?:page the )?person is [^\n]*\n*")
NOT_A_QUESTION = ("[Page", "[Earlier turns")
PATH = re.compile(r"(?<![\w/])(?:[\w.-]+/)*[\w.-]*[\w-]\.[a-z]{1,5}\b|\bMakefile\b")
HIT = re.compile(r"(?P<path>[^:\n]+):(?P<line>\d+): ?(?P<text>.*)")
NUMBERED = re.compile(r"^ *\d+\t", re.MULTILINE)

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Lookup:
    """A tool call of this turn and what came back."""

    name: str
    arguments: dict[str, Any]
    content: str

    @property
    def path(self) -> str:
        return str(self.arguments.get("path", ""))

    @property
    def file_text(self) -> str | None:
        """What `read_file` brought, without line numbers; None when it was refused."""
        if not NUMBERED.match(self.content):
            return None
        return NUMBERED.sub("", self.content)

    @property
    def findings(self) -> list[Finding]:
        matches = (HIT.fullmatch(line) for line in self.content.splitlines())
        return [
            Finding(match["path"], int(match["line"]), match["text"]) for match in matches if match
        ]


@dataclass(frozen=True, slots=True)
class Scene:
    """What the assistant has in front of it."""

    question: str
    earlier: str
    page: str | None
    text: str
    lookups: tuple[Lookup, ...]
    is_first_answer: bool

    @property
    def about(self) -> str:
        """What is asked, or for "file an issue for that", what was asked before."""
        if not draft.is_asked_for(self.question):
            return self.question
        return draft.subject(self.question) or self.earlier

    @property
    def terms(self) -> list[str]:
        return draft.telling(PATH.sub(" ", self.about))

    @property
    def title(self) -> str:
        return next(iter(headings(self.text)), self.page or "this page")

    def lookup(self, name: str) -> list[Lookup]:
        return [each for each in self.lookups if each.name == name]


def read_scene(messages: Sequence[Message]) -> Scene:
    """The conversation, seen from its last question."""
    asked = [at for at, message in enumerate(messages) if _is_question(message)]
    last = asked[-1] if asked else len(messages)
    pages = [PAGE.match(_text(each)) for each in messages if each.get("role") == "user"]
    page = next((found for found in reversed(pages) if found), None)
    path = page["path"].strip() if page else ""
    return Scene(
        question=_text(messages[last]) if asked else "",
        earlier=_text(messages[asked[-2]]) if len(asked) > 1 else "",
        page=path if path not in ("", "none") else None,
        text=INTRODUCTION.sub("", page["text"], count=1) if page else "",
        lookups=_lookups(messages[last:]),
        is_first_answer=not any(_is_answer(message) for message in messages[:last]),
    )


def _is_question(message: Message) -> bool:
    return message.get("role") == "user" and not _text(message).startswith(NOT_A_QUESTION)


def _is_answer(message: Message) -> bool:
    return message.get("role") == "assistant" and bool(_text(message).strip())


def _text(message: Message) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else ""


def _lookups(messages: Sequence[Message]) -> tuple[Lookup, ...]:
    results = {m.get("tool_call_id"): _text(m) for m in messages if m.get("role") == "tool"}
    calls = [call for message in messages for call in message.get("tool_calls") or []]
    return tuple(
        Lookup(_name(call), _arguments(call), results.get(call.get("id"), "")) for call in calls
    )


def _name(call: Message) -> str:
    return str((call.get("function") or {}).get("name", ""))


def _arguments(call: Message) -> dict[str, Any]:
    try:
        arguments = json.loads((call.get("function") or {}).get("arguments") or "{}")
    except ValueError:
        return {}
    return arguments if isinstance(arguments, dict) else {}


def named_path(question: str) -> str | None:
    """The file that a question names, if it does."""
    found = PATH.search(question)
    return found[0] if found else None
