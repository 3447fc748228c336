"""Private files: their modes, what is refused in their place, and locks that die with holders."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.services.errors import StorageFailed
from app.services.storage import (
    is_locked,
    lock,
    locked,
    make_private,
    open_private,
    read_private,
    write_private,
)

HOLD = """
import sys
from pathlib import Path
from app.services.storage import lock
lock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=[0o000, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock on `tmp_path / "lock"`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def open_files() -> set[str]:
    """Where the descriptors of this process lead."""
    found = set()
    for entry in os.scandir("/proc/self/fd"):
        try:
            found.add(f"{entry.name} {os.readlink(entry.path)}")
        except FileNotFoundError:
            continue
    return found


def descriptors_on(path: Path) -> int:
    return sum(target.endswith(f" {path}") for target in open_files())


def wait_until(condition: Callable[[], bool], within_s: float = 5) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def put_symlink(path: Path) -> None:
    target = path.with_name("target")
    target.write_text("foreign")
    path.symlink_to(target)


STAND_INS = {
    "a link": put_symlink,
    "a dangling link": lambda path: path.symlink_to(path.with_name("nowhere")),
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
}
stand_ins = pytest.mark.parametrize("put", STAND_INS.values(), ids=STAND_INS)


class TestFolders:
    @pytest.mark.usefixtures("umask")
    def test_every_folder_that_was_missing_is_private(self, tmp_path: Path) -> None:
        made = make_private(tmp_path / "state" / "history" / "alice")
        assert [mode(p) for p in (made, made.parent, made.parent.parent)] == [0o700] * 3

    def test_a_folder_that_was_there_is_left_as_it_is(self, tmp_path: Path) -> None:
        (tmp_path / "state").mkdir()
        (tmp_path / "state").chmod(0o750)
        make_private(tmp_path / "state" / "live")
        assert mode(tmp_path / "state") == 0o750

    def test_many_threads_may_make_one_folder(self, tmp_path: Path) -> None:
        deep = tmp_path / "a" / "b" / "c" / "d"
        barrier = threading.Barrier(8)

        def make(_: int) -> Path:
            barrier.wait()
            return make_private(deep)

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(make, range(8))) == {deep}
        assert deep.is_dir()


class TestFiles:
    @pytest.mark.usefixtures("no_umask")
    def test_a_new_file_is_private(self, tmp_path: Path) -> None:
        os.close(open_private(tmp_path / "file"))
        assert mode(tmp_path / "file") == 0o600

    def test_what_is_written_goes_to_the_end(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"one")
        descriptor = open_private(tmp_path / "file")
        os.write(descriptor, b" two")
        os.close(descriptor)
        assert (tmp_path / "file").read_bytes() == b"one two"

    @stand_ins
    def test_nothing_but_a_plain_file_is_opened(
        self, tmp_path: Path, put: Callable[[Path], None]
    ) -> None:
        put(tmp_path / "file")
        before = open_files()
        with pytest.raises((OSError, StorageFailed)):
            open_private(tmp_path / "file")
        assert open_files() == before
        assert not (tmp_path / "nowhere").exists()

    @stand_ins
    def test_nothing_but_a_plain_file_is_read(
        self, tmp_path: Path, put: Callable[[Path], None]
    ) -> None:
        put(tmp_path / "file")
        before = open_files()
        with pytest.raises((OSError, StorageFailed)):
            read_private(tmp_path / "file")
        assert open_files() == before

    def test_a_reader_creates_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            read_private(tmp_path / "file")
        assert not (tmp_path / "file").exists()


class TestReplacing:
    @pytest.mark.usefixtures("no_umask")
    def test_a_file_is_replaced_and_private(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"old")
        write_private(tmp_path / "file", b"new")
        assert (tmp_path / "file").read_bytes() == b"new"
        assert mode(tmp_path / "file") == 0o600

    def test_an_open_reader_keeps_the_old_bytes(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"old")
        with (tmp_path / "file").open("rb") as reader:
            write_private(tmp_path / "file", b"new")
            assert reader.read() == b"old"

    def test_a_failure_leaves_nothing_behind(self, tmp_path: Path) -> None:
        (tmp_path / "file" / "inside").mkdir(parents=True)
        with pytest.raises(OSError, match="file"):
            write_private(tmp_path / "file", b"new")
        assert [p.name for p in tmp_path.iterdir()] == ["file"]


class TestLocks:
    def test_a_held_lock_is_not_given_twice(self, tmp_path: Path) -> None:
        with locked(tmp_path / "lock"):
            before = open_files()
            assert lock(tmp_path / "lock", wait_s=0) is None
            assert open_files() == before

    def test_waiting_ends_in_time(self, tmp_path: Path) -> None:
        with locked(tmp_path / "lock"):
            begun = time.monotonic()
            assert lock(tmp_path / "lock", wait_s=0.05) is None
            assert 0.05 <= time.monotonic() - begun < 5

    def test_closing_lets_go(self, tmp_path: Path) -> None:
        with locked(tmp_path / "lock"):
            pass
        again = lock(tmp_path / "lock", wait_s=0)
        assert again is not None
        os.close(again)

    def test_an_error_inside_lets_go(self, tmp_path: Path) -> None:
        with pytest.raises(ZeroDivisionError), locked(tmp_path / "lock"):
            _ = 1 / 0
        assert not is_locked(tmp_path / "lock")

    def test_it_is_seen_to_be_held_and_to_be_free(self, tmp_path: Path) -> None:
        assert not is_locked(tmp_path / "lock")
        with locked(tmp_path / "lock"):
            assert is_locked(tmp_path / "lock")
        assert not is_locked(tmp_path / "lock")

    def test_who_only_looks_does_not_hold_it(self, tmp_path: Path) -> None:
        looking = open_private(tmp_path / "lock")
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert not is_locked(tmp_path / "lock")
        os.close(looking)

    def test_looking_creates_no_file(self, tmp_path: Path) -> None:
        assert not is_locked(tmp_path / "lock")
        assert not (tmp_path / "lock").exists()

    @stand_ins
    def test_nothing_but_a_plain_file_can_be_held(
        self, tmp_path: Path, put: Callable[[Path], None]
    ) -> None:
        put(tmp_path / "lock")
        assert not is_locked(tmp_path / "lock")
        with pytest.raises((OSError, StorageFailed)):
            lock(tmp_path / "lock", wait_s=0)

    def test_a_look_by_somebody_else_does_not_cost_a_waiting_holder_his_turn(
        self, tmp_path: Path
    ) -> None:
        looking = open_private(tmp_path / "lock")
        fcntl.flock(looking, fcntl.LOCK_SH)
        with ThreadPoolExecutor(1) as pool:
            taken = pool.submit(lock, tmp_path / "lock", wait_s=5)
            wait_until(lambda: descriptors_on(tmp_path / "lock") == 2)
            os.close(looking)
            descriptor = taken.result()
        assert descriptor is not None
        os.close(descriptor)

    @pytest.mark.parametrize("is_made_again", [True, False])
    def test_a_file_that_was_replaced_while_waiting_is_opened_again(
        self, tmp_path: Path, is_made_again: bool
    ) -> None:
        path = tmp_path / "lock"
        with ThreadPoolExecutor(1) as pool:
            with locked(path):
                taken = pool.submit(lock, path)
                wait_until(lambda: descriptors_on(path) == 2)
                path.unlink()
                if is_made_again:
                    path.write_bytes(b"new")
            descriptor = taken.result()
        assert descriptor is not None
        assert os.fstat(descriptor).st_ino == path.stat().st_ino
        os.close(descriptor)

    @pytest.mark.usefixtures("holder")
    def test_another_process_keeps_it(self, tmp_path: Path) -> None:
        assert is_locked(tmp_path / "lock")
        assert lock(tmp_path / "lock", wait_s=0) is None

    def test_a_killed_process_lets_go(self, tmp_path: Path, holder: subprocess.Popen[str]) -> None:
        holder.send_signal(signal.SIGKILL)
        descriptor = lock(tmp_path / "lock", wait_s=5)
        assert descriptor is not None
        os.close(descriptor)
