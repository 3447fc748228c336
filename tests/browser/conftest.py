"""Fixtures: the machine's Chromium, a real server, doubles and windows for each test.

Every window is watched: a test fails when the browser complained of anything it did not announce.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from app.demo.forgejo import Forgejo
from app.demo.model import Model
from app.demo.wire import serve
from tests.browser.support import (
    Drawer,
    Gates,
    Lectern,
    Stand,
    Stands,
    Start,
    Watch,
    Windows,
    repository_in,
)

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = "There is no browser to test with: install Chromium (apt install chromium)."
PATIENCE_MS = 15_000
ARGUMENTS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    # Not one name leads out of this computer; evil.test is a foreign name that leads to it.
    "--host-resolver-rules=MAP evil.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where the browser is. Without one the tests are skipped, but not where they are required."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found:
        return found
    is_required = os.environ.get("LECTERN_BROWSER_TESTS") == "required"
    if is_required or os.environ.get("CI") == "true":
        pytest.fail(MISSING)
    pytest.skip(MISSING)


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def stands() -> Iterator[Stands]:
    model, forge = Stand(), Stand()
    with serve(model) as model_server, serve(forge) as forge_server:
        yield Stands(model, forge, model_server, forge_server)


@pytest.fixture(scope="session")
def lectern(stands: Stands, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lectern]:
    """One for all who want nothing special: two workers, under a prefix, everything configured.

    Starting and ending one takes longer than most tests; each test talks about a page of its own.
    """
    folder = tmp_path_factory.mktemp("lectern")
    shared = Lectern.start(repository_in(folder), stands.environ(), home=folder)
    yield shared
    shared.stop()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a server for one test, with a repository and settings of its own."""
    started: list[Lectern] = []

    def start_one(environ: Mapping[str, str], *, workers: int = 1) -> Lectern:
        root = repository_in(tmp_path)
        started.append(Lectern.start(root, environ, home=tmp_path, workers=workers))
        return started[-1]

    yield start_one
    for lectern in started:
        lectern.stop()


@pytest.fixture
def gate() -> Iterator[Gates]:
    gates = Gates()
    yield gates
    gates.open_all()


@pytest.fixture
def model(model: Model, stands: Stands, gate: Gates) -> Iterator[Model]:
    stands.model.app = model
    yield model
    gate.open_all()
    model.wait_for_open_streams(0)
    stands.model.app = None


@pytest.fixture
def forgejo(forgejo: Forgejo, stands: Stands) -> Iterator[Forgejo]:
    stands.forge.app = forgejo
    yield forgejo
    stands.forge.app = None


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def window(browser: Browser, lectern: Lectern, watch: Watch) -> Iterator[Windows]:
    """Opens windows that share nothing with each other; addresses are relative to Lectern's."""
    contexts = []

    def open_one(**options: Any) -> Page:
        context = browser.new_context(**{"base_url": lectern.url, **options})
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        watch.over(context)
        return context.new_page()

    yield open_one
    for context in contexts:
        for page in context.pages:
            page.title()  # whatever it had to say before is here now
    complaints = watch.unexpected
    for context in contexts:
        context.close()
    assert not complaints, "\n".join(["the browser complained:", *complaints])


@pytest.fixture
def page(window: Windows, model: Model, forgejo: Forgejo) -> Page:
    """A window with everything in order behind it."""
    return window()


@pytest.fixture
def drawer(page: Page) -> Drawer:
    return Drawer(page)


@pytest.fixture
def doc(lectern: Lectern, request: pytest.FixtureRequest) -> str:
    """The address of a page of the test's own, so that nobody else has talked about it."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))
    text = f"# {name.replace('-', ' ').capitalize()}\n\nA page to talk about.\n"
    return lectern.write(f"own/{name}.md", text)
