"""The command line and `gunicorn wsgi:app`, started as people start them."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from app import __version__
from app.cli import _address as address_of
from app.cli import main
from app.settings import Settings
from tests.processes import (
    GUNICORN,
    LECTERN,
    PAGE,
    Client,
    Running,
    children,
    eventually,
    finished,
    is_there,
    lectern,
    running,
)

BAD = {
    "LECTERN_MODE": "team",
    "LECTERN_PORT": "http",
    "FORGE_URL": "https://forge.test",
    "OPENAI_BASE_URL": "ftp://canary-address",
}
TOLD = (
    "LECTERN_MODE",
    "LECTERN_PORT",
    "FORGE_TOKEN",
    "FORGE_OWNER",
    "FORGE_REPO",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def run(*arguments: str, **environ: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, arguments, env={"LECTERN_ROOT": None, **environ})
    return result.exit_code, result.output


def test_the_version_is_told() -> None:
    code, output = run("--version")
    assert code == 0
    assert output == f"lectern, version {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [("--help",), ("-h",), ("serve", "--help"), ("demo", "--help"), ("serve", "-h")]
)
def test_help_explains_itself(arguments: tuple[str, ...]) -> None:
    code, output = run(*arguments)
    assert code == 0
    assert output.startswith("Usage:")
    assert "--help" in output


def test_help_names_the_commands() -> None:
    _, output = run("--help")
    assert "serve" in output
    assert "demo" in output


@pytest.mark.parametrize(
    "arguments",
    [
        ("--nope",),
        ("nope",),
        ("serve", "--nope"),
        ("serve", "--port", "http"),
        ("serve", "--port", "65536"),
        ("serve", "--workers", "0"),
        ("serve", "--workers", "9"),
        ("serve", "a", "b"),
        ("demo", "--port", "-1"),
    ],
    ids=" ".join,
)
def test_wrong_use_is_told_with_code_2(arguments: tuple[str, ...]) -> None:
    code, output = run(*arguments)
    assert code == 2
    assert "Error:" in output
    assert "Traceback" not in output


def test_bad_settings_are_told_all_at_once_and_nothing_is_served(tmp_path: Path) -> None:
    code, output = run("serve", str(tmp_path), **BAD)
    assert code == 2
    assert [name for name in TOLD if f"  {name}: " not in output] == []
    assert "Traceback" not in output
    assert "canary" not in output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("serve", "/nowhere/at/all"), "LECTERN_ROOT"),
        (("serve", ".", "--host", "0.0.0.0"), "LECTERN_HOST"),
        (("serve", ".", "--host", "192.0.2.1"), "LECTERN_HOST"),
    ],
    ids=["a root that is not there", "every address", "another computer"],
)
def test_an_option_is_held_to_the_rules_of_its_variable(
    arguments: tuple[str, ...], name: str
) -> None:
    code, output = run(*arguments)
    assert code == 2
    assert f"  {name}: " in output


def test_a_bad_setting_ends_the_real_command_without_a_traceback(tmp_path: Path) -> None:
    done = finished((*LECTERN, "serve", str(tmp_path)), LECTERN_PORT="http")
    assert done.returncode == 2
    assert "LECTERN_PORT: must be a whole number" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_port_that_is_taken_is_a_sentence(tmp_path: Path, taken: int) -> None:
    done = finished((*LECTERN, "serve", str(tmp_path), "--port", str(taken)))
    assert done.returncode == 1
    assert f"Cannot serve at 127.0.0.1:{taken}: address already in use." in done.stderr
    assert "Try another --port." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("state", "kind"),
    [("/proc/lectern", "a place that takes no folders"), ("{root}/file", "a file")],
    ids=["no folders", "a file"],
)
def test_a_state_directory_that_cannot_be_written_is_a_sentence(
    tmp_path: Path, state: str, kind: str
) -> None:
    (tmp_path / "file").write_text("")
    place = state.format(root=tmp_path)
    for command in ((*LECTERN, "serve", "--port", "0"), (*GUNICORN, "--bind", "127.0.0.1:0")):
        done = finished(command, LECTERN_ROOT=str(tmp_path), LECTERN_STATE_DIR=place)
        assert done.returncode not in (0, None), kind
        assert f"LECTERN_STATE_DIR: {place} cannot be written" in done.stderr
        assert "Traceback" not in done.stderr


# lectern serve


def test_serving_says_where_and_answers_there(repository: Path) -> None:
    environ = {
        "LECTERN_PUBLIC_URL": "http://localhost/team/docs",
        "TASKS_SERVER_DISPATCH_TOKEN": "a-token",
    }
    with lectern(repository, environ, workers=1) as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert server.url.endswith("/team/docs/?token=a-token")
        client = Client(f"http://127.0.0.1:{server.port}/team/docs")
        assert client.get("/healthz").text == "ok"
        assert client.get("/chat/history").status == 401
        led = client.get("/?token=a-token", headers=PAGE)
        assert (led.status, led.headers["Location"]) == (302, "/team/docs/")
        signed_in = Client(client.url, headers={"Cookie": led.headers["Set-Cookie"]})
        page = signed_in.get("/", headers=PAGE)
        assert page.status == 200
        assert 'href="/team/docs/docs/docs/setup.md"' in page.text
        assert "a-token" not in server.log.read_text()
        assert server.end() == 0


def test_a_server_that_is_ended_leaves_no_process(repository: Path) -> None:
    with lectern(repository, {}) as server:
        server.client.get("/", headers=PAGE)
        below = eventually(lambda: _with_render_process(server))
        assert server.end() == 0
        eventually(lambda: not any(map(is_there, below)))


def _with_render_process(server: Running) -> list[int]:
    workers = server.workers()
    rendering = [pid for worker in workers for pid in children(worker)]
    return workers + rendering if rendering else []


def test_two_workers_make_one_key(repository: Path) -> None:
    with lectern(repository, {}) as server:
        assert server.client.get("/", headers=PAGE).status == 200
    state = repository / ".lectern"
    assert len((state / "secret_key").read_text()) >= 32
    assert (state / "secret_key").stat().st_mode & 0o777 == 0o600
    assert state.stat().st_mode & 0o777 == 0o700
    assert (state / ".gitignore").read_text() == "*\n"


# lectern demo


def test_the_demo_shows_a_page_and_leaves_nothing(tmp_path: Path) -> None:
    # Settings for real services must not reach it.
    environ = {
        "TMPDIR": str(tmp_path),
        "OPENAI_API_KEY": "canary",
        "FORGE_URL": "https://canary.test",
        "LECTERN_ROOT": "/nowhere",
    }
    with running((*LECTERN, "demo", "--port", "0"), environ) as server:
        page = eventually(lambda: server.client.get("/", headers=PAGE))
        assert "Simulation:" in page.text
        assert "canary" not in page.text
        ready = server.client.get("/readyz").json
        assert ready == {
            "status": "ready",
            "checks": dict.fromkeys(("root", "state", "forge", "ci", "llm"), "ok"),
        }
        below = children(server.pid)
        assert len(below) == 2
        (doubles,) = (pid for pid in below if b"app.demo" in _known_to(pid, "cmdline"))
        assert b"canary" not in _known_to(doubles, "environ")
        assert list(tmp_path.iterdir())
        assert server.end() == 0
        eventually(lambda: not any(map(is_there, below)))
        assert [p.name for p in tmp_path.iterdir() if p.name.startswith("lectern")] == []


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000/"),
        ("localhost", "http://localhost:8000/"),
        ("::1", "http://[::1]:8000/"),
        ("[::1]", "http://[::1]:8000/"),
    ],
)
def test_the_address_that_is_printed_can_be_opened(tmp_path: Path, host: str, address: str) -> None:
    assert address_of(Settings(tmp_path, tmp_path, host=host), 8000) == address


def test_a_worker_that_ends_takes_nothing_of_the_demo_with_it(tmp_path: Path) -> None:
    with running((*LECTERN, "demo", "--port", "0"), {"TMPDIR": str(tmp_path)}) as server:
        before = eventually(lambda: server.client.get("/", headers=PAGE)).text
        (doubles,) = (p for p in children(server.pid) if b"app.demo" in _known_to(p, "cmdline"))
        (worker,) = set(children(server.pid)) - {doubles}
        os.kill(worker, signal.SIGTERM)
        eventually(lambda: not is_there(worker))
        eventually(lambda: len(children(server.pid)) == 2)
        assert server.client.get("/", headers=PAGE).text == before
        assert is_there(doubles)


def _known_to(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


# gunicorn wsgi:app


def test_gunicorn_at_the_top_of_the_tree_is_a_whole_deployment(repository: Path) -> None:
    command = (*GUNICORN, "--bind", "127.0.0.1:0", "--workers", "2")
    with running(command, {"LECTERN_ROOT": str(repository)}) as server:
        eventually(lambda: len(server.workers()) == 2)
        assert server.client.get("/healthz").text == "ok"
        assert "Widgets" in server.client.get("/", headers=PAGE).text
        log = server.log.read_text()
        assert "Using worker: gthread" in log
        assert "Control socket" not in log
        assert server.end() == 0


def test_under_gunicorn_bad_settings_end_the_process_at_once(tmp_path: Path) -> None:
    done = finished(
        (*GUNICORN, "--bind", "127.0.0.1:0", "--workers", "2"),
        LECTERN_ROOT=str(tmp_path),
        **BAD,
    )
    assert done.returncode == 2
    assert [name for name in TOLD if f"  {name}: " not in done.stderr] == []
    assert "Traceback" not in done.stderr
    assert "Booting worker" not in done.stderr
    assert "canary" not in done.stderr


def test_a_malformed_dotenv_ends_the_process_and_names_the_line(repository: Path) -> None:
    (repository / ".env").write_bytes(b"\xef\xbb\xbfOPENAI_API_KEY=canary\r\n\r\n= nothing\r\n")
    done = finished((*LECTERN, "serve", str(repository), "--port", "0"))
    assert done.returncode == 2
    assert ".env: line 3 is not of the form NAME=value." in done.stderr
    assert "canary" not in done.stderr


def test_importing_the_command_is_quick_work() -> None:
    """`--version` loads neither the web framework nor a client."""
    code = (
        "import json, sys; import app.cli; heavy = ('flask', 'openai', 'gunicorn', 'markdown', "
        "'requests', 'nh3'); print(json.dumps([n for n in heavy if n in sys.modules]))"
    )
    done = finished((LECTERN[0], "-c", code))
    assert json.loads(done.stdout) == []


def test_no_variable_of_the_tests_reaches_a_process() -> None:
    done = finished((LECTERN[0], "-c", "import os; print(sorted(os.environ))"))
    assert set(json.loads(done.stdout.replace("'", '"'))) <= {
        "PATH",
        "HOME",
        "PYTHONPATH",
        "LC_CTYPE",
    }
    assert os.environ["PATH"]
