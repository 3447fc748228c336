"""The whole way, from opening a repository to the issue and its record: under a URL prefix, with
two worker processes."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from app.demo.forgejo import Forgejo
from app.demo.model import Model
from app.demo.reply import Reply, Text, Wait, call_tools, say
from tests.browser.support import PREFIX, Drawer, Gates, Lectern

MARKER = (
    '<action type="issue-create">{"title": "Retry is silent", "body": "Nobody hears of it.",'
    ' "labels": ["bug"]}</action>'
)
LOOK = call_tools(
    ("search_files", {"pattern": "retries"}),
    ("read_file", {"path": "docs/setup.md"}),
    before="Let me look.",
)


def test_a_page_is_talked_over_while_another_is_read_and_one_issue_comes_of_it(
    page: Page, drawer: Drawer, model: Model, forgejo: Forgejo, gate: Gates, lectern: Lectern
) -> None:
    half, rest = gate(), gate()
    answer = Reply(
        (
            Text("It retries **twi"),
            Text("ce**, "),
            Wait(half),
            Text("and nobody "),
            Text("hears of it."),
            Wait(rest),
            *say(f" See [setup](docs/setup.md).\n\n{MARKER}").frames,
        )
    )
    model.script(LOOK, answer)

    # Reading: the first page, then one in a folder that is fetched when it unfolds.
    page.goto("")
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("Widgets"))
    expect(page.locator("body")).to_have_attribute("data-doc-rel", "README.md")
    files = page.get_by_role("navigation", name="Files")
    files.get_by_label("What is in docs").click()
    files.get_by_role("link", name="setup.md").click()
    expect(page.locator("body")).to_have_attribute("data-doc-rel", "docs/setup.md")
    assert page.url.startswith(f"{lectern.origin}{PREFIX}/docs/docs/")

    # Asking: tools first, then text as it comes.
    drawer.open()
    expect(drawer.panel).to_contain_text("Sees docs/setup.md")
    drawer.ask("How often does it retry?")
    expect(drawer.turn.locator("[data-question]")).to_have_text("How often does it retry?")
    tools = drawer.turn.locator("[data-tool]")
    expect(tools).to_have_text([re.compile("Searched “retries”"), re.compile("Read docs/setup.md")])
    drawer.expect_live("Let me look. It retries **twice**,")
    assert drawer.answer.text_content() == "Let me look.\n\nIt retries **twice**, "

    # Another page, while the answer is being written: it goes on there.
    page.get_by_role("navigation", name="Breadcrumb").get_by_role("link", name="docs").click()
    expect(page.locator("body")).to_have_attribute("data-doc-rel", "docs/README.md")
    drawer.expect_live("Let me look. It retries **twice**,")
    expect(drawer.turns).to_have_count(1)
    expect(tools).to_have_count(2)
    expect(drawer.stop).to_be_visible()
    half.set()
    drawer.expect_live("Let me look. It retries **twice**, and nobody hears of it.")
    rest.set()
    drawer.expect_end()
    expect(drawer.answer.locator("strong")).to_have_text("twice")
    expect(drawer.answer).not_to_contain_text("action")
    expect(drawer.answer.get_by_role("link", name="setup")).to_have_attribute(
        "href", f"{PREFIX}/docs/docs/setup.md"
    )

    # The card: edited, clicked, settled.
    card = drawer.card
    expect(card).to_have_count(1)
    expect(card).to_have_accessible_name("New issue in acme/widgets")
    expect(card.get_by_label("Text")).to_have_value("Nobody hears of it.")
    card.get_by_label("Title").fill("Say when it retries")
    card.get_by_role("button", name="Create issue in acme/widgets").dblclick()
    expect(card).to_have_attribute("data-state", "done")
    link = card.get_by_role("link", name="#1 Say when it retries")
    expect(link).to_have_attribute("href", re.compile(r"/acme/widgets/issues/1$"))
    (issue,) = forgejo.issues("acme/widgets")
    assert (issue.title, issue.label_names) == ("Say when it retries", ("bug",))

    # Afterwards: the same after a reload, and the whole of it in the history.
    page.goto("docs/docs/setup.md")
    expect(drawer.card).to_have_attribute("data-state", "done")
    expect(drawer.card.get_by_role("link", name="#1 Say when it retries")).to_be_visible()
    expect(drawer.answer.locator("strong")).to_have_text("twice")
    page.get_by_role("link", name="History").first.click()
    main = page.get_by_role("main")
    main.get_by_role("link", name="How often does it retry?").click()
    expect(main.locator("[data-question]")).to_have_text("How often does it retry?")
    expect(main.locator("[data-tool]")).to_have_count(2)
    expect(main.locator("[data-answer] strong")).to_have_text("twice")
    expect(main.get_by_role("link", name="#1 Say when it retries").first).to_be_visible()
    expect(main.get_by_role("table")).to_contain_text("issue-create")
    assert len(model.requests) == 2
    assert len(forgejo.issues("acme/widgets")) == 1
