"""The click: exactly what the card shows is created, exactly once, and all of it is recorded."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask

from app.demo.forgejo import Forgejo
from app.demo.model import Model
from app.demo.reply import say
from app.demo.traffic import Fault
from tests.support import Person, services_of

PAYLOAD = {"title": "Retry is silent", "body": "It should say so.", "labels": ["bug"]}
MARKER = (
    '<action type="issue-create">{"title": "Retry is silent", "body": "It should say so.", '
    '"labels": ["bug"]}</action>'
)
PATH = "/chat/action/issue-create"


@pytest.fixture
def proposal(person: Person, model: Model) -> str:
    model.script(say(f"Agreed.\n\n{MARKER}"))
    return str(person.ask("File it", doc="docs/setup.md")["proposal"][0]["proposal"])


def created(forgejo: Forgejo) -> list[Any]:
    return list(forgejo.issues("acme/widgets"))


def send(person: Person, **body: object) -> Any:
    return person.fetch(PATH, "POST", json=body)


def test_a_click_creates_the_issue(person: Person, forgejo: Forgejo, proposal: str) -> None:
    answer = send(person, proposal=proposal)
    assert answer.status_code == 201
    told = answer.get_json()
    (issue,) = created(forgejo)
    assert told["status"] == "done"
    assert told["type"] == "issue-create"
    assert told["number"] == issue.number
    assert told["url"].endswith(f"/acme/widgets/issues/{issue.number}")
    assert issue.title == "Retry is silent"
    assert issue.body.startswith("It should say so.")
    assert proposal in issue.body


def test_the_same_click_again_gives_the_first_result(
    person: Person, forgejo: Forgejo, proposal: str
) -> None:
    first = send(person, proposal=proposal, **PAYLOAD)
    again = send(person, proposal=proposal, **PAYLOAD)
    assert again.status_code == 200
    assert again.get_json() == first.get_json()
    assert len(created(forgejo)) == 1


def test_other_content_for_a_sent_card_is_refused(
    person: Person, forgejo: Forgejo, proposal: str
) -> None:
    send(person, proposal=proposal)
    assert send(person, proposal=proposal, **{**PAYLOAD, "title": "Other"}).status_code == 409
    assert len(created(forgejo)) == 1


def test_many_clicks_at_once_create_one_issue(
    app: Flask, person: Person, forgejo: Forgejo, proposal: str
) -> None:
    with ThreadPoolExecutor(8) as pool:
        people = [Person(app.test_client()) for _ in range(16)]
        answers = list(pool.map(lambda p: send(p, proposal=proposal).status_code, people))
    assert answers.count(201) == 1
    assert set(answers) <= {200, 201, 409}
    assert len(created(forgejo)) == 1


def test_what_is_edited_is_what_is_sent_and_recorded(
    person: Person, forgejo: Forgejo, proposal: str
) -> None:
    page = person.submit(PATH, proposal=proposal, title="Edited", body="a\r\nb", labels="docs")
    assert page.status_code == 303
    (issue,) = created(forgejo)
    assert issue.title == "Edited"
    assert issue.body.startswith("a\nb\n")
    steps = [r for r in person.records(proposal.partition("-")[0]) if r["role"] == "action"]
    assert [s["phase"] for s in steps] == ["proposed", "sending", "done"]
    assert steps[0]["request"]["title"] == "Retry is silent"
    assert steps[1]["request"]["title"] == "Edited"
    assert steps[2]["response"]["number"] == issue.number


def test_unchecking_every_label_sends_none(person: Person, forgejo: Forgejo, proposal: str) -> None:
    person.submit(PATH, proposal=proposal, title="Bare", body="")
    (issue,) = created(forgejo)
    assert issue.labels == ()


def test_the_card_settles_in_place(person: Person, proposal: str) -> None:
    card = person.swap(PATH, proposal=proposal, **PAYLOAD)
    assert card.status_code == 201
    assert 'data-state="done"' in card.text
    assert "<html" not in card.text
    panel = person.fetch("/chat/panel?doc=docs/setup.md").text
    assert 'data-state="done"' in panel


INVALID = {
    "no title": ({"title": " "}, "title"),
    "too long": ({"title": "é" * 128}, "title"),
    "two lines": ({"title": "a\nb"}, "title"),
    "hidden direction": ({"title": "a\u202eb"}, "title"),
    "nul": ({"body": "a\x00b"}, "body"),
    "body too long": ({"body": "x" * 60_001}, "body"),
    "labels are text": ({"labels": "bug"}, "labels"),
    "too many labels": ({"labels": [f"l{n}" for n in range(21)]}, "labels"),
    "unknown label": ({"labels": ["nope"]}, "labels"),
    "unknown key": ({"assignee": "me"}, "assignee"),
    "foreign repository": ({"repo": "evil/widgets"}, "repo"),
    "repository in other case": ({"repo": "ACME/widgets"}, "repo"),
    "title is a number": ({"title": 7}, "title"),
}


@pytest.mark.parametrize(("change", "key"), INVALID.values(), ids=INVALID.keys())
def test_an_invalid_payload_is_422_and_nothing_is_sent(
    person: Person, forgejo: Forgejo, proposal: str, change: dict[str, object], key: str
) -> None:
    for extra in ({}, {"proposal": proposal}):
        answer = send(person, **{**PAYLOAD, **change, **extra})
        assert answer.status_code == 422
        assert key in answer.get_json()["error"]["fields"]
    assert created(forgejo) == []


def test_an_invalid_edit_keeps_what_was_typed(person: Person, proposal: str) -> None:
    card = person.swap(PATH, proposal=proposal, title="", body="My own words", labels="bug")
    assert card.status_code == 422
    assert "My own words" in card.text
    assert "Title is missing" in card.text
    page = person.submit(PATH, proposal=proposal, title="", body="My own words", labels="bug")
    assert page.status_code == 422
    assert "My own words" in page.text
    assert page.text.count("<h1") == 1


def test_a_direct_call_is_recorded_like_a_card(person: Person, forgejo: Forgejo) -> None:
    answer = send(person, **PAYLOAD)
    assert answer.status_code == 201
    conversation = answer.get_json()["proposal"].partition("-")[0]
    phases = [r["phase"] for r in person.records(conversation)]
    assert phases == ["proposed", "sending", "done"]
    assert len(created(forgejo)) == 1


@pytest.mark.parametrize("name", ["delete", "Issue-Create", "issue-create ", "..", "repo-delete"])
def test_an_unknown_action_is_404(person: Person, name: str) -> None:
    assert person.fetch(f"/chat/action/{name}", "POST", json=PAYLOAD).status_code == 404


@pytest.mark.parametrize("proposal", ["nope", "0" * 12 + "-p00000000", "../x"])
def test_an_unknown_card_is_404(person: Person, forgejo: Forgejo, proposal: str) -> None:
    assert send(person, proposal=proposal, **PAYLOAD).status_code == 404
    assert person.fetch(f"/chat/proposals/{proposal}/check", "POST").status_code == 404
    assert created(forgejo) == []


def test_an_invalid_card_cannot_be_sent(person: Person, model: Model, forgejo: Forgejo) -> None:
    model.script(say('<action type="issue-create">{"title": 7}</action>'))
    proposal = person.ask("File it", doc="README.md")["proposal"][0]["proposal"]
    assert send(person, proposal=proposal, **PAYLOAD).status_code == 409
    assert created(forgejo) == []


def test_a_refusal_of_the_forge_can_be_mended_and_sent_again(
    person: Person, forgejo: Forgejo, proposal: str
) -> None:
    forgejo.fail_next(Fault(status=403, body=b'{"message": "no"}', path=".*/issues"))
    assert send(person, proposal=proposal).status_code == 403
    card = person.fetch("/chat/panel?doc=docs/setup.md").text
    assert 'data-state="failed"' in card
    assert send(person, proposal=proposal).status_code == 201
    assert len(created(forgejo)) == 1


LOST = {
    "answer dropped": Fault(path=".*/issues", when="after", drop=True),
    "failed after the effect": Fault(path=".*/issues", when="after", status=500),
    "garbage after the effect": Fault(path=".*/issues", when="after", status=201, body=b"<html>"),
}


@pytest.mark.parametrize("fault", LOST.values(), ids=LOST.keys())
def test_a_lost_answer_is_unknown_until_it_is_checked(
    person: Person, forgejo: Forgejo, proposal: str, fault: Fault
) -> None:
    forgejo.fail_next(fault)
    assert send(person, proposal=proposal).status_code in (502, 504)
    assert len(created(forgejo)) == 1
    panel = person.fetch("/chat/panel?doc=docs/setup.md").text
    assert 'data-state="unknown"' in panel
    assert "Check Forgejo" in panel
    assert send(person, proposal=proposal).status_code == 409
    checked = person.fetch(f"/chat/proposals/{proposal}/check", "POST")
    assert checked.get_json()["status"] == "done"
    assert send(person, proposal=proposal).status_code == 200
    assert len(created(forgejo)) == 1


def test_a_failure_before_the_effect_is_found_out_by_checking(
    person: Person, forgejo: Forgejo, proposal: str
) -> None:
    forgejo.fail_next(Fault(path=".*/issues", when="before", status=500))
    assert send(person, proposal=proposal).status_code == 502
    checked = person.fetch(f"/chat/proposals/{proposal}/check", "POST")
    assert checked.get_json()["status"] == "failed"
    assert created(forgejo) == []
    assert send(person, proposal=proposal).status_code == 201


def test_while_it_is_being_sent_a_click_is_409(app: Flask, forgejo: Forgejo, proposal: str) -> None:
    held = threading.Event()
    forgejo.fail_next(Fault(path=".*/issues", when="before", stall=held))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(send, Person(app.test_client()), proposal=proposal)
        while not any(r.method == "POST" for r in forgejo.requests):
            held.wait(0.01)
        other = Person(app.test_client())
        assert send(other, proposal=proposal).status_code == 409
        panel = other.fetch("/chat/panel?doc=docs/setup.md").text
        assert 'data-state="sending"' in panel
        held.set()
        assert first.result().status_code == 201
    assert len(created(forgejo)) == 1


def test_a_dismissed_card_cannot_be_sent(person: Person, forgejo: Forgejo, proposal: str) -> None:
    card = person.swap(f"/chat/proposals/{proposal}/dismiss")
    assert 'data-state="dismissed"' in card.text
    assert send(person, proposal=proposal).status_code == 409
    assert created(forgejo) == []


def test_without_a_forge_the_action_is_503(bare_person: Person) -> None:
    answer = send(bare_person, **PAYLOAD)
    assert answer.status_code == 503
    assert answer.get_json()["error"]["code"] == "forge_not_configured"


def test_nothing_is_sent_when_it_cannot_be_recorded(
    app: Flask, person: Person, forgejo: Forgejo, proposal: str
) -> None:
    conversation = proposal.partition("-")[0]
    (path,) = services_of(app).history.directory.glob(f"*/{conversation}.ndjson")
    kept = path.with_suffix(".kept")
    path.rename(kept)
    path.symlink_to(kept)  # a record is never written through a link
    assert send(person, proposal=proposal).status_code in (404, 507)
    assert created(forgejo) == []


def test_a_label_the_forge_drops_is_named(person: Person, forgejo: Forgejo, proposal: str) -> None:
    forgejo.fail_next(
        Fault(
            path=".*/issues",
            status=201,
            body=b'{"id": 1, "number": 9, "title": "Retry is silent", "body": "", "labels": [],'
            b' "state": "open", "html_url": "http://elsewhere.test/x"}',
        )
    )
    told = send(person, proposal=proposal).get_json()
    assert told["dropped_labels"] == ["bug"]
    assert "elsewhere.test" not in told["url"]
