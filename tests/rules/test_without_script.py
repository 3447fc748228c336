"""Whoever has no JavaScript is told in words what came of every form, and keeps their own."""

from __future__ import annotations

import re
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from werkzeug.test import TestResponse

from app.demo.forgejo import Forgejo
from app.demo.model import Model
from app.demo.reply import Reply, Text, Wait, say
from app.demo.traffic import Fault
from app.settings import Settings
from tests.support import Person, running, services_of

MARKER = '<action type="issue-create">{"title": "Retry", "labels": ["bug"]}</action>'
SEND = "/chat/action/issue-create"


@pytest.fixture
def card(person: Person, model: Model) -> str:
    model.script(say(f"Agreed.\n\n{MARKER}"))
    return str(person.ask("File it", doc="docs/setup.md")["proposal"][0]["proposal"])


def shown(person: Person, answer: TestResponse) -> str:
    """The page a browser without script ends up with, as text."""
    page = person.visit(answer.location).text if answer.status_code == 303 else answer.text
    assert page.count("<h1") == 1
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def state(person: Person) -> str:
    panel = person.fetch("/chat/panel?doc=docs/setup.md").text
    return panel.partition('data-card="')[2].partition('data-state="')[2].partition('"')[0]


@contextmanager
def no_room() -> Iterator[None]:
    """No file of this process may grow: what a full disk does, without one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_click_that_works_leads_back_to_the_result(person: Person, card: str) -> None:
    answer = person.submit(SEND, proposal=card)
    assert answer.status_code == 303
    assert answer.location.endswith(f"#lectern-card-{card}")
    assert "#1 Retry" in shown(person, answer)


REFUSED = {
    "a refusal": (Fault(path=".*/issues", status=403), "may not create issues", "failed"),
    "a lost answer": (Fault(path=".*/issues", drop=True), "It may have been done", "unknown"),
    "labels that cannot be read": (
        Fault(method="GET", path=".*/widgets/labels", status=500),
        "Forgejo failed",
        "proposed",
    ),
}


@pytest.mark.parametrize(("fault", "words", "left"), REFUSED.values(), ids=REFUSED.keys())
def test_a_click_that_fails_says_why(
    person: Person, forgejo: Forgejo, card: str, fault: Fault, words: str, left: str
) -> None:
    forgejo.fail_next(fault)
    # A label that is not known yet makes the labels be read again.
    label = "brand-new" if fault.method == "GET" else "bug"
    answer = person.submit(SEND, proposal=card, title="Mine", labels=label)
    assert words in shown(person, answer)
    assert state(person) == left


def test_a_click_that_cannot_be_recorded_says_so_and_keeps_what_was_typed(
    person: Person, forgejo: Forgejo, card: str
) -> None:
    with no_room():
        answer = person.submit(SEND, proposal=card, title="My own title", body="", labels="bug")
    text = shown(person, answer)
    assert answer.status_code == 507
    assert "could not be written" in text
    assert 'value="My own title"' in answer.text
    assert forgejo.issues("acme/widgets") == ()


def test_a_check_that_finds_nothing_yet_says_so(
    person: Person, forgejo: Forgejo, card: str
) -> None:
    forgejo.fail_next(Fault(path=".*/issues", drop=True))
    person.submit(SEND, proposal=card)
    answer = person.submit(f"/chat/proposals/{card}/check")
    assert "no trace of it yet" in shown(person, answer)
    assert state(person) == "unknown"


def test_a_check_that_fails_says_why(person: Person, forgejo: Forgejo, card: str) -> None:
    forgejo.fail_next(Fault(path=".*/issues", drop=True))
    person.submit(SEND, proposal=card)
    forgejo.fail_next(Fault(method="GET", path=".*/issues", status=500))
    answer = person.submit(f"/chat/proposals/{card}/check")
    assert "Forgejo failed" in shown(person, answer)
    assert state(person) == "unknown"


def test_a_dismissed_card_says_so(person: Person, card: str) -> None:
    answer = person.submit(f"/chat/proposals/{card}/dismiss")
    assert "Dismissed" in shown(person, answer)


@pytest.fixture
def held() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


QUESTIONS = {
    "while one is answered": ("README.md", 2, 409, "still being written"),
    "while all are busy": ("docs/setup.md", 1, 503, "Too many answers"),
}


@pytest.mark.parametrize(
    ("doc", "limit", "status", "words"), QUESTIONS.values(), ids=QUESTIONS.keys()
)
def test_a_question_that_is_not_taken_says_why_and_is_kept(
    settings: Settings,
    model: Model,
    held: threading.Event,
    doc: str,
    limit: int,
    status: int,
    words: str,
) -> None:
    model.script(Reply((Text("A beginning "), Wait(held))))
    for app in running(replace(settings, max_concurrent_turns=limit)):
        person = Person(app.test_client())
        first = person.submit("/actions/chat", message="Slowly", doc="README.md")
        assert first.status_code == 303
        answer = person.submit("/actions/chat", message="My own words", doc=doc)
        assert answer.status_code == status
        assert words in shown(person, answer)
        assert "My own words" in answer.text
        held.set()
        services_of(app).live.stop_all()
