"""A proposal's life: proposed, sent once by a person's click, settled. No Flask, no model.

A proposal is what its `action` records in the history say it is; there is no second store. Whoever
moves it holds its lock, so each step is a compare-and-swap, and the kernel lets go of the lock when
a process dies: a proposal that says `sending` while nobody holds its lock is `unknown`.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from app.actions.registry import ACTIONS, Action, Checked, Payload, check
from app.services.errors import LecternError, NotConfigured, StorageFailed, UpstreamError
from app.services.history import Conversation, History, Record, parse_timestamp
from app.services.history_index import HistoryIndex
from app.services.storage import is_locked, lock, make_private

LIFETIME = timedelta(hours=24)
SETTLE_AFTER = timedelta(seconds=30)  # by then a request without an answer has landed or is lost
LOOK_S = 0.1  # a look at the lock by somebody else is over sooner
NOT_RECORDED = "It was sent, but what came of it could not be recorded. Check before sending again."
SENT_AS = "the account of FORGE_TOKEN"
_PROPOSAL = re.compile(r"([0-9a-f]{12})-p[0-9a-f]{8}")


class Runner(Protocol):
    """How one action is carried out; see `issue_create.py`."""

    def problems(self, payload: Payload) -> Mapping[str, str]: ...
    def send(self, payload: Payload, *, mark: str) -> dict[str, Any]: ...
    def look(self, payload: Payload, *, mark: str, since: datetime) -> dict[str, Any] | None: ...
    def choices(self, repository: str) -> tuple[str, ...]: ...
    def prepare(self, repository: str) -> None: ...


class ProposalNotFound(LecternError):
    def __init__(self) -> None:
        super().__init__("There is no such card.")


class ProposalState(LecternError):
    """The card is not in a state in which this can be done to it."""

    def __init__(self, message: str, state: str) -> None:
        super().__init__(message)
        self.state = state


class InvalidPayload(LecternError):
    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("Some fields need a correction; nothing was sent.")
        self.problems = dict(problems)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal as its records stand now. `payload` is the newest: proposed, then as edited."""

    id: str
    turn: str
    type: str
    state: str
    payload: Payload
    raw: str = ""
    problem: str = ""
    sources: tuple[str, ...] = ()
    response: Mapping[str, Any] = field(default_factory=dict)
    proposed_at: str = ""
    sent_at: str = ""
    settled_at: str = ""
    settled_by: str = ""
    sent_as: str = ""

    @property
    def action(self) -> Action | None:
        return ACTIONS.get(self.type)

    @property
    def mark(self) -> str:
        """The hidden comment by which the effect is found again upstream."""
        return f"<!-- lectern:{self.id} -->"


class Proposals:
    def __init__(
        self,
        directory: Path,
        history: History,
        index: HistoryIndex,
        runners: Mapping[str, Runner],
        *,
        repositories: tuple[str, ...],
        now: Callable[[], datetime],
    ) -> None:
        self._directory = directory
        self._history = history
        self._index = index
        self._runners = runners
        self._repositories = repositories
        self._now = now

    def propose(
        self,
        conversation: Conversation,
        *,
        turn: str,
        type: str,  # noqa: A002
        payload: Mapping[str, object] | None,
        raw: str,
        problem: str = "",
        sources: Sequence[str] = (),
    ) -> str:
        """Store what the assistant wrote, valid or not, and return the proposal's id."""
        action = ACTIONS.get(type)
        checked = self.check(action, payload) if action and payload is not None else Checked({})
        if action is None:
            problem = f"There is no action called {type[:40]}."
        problem = problem or " ".join(checked.problems.values())
        proposal = f"{conversation.id}-p{secrets.token_hex(4)}"
        conversation.append(
            "action",
            turn=turn,
            durable=True,
            type=type,
            phase="invalid" if problem else "proposed",
            proposal=proposal,
            request={"raw": raw} if problem else checked.payload,
            sources=list(sources),
            **({"response": {"message": problem}} if problem else {}),
        )
        self._learn_choices(type, checked.payload)
        return proposal

    def _learn_choices(self, type: str, payload: Payload) -> None:  # noqa: A002
        runner = self._runners.get(type)
        try:
            if runner and payload:
                runner.prepare(str(payload["repo"]))
        except (UpstreamError, NotConfigured):
            return  # the card then has a plain field

    def check(self, action: Action, payload: Mapping[str, object]) -> Checked:
        return check(action, payload, repositories=self._repositories)

    def choices(self, proposal: Proposal) -> tuple[str, ...]:
        runner = self._runners.get(proposal.type)
        return runner.choices(str(proposal.payload.get("repo", ""))) if runner else ()

    def of_turn(self, records: Sequence[Record]) -> tuple[Proposal, ...]:
        """The proposals in a turn's records, in the order in which they were made."""
        ids = dict.fromkeys(str(r["proposal"]) for r in records if r.get("role") == "action")
        return tuple(self._fold(id, records) for id in ids)  # noqa: A001

    def find(self, user: str, proposal: str) -> Proposal:
        """Raises ProposalNotFound, for another user's proposal too."""
        return self._read(self._conversation(user, proposal), proposal)

    def direct(self, user: str, action: Action, payload: Payload) -> str:
        """A proposal a person makes without the assistant, in a conversation of its own."""
        conversation = self._index.create(user, doc=None, page_kind="action")
        return self.propose(conversation, turn="", type=action.name, payload=payload, raw="")

    def send(
        self, user: str, proposal: str, payload: Mapping[str, object] | None, *, by: str
    ) -> tuple[Proposal, bool]:
        """Carry out a proposal, with `payload` as the person edited it (None: as proposed).

        Returns the proposal and whether this call sent it: a click on what is done answers the
        first result. Raises ProposalState, InvalidPayload, UpstreamError, StorageFailed.
        """
        conversation = self._conversation(user, proposal)
        with self._held(proposal):
            current = self._read(conversation, proposal, is_held=True)
            action = ACTIONS.get(current.type)
            if action is None or current.state == "invalid":
                raise ProposalState("This card cannot be sent.", current.state)
            checked = self.check(action, current.payload if payload is None else payload)
            if current.state == "done":
                return self._first_result(current, checked), False
            self._refuse_unless_open(current)
            runner = self._runners[current.type]
            problems = checked.problems or runner.problems(checked.payload)
            if problems:
                raise InvalidPayload(problems)
            return self._send(conversation, current, checked.payload, by), True

    def _first_result(self, current: Proposal, checked: Checked) -> Proposal:
        if checked.payload != current.payload:
            raise ProposalState("This card was already sent, with other content.", "done")
        return current

    def _refuse_unless_open(self, current: Proposal) -> None:
        if current.state == "unknown":
            message = "It is not known whether this was carried out. Check before sending it again."
            raise ProposalState(message, current.state)
        if current.state not in ("proposed", "failed"):
            raise ProposalState(f"This card is {current.state}.", current.state)

    def _send(
        self, conversation: Conversation, current: Proposal, payload: Payload, by: str
    ) -> Proposal:
        """The one place where something leaves: recorded and on disk before, settled after."""
        note = _Note(conversation, replace(current, payload=payload), by)
        note.write("sending", request=payload)
        try:
            response = self._runners[current.type].send(payload, mark=current.mark)
        except NotConfigured as error:
            note.write("failed", response={"code": "not_configured", "message": str(error)})
            raise
        except UpstreamError as error:
            phase = "failed" if error.effect == "none" else "unknown"
            note.settle(phase, _failure(error))
            raise
        note.settle("done", response)
        return self._read(conversation, current.id, is_held=True)

    def settle(self, user: str, proposal: str, *, by: str) -> Proposal:
        """Look upstream for the effect of a proposal whose outcome is unknown."""
        conversation = self._conversation(user, proposal)
        with self._held(proposal):
            current = self._read(conversation, proposal, is_held=True)
            if current.state != "unknown":
                return current
            since = parse_timestamp(current.sent_at)
            runner = self._runners[current.type]
            found = runner.look(
                current.payload, mark=current.mark, since=since - timedelta(minutes=10)
            )
            note = _Note(conversation, current, by)
            if found:
                note.write("done", response=found)
            elif _was_answered(current) or self._now() - since > SETTLE_AFTER:
                message = f"{_service(current)} has no trace of it, so nothing was created."
                note.write("failed", response={"code": "not_found", "message": message})
            return self._read(conversation, proposal, is_held=True)

    def dismiss(self, user: str, proposal: str, *, by: str) -> Proposal:
        conversation = self._conversation(user, proposal)
        with self._held(proposal):
            current = self._read(conversation, proposal, is_held=True)
            if current.state in ("proposed", "failed"):
                _Note(conversation, current, by).write("dismissed")
            return self._read(conversation, proposal, is_held=True)

    def _conversation(self, user: str, proposal: str) -> Conversation:
        match = _PROPOSAL.fullmatch(proposal)
        if not match:
            raise ProposalNotFound
        try:
            return self._history.conversation(user, match[1])
        except LecternError as error:
            raise ProposalNotFound from error

    def _read(
        self, conversation: Conversation, proposal: str, *, is_held: bool = False
    ) -> Proposal:
        records: list[Record] = []
        for record in conversation.backwards():
            if record.get("proposal") == proposal:
                records.append(record)
                if record.get("phase") in ("proposed", "invalid"):
                    return self._fold(proposal, records[::-1], is_held=is_held)
        raise ProposalNotFound

    def _fold(self, proposal: str, records: Sequence[Record], *, is_held: bool = False) -> Proposal:
        current = Proposal(proposal, "", "", "", {})
        for record in records:
            if record.get("role") == "action" and record.get("proposal") == proposal:
                current = _advanced(current, record)
        if current.state == "sending" and (is_held or not is_locked(self._lock(proposal))):
            return replace(current, state="unknown")
        if current.state == "proposed" and self._is_old(current):
            return replace(current, state="expired")
        return current

    def _is_old(self, proposal: Proposal) -> bool:
        return self._now() - parse_timestamp(proposal.proposed_at) > LIFETIME

    def _lock(self, proposal: str) -> Path:
        return self._directory / f"{proposal}.lock"

    @contextmanager
    def _held(self, proposal: str) -> Iterator[None]:
        make_private(self._directory)
        path = self._lock(proposal)
        descriptor = lock(path, wait_s=LOOK_S)
        if descriptor is None:
            raise ProposalState("This is being sent at this moment.", "sending")
        try:
            yield
        finally:
            path.unlink(missing_ok=True)  # whoever waits opens it anew
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class _Note:
    """Writes the steps of one proposal, with who took them and how long they took."""

    conversation: Conversation
    proposal: Proposal
    by: str
    begun: float = field(default_factory=time.monotonic)

    def settle(self, phase: str, response: Mapping[str, Any]) -> None:
        """Write what came of something that was sent; without it the card stays `unknown`."""
        try:
            self.write(phase, response=response)
        except StorageFailed as error:
            raise StorageFailed(NOT_RECORDED) from error

    def write(self, phase: str, **more: object) -> None:
        self.conversation.append(
            "action",
            turn=self.proposal.turn,
            durable=True,
            type=self.proposal.type,
            phase=phase,
            proposal=self.proposal.id,
            by=self.by,
            **({} if phase == "dismissed" else {"sent_as": SENT_AS}),
            ms=round((time.monotonic() - self.begun) * 1000),
            **more,
        )


def _advanced(current: Proposal, record: Record) -> Proposal:
    """The proposal one record later."""
    phase, ts = str(record.get("phase", "")), str(record.get("ts", ""))
    response = record.get("response") or {}
    changes: dict[str, Any] = {"state": phase, "response": response}
    if phase in ("proposed", "invalid"):
        changes |= _origin(record, ts)
    elif phase == "sending":
        changes |= {"payload": record.get("request") or current.payload, "sent_at": ts}
        changes |= {"sent_as": str(record.get("sent_as", ""))}
    else:
        changes |= {"settled_at": ts, "settled_by": str(record.get("by", ""))}
    changes["problem"] = str(response.get("message", ""))
    return replace(current, **changes)


def _origin(record: Record, ts: str) -> dict[str, Any]:
    request = record.get("request") or {}
    return {
        "turn": str(record.get("turn", "")),
        "type": str(record.get("type", "")),
        "payload": {} if "raw" in request else request,
        "raw": str(request.get("raw", "")),
        "sources": tuple(record.get("sources") or ()),
        "proposed_at": ts,
    }


def _was_answered(proposal: Proposal) -> bool:
    """Whether the service itself has spoken; a proxy's word says nothing of what it still does."""
    return proposal.response.get("status") not in (None, 502, 503, 504)


def _failure(error: UpstreamError) -> dict[str, Any]:
    return {"code": error.code, "status": error.status, "message": str(error)}


def _service(proposal: Proposal) -> str:
    return proposal.action.service if proposal.action else "The service"
