"""An answer that is being written, seen again: after a reload, in another window, from the other
worker process. The turn outlives whoever watches it."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, expect

from app.demo.model import Model
from app.demo.reply import Reply, Text, Wait, say
from tests.browser.support import Drawer, Gates, Lectern, Stands, Start, Watch, Windows

BROKEN = "net::ERR_(INCOMPLETE_CHUNKED_ENCODING|CONNECTION_RESET|EMPTY_RESPONSE)"


@contextmanager
def asleep(process: int) -> Iterator[None]:
    """Nothing is served by `process` meanwhile, so that the other one has to."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def test_a_reload_shows_what_was_written_and_goes_on(
    page: Page, drawer: Drawer, doc: str, model: Model, gate: Gates
) -> None:
    first, second = gate(), gate()
    frames = (Text("One "), Wait(first), Text("two "), Wait(second), Text("*three*."))
    model.script(Reply(frames))
    page.goto(doc)
    drawer.open()
    drawer.ask("Count.")
    drawer.expect_live("One")
    page.reload()
    drawer.expect_live("One")
    first.set()
    drawer.expect_live("One two")
    page.reload()
    drawer.expect_live("One two")
    expect(drawer.turns).to_have_count(1)
    second.set()
    drawer.expect_end()
    expect(drawer.answer.locator("em")).to_have_text("three")
    page.reload()
    expect(drawer.answer.locator("em")).to_have_text("three")
    expect(drawer.turns).to_have_count(1)
    assert len(model.requests) == 1


def test_a_second_window_is_served_by_the_other_process_and_stops_the_answer(
    page: Page,
    drawer: Drawer,
    doc: str,
    model: Model,
    gate: Gates,
    window: Windows,
    lectern: Lectern,
) -> None:
    held = gate()
    model.script(Reply((Text("One "), Text("two "), Wait(held), Text("three."))))
    page.goto(doc)
    drawer.open()
    drawer.ask("Count.")
    drawer.expect_live("One two")
    other = Drawer(window())
    with asleep(lectern.writer(drawer.conversation)):
        other.page.goto(doc)
        other.button.click()
        other.expect_live("One two")
        other.stop.click()
        expect(other.problem).to_be_hidden()
    drawer.expect_end("stopped")
    other.expect_end("stopped")
    expect(other.answer).to_contain_text("One two")
    expect(other.turns).to_have_count(1)
    assert model.disconnected.wait(5), "the call to the model went on"


def test_two_windows_see_the_same_answer_to_its_end(
    page: Page,
    drawer: Drawer,
    doc: str,
    model: Model,
    gate: Gates,
    window: Windows,
    lectern: Lectern,
) -> None:
    held = gate()
    model.script(Reply((Text("One "), Text("two "), Wait(held), Text("three."))))
    page.goto(doc)
    drawer.open()
    drawer.ask("Count.")
    drawer.expect_live("One two")
    other = Drawer(window())
    with asleep(lectern.writer(drawer.conversation)):
        other.page.goto(f"{doc}?ask=1")
        other.expect_live("One two")
    held.set()
    for one in (drawer, other):
        one.expect_end()
        expect(one.answer.locator("p")).to_have_text(["One two three."])


def test_another_page_says_where_an_answer_is_being_written_and_leads_there(
    page: Page, drawer: Drawer, doc: str, model: Model, gate: Gates, window: Windows
) -> None:
    held = gate()
    model.script(Reply((Text("One "), Wait(held), Text("two."))))
    page.goto(doc)
    drawer.open()
    drawer.ask("Count.")
    drawer.expect_live("One")
    other = Drawer(window())
    other.page.goto("docs/docs/plain.md?ask=1")
    other.aside.get_by_role("link", name=doc.removeprefix("docs/")).click()
    other.expect_live("One")
    held.set()
    other.expect_end()


def test_a_stream_that_breaks_is_taken_up_where_it_broke(
    model: Model, stands: Stands, gate: Gates, start: Start, window: Windows, watch: Watch
) -> None:
    watch.expect(BROKEN)
    lectern = start(stands.environ(), workers=2)
    held = gate()
    model.script(Reply((Text("One "), Text("two "), Wait(held), Text("three."))))
    asker = Drawer(window(base_url=lectern.url))
    asker.page.goto("docs/docs/setup.md")
    asker.open()
    asker.ask("Count.")
    asker.expect_live("One two")
    writer = lectern.writer(asker.conversation)
    (other,) = set(lectern.workers) - {writer}
    viewer = Drawer(window(base_url=lectern.url))
    with asleep(writer):
        viewer.page.goto("docs/docs/setup.md?ask=1")
        viewer.expect_live("One two")
    with viewer.page.expect_request(re.compile(r"/events\?after=[1-9]")):
        os.kill(other, signal.SIGKILL)
    held.set()
    viewer.expect_end()
    expect(viewer.answer.locator("p")).to_have_text(["One two three."])
    expect(viewer.turns).to_have_count(1)


def test_an_answer_whose_process_dies_ends_as_failed_and_can_be_asked_for_again(
    model: Model, stands: Stands, gate: Gates, start: Start, window: Windows, watch: Watch
) -> None:
    watch.expect(BROKEN)
    lectern = start(stands.environ(), workers=2)
    model.script(Reply((Text("As far as "), Text("this"), Wait(gate()))), say("To *the end*."))
    drawer = Drawer(window(base_url=lectern.url))
    drawer.page.goto("docs/docs/setup.md")
    drawer.open()
    drawer.ask("How far?")
    drawer.expect_live("As far as this")
    os.kill(lectern.writer(drawer.conversation), signal.SIGKILL)
    drawer.expect_end("failed")
    expect(drawer.turn_problem).to_contain_text("The server stopped")
    expect(drawer.answer).to_contain_text("As far as this")
    drawer.turn.get_by_role("button", name="Ask again").click()
    expect(drawer.turns).to_have_count(2)
    drawer.expect_end()
    expect(drawer.answer.locator("em")).to_have_text("the end")
