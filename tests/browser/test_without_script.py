"""The same way with JavaScript off: links, forms and a page that looks again by itself."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from app.demo.forgejo import Forgejo
from app.demo.model import Model
from app.demo.reply import Reply, Text, Wait, say
from tests.browser.support import Drawer, Gates, Watch, Windows

MARKER = '<action type="issue-create">{"title": "Retry is silent", "labels": ["bug"]}</action>'


@pytest.fixture
def page(window: Windows, model: Model, forgejo: Forgejo) -> Page:
    return window(java_script_enabled=False)


def test_a_question_becomes_an_issue_without_script(
    page: Page, drawer: Drawer, doc: str, model: Model, forgejo: Forgejo, gate: Gates
) -> None:
    held = gate()
    model.script(Reply((Text("It is **silent**."), Wait(held), *say(f"\n\n{MARKER}").frames)))
    page.goto(doc)
    drawer.button.click()
    expect(page).to_have_url(re.compile(r"\?ask=1#lectern-drawer$"))
    drawer.box.fill("Does anybody hear of a retry?")
    drawer.send.click()

    # The page has the question and looks again every other second until the answer is there.
    expect(drawer.turn.locator("[data-question]")).to_have_text("Does anybody hear of a retry?")
    expect(drawer.turn.locator("[data-status]")).to_have_text("The answer is being written")
    held.set()
    expect(drawer.answer.locator("strong")).to_have_text("silent")
    expect(drawer.turn).to_have_attribute("data-outcome", "complete")
    expect(page.locator("meta[http-equiv=refresh]")).to_have_count(0)

    drawer.card.get_by_label("Title").fill("Say when it retries")
    drawer.card.get_by_role("button", name="Create issue in acme/widgets").click()
    expect(drawer.card).to_have_attribute("data-state", "done")
    expect(drawer.card.get_by_role("link", name="#1 Say when it retries")).to_be_visible()
    (issue,) = forgejo.issues("acme/widgets")
    assert (issue.title, issue.label_names) == ("Say when it retries", ("bug",))


def test_a_card_that_is_refused_comes_back_as_it_was_edited(
    page: Page, drawer: Drawer, doc: str, model: Model, forgejo: Forgejo, watch: Watch
) -> None:
    watch.expect("status of 422")
    model.script(say(MARKER))
    page.goto(f"{doc}?ask=1")
    drawer.box.fill("Draft it.")
    drawer.send.click()
    drawer.card.get_by_label("Title").fill("  ")
    drawer.card.get_by_role("button", name="Create issue").click()
    card = page.locator("[data-card]")
    expect(card.get_by_label("Title")).to_have_attribute("aria-invalid", "true")
    expect(card).to_contain_text("Title is missing.")
    card.get_by_label("Title").fill("Say when it retries")
    card.get_by_role("button", name="Create issue").click()
    expect(drawer.card).to_have_attribute("data-state", "done")
    assert [issue.title for issue in forgejo.issues("acme/widgets")] == ["Say when it retries"]


def test_stop_is_a_button_of_a_form_without_script(
    page: Page, drawer: Drawer, doc: str, model: Model, gate: Gates
) -> None:
    model.script(Reply((Wait(gate()), Text("Nobody waits for this."))))
    page.goto(f"{doc}?ask=1")
    drawer.box.fill("How long will it take?")
    drawer.send.click()
    drawer.stop.click()
    expect(drawer.turn).to_have_attribute("data-outcome", "stopped")
    expect(drawer.turn).to_contain_text("Stopped")
    expect(drawer.send).to_be_visible()


def test_a_suggestion_is_asked_by_one_click_without_script(
    page: Page, drawer: Drawer, doc: str, model: Model
) -> None:
    model.script(say("A page to talk about."))
    page.goto(f"{doc}?ask=1")
    drawer.aside.get_by_role("button", name="Summarise this page").click()
    expect(drawer.turn.locator("[data-question]")).to_have_text("Summarise this page")
    expect(drawer.answer).to_contain_text("A page to talk about.")


def test_a_question_that_is_refused_is_given_back_without_script(
    page: Page,
    drawer: Drawer,
    doc: str,
    model: Model,
    gate: Gates,
    window: Windows,
    watch: Watch,
) -> None:
    watch.expect("status of 409")
    model.script(Reply((Text("First "), Wait(gate()), Text("answer."))))
    late = Drawer(window(java_script_enabled=False))
    page.goto(f"{doc}?ask=1")
    late.page.goto(f"{doc}?ask=1")
    drawer.box.fill("First")
    drawer.send.click()
    expect(drawer.stop).to_be_visible()
    late.box.fill("A question that was long to type")
    late.send.click()
    given_back = late.page.get_by_label("Your question is kept")
    expect(given_back).to_have_value("A question that was long to type")
    expect(late.page.get_by_role("main")).to_contain_text("An answer is still being written here")
