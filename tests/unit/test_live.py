"""Turns while they run, within one process: events, stopping, limits, and what is forgotten."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import pytest

from app.services.errors import Busy, TurnNotFound, TurnRunning
from app.services.live import KEEP_S, Event, LiveTurn, LiveTurns, conversation_of, new_turn_id
from app.services.storage import is_locked

TALK = "aaaaaaaaaaaa"
OTHER = "bbbbbbbbbbbb"


@pytest.fixture
def live(tmp_path: Path) -> LiveTurns:
    return LiveTurns(tmp_path / "live", limit=4)


@pytest.fixture
def elsewhere(live: LiveTurns) -> LiveTurns:
    """The same directory as another process sees it: it runs none of the turns."""
    return LiveTurns(live.directory, limit=4)


@pytest.fixture
def turn(live: LiveTurns) -> Iterator[LiveTurn]:
    begun = live.begin(TALK)
    yield begun
    if live.running(TALK) == begun.id:
        live.end(begun)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def speak(turn: LiveTurn, *texts: str) -> None:
    for text in texts:
        turn.emit("content", text=text)


def finish(live: LiveTurns, turn: LiveTurn) -> None:
    turn.emit("done", turn=turn.id, outcome="complete")
    live.end(turn)


def told(live: LiveTurns, turn: str, *, after: int = 0, tick_s: float = 10) -> list[Event]:
    return [event for batch in live.follow(turn, after=after, tick_s=tick_s) for event in batch]


def texts(events: list[Event]) -> list[str]:
    return [event.data["text"] for event in events if event.name == "content"]


def wait_until(condition: Callable[[], bool], within_s: float = 5) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


class TestNames:
    def test_a_turn_names_its_conversation(self, turn: LiveTurn) -> None:
        assert conversation_of(turn.id) == TALK
        assert conversation_of(new_turn_id(OTHER)) == OTHER

    @pytest.mark.parametrize(
        "name",
        ["", TALK, f"{TALK}-", f"{TALK}-1234567", f"{TALK}-12345678\n", f"{TALK}-1234567G"]
        + [f"../{TALK}-12345678", f"{TALK.upper()}-12345678", f"{TALK}-12345678/.."],
        ids=ascii,
    )
    def test_what_can_be_no_turn_is_not_found(self, live: LiveTurns, name: str) -> None:
        for look in (live.events, live.stop, live.finish, conversation_of):
            with pytest.raises(TurnNotFound):
                look(name)
        with pytest.raises(TurnNotFound):
            list(live.follow(name))


class TestEvents:
    def test_they_count_from_one(self, live: LiveTurns, turn: LiveTurn) -> None:
        speak(turn, "a", "b")
        finish(live, turn)
        assert live.events(turn.id) == [
            Event(1, "content", {"text": "a"}),
            Event(2, "content", {"text": "b"}),
            Event(3, "done", {"turn": turn.id, "outcome": "complete"}),
        ]

    def test_whatever_they_carry_comes_out_as_it_went_in(
        self, live: LiveTurns, elsewhere: LiveTurns, turn: LiveTurn
    ) -> None:
        text = "line\nline\u2028 \0 \ud800 🚀"
        turn.emit("content", text=text)
        turn.emit("tool_call", name="x", arguments={text: [None, 1.5]})
        finish(live, turn)
        events = told(elsewhere, turn.id)
        assert events[0].data == {"text": text}
        assert events[1].data == {"name": "x", "arguments": {text: [None, 1.5]}}

    def test_an_event_may_carry_any_key(self, live: LiveTurns, turn: LiveTurn) -> None:
        turn.emit("usage", name="n", id=1, self=2, data=3)
        assert live.events(turn.id)[0].data == {"name": "n", "id": 1, "self": 2, "data": 3}

    def test_a_forgotten_turn_has_none(self, live: LiveTurns) -> None:
        assert live.events(new_turn_id(TALK)) == []
        assert told(live, new_turn_id(TALK)) == []


@pytest.fixture(params=["here", "elsewhere"])
def viewer(request: pytest.FixtureRequest, live: LiveTurns, elsewhere: LiveTurns) -> LiveTurns:
    """Who follows: the process that runs the turn, or another."""
    return live if request.param == "here" else elsewhere


class TestFollowing:
    @pytest.mark.parametrize("after", [0, 1, 7, 10, 11, 99])
    def test_a_finished_turn_is_told_from_any_position(
        self, live: LiveTurns, viewer: LiveTurns, turn: LiveTurn, after: int
    ) -> None:
        speak(turn, *"0123456789")
        finish(live, turn)
        assert [event.id for event in told(viewer, turn.id, after=after)] == list(
            range(after + 1, 12)
        )

    def test_a_running_turn_is_told_as_it_goes(
        self, live: LiveTurns, viewer: LiveTurns, turn: LiveTurn
    ) -> None:
        batches = viewer.follow(turn.id)
        for text in "abc":
            speak(turn, text)
            assert texts(next(batches)) == [text]
        finish(live, turn)
        assert [event.name for batch in batches for event in batch] == ["done"]

    def test_many_viewers_see_all_of_it_in_order(
        self, live: LiveTurns, viewer: LiveTurns, turn: LiveTurn, pool: ThreadPoolExecutor
    ) -> None:
        speak(turn, *map(str, range(100)))
        viewers = [pool.submit(told, viewer, turn.id, after=after) for after in (0, 0, 50, 100)]
        speak(turn, *map(str, range(100, 300)))
        finish(live, turn)
        for after, future in zip((0, 0, 50, 100), viewers, strict=True):
            assert texts(future.result()) == [str(n) for n in range(after, 300)]

    def test_silence_is_told_at_least_every_tick(self, viewer: LiveTurns, turn: LiveTurn) -> None:
        begun = time.monotonic()
        silence = list(islice(viewer.follow(turn.id, tick_s=0.05), 4))
        assert silence == [[]] * 4
        assert 0.15 <= time.monotonic() - begun < 5

    def test_a_tick_is_only_told_when_nothing_came(
        self, live: LiveTurns, viewer: LiveTurns, turn: LiveTurn
    ) -> None:
        speak(turn, "a")
        batches = viewer.follow(turn.id, tick_s=0.05)
        assert texts(next(batches)) == ["a"]
        assert next(batches) == []
        finish(live, turn)
        assert [len(batch) for batch in batches] == [1]

    def test_an_event_that_is_half_written_is_told_when_it_is_whole(
        self, elsewhere: LiveTurns, turn: LiveTurn
    ) -> None:
        speak(turn, "first")
        line = b'{"id": 2, "event": "content", "data": {"text": "second"}}\n'
        batches = elsewhere.follow(turn.id, tick_s=0.05)
        with (elsewhere.directory / f"{turn.id}.events").open("ab", buffering=0) as log:
            assert texts(next(batches)) == ["first"]
            log.write(line[:20])
            assert next(batches) == []
            log.write(line[20:])
            assert texts(next(batches)) == ["second"]

    def test_a_viewer_who_leaves_changes_nothing(
        self, live: LiveTurns, viewer: LiveTurns, turn: LiveTurn
    ) -> None:
        speak(turn, "a")
        batches = viewer.follow(turn.id)
        next(batches)
        del batches
        speak(turn, "b")
        finish(live, turn)
        assert texts(told(viewer, turn.id)) == ["a", "b"]

    def test_it_ends_when_a_turn_ends_without_a_word(
        self, live: LiveTurns, viewer: LiveTurns, turn: LiveTurn, pool: ThreadPoolExecutor
    ) -> None:
        following = pool.submit(told, viewer, turn.id)
        live.end(turn)
        assert following.result(timeout=5) == []


class TestOneAtATime:
    def test_a_second_turn_in_a_conversation_waits_for_the_first(
        self, live: LiveTurns, elsewhere: LiveTurns, turn: LiveTurn
    ) -> None:
        for begin in (live.begin, elsewhere.begin):
            with pytest.raises(TurnRunning):
                begin(TALK)
        finish(live, turn)
        second = elsewhere.begin(TALK)
        assert second.id != turn.id
        elsewhere.end(second)

    def test_other_conversations_go_on(self, live: LiveTurns, turn: LiveTurn) -> None:
        second = live.begin(OTHER)
        assert (live.running(TALK), live.running(OTHER)) == (turn.id, second.id)
        live.end(second)
        assert live.running(OTHER) is None

    def test_everybody_sees_what_runs(
        self, live: LiveTurns, elsewhere: LiveTurns, turn: LiveTurn
    ) -> None:
        assert live.running(TALK) == elsewhere.running(TALK) == turn.id
        assert elsewhere.running(OTHER) is None
        finish(live, turn)
        assert live.running(TALK) is elsewhere.running(TALK) is None

    def test_looking_does_not_keep_a_turn_from_beginning(
        self, live: LiveTurns, elsewhere: LiveTurns, pool: ThreadPoolExecutor
    ) -> None:
        is_over = threading.Event()

        def look() -> None:
            while not is_over.is_set():
                elsewhere.running(TALK)

        looking = [pool.submit(look) for _ in range(3)]
        try:
            for _ in range(50):
                live.end(live.begin(TALK))
        finally:
            is_over.set()
        for future in looking:
            future.result()

    def test_of_many_who_begin_at_once_one_succeeds(
        self, live: LiveTurns, pool: ThreadPoolExecutor
    ) -> None:
        barrier = threading.Barrier(4)

        def begin(own: LiveTurns) -> LiveTurn | None:
            barrier.wait()
            try:
                return own.begin(TALK)
            except TurnRunning:
                return None

        processes = [LiveTurns(live.directory, limit=1) for _ in range(4)]
        begun = [
            (own, turn)
            for own, turn in zip(processes, pool.map(begin, processes), strict=True)
            if turn
        ]
        assert len(begun) == 1
        for own, turn in begun:
            own.end(turn)

    def test_there_is_a_limit(self, live: LiveTurns) -> None:
        turns = [live.begin(f"{n:012x}") for n in range(4)]
        with pytest.raises(Busy) as refused:
            live.begin(TALK)
        assert refused.value.retry_after_s > 0
        live.end(turns.pop())
        turns.append(live.begin(TALK))
        for one in turns:
            live.end(one)

    def test_who_was_refused_holds_nothing(self, live: LiveTurns) -> None:
        turns = [live.begin(f"{n:012x}") for n in range(4)]
        with pytest.raises(Busy):
            live.begin(TALK)
        assert not is_locked(live.directory / f"{TALK}.lock")
        for one in turns:
            live.end(one)


class TestStopping:
    def test_the_turn_hears_it(self, live: LiveTurns, turn: LiveTurn) -> None:
        assert not turn.stopped.is_set()
        live.stop(turn.id)
        assert turn.stopped.is_set()

    def test_it_ends_the_wait_of_the_moment(self, live: LiveTurns, turn: LiveTurn) -> None:
        calls: list[str] = []
        turn.when_stopped(lambda: calls.append("first"))
        turn.when_stopped(lambda: calls.append("second"))
        live.stop(turn.id)
        assert calls == ["second"]

    def test_what_begins_to_wait_after_the_stop_is_ended_at_once(
        self, live: LiveTurns, turn: LiveTurn
    ) -> None:
        calls: list[str] = []
        live.stop(turn.id)
        turn.when_stopped(lambda: calls.append("late"))
        assert calls == ["late"]

    def test_a_wait_that_is_over_is_not_ended(self, live: LiveTurns, turn: LiveTurn) -> None:
        calls: list[str] = []
        turn.when_stopped(lambda: calls.append("over"))
        turn.when_stopped(None)
        live.stop(turn.id)
        assert calls == []

    def test_it_may_be_asked_for_elsewhere(
        self, live: LiveTurns, elsewhere: LiveTurns, turn: LiveTurn
    ) -> None:
        elsewhere.stop(turn.id)
        assert turn.stopped.wait(1)
        finish(live, turn)

    def test_a_turn_that_has_ended_stays_as_it_is(
        self, live: LiveTurns, elsewhere: LiveTurns, turn: LiveTurn
    ) -> None:
        finish(live, turn)
        live.stop(turn.id)
        elsewhere.stop(turn.id)
        second = live.begin(TALK)
        live.stop(turn.id)
        assert not second.stopped.is_set()
        assert not list(live.directory.glob("*.stop"))
        live.end(second)

    def test_a_turn_past_its_deadline_is_stopped(self, live: LiveTurns, turn: LiveTurn) -> None:
        assert not turn.is_overdue
        turn._deadline = time.monotonic()
        assert turn.stopped.wait(2)
        assert turn.is_overdue

    def test_all_that_runs_here_can_be_stopped(self, live: LiveTurns, elsewhere: LiveTurns) -> None:
        foreign = elsewhere.begin(OTHER)
        own = [live.begin(f"{n:012x}") for n in range(3)]

        def run(turn: LiveTurn) -> None:
            turn.stopped.wait(5)
            live.end(turn)

        threads = [threading.Thread(target=run, args=(turn,)) for turn in own]
        for thread in threads:
            thread.start()
        live.stop_all()
        assert [live.running(f"{n:012x}") for n in range(3)] == [None] * 3
        for thread in threads:
            thread.join()
        assert not foreign.stopped.is_set()
        elsewhere.end(foreign)

    def test_no_thread_is_left_when_nothing_runs(self, live: LiveTurns, turn: LiveTurn) -> None:
        def watchers() -> int:
            return sum(thread.name == "live-watch" for thread in threading.enumerate())

        before = watchers()
        assert before >= 1
        finish(live, turn)
        wait_until(lambda: watchers() < before)


class TestSweep:
    def test_what_is_old_is_forgotten_and_what_is_not_is_kept(
        self, live: LiveTurns, elsewhere: LiveTurns
    ) -> None:
        old, recent = live.begin(TALK), live.begin(OTHER)
        finish(live, old)
        finish(live, recent)
        (live.directory / f"{old.id}.stop").touch()
        for path in live.directory.glob(f"{TALK}*"):
            age(path, KEEP_S + 60)
        for path in live.directory.glob(f"{OTHER}*"):
            age(path, KEEP_S - 60)
        elsewhere.end(elsewhere.begin("c" * 12))
        assert elsewhere.events(old.id) == []
        assert not list(live.directory.glob(f"{TALK}*"))
        assert len(elsewhere.events(recent.id)) == 1
        assert (live.directory / f"{OTHER}.lock").exists()

    def test_a_running_turn_keeps_its_files_however_old(
        self, live: LiveTurns, elsewhere: LiveTurns, turn: LiveTurn
    ) -> None:
        speak(turn, "a")
        for path in live.directory.iterdir():
            age(path, 10 * KEEP_S)
        elsewhere.end(elsewhere.begin(OTHER))
        assert texts(elsewhere.events(turn.id)) == ["a"]
        with pytest.raises(TurnRunning):
            elsewhere.begin(TALK)

    def test_a_forgotten_conversation_can_go_on(
        self, live: LiveTurns, elsewhere: LiveTurns
    ) -> None:
        finish(live, live.begin(TALK))
        for path in live.directory.iterdir():
            age(path, 2 * KEEP_S)
        again = elsewhere.begin(TALK)
        assert live.running(TALK) == again.id
        elsewhere.end(again)

    def test_many_may_sweep_at_once(self, live: LiveTurns, pool: ThreadPoolExecutor) -> None:
        live.end(live.begin(TALK))
        for number in range(600):
            path = live.directory / f"{number:012x}-00000000.events"
            path.touch()
            age(path, 2 * KEEP_S)
        barrier = threading.Barrier(8)

        def begin(number: int) -> None:
            own = LiveTurns(live.directory, limit=1)
            barrier.wait()
            own.end(own.begin(f"{number:012x}"))

        list(pool.map(begin, range(8)))
        assert not list(live.directory.glob("*-00000000.events"))


class TestPrivacy:
    def test_logs_are_for_us_alone(self, live: LiveTurns, turn: LiveTurn) -> None:
        live.stop(turn.id)
        assert live.directory.stat().st_mode & 0o777 == 0o700
        assert {p.stat().st_mode & 0o777 for p in live.directory.iterdir()} == {0o600}
