"""What the browser tests share: a browser that is watched, a real server, and the drawer as a
person finds it. Knows the pages by their roles, labels and data-attributes alone."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    Response,
    WebError,
    expect,
)

from app.demo.wire import Server
from tests.support import FILES, KEY, PNG, TOKEN

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PROJECT = Path(__file__).parents[2]
PREFIX = "/team/docs"
START_S = 20.0
STOP_S = 15.0
# What a page may leave unfinished when another one is opened: an answer, which goes on without it,
# and the icon, which the browser fetches when it likes.
LEFT = re.compile(r"/actions/chat$|/chat/turns/[^/]+/events|/icons/lectern\.svg$")
# Violations are console errors as well; this names the directive and what it kept from running.
CSP_LISTENER = """
document.addEventListener("securitypolicyviolation", (event) => console.error(
  `CSP report: ${event.effectiveDirective} ${event.blockedURI} ${event.sample}`));
"""


def repository_in(folder: Path) -> Path:
    root = folder / "widgets"
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (root / "docs/dot.png").write_bytes(PNG)
    return root


class Stand:
    """A place on loopback where every test puts a double of its own."""

    def __init__(self) -> None:
        self.app: WSGIApplication | None = None

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if self.app is None:
            start("503 Service Unavailable", [("Content-Length", "0")])
            return []
        return self.app(environ, start)


@dataclass(frozen=True)
class Stands:
    """The two outside services, and where they are."""

    model: Stand
    forge: Stand
    model_server: Server
    forge_server: Server

    def environ(self) -> dict[str, str]:
        return {
            "OPENAI_API_KEY": KEY,
            "OPENAI_MODEL": "test-model",
            "OPENAI_BASE_URL": f"{self.model_server.url}/v1",
            "FORGE_URL": self.forge_server.url,
            "FORGE_TOKEN": TOKEN,
            "FORGE_OWNER": "acme",
            "FORGE_REPO": "widgets",
        }


@dataclass
class Lectern:
    """`lectern serve` in processes of its own, as a person starts it."""

    process: subprocess.Popen[bytes]
    root: Path
    log: Path
    url: str = ""

    @staticmethod
    def start(root: Path, environ: Mapping[str, str], *, home: Path, workers: int = 2) -> Lectern:
        """Serve `root` under the prefix; the environment is `environ` and nothing of ours."""
        main = "from app.cli import main; main()"
        command = [sys.executable, "-c", main, "serve", str(root), "--port", "0"]
        given = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(home),
            "LECTERN_PUBLIC_URL": f"http://127.0.0.1{PREFIX}",
            **environ,
        }
        log = home / "lectern.log"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [*command, "--workers", str(workers)],
                cwd=PROJECT,
                env=given,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        lectern = Lectern(process, root, log)
        try:
            lectern.url = lectern._printed_address()
        except BaseException:
            lectern.stop()
            raise
        return lectern

    def _printed_address(self) -> str:
        out = self.process.stdout
        assert out is not None
        readable, _, _ = select.select([out], [], [], START_S)
        line = out.readline().decode() if readable else ""
        found = re.fullmatch(r"Lectern serves .+ at (http://\S+)\n", line)
        assert found, f"no address in {line!r}; the log says: {self.log.read_text()}"
        return found[1]

    @property
    def origin(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    @property
    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def writer(self, conversation: str) -> int:
        """The worker that writes the answer: it alone holds the conversation's lock open."""
        lock = f"{self.root}/.lectern/live/{conversation}.lock"
        for worker in self.workers:
            for name in Path(f"/proc/{worker}/fd").iterdir():
                with suppress(FileNotFoundError):  # closed while we looked
                    if str(name.readlink()) == lock:
                        return worker
        raise AssertionError("no answer is being written there")

    def write(self, path: str, text: str) -> str:
        """A file of the repository, as somebody writes it beside Lectern; returns its address."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return f"docs/{path}"

    def kill(self) -> None:
        """As the system does it when memory is short: nobody is asked."""
        self.process.kill()
        self.process.wait(STOP_S)

    def stop(self) -> None:
        """End it as a person does, or else by force; what it said on the way is looked at."""
        was_running = self.process.poll() is None
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("Lectern did not end when it was asked to") from None
        finally:
            if self.process.stdout:
                self.process.stdout.close()
        log = self.log.read_text()
        assert "Traceback" not in log, log
        assert not was_running or self.process.returncode == 0, log


class Windows(Protocol):
    """Opens a window that shares nothing with others."""

    def __call__(self, **options: Any) -> Page: ...


class Start(Protocol):
    """Starts a server with settings of its own."""

    def __call__(self, environ: Mapping[str, str], *, workers: int = 1) -> Lectern: ...


@dataclass
class Watch:
    """What the browser complained of. A test says beforehand what it provokes."""

    complaints: list[str] = field(default_factory=list)
    expected: list[re.Pattern[str]] = field(default_factory=list)

    def expect(self, pattern: str) -> None:
        """Complaints in which this is found are part of the test."""
        self.expected.append(re.compile(pattern))

    @property
    def unexpected(self) -> list[str]:
        return [c for c in self.complaints if not any(p.search(c) for p in self.expected)]

    def over(self, context: BrowserContext) -> None:
        """Listen to everything that happens in `context`, in all of its pages."""
        context.add_init_script(CSP_LISTENER)
        context.on("console", self._console)
        context.on("weberror", self._page_error)
        context.on("request", self._request)
        context.on("requestfailed", self._failed)
        context.on("response", self._answer)
        context.on("dialog", self._dialog)

    def _note(self, kind: str, text: str) -> None:
        self.complaints.append(f"{kind}: {text}")

    def _page_error(self, error: WebError) -> None:
        self._note("page error", str(error.error))

    def _dialog(self, dialog: Dialog) -> None:
        self._note("dialog", dialog.message)
        dialog.dismiss()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._note(f"console {message.type}", message.text)

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1":
            self._note("foreign request", request.url)

    def _failed(self, request: Request) -> None:
        is_left = request.failure == "net::ERR_ABORTED" and LEFT.search(request.url)
        if not is_left:
            self._note("failed request", f"{request.method} {request.url} {request.failure}")

    def _answer(self, response: Response) -> None:
        if response.status >= 500:
            self._note(f"answer {response.status}", response.url)


class Gates:
    """Events that hold the model in mid-answer; all of them open when the test is over."""

    def __init__(self) -> None:
        self._events: list[threading.Event] = []

    def __call__(self) -> threading.Event:
        event = threading.Event()
        self._events.append(event)
        return event

    def open_all(self) -> None:
        for event in self._events:
            event.set()


class Drawer:
    """The margin a page is talked over in."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.button = page.locator("[data-ask-button]")
        self.aside = page.get_by_role("complementary", name="Ask about this page")
        self.panel = self.aside.locator("[data-panel]")
        self.box = self.aside.get_by_label("Your question")
        self.send = self.aside.get_by_role("button", name="Send")
        self.stop = self.aside.get_by_role("button", name="Stop")
        self.problem = self.aside.locator("[data-problem]")
        self.turns = self.aside.locator("[data-turn]")
        self.turn = self.turns.last
        self.answer = self.turn.locator("[data-answer]")
        self.turn_problem = self.turn.locator("[data-turn-problem]")
        self.card = self.turn.locator("[data-card]")

    @property
    def conversation(self) -> str:
        return self.panel.get_attribute("data-conversation") or ""

    def open(self) -> None:
        self.button.click()
        expect(self.box).to_be_focused()

    def ask(self, question: str) -> None:
        """Type and press Enter, in a drawer that is open."""
        self.box.fill(question)
        self.box.press("Enter")

    def expect_live(self, text: str) -> None:
        """What has been written so far is exactly this: nothing lost, nothing twice."""
        expect(self.answer).to_have_attribute("data-live", "")
        expect(self.answer).to_have_text(text)

    def expect_end(self, outcome: str = "complete") -> None:
        expect(self.turn).to_have_attribute("data-outcome", outcome)
        expect(self.send).to_be_visible()
