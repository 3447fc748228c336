"""The processes that format pages: deadlines, crashes, and what they may know."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.rendering import MAX_BYTES, Page, Renderer

SLOW = "[" * 20_000  # minutes for Python-Markdown
PATIENCE_S = 10.0


@pytest.fixture
def renderer() -> Iterator[Renderer]:
    renderer = Renderer(deadline_s=1.0)
    yield renderer
    renderer.close()


def workers(parent: int | None = None) -> list[int]:
    """The rendering processes of a process, dead ones that nobody has reaped included."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = status.read_text().rpartition(")")
            line = (status.parent / "cmdline").read_bytes()
        except OSError:
            continue
        state, ppid = rest.split()[:2]
        if int(ppid) == (parent or os.getpid()) and (b"app.render_worker" in line or state == "Z"):
            found.append(int(status.parent.name))
    return found


@pytest.fixture
def mine() -> Callable[[], list[int]]:
    """The rendering processes that came after the test began."""
    others = set(workers())
    return lambda: [pid for pid in workers() if pid not in others]


def eventually(condition: Callable[[], object]) -> bool:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > until:
            return False
        threading.Event().wait(0.01)
    return True


def cpu_ticks(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])


HOSTILE = {
    "brackets": SLOW,
    "images": "![" * 5_000,
    "tags": "<a " * 5_000,
    "declarations": "<![" * 9_600,
    "stars": "*" * 10_000 + "a",
    "emphasis": "*a " * 3_300,
    "quotes": "> " * 2_000 + "a",
    "lists": "\n".join(" " * at + "- a" for at in range(1_000)),
    "columns": "\n".join("|" + cell * 4_000 for cell in ("a|", "-|", "b|")),
    "open-links": "[a](" * 5_000,
    "footnotes": "[^1] " * 3_000 + "\n\n[^1]: a",
    "nested-yaml": "---\na: " + "[" * 30_000 + "\n---\n",
    "billion-laughs": "---\na: &a [x]\n" + "".join(f"k{n}: [*a, *a]\n" for n in range(9)) + "---\n",
    "deep-html": "<div>" * 20_000,
    "open-links-in-html": "<a href=x><b>" * 5_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_page_ends_in_time(renderer: Renderer, text: str) -> None:
    renderer.page("warm", path="a.md")
    started = time.monotonic()
    page = renderer.page(text, path="a.md")

    # Its second, and the time a busy machine needs to notice.
    assert time.monotonic() - started < 4.0
    assert page.html


def test_a_hostile_page_holds_up_no_other() -> None:
    renderer = Renderer(deadline_s=60.0)
    hostile = threading.Thread(target=renderer.page, args=[SLOW], kwargs={"path": "a.md"})
    hostile.start()
    other = renderer.page("# Other", path="a.md")

    assert other.title == "Other"
    assert hostile.is_alive()
    renderer.close()
    hostile.join()


def test_a_page_that_takes_too_long_is_plain_and_costs_its_time_once(
    renderer: Renderer, caplog: pytest.LogCaptureFixture
) -> None:
    first = renderer.page(SLOW, path="a.md")
    again = renderer.page(SLOW, path="a.md")

    assert first.problem == "This page took too long to format, so it is shown as plain text."
    assert first.html == f'<pre class="plain">{SLOW}</pre>'
    assert again == first
    assert caplog.messages == ["rendering process lost: TooSlow"]


def test_a_process_that_took_too_long_is_gone_and_the_next_page_is_its_own(
    renderer: Renderer, mine: Callable[[], list[int]]
) -> None:
    renderer.page(SLOW, path="a.md")

    assert mine() == []
    assert renderer.page("# Next", path="a.md").title == "Next"


def test_a_file_that_takes_too_long_keeps_its_anchors() -> None:
    renderer = Renderer(deadline_s=0.0)
    html = renderer.file("if x:\n  <b>", path="a.py")
    renderer.close()

    assert '<a class="number" href="#L2">2</a>  &lt;b&gt;</span>' in html
    assert '<span class="k">' not in html


def test_two_threads_that_want_one_page_make_it_once(
    renderer: Renderer, caplog: pytest.LogCaptureFixture
) -> None:
    threads = [
        threading.Thread(target=renderer.page, args=[SLOW], kwargs={"path": "a.md"}) for _ in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert caplog.messages == ["rendering process lost: TooSlow"]


def test_nothing_is_started_before_it_is_needed(
    renderer: Renderer, mine: Callable[[], list[int]]
) -> None:
    assert mine() == []

    renderer.warm()
    renderer.warm()

    assert eventually(mine)
    assert len(mine()) == 1


def test_closing_leaves_no_process(renderer: Renderer, mine: Callable[[], list[int]]) -> None:
    renderer.page("a", path="a.md")
    assert len(mine()) == 1

    renderer.close()

    assert mine() == []
    assert renderer.page("b", path="a.md").html == '<pre class="plain">b</pre>'


def test_closing_ends_what_is_under_way(mine: Callable[[], list[int]]) -> None:
    renderer = Renderer(deadline_s=60.0)
    pages: list[Page] = []
    thread = threading.Thread(target=lambda: pages.append(renderer.page(SLOW, path="a.md")))
    thread.start()
    assert eventually(mine)

    renderer.close()
    thread.join()

    assert pages[0].html.startswith('<pre class="plain">')
    assert mine() == []


def test_a_process_killed_in_the_middle_gives_plain_text_and_is_replaced(
    mine: Callable[[], list[int]],
) -> None:
    renderer = Renderer(deadline_s=60.0)
    renderer.page("warm", path="a.md")
    (victim,) = mine()
    before = cpu_ticks(victim)
    pages: list[Page] = []
    thread = threading.Thread(target=lambda: pages.append(renderer.page(SLOW, path="a.md")))
    thread.start()
    assert eventually(lambda: cpu_ticks(victim) > before + 5)
    os.kill(victim, signal.SIGKILL)
    thread.join()

    assert pages[0].problem == "This page could not be formatted, so it is shown as plain text."
    assert mine() == []
    assert renderer.page("# Next", path="a.md").title == "Next"
    renderer.close()


def test_a_process_killed_while_idle_is_not_noticed(
    renderer: Renderer, mine: Callable[[], list[int]]
) -> None:
    renderer.page("warm", path="a.md")
    (victim,) = mine()
    os.kill(victim, signal.SIGKILL)
    assert eventually(
        lambda: Path(f"/proc/{victim}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    )

    assert renderer.page("# Next", path="a.md").title == "Next"
    assert victim not in mine()


def test_a_process_ends_when_its_server_is_gone() -> None:
    script = (
        "import sys; from app.rendering import Renderer; renderer = Renderer();"
        "renderer.page('a', path='a.md'); print('ready', flush=True); sys.stdin.read()"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with server:
        assert server.stdout is not None
        server.stdout.readline()
        (worker,) = workers(server.pid)
        server.kill()

    assert eventually(lambda: not Path(f"/proc/{worker}").exists())


def test_a_process_knows_no_secret_and_takes_no_module_from_the_served_folder(
    renderer: Renderer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    mine: Callable[[], list[int]],
) -> None:
    (tmp_path / "markdown.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "canary")

    assert renderer.page("# A", path="a.md").title == "A"
    (worker,) = mine()
    names = {
        entry.split(b"=")[0] for entry in Path(f"/proc/{worker}/environ").read_bytes().split(b"\0")
    }
    assert names - {b""} <= {b"PATH", b"LANG", b"PYTHONPATH"}


def test_a_page_waits_for_a_free_process_but_not_for_ever() -> None:
    renderer = Renderer(deadline_s=0.2, processes=1)
    texts = [SLOW + str(number) for number in range(12)]
    pages: list[Page] = []
    threads = [
        threading.Thread(target=lambda text=text: pages.append(renderer.page(text, path="a.md")))
        for text in texts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    renderer.close()

    assert {page.html.startswith('<pre class="plain">') for page in pages} == {True}
    assert any("busy" in str(page.problem) for page in pages)


def test_a_large_page_is_plain_at_once_and_says_how_large_it_is(
    renderer: Renderer, mine: Callable[[], list[int]]
) -> None:
    page = renderer.page("<b>" + "x" * MAX_BYTES, path="a.md")

    assert page.html.startswith('<pre class="plain">&lt;b&gt;xx')
    assert page.problem == "This page has 512 KB. Over 512 KB pages are shown as plain text."
    assert mine() == []


def test_a_key_press_in_the_terminal_does_not_reach_a_process(
    renderer: Renderer, mine: Callable[[], list[int]]
) -> None:
    renderer.warm()
    assert eventually(mine)
    (worker,) = mine()

    assert os.getsid(worker) == worker


def test_a_renderer_that_is_forgotten_leaves_no_process(mine: Callable[[], list[int]]) -> None:
    renderer = Renderer()
    renderer.page("a", path="a.md")
    assert len(mine()) == 1

    del renderer
    gc.collect()

    assert mine() == []
