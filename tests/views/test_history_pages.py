"""The record as a person reviews it."""

from __future__ import annotations

from app.demo.model import Model
from app.demo.reply import call_tool, say
from tests.support import Person


def test_an_empty_history_says_how_to_begin(person: Person) -> None:
    page = person.visit("/history").text
    assert "Nothing has been asked yet" in page
    assert 'data-page-kind="history"' in page
    assert "data-doc-rel" not in page


def test_a_conversation_shows_its_tool_calls_and_actions(person: Person, model: Model) -> None:
    marker = '<action type="issue-create">{"title": "Silent retry"}</action>'
    model.script(call_tool("read_file", {"path": "docs/setup.md"}), say(f"Twice.\n\n{marker}"))
    proposal = person.ask("How often?", doc="docs/setup.md")["proposal"][0]["proposal"]
    person.fetch("/chat/action/issue-create", "POST", json={"proposal": proposal})
    listed = person.visit("/history").text
    address = listed.partition('class="conversation-preview" href="')[2].partition('"')[0]
    page = person.visit(address).text
    for text in ("How often?", "Read docs/setup.md", "Twice.", "Silent retry", "sending", "done"):
        assert text in page
    assert 'method="post" action="/chat/action' not in page


def test_an_unknown_conversation_is_not_there(person: Person) -> None:
    assert person.visit("/history/nobody/000000000000").status_code == 404
    assert person.visit("/history/root/../../etc").status_code == 404


def test_what_was_said_is_escaped(person: Person, model: Model) -> None:
    model.script(say("<img src=x onerror=alert(1)>"))
    person.ask("<script>alert(1)</script>", doc="README.md")
    listed = person.visit("/history").text
    address = listed.partition('class="conversation-preview" href="')[2].partition('"')[0]
    for page in (listed, person.visit(address).text):
        assert "<script>alert" not in page
        assert "onerror" not in page
