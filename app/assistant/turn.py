"""One turn: a question, rounds of text and tool calls, an answer, and its record.

The one place that talks to the model, whatever transport shows it. A turn runs on its own thread
and writes events to its live log; it outlives whoever watches. Knows no Flask and holds no token.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from app.assistant import markers
from app.assistant.gate import Gate
from app.assistant.prompt import (
    Message,
    PageContext,
    calling,
    messages,
    page_context,
    result,
    texts_read,
)
from app.assistant.tools import TOOLS, Desk, ToolResult, call_tool, detail
from app.services.completion import Completion, ToolCall, Usage
from app.services.errors import ConversationNotFound, StorageFailed, UpstreamError, trace_of
from app.services.history import Conversation, History
from app.services.history_index import HistoryIndex
from app.services.live import Event, LiveTurn, LiveTurns, conversation_of
from app.services.llm import Stop
from app.services.workspace import Workspace

log = logging.getLogger("lectern.turn")

MAX_ROUNDS = 8
MAX_CALLS_PER_ROUND = 4
MAX_CALLS = 16
MAX_TOOL_CHARS = 110_000
TICK_S = 1.0  # how often a viewer may look up while nothing happens
INTERRUPTED = "The server stopped while this answer was being written. Ask again to go on."


class Model(Protocol):
    model: str

    def stream(
        self, messages: Sequence[Message], tools: Sequence[Message], *, stop: Stop, may_call: bool
    ) -> Iterator[str | Completion]: ...


class Propose(Protocol):
    """Stores a proposal and returns its id; see `actions/proposals.py`."""

    def __call__(
        self,
        conversation: Conversation,
        *,
        turn: str,
        type: str,  # noqa: A002
        payload: Mapping[str, object] | None,
        raw: str,
        problem: str = "",
        sources: Sequence[str] = (),
    ) -> str: ...


class TurnFailure(Exception):
    """The turn ends as failed, for a reason that can be said."""

    def __init__(self, code: str, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable


@dataclass(frozen=True, slots=True)
class Question:
    user: str
    text: str
    page_kind: str
    doc: str | None
    conversation: str | None = None


class Assistant:
    """Starts turns and says how they stand. Without a model it only looks after old ones."""

    def __init__(
        self,
        model: Model | None,
        *,
        workspace: Workspace,
        history: History,
        index: HistoryIndex,
        live: LiveTurns,
        propose: Propose,
        instructions: str,
    ) -> None:
        self.model = model
        self.workspace = workspace
        self.history = history
        self.index = index
        self.live = live
        self.propose = propose
        self.instructions = instructions

    def start(self, question: Question) -> str:
        """Record the question, start answering it, and return the turn's id.

        Raises PathNotFound, ConversationNotFound, TurnRunning, Busy or StorageFailed; then nothing
        has begun.
        """
        if self.model is None:
            raise AssertionError("no turn is started without a model")
        context = page_context(self.workspace, kind=question.page_kind, doc=question.doc)
        conversation = self._conversation(question, context)
        self.settle(conversation)
        live = self.live.begin(conversation.id)
        try:
            request = self._ask(conversation, live, question.text, context)
        except BaseException:
            self.live.end(live)
            raise
        turn = _Turn(self, self.model, conversation, live, request, context.doc)
        threading.Thread(target=turn.run, name=f"turn-{live.id}", daemon=True).start()
        return live.id

    def _conversation(self, question: Question, context: PageContext) -> Conversation:
        """The one that was named, else the newest about this page, else a new one."""
        user, named = question.user, question.conversation
        if named and self.index.is_hidden(user, named):
            raise ConversationNotFound
        found = named or self.index.newest(user, doc=context.doc, page_kind=context.kind)
        if found:
            return self.history.conversation(user, found)
        return self.index.create(user, doc=context.doc, page_kind=context.kind)

    def _ask(
        self, conversation: Conversation, live: LiveTurn, text: str, context: PageContext
    ) -> list[Message]:
        request, new = messages(self.instructions, conversation.records(), context, text)
        more = {"context": new} if new else {}
        conversation.append(
            "user", turn=live.id, durable=True, content=text, page=context.record(), **more
        )
        live.emit("start", turn=live.id, conversation=conversation.id, doc=context.doc)
        return request

    def settle(self, conversation: Conversation) -> None:
        """End the turn whose process died, if there is one: `failed`, with what was written."""
        turn = self.live.orphan(conversation.id)
        if turn is None:
            return
        if not any(r.get("role") == "assistant" for r in conversation.turn(turn)):
            conversation.append(
                "assistant",
                turn=turn,
                durable=True,
                content=_said(self.live.events(turn)),
                outcome="failed",
                error={"code": "interrupted", "message": INTERRUPTED, "retryable": True},
                model=self.model.model if self.model else "",
                usage={},
                ms=0,
            )
        error: dict[str, object] = {
            "code": "interrupted",
            "message": INTERRUPTED,
            "retryable": True,
        }
        ending: dict[str, object] = {"turn": turn, "outcome": "failed"}
        self.live.finish(turn, ("error", error), ("done", ending))

    def events(self, user: str, turn: str, *, after: int = 0) -> Iterator[list[Event]]:
        """A turn's events behind `after`, live or as they were; ends with `done`.

        Raises TurnNotFound or ConversationNotFound before the first batch.
        """
        conversation = self.history.conversation(user, conversation_of(turn))
        return self._events(conversation, turn, after)

    def _events(self, conversation: Conversation, turn: str, after: int) -> Iterator[list[Event]]:
        is_done = False
        for _ in range(2):  # the second look is for a turn whose process died meanwhile
            for batch in self.live.follow(turn, after=after, tick_s=TICK_S):
                yield batch
                after = batch[-1].id if batch else after
                is_done = is_done or any(event.name == "done" for event in batch)
            if is_done:
                return
            self.settle(conversation)
        yield _kept_events(conversation, turn, after)


def _kept_events(conversation: Conversation, turn: str, after: int) -> list[Event]:
    """The events of a turn whose log is forgotten, as far as they are worth telling again."""
    records = conversation.turn(turn)
    answer = next((r for r in records if r.get("role") == "assistant"), None)
    outcome = str(answer.get("outcome", "failed")) if answer else "failed"
    told: list[tuple[str, dict[str, Any]]] = [
        ("start", {"turn": turn, "conversation": conversation.id, "doc": None})
    ]
    if answer and answer.get("content"):
        told.append(("message", {"turn": turn}))
    if outcome == "failed":
        error = (answer or {}).get("error") or {"code": "interrupted", "message": INTERRUPTED}
        told.append(("error", {"retryable": True, **error}))
    told.append(("done", {"turn": turn, "outcome": outcome}))
    return [Event(max(after, 0) + i, name, data) for i, (name, data) in enumerate(told, start=1)]


def _said(events: Sequence[Event]) -> str:
    return "".join(str(e.data.get("text", "")) for e in events if e.name == "content")


@dataclass
class _Turn:
    """The state of one running turn. `text` is all the assistant has written so far."""

    assistant: Assistant
    model: Model
    conversation: Conversation
    live: LiveTurn
    request: list[Message]
    doc: str | None
    text: str = ""
    usage: Usage = field(default_factory=Usage)
    sources: dict[str, None] = field(default_factory=dict)
    calls: int = 0
    gate: Gate = field(default_factory=Gate)
    begun: float = field(default_factory=time.monotonic)

    def run(self) -> None:
        outcome = "failed"
        try:
            outcome = self._outcome()
        except Exception as error:  # noqa: BLE001  the last resort: a turn always ends
            log.error("turn %s ended by an unforeseen %s", self.live.id, trace_of(error))
            failure = TurnFailure("internal", "Lectern itself failed here.", retryable=True)
            self._tell_error(failure.code, str(failure), failure.retryable)
            with suppress(StorageFailed):
                self._record("failed", failure)
        finally:
            self.live.emit("done", turn=self.live.id, outcome=outcome)
            self.assistant.live.end(self.live)

    def _outcome(self) -> str:
        if self.doc:
            self.sources[self.doc] = None
        failure: TurnFailure | None = None
        outcome = "complete"
        try:
            self._rounds()
        except TurnFailure as error:
            failure, outcome = error, "failed"
        except UpstreamError as error:
            failure = self._failure(error)
            outcome = "failed" if failure else "stopped"
        try:
            self._conclude(outcome, failure)
        except StorageFailed as error:
            failure, outcome = TurnFailure("storage_failed", str(error), retryable=True), "failed"
        if failure:
            self._tell_error(failure.code, str(failure), failure.retryable)
        return outcome

    def _failure(self, error: UpstreamError) -> TurnFailure | None:
        """None when the person stopped it."""
        if error.code == "stopped" and self.live.is_overdue:
            return TurnFailure("timeout", "The answer took too long and was ended.", retryable=True)
        if error.code == "stopped":
            return None
        return TurnFailure(error.code, str(error), retryable=error.retryable)

    def _tell_error(self, code: str, message: str, retryable: bool) -> None:
        self.live.emit("error", code=code, message=message, retryable=retryable)

    def _rounds(self) -> None:
        for number in range(MAX_ROUNDS):
            done = self._complete(is_last=number == MAX_ROUNDS - 1)
            if not done.calls or number == MAX_ROUNDS - 1:
                break
            self._run_calls(done.calls, number, done.text)
        self._write(self.gate.finish())
        if done.finish == "length":
            message = "The answer reached the model's length limit and is cut."
            raise TurnFailure("truncated", message, retryable=False)
        if done.finish == "content_filter":
            raise TurnFailure(
                "filtered", "The model's server withheld the answer.", retryable=False
            )
        if not self.text.strip():
            raise TurnFailure("empty", "The model ended without an answer.", retryable=True)

    def _complete(self, *, is_last: bool) -> Completion:
        """One completion, its text told as it comes."""
        stop = Stop(self.live.stopped)
        self.live.when_stopped(stop.cut)
        tools = [tool.schema() for tool in TOOLS.values()]
        needs_break = bool(self.text)
        try:
            for item in self.model.stream(self.request, tools, stop=stop, may_call=not is_last):
                if isinstance(item, Completion):
                    self.usage += item.usage
                    return item
                if needs_break:
                    self._say("\n\n")
                    needs_break = False
                self._say(item)
        finally:
            self.live.when_stopped(None)
        raise AssertionError("a stream ends with its completion")

    def _say(self, text: str) -> None:
        self.text += text
        self._write(self.gate.feed(text))

    def _write(self, text: str) -> None:
        if text:
            self.live.emit("content", text=text)

    def _run_calls(self, calls: Sequence[ToolCall], number: int, text: str) -> None:
        self.request.append(calling(text.strip(), [call.raw for call in calls]))
        for place, call in enumerate(calls):
            self._stop_if_asked()
            self.calls += 1
            is_allowed = place < MAX_CALLS_PER_ROUND and self.calls <= MAX_CALLS
            done = self._run_call(call, number) if is_allowed else self._too_many(call, number)
            self.request.append(result(call.id, done.content))

    def _stop_if_asked(self) -> None:
        if self.live.stopped.is_set():
            message = "The answer was stopped."
            raise UpstreamError(message, service="turn", code="stopped")

    def _run_call(self, call: ToolCall, number: int) -> ToolResult:
        return self._tool(call, number, lambda: call_tool(self._desk(), call.name, call.arguments))

    def _too_many(self, call: ToolCall, number: int) -> ToolResult:
        text = f"Refused: at most {MAX_CALLS_PER_ROUND} calls at once and {MAX_CALLS} in all."
        refused = ToolResult(False, text, f"{call.name[:60]}: too many calls")
        return self._tool(call, number, lambda: ({}, refused))

    def _desk(self) -> Desk:
        return Desk(self.assistant.workspace, self.live.stopped)

    def _tool(
        self, call: ToolCall, number: int, run: Callable[[], tuple[dict[str, Any], ToolResult]]
    ) -> ToolResult:
        """Tell of a call, run it, record it, tell its result."""
        begun = time.monotonic()
        self.live.emit("tool_call", call=call.id, name=call.name, arguments=_shown(call))
        arguments, done = run()
        content = done.content[:MAX_TOOL_CHARS]
        self.sources |= dict.fromkeys(done.sources)
        self.conversation.append(
            "tool",
            turn=self.live.id,
            name=call.name,
            arguments=arguments,
            ok=done.ok,
            content=content,
            bytes=len(done.content.encode("utf-8", "replace")),
            ms=_since(begun),
            summary=done.summary,
            call=call.raw,
            round=number,
            at=len(self.text),
        )
        shown = {"summary": done.summary, "detail": detail(content)}
        self.live.emit("tool_result", call=call.id, name=call.name, ok=done.ok, **shown)
        return ToolResult(done.ok, content, done.summary, done.sources)

    def _conclude(self, outcome: str, failure: TurnFailure | None) -> None:
        """Record the answer and what it proposes, then tell of both."""
        parts = markers.split(self.text, read=texts_read(self.request))
        if outcome != "complete":
            parts = tuple(map(_unfinished, parts))
        found = [part for part in parts if isinstance(part, markers.Marker)]
        proposals = [(self._proposal(marker), marker.type) for marker in found]
        self._record(outcome, failure, shown=markers.display(parts))
        if self.text.strip():
            self.live.emit("message", turn=self.live.id)
        for proposal, type_ in proposals:
            self.live.emit("proposal", proposal=proposal, type=type_)
        self.live.emit("usage", **_usage_record(self.usage))

    def _record(
        self, outcome: str, failure: TurnFailure | None, *, shown: str | None = None
    ) -> None:
        more: dict[str, object] = {"error": _error_record(failure)} if failure else {}
        if shown is not None and shown != self.text:
            more["shown"] = shown
        self.conversation.append(
            "assistant",
            turn=self.live.id,
            durable=True,
            content=self.text,
            outcome=outcome,
            model=self.model.model,
            usage=_usage_record(self.usage),
            ms=_since(self.begun),
            **more,
        )

    def _proposal(self, marker: markers.Marker) -> str:
        problem, payload = "", None
        try:
            payload = markers.parse_payload(marker.payload)
        except markers.PayloadError as error:
            problem = str(error)
        return self.assistant.propose(
            self.conversation,
            turn=self.live.id,
            type=marker.type,
            payload=payload,
            raw=marker.payload,
            problem=problem,
            sources=tuple(self.sources),
        )


def _unfinished(part: markers.Part) -> markers.Part:
    """Only a finished answer proposes."""
    if isinstance(part, markers.Marker):
        return markers.Inert(part.text, "The answer was not finished.")
    return part


def _shown(call: ToolCall) -> object:
    """The arguments as JSON where they are JSON, else as the model wrote them."""
    try:
        return json.loads(call.arguments)
    except (ValueError, RecursionError):
        return call.arguments


def _usage_record(usage: Usage) -> dict[str, int | None]:
    return {
        "input_tokens": usage.input_tokens,
        "cached_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }


def _error_record(failure: TurnFailure) -> dict[str, object]:
    return {"code": failure.code, "message": str(failure), "retryable": failure.retryable}


def _since(begun: float) -> int:
    return round((time.monotonic() - begun) * 1000)
