"""History records as the turns that the panel and the history pages draw.

One way from record to screen, for a live answer and a reloaded one alike. Knows the history, the
proposals and the renderer; knows nothing of requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from app.actions.proposals import SENT_AS, Proposal, Proposals
from app.actions.registry import Action
from app.assistant.tools import detail
from app.assistant.turn import INTERRUPTED
from app.rendering import Renderer
from app.services.history import Record


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool call as one line. `ok` is None while it runs; `html` is what it changed, as a diff."""

    call: str
    name: str
    ok: bool | None
    summary: str
    detail: str


@dataclass(frozen=True, slots=True)
class CardField:
    name: str
    label: str
    kind: str
    value: str | tuple[str, ...]
    max_length: int
    problem: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CardResult:
    number: int | None
    url: str
    text: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """A proposal as it is drawn: a document about to be posted, or the same, settled."""

    proposal: str
    type: str
    title: str
    button: str
    state: str
    fields: tuple[CardField, ...] = ()
    payload: str = ""
    problem: str = ""
    sent_as: str = ""
    sources: tuple[str, ...] = ()
    result: CardResult | None = None
    settled_at: str = ""
    settled_by: str = ""
    check_label: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One record of an action, as the history page lists it."""

    at: str
    phase: str
    type: str
    text: str
    url: str


@dataclass(frozen=True, slots=True)
class Turn:
    """`outcome` is as in the history, or `running`."""

    id: str
    question: str = ""
    asked_at: str = ""
    tools: tuple[Tool, ...] = ()
    answer: Markup | None = None
    outcome: str = ""
    problem: str = ""
    is_retryable: bool = False
    cards: tuple[Card, ...] = ()
    usage: str = ""
    steps: tuple[Step, ...] = ()


class Transcript:
    def __init__(self, renderer: Renderer, proposals: Proposals) -> None:
        self._renderer = renderer
        self._proposals = proposals

    def turns(self, records: Iterable[Record], *, running: str | None) -> tuple[Turn, ...]:
        """The turns in `records`, oldest first; `running` is the one that is being written."""
        by_turn: dict[str, list[Record]] = {}
        for record in records:
            by_turn.setdefault(str(record.get("turn", "")), []).append(record)
        return tuple(
            self.turn(turn, its, is_running=turn == running)
            for turn, its in by_turn.items()
            if any(r.get("role") in ("user", "action") for r in its)
        )

    def turn(self, turn: str, records: Sequence[Record], *, is_running: bool = False) -> Turn:
        asked = _one(records, "user")
        answered = _one(records, "assistant")
        proposals = self._proposals.of_turn(records)
        return Turn(
            id=turn,
            question=str(asked.get("content", "")),
            asked_at=str(asked.get("ts", "")),
            tools=tuple(_tool(r) for r in records if r.get("role") == "tool"),
            answer=self.answer(records) if answered.get("content") else None,
            outcome=_outcome(asked, answered, is_running),
            problem=_problem(asked, answered, is_running),
            is_retryable=bool((answered.get("error") or {}).get("retryable", not answered)),
            cards=tuple(self.card(p) for p in proposals),
            usage=_usage(answered.get("usage") or {}),
            steps=tuple(_step(r) for r in records if r.get("role") == "action"),
        )

    def answer(self, records: Sequence[Record]) -> Markup:
        """The finished answer, without the markers that became cards."""
        record = _one(records, "assistant")
        return self._renderer.message(str(record.get("shown", record.get("content", ""))))

    def card(
        self,
        proposal: Proposal,
        *,
        values: Mapping[str, Any] | None = None,
        problems: Mapping[str, str] | None = None,
        problem: str = "",
    ) -> Card:
        """The card of a proposal; `values` and `problems` are of an edit that was not taken."""
        action = proposal.action
        if action is None or proposal.state == "invalid":
            return _invalid_card(proposal)
        target = str(proposal.payload.get("repo", ""))
        return Card(
            proposal=proposal.id,
            type=proposal.type,
            title=f"{action.noun} in {target}",
            button=f"{action.verb} in {target}",
            state=proposal.state,
            fields=self._fields(action, proposal, values or proposal.payload, problems or {}),
            problem=problem or proposal.problem,
            sent_as=proposal.sent_as or SENT_AS,
            sources=proposal.sources,
            result=_result(proposal),
            settled_at=proposal.settled_at,
            settled_by=proposal.settled_by,
            check_label=f"Check {action.service}",
        )

    def _fields(
        self,
        action: Action,
        proposal: Proposal,
        values: Mapping[str, Any],
        problems: Mapping[str, str],
    ) -> tuple[CardField, ...]:
        choices = self._proposals.choices(proposal)
        return tuple(
            CardField(
                name=item.name,
                label=item.label,
                kind=item.kind,
                value=_field_value(values.get(item.name), item.kind),
                max_length=item.max_bytes,
                problem=problems.get(item.name, ""),
                choices=choices if item.kind == "names" else (),
            )
            for item in action.fields
        )


def _field_value(value: object, kind: str) -> str | tuple[str, ...]:
    if kind == "names":
        return tuple(str(v) for v in value) if isinstance(value, list) else ()
    return str(value or "")


def _one(records: Sequence[Record], role: str) -> Record:
    return next((r for r in records if r.get("role") == role), {})


def _tool(record: Record) -> Tool:
    call = record.get("call") or {}
    return Tool(
        call=str(call.get("id", record.get("id", ""))),
        name=str(record.get("name", "")),
        ok=bool(record.get("ok")),
        summary=str(record.get("summary", record.get("name", ""))),
        detail=detail(str(record.get("content", ""))),
    )


def _outcome(asked: Record, answered: Record, is_running: bool) -> str:
    if answered or not asked:
        return str(answered.get("outcome", "complete"))
    return "running" if is_running else "failed"


def _problem(asked: Record, answered: Record, is_running: bool) -> str:
    if answered:
        return str((answered.get("error") or {}).get("message", ""))
    return INTERRUPTED if asked and not is_running else ""


def _usage(usage: Mapping[str, Any]) -> str:
    given, cached, out = (usage.get(f"{k}_tokens") for k in ("input", "cached", "output"))
    if given is None or out is None:
        return ""
    kept = f" ({cached:,} cached)" if cached else ""
    return f"{given:,} tokens in{kept} · {out:,} out"


def _result(proposal: Proposal) -> CardResult | None:
    response = proposal.response
    if proposal.state != "done":
        return None
    dropped = response.get("dropped_labels") or []
    notes = (f"Forgejo did not set: {', '.join(dropped)}.",) if dropped else ()
    url, title = str(response.get("url", "")), str(response.get("title", ""))
    return CardResult(response.get("number"), url, title, notes)


def _invalid_card(proposal: Proposal) -> Card:
    return Card(
        proposal=proposal.id,
        type=proposal.type,
        title=f"A proposal that cannot be used: {proposal.type}",
        button="",
        state="invalid",
        payload=proposal.raw,
        problem=proposal.problem,
    )


def _step(record: Record) -> Step:
    response = record.get("response") or {}
    request = record.get("request") or {}
    title = response.get("title") or request.get("title") or request.get("raw") or ""
    number = f"#{response['number']} " if response.get("number") else ""
    return Step(
        at=str(record.get("ts", "")),
        phase=str(record.get("phase", "")),
        type=str(record.get("type", "")),
        text=str(response.get("message") or f"{number}{title}"),
        url=str(response.get("url", "")),
    )
