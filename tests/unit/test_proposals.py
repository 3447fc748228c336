"""A proposal's life, with an upstream that does what a test wants."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.actions.proposals import (
    InvalidPayload,
    Proposal,
    ProposalNotFound,
    Proposals,
    ProposalState,
)
from app.actions.registry import Payload
from app.services.errors import LecternError, NotConfigured, StorageFailed, UpstreamError
from app.services.history import Conversation, History
from app.services.history_index import HistoryIndex
from app.services.storage import lock

PAYLOAD: Payload = {"title": "A title", "body": "", "labels": []}
WHOLE: Payload = {"repo": "acme/widgets", **PAYLOAD}
MILLISECOND = timedelta(milliseconds=1)
LIFETIME = timedelta(hours=24)
SETTLE_AFTER = timedelta(seconds=30)


@dataclass
class Clock:
    moment: datetime = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment


@dataclass
class Upstream:
    """An action's other side: keeps what was done, and fails as it is told, before or after."""

    done: dict[str, Payload] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    looked: list[datetime] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    before: Callable[[], None] | None = None
    after: Callable[[], None] | None = None
    unreachable: UpstreamError | NotConfigured | None = None
    names: tuple[str, ...] = ()

    def problems(self, payload: Payload) -> Mapping[str, str]:
        self._reach()
        return self.refused

    def send(self, payload: Payload, *, mark: str) -> dict[str, Any]:
        self.sent.append(mark)
        if self.before:
            self.before()
        assert mark not in self.done, "a second effect"
        self.done[mark] = payload
        if self.after:
            self.after()
        return self._response(mark)

    def look(self, payload: Payload, *, mark: str, since: datetime) -> dict[str, Any] | None:
        self._reach()
        self.looked.append(since)
        return self._response(mark) if mark in self.done else None

    def choices(self, repository: str) -> tuple[str, ...]:
        return self.names

    def prepare(self, repository: str) -> None:
        self._reach()
        self.names = ("bug",)

    def _response(self, mark: str) -> dict[str, Any]:
        number = list(self.done).index(mark) + 1
        return {"status": 201, "number": number, "url": "https://forge.test/1"}

    def _reach(self) -> None:
        if self.unreachable:
            raise self.unreachable


def raising(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def failure(code: str, effect: Any = "unknown", status: int | None = None) -> UpstreamError:
    return UpstreamError(
        f"Forgejo: {code}.", service="forge", code=code, effect=effect, status=status
    )


class PowerCut(BaseException):
    """The process ends here: nothing after it is written."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
def history(tmp_path: Path, clock: Clock) -> History:
    return History(tmp_path / "history", now=clock)


@pytest.fixture
def make(
    tmp_path: Path, history: History, clock: Clock, upstream: Upstream
) -> Callable[[], Proposals]:
    """Each call is what another process would have."""
    return lambda: Proposals(
        tmp_path / "proposals",
        history,
        HistoryIndex(tmp_path / "index", history),
        {"issue-create": upstream},
        repositories=("acme/widgets", "acme/other"),
        now=clock,
    )


@pytest.fixture
def proposals(make: Callable[[], Proposals]) -> Proposals:
    return make()


@pytest.fixture
def conversation(history: History) -> Conversation:
    return history.create("ines")


@pytest.fixture
def card(proposals: Proposals, conversation: Conversation) -> str:
    return propose(proposals, conversation)


def propose(proposals: Proposals, conversation: Conversation, **more: Any) -> str:
    given: dict[str, Any] = {"type": "issue-create", "payload": PAYLOAD, "raw": "{…}", **more}
    return proposals.propose(conversation, turn="t1", **given)


def click(proposals: Proposals, card: str, payload: Payload | None = None) -> tuple[Proposal, bool]:
    return proposals.send("ines", card, payload, by="ines")


def state(proposals: Proposals, card: str) -> str:
    return proposals.find("ines", card).state


def phases(conversation: Conversation) -> list[str]:
    return [r["phase"] for r in conversation.records() if r["role"] == "action"]


def fail_with(
    proposals: Proposals, upstream: Upstream, card: str, error: UpstreamError, *, done: bool = False
) -> None:
    """One click that ends in `error`, with or without an effect."""
    upstream.before, upstream.after = (None, raising(error)) if done else (raising(error), None)
    with pytest.raises(UpstreamError):
        click(proposals, card)
    upstream.before = upstream.after = None


@contextmanager
def no_room() -> Iterator[None]:
    """No file of this process may grow: what a full disk does, without one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# Proposing


def test_a_valid_payload_is_stored_as_a_proposal(
    proposals: Proposals, conversation: Conversation, upstream: Upstream
) -> None:
    card = propose(proposals, conversation, sources=("docs/a.md",))
    found = proposals.find("ines", card)
    assert (found.state, found.type, found.turn) == ("proposed", "issue-create", "t1")
    assert found.payload == WHOLE
    assert found.sources == ("docs/a.md",)
    assert found.proposed_at == "2026-03-01T12:00:00.000Z"
    assert card.startswith(f"{conversation.id}-p")
    assert upstream.sent == []


INVALID: dict[str, dict[str, Any]] = {
    "unknown action": {"type": "repo-delete"},
    "unknown key": {"payload": {**PAYLOAD, "assignee": "me"}},
    "no title": {"payload": {}},
    "no object": {"payload": None, "problem": "The payload is not JSON."},
    "foreign repository": {"payload": {**PAYLOAD, "repo": "evil/x"}},
}


@pytest.mark.parametrize("more", INVALID.values(), ids=INVALID.keys())
def test_an_invalid_one_is_stored_with_its_reason_and_never_sent(
    proposals: Proposals, conversation: Conversation, upstream: Upstream, more: dict[str, Any]
) -> None:
    card = propose(proposals, conversation, **more)
    found = proposals.find("ines", card)
    assert (found.state, found.raw) == ("invalid", "{…}")
    assert found.problem
    for payload in (None, PAYLOAD):
        with pytest.raises(ProposalState):
            click(proposals, card, payload)
    assert proposals.dismiss("ines", card, by="ines").state == "invalid"
    assert proposals.settle("ines", card, by="ines").state == "invalid"
    assert upstream.sent == []
    assert phases(conversation) == ["invalid"]


def test_proposing_learns_what_a_card_can_offer(
    proposals: Proposals, conversation: Conversation
) -> None:
    card = propose(proposals, conversation)
    assert proposals.choices(proposals.find("ines", card)) == ("bug",)


@pytest.mark.parametrize(
    "error", [failure("unreachable", "none"), NotConfigured("forge", "Forgejo is off.")]
)
def test_an_upstream_out_of_reach_does_not_hinder_proposing(
    proposals: Proposals, conversation: Conversation, upstream: Upstream, error: Any
) -> None:
    upstream.unreachable = error
    card = propose(proposals, conversation)
    assert state(proposals, card) == "proposed"
    assert proposals.choices(proposals.find("ines", card)) == ()


def test_the_proposals_of_a_turn_come_in_their_order(
    proposals: Proposals, conversation: Conversation
) -> None:
    cards = [propose(proposals, conversation) for _ in range(3)]
    click(proposals, cards[0])
    proposals.dismiss("ines", cards[2], by="ines")
    found = proposals.of_turn(list(conversation.records()))
    assert [p.id for p in found] == cards
    assert [p.state for p in found] == ["done", "proposed", "dismissed"]


# Sending


def test_a_click_does_it_once_and_records_each_step(
    proposals: Proposals, conversation: Conversation, upstream: Upstream, card: str
) -> None:
    done, is_first = click(proposals, card)
    assert is_first
    assert done.state == "done"
    assert done.response["number"] == 1
    assert upstream.done == {f"<!-- lectern:{card} -->": WHOLE}
    assert phases(conversation) == ["proposed", "sending", "done"]
    _, sending, settled = list(conversation.records())
    assert sending["request"] == WHOLE
    assert settled["response"]["url"] == "https://forge.test/1"
    for record in (sending, settled):
        assert (record["by"], record["type"], record["turn"]) == ("ines", "issue-create", "t1")
        assert record["sent_as"] == "the account of FORGE_TOKEN"
        assert record["ms"] >= 0
    assert (done.settled_by, done.settled_at) == ("ines", settled["ts"])
    assert done.sent_at == sending["ts"]


def test_the_intention_is_on_record_before_anything_leaves(
    proposals: Proposals, conversation: Conversation, upstream: Upstream, card: str
) -> None:
    seen: list[str] = []
    upstream.before = lambda: seen.extend(phases(conversation))
    click(proposals, card)
    assert seen == ["proposed", "sending"]


def test_while_it_is_being_sent_it_says_so_and_takes_nothing(
    make: Callable[[], Proposals], upstream: Upstream, card: str
) -> None:
    seen: list[object] = []

    def look() -> None:
        other = make()
        seen.append(state(other, card))
        for step in (
            lambda: click(other, card),
            lambda: other.dismiss("ines", card, by="x"),
            lambda: other.settle("ines", card, by="x"),
        ):
            with pytest.raises(ProposalState) as caught:
                step()
            seen.append(caught.value.state)

    upstream.before = look
    click(make(), card)
    assert seen == ["sending"] * 4


def test_a_second_click_gives_the_first_result(
    make: Callable[[], Proposals], upstream: Upstream, card: str
) -> None:
    first, _ = click(make(), card)
    again, is_first = click(make(), card)
    same, _ = click(make(), card, PAYLOAD)
    assert not is_first
    assert first == again == same
    assert len(upstream.sent) == 1


def test_other_content_behind_a_result_is_refused(
    proposals: Proposals, upstream: Upstream, card: str
) -> None:
    click(proposals, card)
    with pytest.raises(ProposalState) as caught:
        click(proposals, card, {**PAYLOAD, "title": "Another"})
    assert caught.value.state == "done"
    assert len(upstream.sent) == 1


def test_what_was_edited_is_what_is_sent_and_stays(
    proposals: Proposals, conversation: Conversation, upstream: Upstream, card: str
) -> None:
    edited: Payload = {
        "title": "Better",
        "body": "a\r\nb",
        "labels": ["bug"],
        "repo": "acme/other",
    }
    done, _ = click(proposals, card, edited)
    assert done.payload == {**edited, "body": "a\nb"}
    assert list(upstream.done.values()) == [done.payload]
    records = list(conversation.records())
    assert records[0]["request"]["title"] == "A title"
    assert records[1]["request"]["title"] == "Better"


def test_many_clicks_at_once_have_one_effect(
    make: Callable[[], Proposals], upstream: Upstream, card: str
) -> None:
    started = threading.Barrier(12)

    def one(_: int) -> str:
        proposals = make()
        started.wait(10)
        try:
            return click(proposals, card)[0].state
        except ProposalState as error:
            return error.state

    with ThreadPoolExecutor(12) as pool:
        states = list(pool.map(one, range(12)))
    assert set(states) <= {"done", "sending"}
    assert "done" in states
    assert len(upstream.sent) == 1


def test_an_invalid_edit_is_refused_and_leaves_no_trace(
    proposals: Proposals, conversation: Conversation, upstream: Upstream, card: str
) -> None:
    with pytest.raises(InvalidPayload) as caught:
        click(proposals, card, {**PAYLOAD, "title": "", "more": "x"})
    assert set(caught.value.problems) == {"title", "more"}
    upstream.refused = {"labels": "There is no such label."}
    with pytest.raises(InvalidPayload) as caught:
        click(proposals, card)
    assert caught.value.problems == {"labels": "There is no such label."}
    assert state(proposals, card) == "proposed"
    assert phases(conversation) == ["proposed"]
    assert upstream.sent == []


@pytest.mark.parametrize(
    "error", [failure("timeout", "none"), NotConfigured("forge", "Forgejo is off.")]
)
def test_an_upstream_that_cannot_be_asked_before_sending_changes_nothing(
    proposals: Proposals, conversation: Conversation, upstream: Upstream, card: str, error: Any
) -> None:
    upstream.unreachable = error
    with pytest.raises(type(error)):
        click(proposals, card)
    assert phases(conversation) == ["proposed"]
    upstream.unreachable = None
    assert click(proposals, card)[0].state == "done"


def test_a_refusal_is_a_failure_that_can_be_mended_and_sent_again(
    proposals: Proposals, conversation: Conversation, upstream: Upstream, card: str
) -> None:
    fail_with(proposals, upstream, card, failure("forbidden", "none", 403))
    failed = proposals.find("ines", card)
    assert (failed.state, failed.problem) == ("failed", "Forgejo: forbidden.")
    assert failed.response["status"] == 403
    done, is_first = click(proposals, card, {**PAYLOAD, "title": "Mended"})
    assert (done.state, is_first) == ("done", True)
    assert phases(conversation) == ["proposed", "sending", "failed", "sending", "done"]
    assert len(upstream.done) == 1


def test_a_service_that_went_off_is_a_failure(
    proposals: Proposals, upstream: Upstream, card: str
) -> None:
    upstream.before = raising(NotConfigured("forge", "Forgejo is off."))
    with pytest.raises(NotConfigured):
        click(proposals, card)
    assert state(proposals, card) == "failed"


def test_a_lost_answer_is_unknown_and_never_sent_again(
    proposals: Proposals, upstream: Upstream, card: str
) -> None:
    fail_with(proposals, upstream, card, failure("timeout"), done=True)
    assert state(proposals, card) == "unknown"
    for payload in (None, PAYLOAD, {**PAYLOAD, "title": "x"}):
        with pytest.raises(ProposalState) as caught:
            click(proposals, card, payload)
        assert caught.value.state == "unknown"
    assert proposals.dismiss("ines", card, by="ines").state == "unknown"
    assert len(upstream.sent) == 1


# Settling


def test_checking_finds_what_was_done(
    proposals: Proposals, upstream: Upstream, clock: Clock, card: str
) -> None:
    fail_with(proposals, upstream, card, failure("timeout"), done=True)
    sent = proposals.find("ines", card).sent_at
    clock.moment += timedelta(hours=1)
    settled = proposals.settle("ines", card, by="tomas")
    assert (settled.state, settled.settled_by) == ("done", "tomas")
    assert settled.response["number"] == 1
    assert upstream.looked[0] < datetime.fromisoformat(sent)
    assert click(proposals, card)[1] is False


def test_an_upstream_that_answered_is_believed_at_once(
    proposals: Proposals, upstream: Upstream, card: str
) -> None:
    fail_with(proposals, upstream, card, failure("failed", status=500))
    settled = proposals.settle("ines", card, by="ines")
    assert settled.state == "failed"
    assert "no trace" in settled.problem
    assert click(proposals, card)[0].state == "done"


def test_without_an_answer_nothing_is_concluded_for_half_a_minute(
    proposals: Proposals, conversation: Conversation, upstream: Upstream, clock: Clock, card: str
) -> None:
    fail_with(proposals, upstream, card, failure("timeout"))
    sent_at = datetime.fromisoformat(proposals.find("ines", card).sent_at)
    clock.moment = sent_at + SETTLE_AFTER
    assert proposals.settle("ines", card, by="ines").state == "unknown"
    assert phases(conversation)[-1] == "unknown"
    clock.moment = sent_at + SETTLE_AFTER + MILLISECOND
    assert proposals.settle("ines", card, by="ines").state == "failed"
    assert click(proposals, card)[0].state == "done"
    assert len(upstream.done) == 1


def test_what_lands_late_is_found_on_the_next_look(
    proposals: Proposals, upstream: Upstream, clock: Clock, card: str
) -> None:
    fail_with(proposals, upstream, card, failure("timeout"))
    clock.moment += timedelta(seconds=5)
    assert proposals.settle("ines", card, by="ines").state == "unknown"
    upstream.done[proposals.find("ines", card).mark] = WHOLE
    clock.moment += timedelta(minutes=5)
    assert proposals.settle("ines", card, by="ines").state == "done"


def test_a_look_that_fails_concludes_nothing(
    proposals: Proposals, upstream: Upstream, clock: Clock, card: str
) -> None:
    fail_with(proposals, upstream, card, failure("timeout"), done=True)
    clock.moment += timedelta(hours=1)
    upstream.unreachable = failure("unreachable", "none")
    with pytest.raises(UpstreamError):
        proposals.settle("ines", card, by="ines")
    assert state(proposals, card) == "unknown"
    upstream.unreachable = None
    assert proposals.settle("ines", card, by="ines").state == "done"


def test_only_what_is_unknown_is_looked_for(
    proposals: Proposals, conversation: Conversation, upstream: Upstream, card: str
) -> None:
    assert proposals.settle("ines", card, by="ines").state == "proposed"
    click(proposals, card)
    assert proposals.settle("ines", card, by="ines").state == "done"
    assert upstream.looked == []
    assert phases(conversation) == ["proposed", "sending", "done"]


# A process that dies


@pytest.mark.parametrize("is_done", [False, True], ids=["before the effect", "after the effect"])
def test_a_process_that_dies_while_sending_leaves_an_unknown(
    make: Callable[[], Proposals], upstream: Upstream, clock: Clock, card: str, is_done: bool
) -> None:
    cut = raising(PowerCut())
    upstream.before, upstream.after = (None, cut) if is_done else (cut, None)
    with pytest.raises(PowerCut):
        click(make(), card)
    upstream.before = upstream.after = None
    found = make().find("ines", card)
    assert found.state == "unknown"
    assert found.sent_as
    with pytest.raises(ProposalState):
        click(make(), card)
    clock.moment += SETTLE_AFTER + timedelta(seconds=1)
    assert make().settle("ines", card, by="ines").state == ("done" if is_done else "failed")
    assert click(make(), card)[0].state == "done"
    assert len(upstream.done) == 1


def test_a_record_of_sending_without_a_holder_is_unknown_and_with_one_it_is_not(
    tmp_path: Path, proposals: Proposals, conversation: Conversation, card: str
) -> None:
    conversation.append(
        "action", turn="t1", type="issue-create", phase="sending", proposal=card, request=WHOLE
    )
    assert state(proposals, card) == "unknown"
    (tmp_path / "proposals").mkdir(exist_ok=True)
    held = lock(tmp_path / "proposals" / f"{card}.lock")
    assert state(proposals, card) == "sending"
    assert [p.state for p in proposals.of_turn(list(conversation.records()))] == ["sending"]
    assert held is not None
    (tmp_path / "proposals" / f"{card}.lock").unlink()
    os.close(held)
    assert state(proposals, card) == "unknown"


# Records that cannot be written


def test_nothing_is_sent_when_the_intention_cannot_be_recorded(
    proposals: Proposals, conversation: Conversation, upstream: Upstream, card: str
) -> None:
    with no_room(), pytest.raises(StorageFailed, match="nothing was done"):
        click(proposals, card)
    assert upstream.sent == []
    assert state(proposals, card) == "proposed"
    assert phases(conversation) == ["proposed"]
    assert click(proposals, card)[0].state == "done"


def test_a_result_that_cannot_be_recorded_is_unknown_until_it_is_checked(
    proposals: Proposals, upstream: Upstream, card: str
) -> None:
    room = no_room()
    upstream.after = room.__enter__
    try:
        with pytest.raises(StorageFailed, match="It was sent"):
            click(proposals, card)
    finally:
        room.__exit__(None, None, None)
    upstream.after = None
    assert state(proposals, card) == "unknown"
    assert proposals.settle("ines", card, by="ines").state == "done"
    assert len(upstream.done) == 1


# Dismissing and growing old


def test_a_dismissed_card_is_not_sent(
    proposals: Proposals, conversation: Conversation, upstream: Upstream, card: str
) -> None:
    dismissed = proposals.dismiss("ines", card, by="tomas")
    assert (dismissed.state, dismissed.settled_by) == ("dismissed", "tomas")
    with pytest.raises(ProposalState) as caught:
        click(proposals, card)
    assert caught.value.state == "dismissed"
    assert proposals.dismiss("ines", card, by="ines").settled_by == "tomas"
    assert upstream.sent == []
    assert phases(conversation) == ["proposed", "dismissed"]


def test_a_failed_card_can_be_dismissed_and_a_done_one_cannot(
    proposals: Proposals, conversation: Conversation, upstream: Upstream, card: str
) -> None:
    fail_with(proposals, upstream, card, failure("forbidden", "none", 403))
    assert proposals.dismiss("ines", card, by="ines").state == "dismissed"
    other = propose(proposals, conversation)
    click(proposals, other)
    assert proposals.dismiss("ines", other, by="ines").state == "done"


def test_a_proposal_is_good_for_a_day(
    proposals: Proposals, conversation: Conversation, upstream: Upstream, clock: Clock, card: str
) -> None:
    clock.moment = datetime.fromisoformat(proposals.find("ines", card).proposed_at) + LIFETIME
    assert state(proposals, card) == "proposed"
    clock.moment += MILLISECOND
    assert state(proposals, card) == "expired"
    with pytest.raises(ProposalState) as caught:
        click(proposals, card)
    assert caught.value.state == "expired"
    assert proposals.dismiss("ines", card, by="ines").state == "expired"
    assert upstream.sent == []
    assert phases(conversation) == ["proposed"]


@pytest.mark.parametrize("is_done", [False, True], ids=["failed", "done"])
def test_what_was_clicked_in_time_does_not_expire(
    proposals: Proposals, upstream: Upstream, clock: Clock, card: str, is_done: bool
) -> None:
    if is_done:
        click(proposals, card)
    else:
        fail_with(proposals, upstream, card, failure("forbidden", "none", 403))
    clock.moment += timedelta(days=30)
    assert state(proposals, card) == ("done" if is_done else "failed")


# Whose it is


def test_another_persons_card_does_not_exist(
    proposals: Proposals, history: History, upstream: Upstream, card: str
) -> None:
    history.create("tomas")
    for step in (
        lambda: proposals.find("tomas", card),
        lambda: proposals.send("tomas", card, None, by="tomas"),
        lambda: proposals.settle("tomas", card, by="tomas"),
        lambda: proposals.dismiss("tomas", card, by="tomas"),
    ):
        with pytest.raises(ProposalNotFound):
            step()
    assert upstream.sent == []


BAD_IDS = {
    "empty": "",
    "a path": "../x",
    "a newline": "0" * 12 + "-p" + "0" * 8 + "\n",
    "capitals": "A" * 12 + "-p" + "0" * 8,
    "no such conversation": "0" * 12 + "-p" + "0" * 8,
    "a turn": "0" * 12 + "-" + "0" * 8,
}


@pytest.mark.parametrize("card", BAD_IDS.values(), ids=BAD_IDS.keys())
def test_an_id_that_names_nothing_is_not_found_and_leaves_no_file(
    proposals: Proposals, tmp_path: Path, card: str
) -> None:
    with pytest.raises(ProposalNotFound):
        proposals.find("ines", card)
    with pytest.raises(ProposalNotFound):
        click(proposals, card)
    assert not list(tmp_path.glob("proposals/*"))


def test_a_card_of_another_conversation_is_not_found_in_this_one(
    proposals: Proposals, conversation: Conversation, history: History, card: str
) -> None:
    other = history.create("ines")
    with pytest.raises(ProposalNotFound):
        proposals.find("ines", card.replace(conversation.id, other.id))


def test_a_direct_call_gets_a_conversation_of_its_own(
    proposals: Proposals, conversation: Conversation, history: History, upstream: Upstream
) -> None:
    action = proposals.find("ines", propose(proposals, conversation)).action
    assert action is not None
    card = proposals.direct("ines", action, WHOLE)
    assert card.partition("-")[0] != conversation.id
    assert click(proposals, card)[0].state == "done"
    assert phases(history.conversation("ines", card.partition("-")[0])) == [
        "proposed",
        "sending",
        "done",
    ]


def test_every_step_leaves_no_lock_behind(
    proposals: Proposals, tmp_path: Path, upstream: Upstream, card: str
) -> None:
    for step in (
        lambda: fail_with(proposals, upstream, card, failure("forbidden", "none", 403)),
        lambda: click(proposals, card),
        lambda: proposals.settle("ines", card, by="ines"),
        lambda: proposals.dismiss("ines", card, by="ines"),
    ):
        step()
        assert list((tmp_path / "proposals").iterdir()) == []


def test_what_a_person_is_told_is_a_sentence() -> None:
    for error in (ProposalNotFound(), ProposalState("No.", "done"), InvalidPayload({})):
        assert isinstance(error, LecternError)
        assert str(error).endswith(".")
