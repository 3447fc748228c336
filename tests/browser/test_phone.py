"""On a phone: one column, the tree as a sheet, the drawer over everything."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from app.demo.forgejo import Forgejo
from app.demo.model import Model
from app.demo.reply import say
from tests.browser.support import Drawer, Lectern, Windows

WIDTH, HEIGHT = 390, 844
WIDE = """\
# A page with wide things

| One | Two | Three | Four | Five | Six | Seven | Eight | Nine | Ten |
|---|---|---|---|---|---|---|---|---|---|
| aaaaaaaaaa | bbbbbbbbbb | cccccccccc | dddddddddd | eeeeeeeeee | f | g | h | i | j |

```python
result = a_function_with_a_long_name(an_argument_with_a_long_name, another_argument_with_a_name)
```

AWordThatIsLongerThanAnyScreenOfAnyPhoneEverWasAndThatNobodyShouldWriteButSomebodyAlwaysDoes/and/on

`some_code_that_is_longer_than_any_screen_of_any_phone_ever_was_and_that_nobody_should_write`

![dot](../docs/dot.png)

1. One
    - Two
        1. Three

            > Four
"""
HIDDEN_BESIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture
def page(window: Windows, model: Model, forgejo: Forgejo) -> Page:
    size = {"width": WIDTH, "height": HEIGHT}
    return window(viewport=size, is_mobile=True, has_touch=True, device_scale_factor=3)


def expect_to_fit(page: Page) -> None:
    assert page.evaluate(HIDDEN_BESIDE) <= 0
    assert page.evaluate("visualViewport.width") == pytest.approx(WIDTH, abs=1)


def test_no_page_scrolls_sideways(page: Page, lectern: Lectern) -> None:
    for address in ("", lectern.write("own/wide.md", WIDE), "docs/src/app.py", "docs/docs/"):
        page.goto(address)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect_to_fit(page)


def test_the_drawer_covers_the_page_and_gives_it_back(
    page: Page, drawer: Drawer, doc: str, model: Model
) -> None:
    wide = "See `a_name_that_is_longer_than_any_screen_of_any_phone_ever_was_and_ever_will_be`.\n\n"
    marker = '<action type="issue-create">{"title": "' + "Retry is silent " * 9 + '"}</action>'
    model.script(say(wide + WIDE.replace("# ", "## ") + "\n" + marker))
    page.goto(doc)
    drawer.button.tap()
    expect(drawer.box).to_be_visible()
    covered = drawer.aside.bounding_box()
    assert covered == {"x": 0, "y": 0, "width": WIDTH, "height": HEIGHT}
    drawer.box.fill("Draft it.")
    drawer.send.tap()
    drawer.expect_end()
    expect(drawer.card.get_by_role("button", name="Create issue in acme/widgets")).to_be_visible()
    expect_to_fit(page)
    scroller = drawer.aside.get_by_role("region", name="Conversation")
    assert scroller.evaluate("e => e.scrollWidth - e.clientWidth") <= 0
    # Nothing behind it takes a tap or a tab.
    expect(page.get_by_role("main")).to_have_attribute("inert", "")
    drawer.aside.get_by_role("link", name="Close").tap()
    expect(drawer.aside).to_be_hidden()
    expect(page.get_by_role("main")).not_to_have_attribute("inert", "")
    page.goto("history")
    expect(page.get_by_role("heading", name="History")).to_be_visible()
    expect_to_fit(page)
    page.get_by_role("main").get_by_role("link", name="Draft it.").first.click()
    expect(page.get_by_role("main").locator("[data-answer]")).to_be_visible()
    expect_to_fit(page)


def test_the_message_box_stays_in_sight_with_a_long_draft(
    page: Page, drawer: Drawer, doc: str
) -> None:
    page.goto(doc)
    drawer.button.tap()
    drawer.box.fill("One line of many.\n" * 60)
    expect(drawer.box).to_be_in_viewport()
    expect(drawer.send).to_be_in_viewport(ratio=1)
    expect(drawer.aside.get_by_role("link", name="Close")).to_be_in_viewport(ratio=1)


def test_the_tree_is_a_sheet_that_opens_and_closes(page: Page, doc: str) -> None:
    page.goto(doc)
    tree = page.get_by_role("navigation", name="Files")
    menu = page.locator("[data-tree-button]")
    expect(tree).to_be_hidden()
    menu.tap()
    expect(tree).to_be_visible()
    expect_to_fit(page)
    expect(tree.get_by_role("link", name="History")).to_be_visible()
    page.locator("[data-tree-close]").tap()
    expect(tree).to_be_hidden()
    expect(menu).to_be_focused()
    menu.tap()
    page.keyboard.press("Escape")
    expect(tree).to_be_hidden()
    menu.tap()
    page.touchscreen.tap(WIDTH - 8, HEIGHT // 2)  # beside the sheet
    expect(tree).to_be_hidden()
    menu.tap()
    tree.get_by_role("link", name="README.md").tap()
    expect(page.locator("body")).to_have_attribute("data-doc-rel", "README.md")
    expect(tree).to_be_hidden()


def test_the_tree_is_reached_without_script(window: Windows, doc: str) -> None:
    page = window(viewport={"width": WIDTH, "height": HEIGHT}, java_script_enabled=False)
    page.goto(doc)
    tree = page.get_by_role("navigation", name="Files")
    page.locator("[data-tree-button]").click()
    expect(tree).to_be_in_viewport()
    tree.get_by_role("link", name="README.md").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Widgets")
