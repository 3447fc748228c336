"""Other people's pages in the same browser: a foreign name that leads to this computer, and forms
of another local server. They read nothing and start nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from werkzeug.wrappers import Request, Response

from app.demo.forgejo import Forgejo
from app.demo.model import Model
from app.demo.wire import Server, serve
from tests.browser.support import PREFIX, Lectern, Watch

FORMS = ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data")
# What needs no navigation, and so cannot be seen to be refused; only that nothing comes of it.
UNSEEN = {
    "fetch": "fetch(address, { method: 'POST', mode: 'no-cors', credentials: 'include', body })",
    "beacon": "navigator.sendBeacon(address, body)",
}


@pytest.fixture
def elsewhere(lectern: Lectern) -> Iterator[Server]:
    """Another server of this computer, whose page posts to ours."""
    form = (
        "<!doctype html><title>Elsewhere</title><link rel=icon href='data:,'>"
        f"<form method=post action='{lectern.url}actions/chat'>"
        "<input name=message value='Spend the money'><input name=page_kind value=doc></form>"
    )

    @Request.application
    def page(_: Request) -> Response:
        return Response(form, content_type="text/html; charset=utf-8")

    with serve(page) as server:
        yield server


def test_a_foreign_name_that_leads_here_is_refused(
    page: Page, lectern: Lectern, model: Model, watch: Watch
) -> None:
    # The page that says so is not even given its style.
    watch.expect(r"http://evil\.test:\d+/|status of 400")
    watch.expect("Cross-Origin-Opener-Policy header has been ignored")  # as on all plain http
    foreign = lectern.url.replace("127.0.0.1", "evil.test")
    answer = page.goto(foreign)
    assert answer is not None
    assert answer.status == 400
    assert "Widgets" not in page.content()
    assert "acme" not in page.content()
    calls = [
        {"url": f"{PREFIX}/raw/README.md"},
        {"url": f"{PREFIX}/chat/history"},
        {"url": f"{PREFIX}/actions/chat", "method": "POST", "body": "message=x&page_kind=doc"},
        {"url": f"{PREFIX}/chat/action/issue-create", "method": "POST", "body": "title=x"},
    ]
    answers = page.evaluate(
        """calls => Promise.all(calls.map(async ({ url, method, body }) => {
          const headers = body ? { "Content-Type": "application/x-www-form-urlencoded" } : {};
          const response = await fetch(url, { method, body, headers });
          return [response.status, await response.text()];
        }))""",
        calls,
    )
    assert [status for status, _ in answers] == [400] * len(calls)
    assert not any("Widgets" in text for _, text in answers)
    assert model.requests == []


@pytest.mark.parametrize("kind", FORMS)
def test_a_form_of_another_local_server_is_refused(
    page: Page, lectern: Lectern, model: Model, elsewhere: Server, watch: Watch, kind: str
) -> None:
    watch.expect("status of 403")
    page.goto(lectern.url)  # whoever is attacked has Lectern open and its cookies
    before = conversations(page)
    page.goto(elsewhere.url)
    with page.expect_navigation() as refused:
        page.evaluate(
            "kind => { document.forms[0].enctype = kind; document.forms[0].submit(); }", kind
        )
    assert refused.value.status == 403
    expect(page.get_by_role("main")).to_contain_text("does not come from Lectern's own pages")
    page.goto(lectern.url)
    assert conversations(page) == before
    assert model.requests == []


@pytest.mark.parametrize("attempt", UNSEEN.values(), ids=UNSEEN.keys())
def test_a_script_of_another_local_server_starts_nothing(
    page: Page, lectern: Lectern, model: Model, elsewhere: Server, watch: Watch, attempt: str
) -> None:
    watch.expect("net::ERR_BLOCKED_BY_RESPONSE.NotSameOrigin")
    page.goto(lectern.url)
    before = conversations(page)
    page.goto(elsewhere.url)
    with page.expect_event("requestfailed", lambda one: one.url.endswith("/actions/chat")):
        page.evaluate(
            f"""address => {{
              const body = new URLSearchParams({{ message: "Spend the money", page_kind: "doc" }});
              Promise.resolve({attempt}).catch(() => {{}});
            }}""",
            f"{lectern.url}actions/chat",
        )
    page.goto(lectern.url)
    assert conversations(page) == before
    assert model.requests == []


def test_a_page_of_another_local_server_cannot_act_nor_read(
    page: Page, lectern: Lectern, forgejo: Forgejo, elsewhere: Server, watch: Watch
) -> None:
    watch.expect("status of 403|net::ERR_|CORS|blocked by")
    page.goto(elsewhere.url)
    read = page.evaluate(
        """async base => {
          const texts = [];
          for (const path of ["", "raw/README.md", "chat/history"]) {
            texts.push(await fetch(base + path).then((r) => r.text(), () => "refused"));
          }
          await fetch(base + "chat/action/issue-create", { method: "POST", mode: "no-cors",
            body: new URLSearchParams({ title: "Not ours" }) }).catch(() => {});
          return texts;
        }""",
        lectern.url,
    )
    assert read == ["refused"] * 3
    assert forgejo.issues("acme/widgets") == ()


def test_our_pages_are_in_no_frame_of_theirs(
    page: Page, lectern: Lectern, elsewhere: Server, watch: Watch
) -> None:
    watch.expect("frame-ancestors|Framing|Refused to (frame|display)|net::ERR_BLOCKED_BY")
    page.goto(elsewhere.url)
    page.evaluate(
        """base => new Promise((resolve) => {
          const frame = document.createElement("iframe");
          frame.onload = resolve;
          frame.src = base;
          document.body.append(frame);
        })""",
        lectern.url,
    )
    inside = page.frames[1]
    assert "Widgets" not in inside.content()


def conversations(page: Page) -> int:
    found: int = page.evaluate(
        "() => fetch('chat/history').then((r) => r.json()).then((r) => r.conversations.length)"
    )
    return found
