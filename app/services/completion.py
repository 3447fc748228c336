"""One streamed completion put together from the chunks of any OpenAI-compatible server.

Knows the shapes that servers send (`docs/models.md` lists them); knows nothing of connections.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import Any

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call the model asks for. `raw` goes back to the server as it came, with unknown keys."""

    id: str
    name: str
    arguments: str
    raw: JSON


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the server counted them; None where it did not say."""

    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            _sum(self.input_tokens, other.input_tokens),
            _sum(self.cached_tokens, other.cached_tokens),
            _sum(self.output_tokens, other.output_tokens),
        )


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished answer of the model: text, or calls, or both."""

    text: str
    calls: tuple[ToolCall, ...]
    finish: str
    usage: Usage
    model: str


def _sum(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else a + b


@dataclass(slots=True)
class _Slot:
    index: int | None
    id: str = ""
    name: str = ""
    arguments: str = ""
    extra: JSON = field(default_factory=dict)

    def is_whole(self) -> bool:
        try:
            return isinstance(json.loads(self.arguments), dict)
        except (ValueError, RecursionError):
            return False


@dataclass(slots=True)
class Accumulator:
    """Fed with decoded chunks; `add` returns the text each one brought."""

    text: list[str] = field(default_factory=list)
    slots: list[_Slot] = field(default_factory=list)
    finish: str = ""
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    has_begun: bool = False
    size: int = 0  # characters of text and of arguments

    def add(self, chunk: JSON) -> str:
        self.model = self.model or _string(chunk.get("model"))
        if isinstance(chunk.get("usage"), dict):
            self.usage = _usage(chunk["usage"])
        pieces = [self._add_choice(choice) for choice in _objects(chunk.get("choices"))]
        text = "".join(pieces)
        self.size += len(text)
        if text:
            self.text.append(text)
        return text

    def _add_choice(self, choice: JSON) -> str:
        self.has_begun = True
        self.finish = _string(choice.get("finish_reason")) or self.finish
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return ""
        for call in _objects(delta.get("tool_calls")):
            self._add_call(call)
        return _string(delta.get("content"))

    def _add_call(self, call: JSON) -> None:
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        name, arguments = _string(function.get("name")), function.get("arguments")
        slot = self._slot(call.get("index"), _string(call.get("id")), name)
        slot.id = slot.id or _string(call.get("id"))
        slot.name = slot.name or name
        piece = json.dumps(arguments) if isinstance(arguments, dict) else _string(arguments)
        slot.arguments += piece
        self.size += len(piece)
        known = ("index", "id", "type", "function")
        slot.extra.update({k: v for k, v in call.items() if k not in known})

    def _slot(self, index: object, call: str, name: str) -> _Slot:
        """By id, by index, else the last; a new id, or a name after whole JSON, is a new call."""
        number = index if isinstance(index, int) else None
        found = next((s for s in reversed(self.slots) if call and s.id == call), None)
        if found and name and None not in (number, found.index) and number != found.index:
            found = None  # two calls under one id
        if found is None and number is not None:
            found = next((s for s in reversed(self.slots) if s.index == number), None)
        if found is None and number is None and self.slots:
            found = self.slots[-1]
        if found is None or _is_other(found, call, name):
            found = _Slot(number)
            self.slots.append(found)
        return found

    def completion(self) -> Completion:
        named = [slot for slot in self.slots if slot.name]
        for place, slot in enumerate(named):  # an answer to a call goes by its id alone
            if any(slot.id == earlier.id for earlier in named[:place]):
                slot.id = ""
        calls = tuple(_tool_call(slot) for slot in named)
        return Completion("".join(self.text), calls, self.finish, self.usage, self.model)


def _is_other(slot: _Slot, call: str, name: str) -> bool:
    if call and slot.id and call != slot.id:
        return True
    if call or not name or not slot.name:
        return False
    return name != slot.name or slot.is_whole()


def _tool_call(slot: _Slot) -> ToolCall:
    call = slot.id or f"call_{secrets.token_hex(6)}"
    function = {"name": slot.name, "arguments": slot.arguments or "{}"}
    raw = {"id": call, "type": "function", "function": function, **slot.extra}
    return ToolCall(call, slot.name, slot.arguments or "{}", raw)


def _usage(raw: JSON) -> Usage:
    details = raw.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return Usage(
        _count(raw.get("prompt_tokens")), _count(cached), _count(raw.get("completion_tokens"))
    )


def _count(value: object) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9
    return value if is_count else None  # type: ignore[return-value]


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _objects(value: object) -> list[JSON]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
