"""Turns across processes: followed, stopped and ended there, also when their process is killed."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.services.errors import TurnRunning
from app.services.live import Event, LiveTurns

TALK = "aaaaaaaaaaaa"
ENDING: tuple[tuple[str, dict[str, object]], ...] = (
    ("error", {"code": "interrupted"}),
    ("done", {"outcome": "failed"}),
)

# Runs one turn and does what it is told, a line at a time.
RUN = """
import os, sys, time
from pathlib import Path
from app.services.live import LiveTurns
live = LiveTurns(Path(sys.argv[1]), limit=4)
turn = live.begin(sys.argv[2])
print(turn.id, flush=True)
for line in sys.stdin:
    order, _, rest = line.strip().partition(" ")
    if order == "speak":
        first, last = map(int, rest.split())
        for number in range(first, last):
            turn.emit("content", text=str(number))
        print("spoken", flush=True)
    elif order == "wait":
        print(turn.stopped.wait(5) and time.monotonic_ns(), flush=True)
    elif order == "tear":
        os.write(turn._log, b'{"id": 99, "event": "content", "da')
        print("torn", flush=True)
    elif order == "end":
        turn.emit("done", outcome="complete")
        live.end(turn)
        print("ended", flush=True)
"""

# A process whose files cannot grow: what a full disk looks like from inside, until there is room.
FULL = """
import resource, sys
from pathlib import Path
from app.services.errors import StorageFailed
from app.services.live import LiveTurns
live = LiveTurns(Path(sys.argv[1]), limit=4)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]

def grow(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))

grow(0)
try:
    live.begin("aaaaaaaaaaaa")
except StorageFailed as error:
    print(error)
grow(300)
turn = live.begin("aaaaaaaaaaaa")
for number in range(100):
    turn.emit("content", text=str(number))
turn.emit("done", outcome="complete")
print(len(next(live.follow(turn.id))), len(live.events(turn.id)) < 101)
live.end(turn)
print(live.running("aaaaaaaaaaaa"))
"""


class Runner:
    """Another process that runs a turn."""

    def __init__(self, directory: Path, conversation: str = TALK) -> None:
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", RUN, str(directory), conversation]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.turn = self.heard()

    def heard(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def say(self, order: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()

    def order(self, order: str) -> str:
        self.say(order)
        return self.heard()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def live(tmp_path: Path) -> LiveTurns:
    return LiveTurns(tmp_path / "live", limit=4)


@pytest.fixture
def runner(live: LiveTurns) -> Iterator[Runner]:
    started = Runner(live.directory)
    yield started
    started.kill()


@pytest.fixture
def orphan(live: LiveTurns, runner: Runner) -> str:
    """A turn whose process was killed in the middle of it."""
    runner.order("speak 0 5")
    runner.kill()
    wait_until(lambda: live.running(TALK) is None)
    return runner.turn


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def wait_until(condition: Callable[[], bool], within_s: float = 5) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def told(live: LiveTurns, turn: str, *, after: int = 0) -> list[Event]:
    return [event for batch in live.follow(turn, after=after) for event in batch]


def texts(events: list[Event]) -> list[str]:
    return [event.data["text"] for event in events if event.name == "content"]


class TestFollowing:
    def test_every_event_is_seen_in_order_from_any_position(
        self, live: LiveTurns, runner: Runner, pool: ThreadPoolExecutor
    ) -> None:
        runner.order("speak 0 100")
        positions = (0, 1, 50, 100, 150, 400)
        viewers = [pool.submit(told, live, runner.turn, after=after) for after in positions]
        runner.order("speak 100 400")
        runner.order("end")
        for after, viewer in zip(positions, viewers, strict=True):
            events = viewer.result(timeout=10)
            assert [event.id for event in events] == list(range(after + 1, 402))
            assert texts(events) == [str(number) for number in range(after, 400)]
            assert events[-1].name == "done"

    def test_what_is_said_is_seen_at_once(self, live: LiveTurns, runner: Runner) -> None:
        batches = live.follow(runner.turn)
        for number in range(5):
            runner.order(f"speak {number} {number + 1}")
            begun = time.monotonic()
            assert texts(next(batches)) == [str(number)]
            assert time.monotonic() - begun < 1

    def test_it_can_be_told_again_when_it_is_over(self, live: LiveTurns, runner: Runner) -> None:
        runner.order("speak 0 10")
        runner.order("end")
        runner.kill()
        assert len(told(live, runner.turn)) == 11
        assert len(told(live, runner.turn, after=8)) == 3


class TestOneAtATime:
    def test_no_second_turn_begins_here(self, live: LiveTurns, runner: Runner) -> None:
        assert live.running(TALK) == runner.turn
        with pytest.raises(TurnRunning):
            live.begin(TALK)

    def test_the_next_one_begins_when_it_ended(self, live: LiveTurns, runner: Runner) -> None:
        runner.order("end")
        assert live.running(TALK) is None
        live.end(live.begin(TALK))

    def test_the_next_one_begins_when_its_process_was_killed(
        self, live: LiveTurns, orphan: str
    ) -> None:
        turn = live.begin(TALK)
        assert live.running(TALK) == turn.id != orphan
        live.end(turn)


class TestStopping:
    def test_it_is_heard_within_a_second(self, live: LiveTurns, runner: Runner) -> None:
        runner.say("wait")
        asked = time.monotonic_ns()
        live.stop(runner.turn)
        assert int(runner.heard()) - asked < 1_000_000_000

    def test_it_is_heard_while_the_turn_is_busy(self, live: LiveTurns, runner: Runner) -> None:
        runner.say("speak 0 3000")
        asked = time.monotonic_ns()
        live.stop(runner.turn)
        assert runner.heard() == "spoken"
        heard = int(runner.order("wait"))
        assert heard - asked < 2_000_000_000

    def test_a_dead_turn_is_left_alone(self, live: LiveTurns, orphan: str) -> None:
        live.stop(orphan)
        assert not list(live.directory.glob("*.stop"))


class TestKilled:
    def test_a_running_turn_is_no_orphan(self, live: LiveTurns, runner: Runner) -> None:
        runner.order("speak 0 1")
        assert live.orphan(TALK) is None

    def test_a_finished_turn_is_no_orphan(self, live: LiveTurns, runner: Runner) -> None:
        runner.order("end")
        runner.kill()
        assert live.orphan(TALK) is None

    def test_a_killed_one_is(self, live: LiveTurns, orphan: str) -> None:
        assert live.orphan(TALK) == orphan
        assert texts(live.events(orphan)) == list("01234")

    def test_who_follows_it_is_told_what_was_said_and_no_more(
        self, live: LiveTurns, runner: Runner, pool: ThreadPoolExecutor
    ) -> None:
        runner.order("speak 0 5")
        is_following = threading.Event()

        def follow() -> list[Event]:
            events: list[Event] = []
            for batch in live.follow(runner.turn, tick_s=0.05):
                events += batch
                is_following.set()
            return events

        following = pool.submit(follow)
        assert is_following.wait(5)
        runner.kill()
        killed = time.monotonic()
        assert texts(following.result(timeout=5)) == list("01234")
        assert time.monotonic() - killed < 3

    def test_it_is_ended_once(self, live: LiveTurns, orphan: str, pool: ThreadPoolExecutor) -> None:
        barrier = threading.Barrier(4)

        def finish(_: int) -> None:
            own = LiveTurns(live.directory, limit=1)
            barrier.wait()
            own.finish(orphan, *ENDING)

        list(pool.map(finish, range(4)))
        live.finish(orphan, *ENDING)
        events = told(live, orphan)
        assert [event.name for event in events] == ["content"] * 5 + ["error", "done"]
        assert [event.id for event in events] == list(range(1, 8))
        assert live.orphan(TALK) is None

    def test_a_torn_event_is_passed_over(self, live: LiveTurns, runner: Runner) -> None:
        runner.order("speak 0 3")
        runner.order("tear")
        runner.kill()
        wait_until(lambda: live.running(TALK) is None)
        live.finish(runner.turn, *ENDING)
        events = told(live, runner.turn)
        assert texts(events) == list("012")
        assert [event.id for event in events] == [1, 2, 3, 4, 5]

    def test_the_ending_is_behind_everything_that_was_told(
        self, live: LiveTurns, orphan: str
    ) -> None:
        log = live.directory / f"{orphan}.events"
        lines = log.read_bytes().splitlines(keepends=True)
        log.write_bytes(b"".join(lines[:1] + lines[3:]))  # lost to a full disk
        live.finish(orphan, *ENDING)
        assert [event.name for event in told(live, orphan, after=5)] == ["error", "done"]

    def test_a_turn_that_runs_is_not_ended_by_others(self, live: LiveTurns, runner: Runner) -> None:
        runner.order("speak 0 2")
        live.finish(runner.turn, *ENDING)
        assert [event.name for event in live.events(runner.turn)] == ["content"] * 2

    def test_a_forgotten_turn_is_not_ended(self, live: LiveTurns, orphan: str) -> None:
        (live.directory / f"{orphan}.events").unlink()
        assert live.orphan(TALK) is None
        live.finish(orphan, *ENDING)
        assert live.events(orphan) == []

    @pytest.mark.parametrize("content", [b"", b"aaaaaaaaaaaa-1234", b"\0" * 21, b"../../x"])
    def test_a_torn_lock_file_names_no_turn(
        self, live: LiveTurns, orphan: str, content: bytes
    ) -> None:
        (live.directory / f"{TALK}.lock").write_bytes(content)
        assert live.orphan(TALK) is None
        live.end(live.begin(TALK))
        assert live.events(orphan)


class TestFullDisk:
    def test_a_turn_that_cannot_be_recorded_does_not_begin_and_holds_nothing(
        self, tmp_path: Path
    ) -> None:
        command = [sys.executable, "-c", FULL, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        refusal, events, running = done.stdout.splitlines()
        assert refusal == "The answer could not be begun: its log cannot be written."
        assert events == "101 True"  # all of them here, though others miss some
        assert running == "None"
