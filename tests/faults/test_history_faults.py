"""The history under many writers, full disks, failing calls and SIGKILL."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from app.services.errors import StorageFailed
from app.services.history import Conversation, History, decode
from app.services.history_index import HistoryIndex

WRITE = """
import sys
from pathlib import Path
from app.services.history import History
directory, conversation, name, count, size = sys.argv[1:]
own = History(Path(directory)).conversation("alice", conversation)
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(count)):
    record = own.append(
        "user", turn=name, durable=number % 10 == 0, content="x" * int(size), number=number
    )
    print(record["id"], flush=True)
"""

# A process whose files cannot grow beyond `limit` bytes: what a full disk looks like from inside.
# Then the limit is lifted, as when room was made.
FULL = """
import resource, sys
from pathlib import Path
from app.services.errors import StorageFailed
from app.services.history import History
from app.services.history_index import HistoryIndex
state, limit = Path(sys.argv[1]), int(sys.argv[2])
history = History(state / "history")
index = HistoryIndex(state / "index", history)

def attempt():
    try:
        own.append("user", turn="t2", durable=True, content="y" * 5000)
        return "written"
    except StorageFailed as error:
        return str(error)

own = index.create("alice", doc="README.md", page_kind="doc")
own.append("user", turn="t1", content="x" * 100)
before = own.path.read_bytes()
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (limit if limit else len(before) + 1000, hard))
print(attempt())
print(own.path.read_bytes() == before)
print([(s.preview[:3], s.message_count) for s in index.conversations("alice")])
print(sorted(p.suffix for p in (state / "index").iterdir()))
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
print(attempt())
print(own.id)
"""

CREATE_WHEN_FULL = """
import resource, sys
from pathlib import Path
from app.services.errors import StorageFailed
from app.services.history import History
from app.services.history_index import HistoryIndex
state = Path(sys.argv[1])
index = HistoryIndex(state / "index", History(state / "history"))
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
own = index.create("alice", doc="README.md", page_kind="doc")
try:
    own.append("user", turn="t1", content="x")
except StorageFailed as error:
    print(type(error).__name__)
"""


class Writer:
    """A process that appends `count` records and says the id of each when it is written."""

    def __init__(self, own: Conversation, name: str, *, count: int, size: int) -> None:
        directory = own.path.parent.parent
        arguments = [str(directory), own.id, name, str(count), str(size)]
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", WRITE, *arguments]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        self.acknowledged: list[str] = []

    def start(self) -> None:
        assert self._line() == "ready"
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write("go\n")
            self.process.stdin.flush()

    def acknowledge(self, count: int) -> None:
        self.acknowledged += [self._line() for _ in range(count)]

    def finish(self) -> None:
        rest, problem = self.process.communicate(timeout=30)
        assert problem == ""
        self.acknowledged += rest.split()

    def kill(self) -> None:
        self.process.kill()
        # A last acknowledgement may be torn; what stands before it counts.
        rest, _ = self.process.communicate(timeout=30)
        self.acknowledged += rest.split("\n")[:-1]

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")


@pytest.fixture
def conversation(tmp_path: Path) -> Conversation:
    return History(tmp_path / "history").create("alice")


@pytest.fixture
def writer(conversation: Conversation) -> Iterator[Callable[..., Writer]]:
    started: list[Writer] = []

    def start(name: str, *, count: int, size: int) -> Writer:
        started.append(Writer(conversation, name, count=count, size=size))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


def verify(data: bytes) -> Iterator[dict[str, Any]]:
    """Every whole record; fails where the chain or the order of time is broken."""
    *lines, _ = data.split(b"\n")  # what stands behind the last newline is torn
    before, stamp = "", ""
    for line in lines:
        record = decode(line)
        if record is not None:
            assert record["prev"] == before
            assert record["ts"] > stamp
            stamp = record["ts"]
            yield record
        before = hashlib.sha256(line).hexdigest()


def run(script: str, *arguments: object) -> list[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


class TestManyWriters:
    def test_every_line_of_four_processes_is_whole(
        self, conversation: Conversation, writer: Callable[..., Writer]
    ) -> None:
        writers = [writer(str(n), count=100, size=20_000) for n in range(4)]
        for one in writers:
            one.start()
        for one in writers:
            one.finish()
        data = conversation.path.read_bytes()
        records = list(verify(data))
        assert len(records) == data.count(b"\n") == 400
        assert {r["id"] for r in records} == {i for one in writers for i in one.acknowledged}
        for name in "0123":
            assert [r["number"] for r in records if r["turn"] == name] == list(range(100))
        assert {len(r["content"]) for r in records} == {20_000}

    def test_threads_keep_the_chain_too(self, conversation: Conversation) -> None:
        def write(number: int) -> None:
            for _ in range(25):
                conversation.append("user", turn=str(number), content="x" * 2000)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(write, range(4)))
        assert len(list(verify(conversation.path.read_bytes()))) == 100

    def test_readers_meanwhile_see_only_whole_records_and_count_them_right(
        self, conversation: Conversation, writer: Callable[..., Writer], tmp_path: Path
    ) -> None:
        history = History(tmp_path / "history")
        index = HistoryIndex(tmp_path / "index", history)
        one = writer("t1", count=150, size=30_000)
        one.start()
        seen = 0
        while one.process.poll() is None:
            lengths = {len(r["content"]) for r in conversation.tail(max_bytes=200_000).records}
            assert lengths <= {30_000}
            newest = next(conversation.backwards(), None)
            assert newest is None or newest["number"] + 1 >= seen
            (summary,) = index.conversations("alice")
            assert summary.message_count >= seen
            seen = summary.message_count
        one.finish()
        (summary,) = index.conversations("alice")
        assert (summary.message_count, summary.size) == (150, conversation.path.stat().st_size)


class TestKill:
    def test_what_was_acknowledged_is_there_once_and_nothing_before_it_is_harmed(
        self, conversation: Conversation, writer: Callable[..., Writer]
    ) -> None:
        rng = random.Random(20261120)
        acknowledged: list[str] = []
        data = b""
        running = [writer("0", count=1000, size=300_000)]
        for number in range(1, 26):
            running.append(writer(str(number), count=1000, size=300_000))  # starts up meanwhile
            victim = running.pop(0)
            victim.start()
            victim.acknowledge(rng.randrange(1, 4))
            time.sleep(rng.random() * 0.004)  # not to wait for anything: to hit any moment
            victim.kill()
            acknowledged += victim.acknowledged
            now = conversation.path.read_bytes()
            assert now.startswith(data)
            data = now
        conversation.append("user", turn="end", content="still writable")
        records = list(verify(conversation.path.read_bytes()))
        counts = Counter(record["id"] for record in records)
        assert len(acknowledged) >= 25
        assert {counts[i] for i in acknowledged} == {1}
        assert set(counts.values()) == {1}
        assert records[-1]["content"] == "still writable"


class TestFullDisk:
    def test_an_append_that_does_not_fit_changes_nothing(self, tmp_path: Path) -> None:
        first, is_as_before, _, _, second, name = run(FULL, tmp_path, 0)
        assert first == "The history could not be written (file too large), so nothing was done."
        assert is_as_before == "True"
        assert second == "written"
        data = (tmp_path / "history" / "alice" / f"{name}.ndjson").read_bytes()
        assert [record["turn"] for record in verify(data)] == ["t1", "t2"]

    def test_the_list_is_right_though_it_cannot_be_kept(self, tmp_path: Path) -> None:
        _, _, listed, files, _, _ = run(FULL, tmp_path, 1)
        assert listed == "[('xxx', 1)]"
        assert files == "['.json', '.lock']"

    def test_a_conversation_begins_though_it_cannot_be_listed(self, tmp_path: Path) -> None:
        history = History(tmp_path / "history")
        assert run(CREATE_WHEN_FULL, tmp_path)[-1] == "StorageFailed"
        assert [p.stat().st_size for p in history.folder("alice").iterdir()] == [0]


class Calls:
    """The system calls of one append; the n-th of them fails, or writes less than it was given."""

    def __init__(self, patch: pytest.MonkeyPatch, *, fails_at: int, fault: int | None) -> None:
        self._left = fails_at
        self._fault = fault
        self.has_struck = False
        write, sync = os.write, os.fdatasync

        def fail_or_write(file: int, data: bytes | memoryview) -> int:
            if self._strikes():
                if self._fault is None:
                    return write(file, data[: len(data) // 2])
                write(file, data[: len(data) // 3])
                raise OSError(self._fault, os.strerror(self._fault))
            return write(file, data[:1000])  # so that one append takes several calls

        def fail_or_sync(file: int) -> None:
            if self._strikes() and self._fault is not None:
                raise OSError(self._fault, os.strerror(self._fault))
            sync(file)

        patch.setattr(os, "write", fail_or_write)
        patch.setattr(os, "fdatasync", fail_or_sync)

    def _strikes(self) -> bool:
        self._left -= 1
        self.has_struck = self.has_struck or self._left == 0
        return self._left == 0


class TestFailingCalls:
    @pytest.mark.parametrize(
        "fault",
        [errno.ENOSPC, errno.EIO, errno.EDQUOT, None],
        ids=["no space", "input or output error", "quota", "short write"],
    )
    def test_whichever_call_fails_a_record_is_there_whole_or_not_at_all(
        self, conversation: Conversation, fault: int | None
    ) -> None:
        conversation.append("user", turn="t0", content="first")
        for fails_at in range(1, 50):
            before = conversation.path.read_bytes()
            with pytest.MonkeyPatch.context() as patch:
                calls = Calls(patch, fails_at=fails_at, fault=fault)
                try:
                    conversation.append("user", turn="t1", durable=True, content="x" * 3500)
                    is_written = True
                except StorageFailed:
                    is_written = False
            after = conversation.path.read_bytes()
            assert is_written == (fault is None or not calls.has_struck)
            assert after.startswith(before) if is_written else after == before
            assert len(list(verify(after))) == after.count(b"\n")
            if not calls.has_struck:
                break
        else:
            pytest.fail("the calls never came to an end")
        assert fails_at > 4


def test_a_lock_left_by_a_dead_process_holds_up_nobody(
    conversation: Conversation, writer: Callable[..., Writer]
) -> None:
    one = writer("t1", count=100_000, size=10)
    one.start()
    one.acknowledge(3)
    one.kill()
    begun = time.monotonic()
    conversation.append("user", turn="t2", content="next")
    assert time.monotonic() - begun < 2
    assert json.loads(conversation.path.read_bytes().split(b"\n")[-2])["turn"] == "t2"
