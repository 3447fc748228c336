"""Every page there is, found by following links: well formed, named, labelled, and whole."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote, urldefrag

import pytest
from flask import Flask
from werkzeug.exceptions import HTTPException

from app import create_app
from app.assistant.tools import TOOLS
from app.demo.forgejo import Forgejo
from app.demo.model import Model
from app.demo.reply import Reply, Text, Wait, call_tools, refuse, say
from app.demo.traffic import Fault
from app.demo.wire import serve
from app.rendering import Renderer
from app.settings import ForgeSettings, LLMSettings, Secret, Settings
from app.wiring import build
from tests.rules.crawl import Element, Page, Site, parsed, path_of
from tests.support import FILES, KEY, PNG, TOKEN, Person, parse_events, services_of

PREFIX = "/team/docs"
PAGE_KINDS = {"doc", "folder", "file", "history", "error", "card", "login"}
RICH = """\
---
owner: ines
status: <b>draft</b>
---
# A *rich* page & more

[setup](setup.md#retry) [same](#table) [root](/README.md) [folder](../src/) [code](../src/app.py#L2)
[above](../README.md) [away](https://elsewhere.test/x?y=1&z=2) <https://elsewhere.test>
[q](setup.md?x=1)
[space](with%20space.md) [odd](a%20&%20b%20%3Cc%3E.md)

![dot](dot.png) ![away](https://elsewhere.test/beacon.png) ![svg](picture.svg)

## Table

| a | b |
|---|---|
| 1 | [x](setup.md) |

## Table

- [x] done
- [ ] open

> [!NOTE]
> A note.[^1]

```python
def f(x): return "<script>"
```

<details><summary>More</summary>text</details>
<script>alert(1)</script><p style="color:red" onclick="x()" id="lectern-main">styled</p>
<img src=dot.png onerror=alert(1)> <a href="javascript:alert(1)">no</a> <h1>Second</h1>

[^1]: A footnote.
"""
MORE = {
    "docs/rich.md": RICH,
    "docs/a & b <c>.md": "# A & B <C>\n",
    "docs/ümlaut #1?.md": "Only text.\n",
    "docs/deep/er/page.md": "# Deep\n\n[up](../../setup.md) [top](/docs/rich.md#table-1)\n",
    "docs/big.txt": "line\n" * 300,
    "notes/only.txt": "no readme here\n",
    "blank.md": "",
    "plain/README.md": "No heading in this folder.\n",
}
MARKER = '<action type="issue-create">{"title": "T%d", "body": "Text", "labels": ["bug"]}</action>'
INVALID = '<action type="issue-create">{"title": "T", "assignee": "me"}</action>'
CARDS = ("proposed", "done", "failed", "unknown", "dismissed", "invalid")
OUTCOMES = ("complete", "failed", "stopped", "running")
ERRORS = (
    "/nothing",
    "/docs/nothing.md",
    "/docs/.env",
    "/raw/nothing",
    "/chat/new",
    "/history/nobody/000000000000",
    "/nothing?ask=1",
)


def repository(root: Path, more: Mapping[str, str] = MappingProxyType({})) -> Path:
    for name, text in {**FILES, **more}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    (root / "docs/dot.png").write_bytes(PNG)
    return root


@contextmanager
def running(settings: Settings) -> Iterator[Flask]:
    """The app with a renderer that knows its prefix."""
    renderer = Renderer(url_prefix=settings.url_prefix)
    app = create_app(settings, build(settings, renderer=renderer))
    yield app
    services_of(app).live.stop_all()
    renderer.close()


@contextmanager
def lived_in(root: Path, prefix: str) -> Iterator[Site]:
    """A site where people have talked: every kind of turn, and a card in every state."""
    held = threading.Event()
    model, forge = Model(api_key=KEY), Forgejo()
    forge.add_repository("acme/widgets", labels=[("bug", "d73a4a"), ("docs", "0075ca")])
    forge.add_token(TOKEN, "keeper")
    with serve(model) as llm, serve(forge) as forgejo:
        settings = Settings(
            root=repository(root, MORE),
            state_dir=root / ".lectern",
            public_url=f"http://localhost{prefix}",
            llm=LLMSettings(Secret(KEY), "test-model", f"{llm.url}/v1"),
            forge=ForgeSettings(
                forgejo.url, forgejo.url, Secret(TOKEN), "acme/widgets", ("acme/widgets",)
            ),
        )
        with running(settings) as app:
            site = Site(Person(app.test_client()), prefix, is_lived_in=True)
            live_in(site, model, forge, held)
            yield site
            held.set()


def live_in(site: Site, model: Model, forge: Forgejo, held: threading.Event) -> None:
    person, prefix = site.person, site.prefix
    markers = "\n\n".join((*(MARKER % n for n in range(4)), INVALID))
    model.script(
        call_tools(("read_file", {"path": "docs/setup.md"}), ("no_such_tool", {})),
        say(f"# Answer\n\nSee [setup](docs/setup.md) and `code`.\n\n{markers}"),
        say(f"Once more.\n\n{MARKER % 5}"),
        refuse(401),
    )
    cards = [e["proposal"] for e in ask(site, "What & <why>?", doc="docs/setup.md")["proposal"]]
    cards += [e["proposal"] for e in ask(site, "One more", doc="docs/setup.md")["proposal"]]
    ask(site, "It fails", doc="docs/setup.md")
    click(site, cards[0])
    forge.fail_next(Fault(path=".*/issues", status=403, body=b'{"message": "no"}'))
    click(site, cards[1])
    forge.fail_next(Fault(path=".*/issues", when="after", drop=True))
    click(site, cards[2])
    person.fetch(f"{prefix}/chat/proposals/{cards[3]}/dismiss", "POST")
    model.script(*[Reply((Text("A beginning "), Wait(held)))] * 2)
    for doc in ("README.md", "docs/plain.md"):
        person.submit(f"{prefix}/actions/chat", message="Slowly", doc=doc)
    stop(site, doc="docs/plain.md")
    edited = person.submit(f"{prefix}/chat/action/issue-create", proposal=cards[5], title="")
    assert edited.status_code == 422
    site.keep(f"{prefix}/chat/action/issue-create", edited)


def ask(site: Site, message: str, **more: str) -> dict[str, list[dict[str, str]]]:
    asked = {"message": message, **more}
    told = site.person.fetch(f"{site.prefix}/actions/chat", "POST", json=asked)
    events = parse_events(told.text)
    return {name: events[name] for name in ("start", "proposal")}


def stop(site: Site, *, doc: str) -> None:
    panel = site.person.fetch(f"{site.prefix}/chat/panel?doc={doc}").text
    turn = panel.partition('data-running-turn="')[2].partition('"')[0]
    site.person.fetch(f"{site.prefix}/chat/turns/{turn}/stop", "POST")
    events = site.person.fetch(f"{site.prefix}/chat/turns/{turn}/events").text
    assert parse_events(events).outcome == "stopped"


def click(site: Site, card: str) -> None:
    address = f"{site.prefix}/chat/action/issue-create"
    site.person.fetch(address, "POST", json={"proposal": card})


@contextmanager
def bare(root: Path) -> Iterator[Site]:
    """Nothing is set but the root."""
    settings = Settings(root=repository(root), state_dir=root / ".lectern")
    with running(settings) as app:
        yield Site(Person(app.test_client()))


@contextmanager
def empty(root: Path) -> Iterator[Site]:
    """A repository with nothing in it, shown by the demo."""
    settings = Settings(root=root, state_dir=root / ".lectern", is_demo=True)
    with running(settings) as app:
        yield Site(Person(app.test_client()))


@contextmanager
def locked(root: Path) -> Iterator[Site]:
    """What is seen without the token."""
    token = Secret("a-token")
    settings = Settings(root=root, state_dir=root / ".lectern", dispatch_token=token)
    with running(settings) as app:
        site = Site(Person(app.test_client()))
        wrong = site.person.submit("/auth/login", token="wrong", next="/history")
        site.keep("/auth/login?wrong", wrong)
        yield site


SITES = ("lived in", "below a prefix", "bare", "empty", "locked")


@pytest.fixture(scope="module", params=SITES)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Site:
    root = tmp_path_factory.mktemp("site") / "widgets"
    root.mkdir()
    prefix = PREFIX if request.param == "below a prefix" else ""
    makers = {"bare": bare, "empty": empty, "locked": locked}
    with ExitStack() as stack:
        maker = makers.get(request.param)
        opened = maker(root) if maker else lived_in(root, prefix)
        site = stack.enter_context(opened)
        if request.param == "locked":
            site.walk("/auth/login", "/auth/login?next=/history")
        else:
            site.walk("/", "/docs/", "/history", "/?ask=1", "/history?ask=1", *ERRORS)
        return _finished(site)


def _finished(site: Site) -> Site:
    """Fragments that scripts fetch are looked at while there is somebody to answer."""
    for address in ("/chat/panel?doc=README.md", "/chat/panel?doc=docs/setup.md", "/tree/docs"):
        site.visit(f"{site.prefix}{address}")
    return site


@pytest.fixture(scope="module")
def pages(site: Site) -> list[Page]:
    return list(site.pages.values())


def where(page: Page, found: object) -> str:
    return f"{page.address}: {found}"


def test_the_walk_sees_the_site(site: Site) -> None:
    assert len(site.pages) > (2 if "/auth/login?wrong" in site.pages else 10)
    kinds = {page.all("body")[0]["data-page-kind"] for page in site.pages.values()}
    assert kinds <= PAGE_KINDS


def test_the_walk_meets_every_kind_of_turn_and_card(site: Site) -> None:
    elements = [element for page in site.pages.values() for element in page.elements]
    cards = {e["data-state"] for e in elements if e.has("data-card")}
    turns = {e["data-outcome"] for e in elements if e["data-turn"]}
    assert cards == (set(CARDS) if site.is_lived_in else set())
    assert turns == (set(OUTCOMES) if site.is_lived_in else set())


def test_pages_are_well_formed(pages: list[Page]) -> None:
    assert [where(p, p.errors) for p in pages if p.errors] == []


def test_pages_have_one_heading_one_main_part_and_a_language(pages: list[Page]) -> None:
    for page in pages:
        counts = {tag: len(page.all(tag)) for tag in ("h1", "main", "title", "body", "html")}
        assert counts == dict.fromkeys(counts, 1), page.address
        assert page.all("html")[0]["lang"] == "en", page.address
        assert page.all("h1")[0].text.strip(), page.address


def test_titles_begin_with_the_heading(pages: list[Page]) -> None:
    for page in pages:
        (heading,) = page.all("h1")
        told, dot, name = page.title.rpartition(" · ")
        assert dot, page.title
        assert name.strip(), page.title
        # The heading may also hold its anchor and a file's size.
        assert squeezed(heading.text).startswith(squeezed(told)), where(page, heading)


def squeezed(text: str) -> str:
    return " ".join(text.split())


def test_ids_are_unique_and_what_refers_to_them_finds_them(pages: list[Page]) -> None:
    for page in pages:
        twice = [id_ for id_, count in Counter(page.ids).items() if count > 1]
        assert twice == [], page.address
        ids = set(page.ids)
        for element in page.elements:
            for name in ("aria-labelledby", "aria-describedby", "aria-controls", "for", "form"):
                missing = set(element[name].split()) - ids
                assert element.is_inert or not missing, where(page, element)


def test_nothing_is_inline(pages: list[Page]) -> None:
    for page in pages:
        assert page.all("style") == [], page.address
        for script in page.all("script"):
            assert script["src"], where(page, script)
            assert not script.text.strip(), where(page, script)
        for element in page.elements:
            names = [n for n in element.attributes if n == "style" or n.lower().startswith("on")]
            assert names == [], where(page, element)
            for name, value in element.attributes.items():
                assert "javascript:" not in value.lower(), where(page, f"{name} {element}")


def test_no_element_is_one_that_loads_from_elsewhere(pages: list[Page]) -> None:
    loading = ("iframe", "object", "embed", "video", "audio", "source", "base", "frame", "portal")
    for page in pages:
        assert page.all(*loading) == [], page.address
        for element, address in page.assets():
            assert address, where(page, f"{element} is not ours")


def is_labelled(element: Element, page: Page) -> bool:
    if element["aria-label"].strip() or element["aria-labelledby"]:
        return True
    if any(outer.tag == "label" and outer.text.strip() for outer in element.around):
        return True
    labels = [
        label for label in page.all("label") if label["for"] and label["for"] == element["id"]
    ]
    return any(label.text.strip() for label in labels)


def test_every_field_has_a_label(pages: list[Page]) -> None:
    unnamed = ("hidden", "submit", "button")
    for page in pages:
        for element in page.all("input", "textarea", "select"):
            assert element["type"] in unnamed or is_labelled(element, page), where(page, element)


def test_everything_that_can_be_pressed_has_a_name(pages: list[Page]) -> None:
    for page in pages:
        for element in page.all("button", "summary", "a"):
            if element.tag == "a" and not element.has("href"):
                continue
            name = element.text + element["aria-label"] + element.alternatives
            assert name.strip(), where(page, element)
        for element in page.all("img"):
            assert element.has("alt"), where(page, element)


def test_regions_that_scroll_can_be_reached_and_are_named(pages: list[Page]) -> None:
    for page in pages:
        for element in page.elements:
            if element["role"] == "region" or element.tag in ("nav", "aside"):
                assert element["aria-label"] or element["aria-labelledby"], where(page, element)


def test_every_link_and_asset_leads_somewhere(site: Site) -> None:
    """Pages are followed by the walk itself; a refused one is shown where it was found."""
    for page in site.pages.values():
        for element, address in (*page.links(), *page.assets()):
            target = urldefrag(address)[0]
            if address and page.status == 200:
                assert site.statuses[target] < 400, where(page, element)


def test_every_fragment_is_there(site: Site) -> None:
    icons = {a: set(re.findall(r' id="([^"]+)"', b)) for a, b in site.bodies.items() if "svg" in a}
    for page in site.pages.values():
        for element, address in (*page.links(), *page.assets()):
            target, fragment = urldefrag(address)
            if not fragment or not target:
                continue
            if element.tag == "use":
                is_drawn = fragment in icons[target] or is_unknown_tool(element)
                assert is_drawn, where(page, element)
            elif target in site.pages:
                assert unquote(fragment) in site.pages[target].ids, where(page, element)


def is_unknown_tool(icon: Element) -> bool:
    """A tool's icon has the tool's name, and the model may call what there is not."""
    name = icon["href"].rpartition("#")[2]
    return name not in TOOLS and any(outer["class"] == "tool" for outer in icon.around)


def test_links_stay_below_the_prefix_and_others_are_marked(site: Site) -> None:
    for page in site.pages.values():
        for element, address in page.links():
            if address:
                assert f"{path_of(address)}/".startswith(f"{site.prefix}/"), where(page, element)
            else:
                assert element["href"].startswith(("https://", "http://")), where(page, element)
                assert "noopener" in element["rel"].split(), where(page, element)
                assert "noreferrer" in element["rel"].split(), where(page, element)


def test_every_form_goes_to_a_route_of_ours(site: Site) -> None:
    app: Flask = site.person.client.application
    urls = app.url_map.bind("localhost")
    for page in site.pages.values():
        targets = [(e, e["method"] or "get", e["action"]) for e in page.all("form")]
        targets += [(e, "post", e["hx-post"]) for e in page.elements if e.has("hx-post")]
        for element, method, address in targets:
            path = path_of(page.resolved(address)).removeprefix(site.prefix)
            assert path, where(page, element)
            try:
                urls.match(path, method=method.upper())
            except HTTPException as error:
                raise AssertionError(where(page, element)) from error
        assert not [e for e in page.elements if e.has("formaction")], page.address


def test_the_body_says_what_is_shown(site: Site) -> None:
    for page in site.pages.values():
        (body,) = page.all("body")
        doc = body["data-doc-rel"]
        assert body["data-page-kind"] in PAGE_KINDS
        assert not (body.has("data-doc-rel") and not doc), page.address
        if body["data-page-kind"] in ("doc", "file"):
            assert doc, page.address
        if body["data-page-kind"] not in ("doc", "file", "folder"):
            assert not doc, page.address


def test_fragments_are_well_formed_and_not_whole_pages(site: Site) -> None:
    found = {a: b for a, b in site.bodies.items() if "/chat/panel" in a or "/tree/" in a}
    for address, body in found.items():
        if site.statuses[address] != 200:
            continue
        fragment = parsed(address, 200, body, is_fragment="/tree/" in address)
        twice = [id_ for id_, count in Counter(fragment.ids).items() if count > 1]
        assert twice == [], address
        assert "<html" not in body
        assert fragment.all("script", "style") == []


def test_style_sheets_and_modules_refer_to_what_is_there(site: Site) -> None:
    sheets = {a: b for a, b in site.bodies.items() if a.endswith((".css", ".js"))}
    assert sheets
    seen = dict(site.statuses)
    for address, body in sheets.items():
        if "/vendor/" in address:
            continue
        for reference in references(body):
            target = parsed(address, 200, "<p>").resolved(reference)
            assert target.startswith(f"{site.prefix}/static/"), f"{address}: {reference}"
            if target not in seen:
                answer = site.person.visit(target, buffered=True)
                seen[target] = answer.status_code
            assert seen[target] == 200, f"{address}: {reference}"


def references(body: str) -> list[str]:
    """What a style sheet or a module loads."""
    found = re.findall(r'url\("?([^")]+)"?\)|(?:from|import) "([^"]+)"', body)
    return [one or other for one, other in found if not (one or other).startswith(("#", "data:"))]


def test_settings_of_the_prefix_reach_scripts(site: Site) -> None:
    for page in site.pages.values():
        assert page.all("html")[0]["data-root"] == f"{site.prefix}/", page.address


def test_a_site_below_a_prefix_is_nowhere_else(tmp_path: Path) -> None:
    settings = Settings(root=repository(tmp_path), state_dir=tmp_path / ".lectern")
    with running(replace(settings, public_url=f"http://localhost{PREFIX}")) as app:
        person = Person(app.test_client())
        for path in ("/", "/docs/README.md", "/team", "/team/docsx", "/static/js/main.js"):
            assert person.visit(path).status_code == 404, path
        assert person.visit(f"{PREFIX}/").status_code == 200
        assert person.visit(PREFIX, follow_redirects=True).status_code == 200
