"""Whatever is clicked, answered, lost, cut off and looked up: at most one effect per proposal."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from app.actions.proposals import SETTLE_AFTER, Proposals
from app.actions.registry import Payload
from app.services.errors import LecternError, UpstreamError
from app.services.history import Conversation, History
from app.services.history_index import HistoryIndex

ANSWERS = {
    "created": ("at once", None),
    "refused": ("never", ("none", 403)),
    "unreachable": ("never", ("none", None)),
    "failed without an effect": ("never", ("unknown", 500)),
    "failed behind the effect": ("at once", ("unknown", 500)),
    "lost request": ("never", ("unknown", None)),
    "lost answer": ("at once", ("unknown", None)),
    "slow request": ("later", ("unknown", None)),
}


MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # each step waits for the disk


class PowerCut(BaseException):
    """The process dies here."""


@dataclass
class Upstream:
    """Counts its effects. A slow request has its effect when time goes on."""

    effects: Counter[str] = field(default_factory=Counter)
    under_way: list[str] = field(default_factory=list)
    answer: str = "created"
    power_cut: str = ""  # "before" or "after" the effect
    is_deaf: bool = False

    def arrive(self) -> None:
        self.effects.update(self.under_way)
        self.under_way.clear()

    def problems(self, payload: Payload) -> Mapping[str, str]:
        self._reach()
        return {}

    def send(self, payload: Payload, *, mark: str) -> dict[str, Any]:
        if self.power_cut == "before":
            raise PowerCut
        when, failure = ANSWERS[self.answer]
        if when == "at once":
            self.effects[mark] += 1
        elif when == "later":
            self.under_way.append(mark)
        if self.power_cut == "after":
            raise PowerCut
        if failure:
            effect, status = failure
            raise UpstreamError("No.", service="forge", code="failed", effect=effect, status=status)  # type: ignore[arg-type]
        return {"status": 201, "number": 1}

    def look(self, payload: Payload, *, mark: str, since: datetime) -> dict[str, Any] | None:
        self._reach()
        return {"status": 201, "number": 1} if self.effects[mark] else None

    def choices(self, repository: str) -> tuple[str, ...]:
        return ()

    def prepare(self, repository: str) -> None:
        self._reach()

    def _reach(self) -> None:
        if self.is_deaf:
            raise UpstreamError("No.", service="forge", code="unreachable")


class ProposalLife(RuleBasedStateMachine):
    cards = Bundle("cards")

    @initialize(target=cards)
    def begin(self) -> str:
        self.folder = Path(tempfile.mkdtemp(prefix="lectern-proposals-", dir=MEMORY))
        self.moment = datetime(2026, 3, 1, tzinfo=UTC)
        self.upstream = Upstream()
        self.known: list[str] = []
        self.history = History(self.folder / "history", now=lambda: self.moment)
        self.conversation: Conversation = self.history.create("ines")
        self.restart()
        return self.propose_one("One")

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    @rule()
    def restart(self) -> None:
        self.proposals = Proposals(
            self.folder / "proposals",
            self.history,
            HistoryIndex(self.folder / "index", self.history),
            {"issue-create": self.upstream},
            repositories=("acme/widgets",),
            now=lambda: self.moment,
        )

    @rule(target=cards, title=st.sampled_from(["One", "Two", ""]))
    def propose(self, title: str) -> str:
        return self.propose_one(title)

    def propose_one(self, title: str) -> str:
        card = self.proposals.propose(
            self.conversation, turn="t", type="issue-create", payload={"title": title}, raw="{}"
        )
        self.known.append(card)
        return card

    @rule(
        card=cards,
        answer=st.sampled_from(sorted(ANSWERS)),
        title=st.sampled_from([None, None, "One", "Edited", ""]),
        power_cut=st.sampled_from(["", "", "", "", "before", "after"]),
    )
    def click(self, card: str, answer: str, title: str | None, power_cut: str) -> None:
        self.upstream.answer, self.upstream.power_cut = answer, power_cut
        payload = None if title is None else {"title": title}
        with suppress(LecternError, PowerCut):
            self.proposals.send("ines", card, payload, by="ines")

    @rule(target=cards, answer=st.sampled_from(sorted(ANSWERS)))
    def propose_and_click(self, answer: str) -> str:
        """What people do most."""
        card = self.propose_one("One")
        self.click(card, answer, None, "")
        return card

    @rule(card=cards, is_deaf=st.booleans())
    def check(self, card: str, is_deaf: bool) -> None:
        self.upstream.is_deaf = is_deaf
        with suppress(LecternError):
            self.proposals.settle("ines", card, by="ines")
        self.upstream.is_deaf = False

    @rule(card=cards)
    def dismiss(self, card: str) -> None:
        self.proposals.dismiss("ines", card, by="ines")

    @rule(seconds=st.sampled_from([0.001, 1, 29, 31, 3600, 90_000]))
    def wait(self, seconds: float) -> None:
        """A slow request lands within the time that checking waits for it."""
        self.moment += min(timedelta(seconds=seconds), SETTLE_AFTER)
        self.upstream.arrive()
        self.moment += max(timedelta(seconds=seconds) - SETTLE_AFTER, timedelta(0))

    @invariant()
    def no_proposal_has_a_second_effect(self) -> None:
        marks = [*self.upstream.effects.elements(), *self.upstream.under_way]
        assert all(count == 1 for count in Counter(marks).values())

    @invariant()
    def what_a_card_says_is_true(self) -> None:
        for card in getattr(self, "known", ()):
            found = self.proposals.find("ines", card)
            effects = self.upstream.effects[found.mark] + self.upstream.under_way.count(found.mark)
            if found.state == "done":
                assert effects == 1
            elif found.state != "unknown":
                assert found.state in ("proposed", "failed", "dismissed", "expired", "invalid")
                assert effects == 0

    @invariant()
    def every_effect_was_announced_on_record(self) -> None:
        if not hasattr(self, "upstream"):
            return
        announced = {
            f"<!-- lectern:{record['proposal']} -->"
            for record in self.conversation.records()
            if record["phase"] == "sending"
        }
        assert set(self.upstream.effects.elements()) <= announced


ProposalLife.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestProposalLife = ProposalLife.TestCase
