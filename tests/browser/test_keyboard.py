"""Everything by keyboard: reaching it, asking, leaving; and keys that only type."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from app.demo.model import Model
from app.demo.reply import Reply, Text, Wait, say
from tests.browser.support import Drawer, Gates


@pytest.fixture(autouse=True)
def opened(page: Page, doc: str) -> None:
    page.goto(doc)


def test_the_first_tab_reaches_the_skip_link_which_leads_to_the_text(page: Page) -> None:
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the text")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()


def test_tab_reaches_every_control_of_the_bar_in_the_order_it_is_seen(page: Page) -> None:
    names = []
    for _ in range(7):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        names.append(focused.get_attribute("aria-label") or focused.inner_text().strip())
        assert focused.evaluate("e => e.matches(':focus-visible')")
    assert names[0] == "Skip to the text"
    assert names[1:6] == ["Menu", "acme/widgets", "Docs", "History", names[5]]
    assert names[5].startswith("Colours:")
    assert names[6] == "Ask"


def test_a_opens_the_drawer_and_escape_goes_back(page: Page, drawer: Drawer) -> None:
    page.keyboard.press("a")
    expect(drawer.box).to_be_focused()
    expect(drawer.button).to_have_attribute("aria-expanded", "true")
    expect(drawer.box).to_have_value("")
    page.keyboard.type("a page, and another")
    expect(drawer.box).to_have_value("a page, and another")
    page.keyboard.press("Escape")
    expect(drawer.aside).to_be_hidden()
    expect(drawer.button).to_be_focused()
    expect(drawer.button).to_have_attribute("aria-expanded", "false")


def test_enter_sends_and_shift_enter_begins_a_line(
    page: Page, drawer: Drawer, model: Model
) -> None:
    model.script(say("Two lines."))
    page.keyboard.press("a")
    expect(drawer.box).to_be_focused()
    page.keyboard.type("One line")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("and another")
    expect(drawer.box).to_have_value("One line\nand another")
    expect(drawer.turns).to_have_count(0)
    page.keyboard.press("Enter")
    drawer.expect_end()
    expect(drawer.turn.locator("[data-question]")).to_have_text("One line\nand another")
    expect(drawer.box).to_have_value("")
    expect(drawer.box).to_be_focused()


def test_enter_on_nothing_asks_nothing(page: Page, drawer: Drawer, model: Model) -> None:
    page.keyboard.press("a")
    expect(drawer.box).to_be_focused()
    page.keyboard.type("  ")
    page.keyboard.press("Enter")
    expect(drawer.box).to_be_focused()
    expect(drawer.turns).to_have_count(0)
    assert model.requests == []


def test_the_answer_is_stopped_by_keyboard_while_the_next_question_is_typed(
    page: Page, drawer: Drawer, model: Model, gate: Gates
) -> None:
    model.script(Reply((Text("As far as this"), Wait(gate()))))
    page.keyboard.press("a")
    expect(drawer.box).to_be_focused()
    page.keyboard.type("How far?")
    page.keyboard.press("Enter")
    drawer.expect_live("As far as this")
    page.keyboard.type("And then?")
    page.keyboard.press("Tab")
    expect(drawer.stop).to_be_focused()
    page.keyboard.press("Enter")
    drawer.expect_end("stopped")
    expect(drawer.box).to_have_value("And then?")
    expect(drawer.send).to_be_focused()


def test_a_card_is_edited_and_sent_by_keyboard(page: Page, drawer: Drawer, model: Model) -> None:
    model.script(say('<action type="issue-create">{"title": "Retry is silent"}</action>'))
    page.keyboard.press("a")
    expect(drawer.box).to_be_focused()
    page.keyboard.type("Draft it.")
    page.keyboard.press("Enter")
    drawer.expect_end()
    title = drawer.card.get_by_label("Title")
    while not title.evaluate("e => e === document.activeElement"):
        page.keyboard.press("Shift+Tab")
        assert page.evaluate("document.activeElement !== document.body"), "the title is not reached"
    page.keyboard.press("End")
    page.keyboard.type(", a lot")
    page.keyboard.press("Enter")
    expect(drawer.card).to_have_attribute("data-state", "done")
    expect(drawer.card.locator("[data-card-title]")).to_be_focused()
    expect(drawer.card.get_by_role("link")).to_have_text("#1 Retry is silent, a lot")
