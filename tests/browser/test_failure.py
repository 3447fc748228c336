"""What a person sees when it does not work: what happened, whose side, what to do; and the words
that were typed are still there."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Page, expect

from app.demo.model import Model
from app.demo.reply import Cut, End, Reply, Text, Wait, fail_midway, refuse, say
from tests.browser.support import Drawer, Gates, Stands, Start, Watch, Windows

TOKEN = "a-token-that-nobody-guesses"
GIVEN_UP_S = 20.0
BROKEN = {
    "ends without a word": Reply((Text("As far as "), Text("this"), End())),
    "is cut": Reply((Text("As far as "), Text("this"), Cut())),
    "sends an error": fail_midway("As far as this"),
}


def test_a_refused_key_is_named_and_not_offered_again(
    page: Page, drawer: Drawer, doc: str, model: Model
) -> None:
    model.script(refuse(401, "Incorrect API key provided: sk-canary.", code="invalid_api_key"))
    page.goto(doc)
    drawer.open()
    drawer.ask("Anybody there?")
    drawer.expect_end("failed")
    expect(drawer.turn_problem).to_contain_text("OPENAI_API_KEY")
    expect(drawer.turn_problem).not_to_contain_text("sk-canary")
    expect(drawer.turn.get_by_role("button", name="Ask again")).to_be_hidden()
    expect(drawer.turn.locator("[data-question]")).to_have_text("Anybody there?")


@pytest.mark.parametrize("reply", BROKEN.values(), ids=BROKEN.keys())
def test_a_model_that_stops_in_the_middle_can_be_asked_again(
    page: Page, drawer: Drawer, doc: str, model: Model, reply: Reply
) -> None:
    model.script(reply, say("As far as this, and *farther*."))
    page.goto(doc)
    drawer.open()
    drawer.ask("How far?")
    drawer.expect_end("failed")
    expect(drawer.answer).to_contain_text("As far as this")
    expect(drawer.turn_problem).to_be_visible()
    drawer.turn.get_by_role("button", name="Ask again").click()
    expect(drawer.turns).to_have_count(2)
    drawer.expect_end()
    expect(drawer.answer.locator("em")).to_have_text("farther")
    expect(drawer.turn.locator("[data-question]")).to_have_text("How far?")
    page.reload()
    expect(drawer.turns).to_have_count(2)
    expect(drawer.turns.first.locator("[data-turn-problem]")).to_be_visible()


def test_a_second_question_in_the_same_conversation_is_refused_and_given_back(
    page: Page, drawer: Drawer, doc: str, model: Model, gate: Gates, window: Windows, watch: Watch
) -> None:
    watch.expect("status of 409")
    held = gate()
    model.script(say("Yes."), Reply((Text("First "), Wait(held), Text("answer."))), say("Second."))
    page.goto(doc)
    drawer.open()
    drawer.ask("Anybody there?")
    drawer.expect_end()
    late = Drawer(window())
    late.page.goto(doc)
    late.open()
    expect(late.turns).to_have_count(1)
    drawer.ask("The first question")
    drawer.expect_live("First")
    late.ask("The second question")
    expect(late.problem).to_contain_text("An answer is still being written here")
    expect(late.box).to_have_value("The second question")
    late.expect_live("First")
    held.set()
    late.expect_end()
    late.send.click()
    expect(late.answer).to_contain_text("Second.")
    expect(late.problem).to_be_hidden()


def test_a_busy_lectern_gives_the_question_back(
    model: Model, stands: Stands, gate: Gates, start: Start, window: Windows, watch: Watch
) -> None:
    watch.expect("503")
    busy = start({**stands.environ(), "LECTERN_MAX_CONCURRENT_TURNS": "1"})
    held = gate()
    model.script(Reply((Text("First "), Wait(held), Text("answer."))))
    first, second = Drawer(window(base_url=busy.url)), Drawer(window(base_url=busy.url))
    first.page.goto("docs/docs/setup.md")
    first.open()
    first.ask("The first question")
    first.expect_live("First")
    second.page.goto("docs/docs/plain.md")
    second.open()
    second.ask("A question that was long to type")
    expect(second.problem).to_contain_text("Too many answers are being written at once.")
    expect(second.box).to_have_value("A question that was long to type")
    expect(second.turns).to_have_count(0)
    second.page.reload()
    expect(second.box).to_have_value("A question that was long to type")
    assert len(model.requests) == 1


def test_a_server_that_dies_in_mid_answer_is_missed_and_the_next_question_kept(
    model: Model, stands: Stands, gate: Gates, start: Start, window: Windows, watch: Watch
) -> None:
    watch.expect("net::ERR_(CONNECTION_REFUSED|CONNECTION_RESET|INCOMPLETE_CHUNKED_ENCODING)")
    doomed = start(stands.environ())
    model.script(Reply((Text("As far as "), Text("this"), Wait(gate()))))
    page = window(base_url=doomed.url)
    drawer = Drawer(page)
    page.clock.install()  # so that half a minute of trying again takes no half minute
    page.goto("docs/docs/setup.md")
    drawer.open()
    drawer.ask("How far?")
    drawer.expect_live("As far as this")
    drawer.box.fill("And what comes after that?")
    doomed.kill()
    deadline = time.monotonic() + GIVEN_UP_S
    while not drawer.turn_problem.is_visible():
        assert time.monotonic() < deadline, "the drawer still waits for a server that is gone"
        page.clock.run_for(3_000)
    expect(drawer.turn_problem).to_contain_text("The connection was lost.")
    expect(drawer.answer).to_contain_text("As far as this")
    expect(drawer.box).to_have_value("And what comes after that?")
    drawer.box.press("Enter")
    expect(drawer.problem).to_contain_text("Lectern could not be reached.")
    expect(drawer.box).to_have_value("And what comes after that?")


def test_a_sign_in_that_ended_leads_to_the_sign_in_page_and_back_to_the_question(
    model: Model, stands: Stands, start: Start, window: Windows, watch: Watch
) -> None:
    watch.expect("status of 401")
    guarded = start({**stands.environ(), "TASKS_SERVER_DISPATCH_TOKEN": TOKEN})
    model.script(say("It is *safe*."))
    page = window()
    drawer = Drawer(page)
    page.goto(guarded.url)  # as it was printed, with the token
    assert TOKEN in guarded.url
    assert "token" not in page.url
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["domain"]) == (True, "Lax", "127.0.0.1")
    assert TOKEN not in cookie["value"]

    drawer.open()
    page.context.clear_cookies()
    drawer.ask("Is what I typed safe?")
    expect(drawer.problem).to_contain_text("Sign in")
    expect(drawer.box).to_have_value("Is what I typed safe?")
    drawer.problem.get_by_role("link", name="Sign in again").click()
    page.get_by_label("Access token").fill("not it")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("main")).to_contain_text("This is not the token.")
    page.get_by_label("Access token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("body")).to_have_attribute("data-doc-rel", "README.md")
    expect(drawer.box).to_have_value("Is what I typed safe?")
    drawer.box.press("Enter")
    expect(drawer.answer.locator("em")).to_have_text("safe")


def test_without_a_model_the_drawer_says_which_variable_to_set(
    start: Start, window: Windows, watch: Watch
) -> None:
    bare = start({})
    page = window(base_url=bare.url)
    drawer = Drawer(page)
    page.goto("docs/docs/setup.md")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Setup")
    drawer.button.click()
    expect(drawer.panel).to_contain_text("OPENAI_API_KEY")
    expect(drawer.panel).to_contain_text("lectern demo")
    expect(drawer.box).to_have_count(0)
    watch.expect("503")
    headers = {"Sec-Fetch-Site": "same-origin"}
    answer = page.request.post(f"{bare.url}actions/chat", data={"message": "?"}, headers=headers)
    assert (answer.status, answer.json()["error"]["code"]) == (503, "llm_not_configured")
