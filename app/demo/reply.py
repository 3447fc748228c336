"""What a simulated model sends: frames, and replies made of them, in the Chat Completions stream
format and in every way other servers bend it. Knows nothing of HTTP or of what is worth saying."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import threading

CREATED = 1_764_000_000
JSON_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """A piece of the answer that says when it left: `time.monotonic_ns()` and a blank."""


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A piece of thinking, as DeepSeek, vLLM and OpenRouter send it."""

    text: str
    key: str = "reasoning_content"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A delta of a tool call. What is None is left out of the JSON."""

    name: str | None = None
    arguments: str | Mapping[str, Any] | None = None
    id: str | None = None
    index: int | None = 0


@dataclass(frozen=True, slots=True)
class Delta:
    """Any delta, also None (`"delta": null`)."""

    delta: Mapping[str, Any] | None
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A whole chunk, any JSON: for choices that are empty, null or missing, and for errors."""

    payload: Any


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes as they are, in a write of their own."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Send nothing until the event is set (or the time is over)."""

    event: threading.Event
    timeout_s: float | None = 30.0


@dataclass(frozen=True, slots=True)
class Cut:
    """Reset the connection."""


@dataclass(frozen=True, slots=True)
class End:
    """End the body in good order, without finish reason, usage or [DONE]."""


Frame: TypeAlias = (
    Text | Stamp | Reasoning | ToolCall | Delta | Chunk | Raw | Pause | Wait | Cut | End
)
Halt: TypeAlias = Pause | Wait | Cut | End
Usage = Literal["last", "every", "always", "none"]


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the model's server: a stream of frames, or `body` alone.

    `usage`: "last" is OpenAI's way (a chunk of its own, only when asked for), "always" the same
    unasked, "every" counts up in every chunk, "none" never. `finish_reason` None leaves the
    finishing chunk out; `is_framed` False leaves out role, finish, usage and [DONE].
    """

    frames: tuple[Frame, ...] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content_type: str | None = None
    finish_reason: str | None = "stop"
    usage: Usage = "last"
    is_framed: bool = True
    newline: str = "\n"
    after_colon: str = " "


def say(
    text: str,
    *,
    chunks: int | None = None,
    pace_s: float = 0.0,
    finish_reason: str | None = "stop",
    usage: Usage = "last",
) -> Reply:
    """An answer of text: a word a chunk, or cut into `chunks` pieces, `pace_s` seconds apart."""
    pieces = words(text) if chunks is None else slices(text, chunks)
    return Reply(paced(pieces, pace_s), finish_reason=finish_reason, usage=usage)


def call_tool(
    name: str,
    arguments: Mapping[str, Any] | str,
    *,
    call_id: str = "call_1",
    chunks: int = 3,
    before: str = "",
) -> Reply:
    """One tool call the way OpenAI streams it; `before` is text said first."""
    return call_tools((name, arguments), call_ids=(call_id,), chunks=chunks, before=before)


def call_tools(
    *calls: tuple[str, Mapping[str, Any] | str],
    call_ids: Sequence[str] = (),
    chunks: int = 3,
    before: str = "",
) -> Reply:
    """Parallel tool calls the way OpenAI streams them."""
    frames: list[Frame] = [Text(before)] if before else []
    for index, (name, arguments) in enumerate(calls):
        call_id = call_ids[index] if index < len(call_ids) else f"call_{index + 1}"
        text = arguments if isinstance(arguments, str) else json.dumps(dict(arguments))
        frames.append(ToolCall(name, "", call_id, index))
        frames += [ToolCall(arguments=piece, index=index) for piece in slices(text, chunks)]
    return Reply(tuple(frames), finish_reason="tool_calls")


def refuse(
    status: int,
    message: str = "The server had an error while processing your request.",
    *,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """An error before any stream, in OpenAI's shape."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return whole(as_json({"error": error}), JSON_TYPE, status=status, headers=headers)


def whole(
    body: bytes,
    content_type: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """A plain answer in place of a stream: a proxy's HTML page, JSON from a server that cannot
    stream."""
    return Reply(status=status, headers=headers or {}, body=body, content_type=content_type)


def raw(*pieces: bytes | Frame, content_type: str | None = None) -> Reply:
    """A stream of exactly these bytes; pauses and cuts may stand between them."""
    frames = tuple(Raw(piece) if isinstance(piece, bytes) else piece for piece in pieces)
    return Reply(frames, is_framed=False, content_type=content_type)


def fail_midway(text: str, message: str = "The model is overloaded.") -> Reply:
    """Some text, then an error object inside the 200 stream."""
    error = {"message": message, "type": "server_error", "param": None, "code": "overloaded"}
    return Reply((*(Text(word) for word in words(text)), Chunk({"error": error}), End()))


def words(text: str, *, at_least: int = 1) -> list[str]:
    """Cut after blanks so that the pieces together are the text again."""
    pieces: list[str] = []
    for word in text.replace("\n", "\n\x00").replace(" ", " \x00").split("\x00"):
        if pieces and len(pieces[-1]) < at_least:
            pieces[-1] += word
        elif word:
            pieces.append(word)
    return pieces


def slices(text: str, count: int) -> list[str]:
    """Cut into at most `count` pieces of even length."""
    size = max(1, -(-len(text) // max(1, count)))
    return [text[start : start + size] for start in range(0, len(text), size)]


def paced(pieces: Sequence[str], pace_s: float) -> tuple[Frame, ...]:
    if not pace_s:
        return tuple(Text(piece) for piece in pieces)
    return tuple(frame for piece in pieces for frame in (Text(piece), Pause(pace_s)))


def as_json(payload: object) -> bytes:
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(slots=True)
class Encoder:
    """Turns a reply into the bytes of its stream, halts left in their places: whoever plays them
    stops at a Cut or an End."""

    model: str
    reply: Reply
    is_usage_asked: bool = False
    input_tokens: int = 0
    output_tokens: int = 0

    def pieces(self) -> Iterator[bytes | Halt]:
        reply = self.reply
        if reply.is_framed:
            yield self._delta({"role": "assistant", "content": "", "refusal": None})
        for frame in reply.frames:
            yield self._frame(frame)
        if reply.is_framed:
            yield from self._ending()

    def _ending(self) -> Iterator[bytes]:
        if self.reply.finish_reason is not None:
            yield self._delta({}, self.reply.finish_reason)
        if self.reply.usage == "always" or (self.reply.usage == "last" and self.is_usage_asked):
            yield self._data(as_json(self._envelope([]) | {"usage": self._usage()}))
        yield self._data(b"[DONE]")

    def _frame(self, frame: Frame) -> bytes | Halt:
        match frame:
            case Text(text):
                return self._delta({"content": text})
            case Stamp():
                return self._delta({"content": f"{time.monotonic_ns()} "})
            case Reasoning(text, key):
                return self._delta({"content": None, key: text})
            case ToolCall():
                return self._delta({"tool_calls": [_tool_call(frame)]})
            case Delta(delta, finish_reason):
                return self._delta(delta, finish_reason)
            case Chunk(payload):
                return self._data(as_json(payload))
            case Raw(data):
                return data
            case _:
                return frame

    def _delta(self, delta: Mapping[str, Any] | None, finish_reason: str | None = None) -> bytes:
        self.output_tokens += 1
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk = self._envelope([choice])
        if self.reply.usage == "every":
            chunk["usage"] = self._usage()
        elif self.reply.usage == "last" and self.is_usage_asked:
            chunk["usage"] = None
        return self._data(as_json(chunk))

    def _data(self, payload: bytes) -> bytes:
        newline = self.reply.newline.encode()
        return b"data:" + self.reply.after_colon.encode() + payload + newline * 2

    def _envelope(self, choices: list[Any]) -> dict[str, Any]:
        return {
            "id": "chatcmpl-simulated",
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": self.model,
            "service_tier": "default",
            "system_fingerprint": "fp_simulated",
            "choices": choices,
        }

    def _usage(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.input_tokens,
            "completion_tokens": self.output_tokens,
            "total_tokens": self.input_tokens + self.output_tokens,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        }


def _tool_call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    shape: dict[str, Any] = {"index": call.index, "id": call.id}
    shape = {key: value for key, value in shape.items() if value is not None}
    if call.name is not None:
        shape["type"] = "function"
    shape["function"] = {key: value for key, value in function.items() if value is not None}
    return shape
