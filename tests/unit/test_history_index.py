"""The list of conversations: what it says, and that it is never more than a cache of the files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.services.errors import ConversationNotFound
from app.services.history import Conversation, History
from app.services.history_index import PREVIEW_CHARS, HistoryIndex, Summary

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)

APPEND = """
import sys
from pathlib import Path
from app.services.history import History
conversation = History(Path(sys.argv[1])).conversation("alice", sys.argv[2])
conversation.append("user", turn="t1", content="asked elsewhere", page={"kind": "doc"})
conversation.append("assistant", turn="t1", content="answered elsewhere")
"""

CREATE = """
import sys
from pathlib import Path
from app.services.history import History
from app.services.history_index import HistoryIndex
state, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
index = HistoryIndex(state / "index", History(state / "history"))
print("ready", flush=True)
sys.stdin.readline()
for number in range(count):
    made = index.create("alice", doc=f"{name}/{number}.md", page_kind="doc")
    made.append("tool", turn="t1")
    index.conversations("alice")
    print(made.id)
"""


class Clock:
    """A minute later with every look."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def history(state: Path) -> History:
    return History(state / "history", now=Clock())


@pytest.fixture
def index(state: Path, history: History) -> HistoryIndex:
    return HistoryIndex(state / "index", history)


def ask(conversation: Conversation, text: str = "Why?", *, doc: str | None = "README.md") -> None:
    page = {"kind": "doc", "doc": doc, "sha256": ""}
    conversation.append("user", turn="t1", content=text, page=page)


def create(index: HistoryIndex, doc: str | None = "README.md", kind: str = "doc") -> Conversation:
    return index.create("alice", doc=doc, page_kind=kind)


def listed(index: HistoryIndex, user: str = "alice") -> list[str]:
    return [summary.id for summary in index.conversations(user)]


def only(index: HistoryIndex) -> Summary:
    (summary,) = index.conversations("alice")
    return summary


def cache(state: Path) -> Path:
    return state / "index" / "alice.json"


def python(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


class TestList:
    def test_a_stranger_has_none(self, index: HistoryIndex) -> None:
        create(index)
        assert index.conversations("bob") == []

    def test_a_new_conversation_is_listed_at_once(self, index: HistoryIndex) -> None:
        made = create(index)
        summary = only(index)
        assert (summary.id, summary.doc, summary.page_kind) == (made.id, "README.md", "doc")
        assert (summary.preview, summary.message_count) == ("", 0)
        assert summary.created_at == summary.updated_at == "2026-11-20T12:01:00.000Z"

    def test_the_newest_comes_first(self, index: HistoryIndex) -> None:
        first, second, third = (create(index) for _ in range(3))
        ask(second)
        ask(first)
        assert listed(index) == [first.id, second.id, third.id]

    def test_it_says_when_and_how_much(self, index: HistoryIndex) -> None:
        made = create(index)
        ask(made)
        made.append("tool", turn="t1", name="read_file")
        made.append("assistant", turn="t1", content="Because.")
        made.append("action", turn="t1", phase="proposed")
        made.append("oracle", turn="t1")
        summary = only(index)
        assert summary.message_count == 2
        assert summary.created_at == "2026-11-20T12:01:00.000Z"
        assert summary.updated_at == "2026-11-20T12:06:00.000Z"

    @pytest.mark.parametrize(
        ("text", "preview"),
        [
            ("Why?", "Why?"),
            ("  a\n\tlong  \u2028 way  ", "a long way"),
            ("x" * PREVIEW_CHARS, "x" * PREVIEW_CHARS),
            ("x" * (PREVIEW_CHARS + 1), "x" * PREVIEW_CHARS + "…"),
            ("<b>\ud800</b> 🚀", "<b>\ud800</b> 🚀"),
        ],
    )
    def test_the_preview_is_the_first_question_in_one_line(
        self, index: HistoryIndex, text: str, preview: str
    ) -> None:
        made = create(index)
        ask(made, text)
        ask(made, "another question")
        assert only(index).preview == preview

    def test_the_page_is_that_of_the_first_question(self, index: HistoryIndex) -> None:
        made = create(index, doc="a.md")
        ask(made, doc="b.md")
        ask(made, doc="c.md")
        assert only(index).doc == "b.md"

    @pytest.mark.parametrize("page", [None, "README.md", 7, [], {}])
    def test_a_question_with_a_strange_page_is_listed(
        self, index: HistoryIndex, page: object
    ) -> None:
        create(index).append("user", turn="t1", content=["no", "text"], page=page)
        assert only(index).message_count == 1

    def test_what_is_no_conversation_is_not_listed(
        self, index: HistoryIndex, history: History
    ) -> None:
        made = create(index)
        folder = made.path.parent
        for name in ("notes.ndjson", "abcdef012345\n.ndjson", "abcdef012345.txt", "abcdef012345"):
            (folder / name).write_text("{}\n")
        (folder / "000000000001.ndjson").symlink_to(made.path)
        (folder / "000000000002.ndjson").mkdir()
        os.mkfifo(folder / "000000000003.ndjson")
        assert listed(index) == [made.id]
        for name in ("000000000001", "000000000002", "000000000003"):
            with pytest.raises(ConversationNotFound):
                history.conversation("alice", name)


class TestHidden:
    def test_a_hidden_conversation_is_not_listed_but_stays(self, index: HistoryIndex) -> None:
        made = create(index)
        ask(made)
        assert not index.is_hidden("alice", made.id)
        made.append("hidden", turn="")
        assert index.is_hidden("alice", made.id)
        assert index.conversations("alice") == []
        assert len(list(made.records())) == 2

    def test_it_stays_hidden_when_something_is_added(self, index: HistoryIndex) -> None:
        made = create(index)
        made.append("hidden", turn="")
        made.append("action", turn="t1", phase="done")
        assert index.conversations("alice") == []

    def test_an_unknown_conversation_is_not_hidden(self, index: HistoryIndex) -> None:
        assert not index.is_hidden("alice", "0" * 12)


class TestNewest:
    def test_it_is_the_one_about_this_page(self, index: HistoryIndex) -> None:
        readme, guide = create(index, "README.md"), create(index, "guide.md")
        assert index.newest("alice", doc="README.md", page_kind="doc") == readme.id
        assert index.newest("alice", doc="guide.md", page_kind="file") == guide.id
        assert index.newest("alice", doc="other.md", page_kind="doc") is None
        assert index.newest("bob", doc="README.md", page_kind="doc") is None

    def test_it_is_the_one_that_was_used_last(self, index: HistoryIndex) -> None:
        first, second = create(index), create(index)
        assert index.newest("alice", doc="README.md", page_kind="doc") == second.id
        ask(first)
        assert index.newest("alice", doc="README.md", page_kind="doc") == first.id

    def test_a_page_without_a_file_goes_by_its_kind(self, index: HistoryIndex) -> None:
        board, search = create(index, None, "board"), create(index, None, "search")
        assert index.newest("alice", doc=None, page_kind="board") == board.id
        assert index.newest("alice", doc=None, page_kind="search") == search.id
        assert index.newest("alice", doc=None, page_kind="status") is None

    def test_a_hidden_one_does_not_go_on(self, index: HistoryIndex) -> None:
        first, second = create(index), create(index)
        second.append("hidden", turn="")
        assert index.newest("alice", doc="README.md", page_kind="doc") == first.id


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class TestCache:
    def test_what_was_read_is_not_read_again(self, index: HistoryIndex, state: Path) -> None:
        made = create(index)
        ask(made, "the truth")
        listed(index)
        cache(state).write_text(cache(state).read_text().replace("the truth", "a mark"))
        made.append("assistant", turn="t1")
        assert (only(index).preview, only(index).message_count) == ("a mark", 2)

    @pytest.mark.parametrize(
        "content",
        [None, b"", b"[{", b"\0\0", b"null", b"7", b"[7]", b"[{}]", b'[{"id":"x","new":1}]'],
    )
    def test_a_list_that_cannot_be_read_is_made_again(
        self, index: HistoryIndex, state: Path, content: bytes | None
    ) -> None:
        made, hidden = create(index), create(index)
        ask(made)
        hidden.append("hidden", turn="")
        before = index.conversations("alice")
        if content is None:
            cache(state).unlink()
        else:
            cache(state).write_bytes(content)
        assert [(s.id, s.doc, s.preview, s.message_count, s.updated_at) for s in before] == [
            (s.id, s.doc, s.preview, s.message_count, s.updated_at)
            for s in index.conversations("alice")
        ]

    def test_a_conversation_that_was_removed_is_forgotten(self, index: HistoryIndex) -> None:
        made, kept = create(index), create(index)
        made.path.unlink()
        assert listed(index) == [kept.id]

    def test_a_conversation_that_was_cut_is_read_again(self, index: HistoryIndex) -> None:
        made = create(index)
        for _ in range(3):
            ask(made)
        assert only(index).message_count == 3
        made.path.write_bytes(made.path.read_bytes().split(b"\n")[0] + b"\n")
        assert only(index).message_count == 1

    def test_a_torn_line_is_counted_when_it_is_whole(self, index: HistoryIndex) -> None:
        made = create(index)
        ask(made)
        whole = made.path.read_bytes()
        made.path.write_bytes(whole + whole[:-20])
        assert only(index).message_count == 1
        made.path.write_bytes(whole + whole)
        assert only(index).message_count == 2

    @pytest.mark.usefixtures("restless")
    def test_a_line_that_is_being_written_is_read_when_it_is_whole(
        self, index: HistoryIndex, state: Path
    ) -> None:
        made = create(index)
        made.path.write_bytes(b'{"role":"user"}\n' * 2000)

        def write_in_halves() -> None:
            with made.path.open("ab", buffering=0) as file:
                for _ in range(15_000):
                    file.write(b'{"role":')
                    file.write(b'"user"}\n')

        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(write_in_halves)
            while not writing.done():
                cache(state).unlink()  # so that reading takes a while
                summary = only(index)
                read = made.path.read_bytes()[: summary.size]
                assert read.endswith(b"\n")
                assert summary.message_count == read.count(b"\n")
        assert only(index).message_count == 17_000

    def test_a_long_conversation_is_counted_whole(self, index: HistoryIndex) -> None:
        made = create(index)
        for number in range(12):
            ask(made, str(number) * 50_000)
        assert only(index).message_count == 12

    def test_the_files_are_private(self, index: HistoryIndex, state: Path) -> None:
        create(index)
        assert (state / "index").stat().st_mode & 0o777 == 0o700
        assert {p.stat().st_mode & 0o777 for p in (state / "index").iterdir()} == {0o600}

    def test_users_do_not_share_a_list(self, index: HistoryIndex, state: Path) -> None:
        for user in ("alice", "Alice", "../alice", ".", ""):
            index.create(user, doc=None, page_kind="board")
        assert len(list((state / "index").glob("*.json"))) == 5
        assert [len(index.conversations(u)) for u in ("alice", "Alice", "../alice")] == [1, 1, 1]


class TestOtherProcesses:
    def test_what_they_append_is_seen(self, index: HistoryIndex, state: Path) -> None:
        made = create(index)
        listed(index)
        with python(APPEND, state / "history", made.id) as other:
            _, problem = other.communicate(timeout=30)
            assert other.returncode == 0, problem
        assert (only(index).preview, only(index).message_count) == ("asked elsewhere", 2)

    def test_none_of_what_two_create_at_once_is_lost(
        self, index: HistoryIndex, state: Path
    ) -> None:
        with python(CREATE, state, "one", 60) as one, python(CREATE, state, "two", 60) as two:
            for process in (one, two):
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
            for process in (one, two):
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
            made = [
                line
                for process in (one, two)
                for line in process.communicate(timeout=30)[0].split()
            ]
        found = index.conversations("alice")
        assert {summary.id for summary in found} == set(made)
        assert {s.doc for s in found} == {f"{n}/{i}.md" for n in ("one", "two") for i in range(60)}
        assert len(json.loads(cache(state).read_bytes())) == 120
