"""Reading comforts: copying code, finding one's place, colours, and a drawer that stays as it was
left and moves no text."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from app.demo.model import Model
from app.demo.reply import say
from tests.browser.support import Drawer, Lectern, Watch, Windows

PARAGRAPH = "A sentence that is there to fill a line or two of the page. " * 6
LONG = "# A long page\n\n" + "".join(
    f"## Section {number}\n\n{PARAGRAPH}\n\n{PARAGRAPH}\n\n" for number in range(1, 13)
)
CODE = "# Code\n\n```python\ndef main():\n    return 'retry'\n```\n"
# Where the first block is that reaches below the bar.
PLACE = """() => {
  const blocks = [...document.querySelectorAll("[data-prose] > *")];
  window.__block ??= blocks.find((one) => one.getBoundingClientRect().bottom > 64);
  return window.__block.getBoundingClientRect().top;
}"""


@pytest.fixture
def long_page(lectern: Lectern, doc: str) -> str:
    return lectern.write(doc.removeprefix("docs/"), LONG)


def test_code_is_copied_from_a_page_and_from_an_answer(
    window: Windows, model: Model, lectern: Lectern, doc: str
) -> None:
    page = window(permissions=["clipboard-read", "clipboard-write"])
    drawer = Drawer(page)
    lectern.write(doc.removeprefix("docs/"), CODE)
    model.script(say("Try:\n\n```sh\nmake demo\n```\n"))
    page.goto(doc)
    block = page.get_by_role("main").locator("[data-language=python]")
    block.hover()
    block.get_by_role("button", name="Copy").click()
    expect(block.get_by_role("button")).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.rstrip("\n") == "def main():\n    return 'retry'"
    drawer.open()
    drawer.ask("How?")
    drawer.answer.get_by_role("button", name="Copy").click()
    expect(drawer.answer.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").rstrip("\n") == "make demo"


def test_code_of_a_file_is_copied_without_its_line_numbers(window: Windows) -> None:
    page = window(permissions=["clipboard-read", "clipboard-write"])
    page.goto("docs/src/app.py")
    page.get_by_role("main").get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.rstrip("\n") == "def main():\n    return 'retry'"


def test_the_table_of_contents_marks_the_section_that_is_read(page: Page, long_page: str) -> None:
    page.goto(long_page)
    contents = page.get_by_role("navigation", name="On this page")
    current = contents.locator("[aria-current]")
    expect(contents.get_by_role("link")).to_have_count(12)
    contents.get_by_role("link", name="Section 5").click()
    expect(current).to_have_text("Section 5")
    expect(page.get_by_role("heading", name="Section 5")).to_be_in_viewport()
    page.keyboard.press("End")
    expect(current).to_have_text("Section 12")
    page.keyboard.press("Home")
    expect(current).to_have_count(0)


def test_the_choice_of_colours_is_kept(page: Page, doc: str, long_page: str) -> None:
    page.goto(doc)
    button = page.get_by_role("banner").get_by_role("button", name="Colours")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    button.click()
    expect(button).to_have_accessible_name("Colours: light")
    button.click()
    expect(button).to_have_accessible_name("Colours: dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    expect(button).to_have_accessible_name("Colours: dark")
    assert page.evaluate(ground) == dark
    button.click()
    expect(button).to_have_accessible_name("Colours: as the system has them")
    assert page.evaluate(ground) == light


def test_the_drawer_stays_open_and_as_wide_as_it_was_made(
    page: Page, drawer: Drawer, doc: str
) -> None:
    page.set_viewport_size({"width": 1500, "height": 900})
    page.goto(doc)
    drawer.open()
    edge = drawer.aside.get_by_role("separator")
    before = drawer.aside.evaluate("e => e.getBoundingClientRect().width")
    edge.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    wider = drawer.aside.evaluate("e => e.getBoundingClientRect().width")
    rem = page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)")
    assert wider == pytest.approx(before + 2 * rem, abs=1)
    box = edge.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, 400)
    page.mouse.down()
    page.mouse.move(box["x"] - 40, 400, steps=4)
    page.mouse.up()
    dragged = drawer.aside.evaluate("e => e.getBoundingClientRect().width")
    assert dragged > wider
    page.get_by_role("navigation", name="Breadcrumb").get_by_role("link").first.click()
    expect(page.locator("body")).to_have_attribute("data-page-kind", "folder")
    expect(drawer.box).to_be_visible()
    expect(drawer.panel).to_contain_text("Sees README.md")
    assert drawer.aside.evaluate("e => e.getBoundingClientRect().width") == dragged
    drawer.aside.get_by_role("link", name="Close").click()
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(drawer.aside).to_be_hidden()


def test_the_text_keeps_its_place_when_the_drawer_opens_and_shuts(
    page: Page, drawer: Drawer, long_page: str
) -> None:
    page.set_viewport_size({"width": 1200, "height": 800})
    page.goto(long_page)
    page.get_by_role("heading", name="Section 7").evaluate("e => e.scrollIntoView()")
    place = page.evaluate(PLACE)
    drawer.open()
    assert page.evaluate(PLACE) == pytest.approx(place, abs=2)
    page.keyboard.press("Escape")
    expect(drawer.aside).to_be_hidden()
    assert page.evaluate(PLACE) == pytest.approx(place, abs=2)


def test_a_long_answer_is_followed_until_the_person_scrolls_up(
    page: Page, drawer: Drawer, doc: str, model: Model
) -> None:
    model.script(say(LONG), say(LONG))
    page.goto(doc)
    drawer.open()
    drawer.ask("Say much.")
    drawer.expect_end()
    scroller = drawer.aside.get_by_role("region", name="Conversation")
    far = "e => e.scrollHeight - e.scrollTop - e.clientHeight"
    expect(drawer.answer.get_by_text("Section 12")).to_have_count(1)
    page.wait_for_function(f"e => ({far})(e) < 2", arg=scroller.element_handle())
    scroller.hover()
    page.mouse.wheel(0, -600)
    latest = drawer.aside.get_by_role("button", name="Latest")
    expect(latest).to_be_visible()
    latest.click()
    expect(latest).to_be_hidden()
    assert scroller.evaluate(far) < 2


def test_folders_of_the_tree_stay_open(page: Page) -> None:
    page.goto("")
    files = page.get_by_role("navigation", name="Files")
    files.get_by_label("What is in src").click()
    expect(files.get_by_role("link", name="app.py")).to_be_visible()
    page.goto("docs/docs/plain.md")
    expect(files.get_by_role("link", name="app.py")).to_be_visible()
    expect(files.locator("[aria-current=page]")).to_have_text("plain.md")
    files.get_by_label("What is in src").click()
    expect(files.get_by_role("link", name="app.py")).to_be_hidden()
    page.reload()
    expect(files.get_by_role("link", name="plain.md")).to_be_visible()
    expect(files.get_by_role("link", name="app.py")).to_be_hidden()


def test_a_page_that_is_not_there_says_so_in_its_own_look(page: Page, watch: Watch) -> None:
    watch.expect("status of 404")
    page.goto("docs/docs/no-such-page.md")
    expect(page.get_by_role("heading", level=1)).to_have_text("Not found")
    page.get_by_role("main").get_by_role("link", name="Go to the first page").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("Widgets"))
