"""Secrets stay where they are used, and logs tell nothing of what was said: a tour of canaries."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from app.demo.forgejo import Forgejo
from app.demo.model import Model
from app.demo.reply import call_tools, fail_midway, refuse, say, whole
from app.demo.traffic import Fault
from app.demo.wire import serve
from app.demo.woodpecker import Woodpecker
from app.services.search import search
from app.services.workspace import Workspace
from app.settings import ForgeSettings, LLMSettings, Secret, Settings
from tests.processes import (
    FETCH,
    PAGE,
    Answer,
    Client,
    Running,
    children,
    descendants,
    eventually,
    lectern,
)
from tests.support import FILES, Person, running

MODEL_KEY = "sk-canary-model-0123456789abcdef"
FORGE_TOKEN = "c0ffee00" * 5
CI_TOKEN = "canary-ci-token-0123456789abcdef"
DISPATCH_TOKEN = "canary-dispatch-0123456789abcdef"
SESSION_KEY = "canary-session-0123456789abcdef-0123456789"
SECRETS = (MODEL_KEY, FORGE_TOKEN, CI_TOKEN, DISPATCH_TOKEN, SESSION_KEY)
QUESTION, ANSWER, QUERY, TITLE = "canaryquestion", "canaryanswer", "canaryquery", "canarytitle"
SAID = (QUESTION, ANSWER, QUERY, TITLE)
MARKER = f'<action type="issue-create">{{"title": "{TITLE} %d"}}</action>'
CURIOUS = [
    ("read_file", {"path": path})
    for path in ("/proc/self/environ", ".env", ".lectern/secret_key", "docs/setup.md")
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("secrets") / "widgets"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@dataclass
class Doubles:
    """Services that know the canaries, and repeat them where the real ones do."""

    model: Model = field(default_factory=lambda: Model(api_key=MODEL_KEY))
    forge: Forgejo = field(default_factory=Forgejo)
    ci: Woodpecker = field(default_factory=Woodpecker)

    def __post_init__(self) -> None:
        self.forge.add_repository("acme/widgets", labels=[("bug", "d73a4a")])
        self.forge.add_token(FORGE_TOKEN, "keeper")
        self.ci.add_token(CI_TOKEN, "keeper")


@pytest.fixture(scope="module")
def doubles() -> Doubles:
    return Doubles()


@pytest.fixture(scope="module")
def environ(doubles: Doubles) -> Iterator[dict[str, str]]:
    with serve(doubles.model) as llm, serve(doubles.forge) as forge, serve(doubles.ci) as ci:
        yield {
            "OPENAI_API_KEY": MODEL_KEY,
            "OPENAI_BASE_URL": f"{llm.url}/v1",
            "FORGE_URL": forge.url,
            "FORGE_TOKEN": FORGE_TOKEN,
            "FORGE_OWNER": "acme",
            "FORGE_REPO": "widgets",
            "WOODPECKER_SERVER": ci.url,
            "WOODPECKER_TOKEN": CI_TOKEN,
            "TASKS_SERVER_DISPATCH_TOKEN": DISPATCH_TOKEN,
            "LECTERN_SECRET_KEY": SESSION_KEY,
        }


@dataclass
class Tour:
    """What a visitor got, what was logged, and what the processes below the server knew."""

    answers: list[Answer] = field(default_factory=list)
    streams: list[str] = field(default_factory=list)
    log: str = ""
    processes: dict[int, bytes] = field(default_factory=dict)

    def ask(self, client: Client, message: str) -> list[str]:
        """Ask, and give the cards that were proposed."""
        stream = client.ask(message, doc="docs/setup.md")
        stream.read_all()
        self.streams.append(json.dumps(stream.seen))
        return [data["proposal"] for _, name, data in stream.seen if name == "proposal"]


@pytest.fixture(scope="module")
def tour(root: Path, doubles: Doubles, environ: dict[str, str]) -> Tour:
    # A variable of the SDK's own must not turn its talkative log on.
    with lectern(root, {**environ, "OPENAI_LOG": "debug"}, workers=1) as server:
        tour = Tour()
        client = Client(
            f"http://127.0.0.1:{server.port}", headers={"X-Dispatch-Token": DISPATCH_TOKEN}
        )
        walk(tour, client)
        talk(tour, client, doubles)
        look(tour, server)
        client.close()
        tour.log = server.log.read_text()
    return tour


def walk(tour: Tour, client: Client) -> None:
    """Pages, refusals, and every way in."""
    stranger = Client(client.url)
    tour.answers += [
        client.get(path, headers=headers)
        for path in ("/", "/docs/src/app.py", "/history", "/readyz", "/chat/history", "/nothing")
        for headers in (PAGE, FETCH)
    ]
    tour.answers += [client.get(f"/docs/nothing.md?q={QUERY}"), client.get(f"/?ask=1&q={QUERY}")]
    tour.answers += [client.get(f"/raw/{path}") for path in (".env", ".lectern/secret_key")]
    tour.answers += [
        stranger.get(f"/?token={DISPATCH_TOKEN}", headers=PAGE),
        stranger.get(f"/?token={QUERY}", headers=PAGE),
        stranger.get("/auth/login?next=/x", headers=PAGE),
        stranger.post("/chat/new", doc=QUERY),
        stranger.send("GET", "/", headers={**PAGE, "X-Forwarded-For": QUERY}),
    ]


def talk(tour: Tour, client: Client, doubles: Doubles) -> None:
    """Turns that work and turns that fail, with a key that is repeated by who refuses it."""
    model, forge = doubles.model, doubles.forge
    model.script(
        call_tools(*CURIOUS), say(f"{ANSWER}\n\n{MARKER % 1}\n\n{MARKER % 2}\n\n{MARKER % 3}")
    )
    cards = tour.ask(client, QUESTION)
    told = f"Incorrect API key provided: {MODEL_KEY}. Authorization: Bearer {MODEL_KEY}"
    page = f"<html>{told}</html>".encode()
    for replies in (
        (refuse(401, told),),
        (refuse(500, told), refuse(500, told)),
        (fail_midway(f"{ANSWER} ", told),),
        (whole(page, "text/html"),),
    ):
        model.script(*replies)
        tour.ask(client, QUESTION)
    tour.answers.append(client.post("/chat/action/issue-create", proposal=cards[0]))
    refusal = json.dumps({"message": f"no token {FORGE_TOKEN}"}).encode()
    forge.fail_next(Fault(path=".*/issues", status=422, body=refusal))
    tour.answers.append(client.post("/chat/action/issue-create", proposal=cards[1]))
    forge.revoke_token(FORGE_TOKEN)  # its 401 repeats the token that was sent
    tour.answers += [
        client.post("/chat/action/issue-create", proposal=cards[2]),
        client.get("/chat/panel?doc=docs/setup.md"),
        client.get("/readyz"),
        client.get("/history", headers=PAGE),
        client.get(f"/chat/history/{cards[0].partition('-')[0]}"),
    ]
    forge.add_token(FORGE_TOKEN, "keeper")


def look(tour: Tour, server: Running) -> None:
    """What the processes that the workers started were given."""
    for worker in server.workers():
        for pid in descendants(worker):
            tour.processes[pid] = known_to(pid)


def known_to(pid: int) -> bytes:
    """The environment and the arguments of a process, while it lives."""
    folder = Path(f"/proc/{pid}")
    return (folder / "environ").read_bytes() + b"\n" + (folder / "cmdline").read_bytes()


def assert_none(of: tuple[str, ...], text: str, where: object = "") -> None:
    assert [word for word in of if word in text] == [], where


def test_the_tour_went_everywhere(tour: Tour) -> None:
    statuses = {answer.status for answer in tour.answers}
    assert statuses >= {200, 201, 302, 401, 403, 404, 422, 502}
    outcomes = [text.count('"outcome": "failed"') for text in tour.streams]
    assert outcomes == [0, 1, 1, 1, 1]
    assert tour.processes
    assert "lectern.upstream" in tour.log


def test_no_answer_holds_a_secret(tour: Tour) -> None:
    for answer in tour.answers:
        assert_none(SECRETS, f"{answer.headers}{answer.text}", answer.status)
    for text in tour.streams:
        assert_none(SECRETS, text)


def test_no_record_holds_a_secret(tour: Tour, root: Path) -> None:
    files = [path for path in (root / ".lectern").rglob("*") if path.is_file()]
    assert any(path.suffix == ".ndjson" for path in files)
    for path in files:
        assert_none(SECRETS, path.read_bytes().decode("utf-8", "replace"), path)
    assert not (root / ".lectern/secret_key").exists()


def test_the_log_holds_no_secret_and_nothing_that_was_said(tour: Tour) -> None:
    assert_none((*SECRETS, *SAID), tour.log)
    assert "?" not in tour.log


def test_the_processes_that_format_pages_know_no_secret(tour: Tour) -> None:
    known = b"\n".join(tour.processes.values()).decode()
    assert "app.render_worker" in known
    assert_none(SECRETS, known)
    assert "OPENAI" not in known
    assert "FORGE" not in known


@pytest.fixture
def secretive(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> None:
    """This process has the secrets in its own environment, as a worker has."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)


def caught(pattern: bytes, act: Callable[[], object]) -> str:
    """What a short-lived process of ours was given: `act` is repeated until one is seen alive."""
    over = threading.Event()

    def repeat() -> None:
        while not over.is_set():
            act()

    def seen() -> bytes:
        for pid in children(os.getpid()):
            try:
                known = known_to(pid)
            except OSError:
                continue
            # Between fork and exec a child still has our own arguments.
            if pattern in known.rpartition(b"\n")[2].split(b"\0")[0]:
                return known
        return b""

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        return bytes(eventually(seen)).decode()
    finally:
        over.set()
        thread.join()


@pytest.mark.usefixtures("secretive")
def test_the_search_program_is_given_no_secret(root: Path) -> None:
    workspace = Workspace(root)
    known = caught(b"/rg", lambda: search(workspace, "retries"))
    assert_none((*SECRETS, "OPENAI", "FORGE", "HOME="), known)


@pytest.mark.usefixtures("secretive")
def test_git_is_given_no_secret(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    workspace = Workspace(tmp_path)
    known = caught(b"/git", lambda: workspace.is_ignored("a.md"))
    assert_none((*SECRETS, "OPENAI", "FORGE"), known)


# At the level at which libraries tell the most


@pytest.fixture
def settings(root: Path, tmp_path: Path, environ: Mapping[str, str]) -> Settings:
    forge = ForgeSettings(
        environ["FORGE_URL"],
        environ["FORGE_URL"],
        Secret(FORGE_TOKEN),
        "acme/widgets",
        ("acme/widgets",),
    )
    return Settings(
        root=root,
        state_dir=tmp_path / "state",
        secret_key=Secret(SESSION_KEY),
        llm=LLMSettings(Secret(MODEL_KEY), "test-model", environ["OPENAI_BASE_URL"]),
        forge=forge,
    )


def test_no_library_logs_a_secret_at_any_level(
    settings: Settings, doubles: Doubles, caplog: pytest.LogCaptureFixture
) -> None:
    names = ("openai", "httpx2", "httpcore2", "urllib3", "requests", "lectern", "app", "werkzeug")
    for name in ("", *names):
        caplog.set_level(logging.DEBUG, logger=name)
    told = f"Incorrect API key provided: {MODEL_KEY}."
    doubles.model.script(say(f"Agreed.\n\n{MARKER % 1}"), refuse(401, told), refuse(500, told))
    doubles.model.script(fail_midway("Half ", told))
    for app in running(settings):
        person = Person(app.test_client())
        card = person.ask("First?", doc="docs/setup.md")["proposal"][0]["proposal"]
        person.fetch("/chat/action/issue-create", "POST", json={"proposal": card})
        for _ in range(2):
            person.ask("Again?", doc="docs/setup.md")
        doubles.forge.revoke_token(FORGE_TOKEN)
        person.fetch("/chat/action/issue-create", "POST", json={"title": "x"})
        ready = person.fetch("/readyz")
        assert ready.status_code == 503
        assert_none(SECRETS, ready.text)
        doubles.forge.add_token(FORGE_TOKEN, "keeper")
    formatted = logging.Formatter("%(name)s %(message)s")
    logged = [formatted.format(record) for record in caplog.records]
    assert any(line.startswith("lectern.upstream") for line in logged)
    assert any(line.startswith(("urllib3", "openai", "httpcore2")) for line in logged)
    for line in logged:
        assert_none(SECRETS, line, line[:200])


def test_an_error_of_our_own_tells_a_visitor_nothing_of_its_text(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    for app in running(settings):

        def fail() -> str:
            raise RuntimeError(f"{MODEL_KEY} {ANSWER}")

        app.view_functions["history.index"] = fail
        person = Person(app.test_client())
        for answer in (person.visit("/history"), person.fetch("/history")):
            assert answer.status_code == 500
            assert_none((MODEL_KEY, ANSWER, "RuntimeError", "Traceback"), answer.text)
    assert "history.index: RuntimeError" in caplog.text
    assert_none((MODEL_KEY, ANSWER), caplog.text)


def test_a_secret_is_in_no_repr_of_what_holds_it(settings: Settings) -> None:
    for app in running(replace(settings, dispatch_token=Secret(DISPATCH_TOKEN))):
        told = "".join(repr(value) for value in (*app.extensions.values(), settings, app))
        assert_none((MODEL_KEY, FORGE_TOKEN, DISPATCH_TOKEN), told)
