"""Hostile Markdown, in a page and in an answer: nothing runs, nothing is fetched from elsewhere,
nothing of ours is taken over; also while the answer is only half there.

The window's watch does half of the work: it records every dialog, request to another host and CSP
report, so that even a script that was stopped in time fails the test.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from app.demo.model import Model
from app.demo.reply import End, Reply, Text, call_tool, say, slices
from tests.browser.support import Drawer, Lectern, Watch

CORPUS = Path(__file__).parents[1].joinpath("data/markup_attacks.txt").read_text("utf-8")
RUN = "window.__pwned=1"
OWN = f"""\
<script>{RUN}</script><img src=x onerror="{RUN}"><svg onload="{RUN}"></svg>
<details open ontoggle="{RUN}"><summary>x</summary></details>

<iframe srcdoc="<script>parent.__pwned=1</script>"></iframe>
<iframe src="http://evil.test/frame"></iframe><object data="http://evil.test/o"></object>

<form action="/team/docs/actions/chat" method="post"><input name="message" value="x" autofocus
onfocus="{RUN}"><button>Press</button></form>

<meta http-equiv="refresh" content="0; url=http://evil.test/meta">
<base href="http://evil.test/"><link rel="stylesheet" href="http://evil.test/a.css">
<style>@import "http://evil.test/b.css"; * {{ display: none }}</style>

[one](javascript:{RUN}) [two](JaVaScRiPt&colon;{RUN}) <a href="java&#9;script:{RUN}">three</a>
[four](data:text/html,<script>{RUN}</script>) [five](vbscript:x)

![pixel](http://evil.test/a.png) <img src="//evil.test/b.png" srcset="http://evil.test/c.png 2x">
<video src="http://evil.test/v" poster="http://evil.test/p"></video>

<div id="lectern-composer" data-composer>x</div> <textarea id="lectern-message"></textarea>
<section data-panel data-conversation="x" data-running-turn="x">x</section>
<p hx-get="/team/docs/healthz" hx-trigger="load" data-drawer-aside>x</p>

## lectern-message

## lectern composer

The last words of all.
"""
# What is not closed on its line turns all that follows into a comment, a title, a style.
SWALLOWS = re.compile(
    "<(script|style|title|textarea|xmp|iframe|select|math)(?!.*</\\1)|<[!?]", re.I
)
BROKEN_OFF = (
    "<img src=x one",
    f'<img src=x onerror="{RUN}"',
    f"<script>{RUN}",
    f"<svg><script>{RUN}</script",
    f'<a href="javascript:{RUN}">press',
    "<iframe srcdoc='<script>parent.__pwned=1",
    "![a](http://evil.test/a.png",
    '<style>@import "http://evil.test/b.css',
    "<!-- <img src=x onerror=window.__pwned=1>",
)
ACTIVE = (
    "script, style, link, meta, base, iframe, frame, object, embed, form, button[type=submit],"
    " textarea, select, video, audio, math, input:not([type=checkbox][disabled]),"
    " [hx-get], [data-panel], [data-composer], [data-drawer-aside], [id^=lectern-]"
)
# Whatever a person could be made to click, and every attribute that is code.
SUSPECT = """element => [...element.querySelectorAll("*")].filter((one) =>
  [...one.attributes].some(({ name }) => /^(on.*|style|srcdoc|formaction|ping)$/.test(name))
  || (one.hasAttribute("href") && one.protocol && !/^(https?|mailto):$/.test(one.protocol))
).map((one) => one.outerHTML)"""
LOCAL_IMAGE = r"status of 404|failed request: GET http://127\.0\.0\.1:\d+/team/docs/docs/"


@pytest.fixture(autouse=True)
def images_that_are_not_there(watch: Watch) -> None:
    """A relative image is looked for in the repository, where the corpus has none."""
    watch.expect(LOCAL_IMAGE)


def expect_inert(page: Page, text: Locator) -> None:
    assert page.evaluate("window.__pwned") is None
    assert text.locator(ACTIVE).evaluate_all("all => all.map(one => one.outerHTML)") == []
    assert text.evaluate(SUSPECT) == []


def texts() -> Iterator[str]:
    """The corpus in pieces of which only the last line can hide what follows it."""
    lines: list[str] = []
    for line in [*CORPUS.splitlines(), ""]:
        if SWALLOWS.search(line) or not line:
            yield "\n".join(["# Before", "", *lines, "", "The last words of all.", "", line])
            lines = []
        else:
            lines.append(line)


def test_no_hostile_page_does_anything(page: Page, doc: str, lectern: Lectern) -> None:
    prose = page.get_by_role("main").locator("[data-prose]")
    for text in texts():
        page.goto(lectern.write(doc.removeprefix("docs/"), text))
        expect(prose).to_contain_text("The last words of all.")
        expect_inert(page, prose)


def test_a_hostile_page_is_read_and_talked_about_like_any_other(
    page: Page, drawer: Drawer, doc: str, model: Model, lectern: Lectern
) -> None:
    model.script(say("It is *harmless*."))
    lectern.write(doc.removeprefix("docs/"), OWN)
    page.goto(doc)
    prose = page.get_by_role("main").locator("[data-prose]")
    expect(prose).to_contain_text("The last words of all.")
    drawer.open()
    drawer.ask("What is this?")
    expect(drawer.answer.locator("em")).to_have_text("harmless")
    expect_inert(page, prose)


@pytest.mark.parametrize("text", [CORPUS, OWN], ids=["corpus", "own"])
def test_a_hostile_answer_is_text_in_every_prefix_and_inert_in_the_end(
    page: Page, drawer: Drawer, doc: str, model: Model, text: str
) -> None:
    """Every write of the model ends in the middle of something."""
    pieces = slices(text, 400)
    model.script(Reply(tuple(Text(piece) for piece in pieces)))
    page.goto(doc)
    drawer.open()
    # Until it is done the answer holds one text node and no element, whenever one looks.
    page.evaluate("""() => {
      window.__elements = 0;
      new MutationObserver(() => {
        for (const live of document.querySelectorAll("[data-live]")) {
          window.__elements += live.querySelectorAll("*").length;
        }
      }).observe(document.querySelector("[data-turn-list]"),
        { childList: true, subtree: true, characterData: true });
    }""")
    drawer.ask("Quote it.")
    drawer.expect_end()
    assert page.evaluate("window.__elements") == 0
    expect_inert(page, drawer.answer)
    page.reload()
    expect(drawer.answer).to_be_visible()
    expect_inert(page, drawer.answer)


def test_an_answer_that_breaks_off_inside_a_tag_is_inert(
    page: Page, drawer: Drawer, doc: str, model: Model
) -> None:
    page.goto(doc)
    drawer.open()
    for number, text in enumerate(BROKEN_OFF, start=1):
        model.script(Reply((Text("Before it. "), Text(text), End())))
        drawer.ask("Quote it.")
        expect(drawer.turns).to_have_count(number)
        drawer.expect_end("failed")
        expect(drawer.answer).to_contain_text("Before it.")
        expect_inert(page, drawer.answer)


def test_hostile_words_in_a_question_a_tool_call_and_a_card_are_words(
    page: Page, drawer: Drawer, doc: str, model: Model
) -> None:
    hostile = f"<img src=x onerror={RUN}><script>{RUN}</script>"
    marker = (
        '<action type="issue-create">{"title": "<img src=x onerror=window.__pwned=1>",'
        ' "body": "</textarea><script>window.__pwned=1</script>"}</action>'
    )
    model.script(call_tool("search_files", {"pattern": hostile}), say(marker))
    page.goto(doc)
    drawer.open()
    drawer.ask(hostile)
    drawer.expect_end()
    question = drawer.turn.locator("[data-question]")
    expect(question).to_have_text(hostile)
    expect(drawer.turn.locator("[data-tool-summary]")).to_contain_text("<img src=x onerror=")
    expect(drawer.card.get_by_label("Title")).to_have_value("<img src=x onerror=window.__pwned=1>")
    page.reload()
    expect(question).to_have_text(hostile)
    assert page.evaluate("window.__pwned") is None
    page.goto("history")
    page.get_by_role("main").get_by_role("link", name="<img src=x").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("<img src=x onerror=")
    assert page.evaluate("window.__pwned") is None


def test_a_hostile_picture_opened_by_itself_runs_nothing(
    page: Page, lectern: Lectern, watch: Watch
) -> None:
    # It has an origin of its own, which may not even have our icon; the image never leaves.
    watch.expect("document's frame is sandboxed|Content Security Policy|BLOCKED_BY_RESPONSE")
    watch.expect("request: .*http://evil.test/a.png( csp)?$")
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">'
        '<script>window.__pwned=1;document.documentElement.setAttribute("id","ran")</script>'
        '<image href="http://evil.test/a.png"/></svg>'
    )
    page.goto(lectern.write("own/hostile.svg", svg))
    expect(page.locator("svg")).to_be_visible()
    expect(page.locator("#ran")).to_have_count(0)
    assert page.evaluate("window.__pwned") is None
