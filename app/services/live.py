"""Turns while they run: one log of events per turn that any process can follow, resume and stop.

Knows nothing of what the events mean. The process that runs a turn holds the lock of its
conversation; the kernel lets go of it when that process dies, which is how a dead turn is told from
a quiet one. A turn's id begins with the id of its conversation, so the one names the other.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.services.errors import Busy, StorageFailed, TurnNotFound, TurnRunning
from app.services.storage import is_locked, lock, make_private, open_private

KEEP_S = 3600  # a finished turn's log; its records stay in the history
REMEMBERED = 16  # turns of this process that ended last
SWEEP_EVERY_S = 60
WATCH_EVERY_S = 0.1
FOLLOW_EVERY_S = 0.03  # how often another process's log is looked at
BEGIN_WAIT_S = 0.3  # a look at the lock by somebody else is over sooner
TURN_DEADLINE_S = 600
_TURN = re.compile(r"([0-9a-f]{12})-[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Event:
    id: int
    name: str
    data: dict[str, Any]


def new_turn_id(conversation: str) -> str:
    return f"{conversation}-{secrets.token_hex(4)}"


def conversation_of(turn: str) -> str:
    """Raises TurnNotFound when `turn` cannot be the id of a turn."""
    match = _TURN.fullmatch(turn)
    if not match:
        raise TurnNotFound
    return match[1]


@dataclass(eq=False)
class LiveTurn:
    """A turn this process runs: it writes events, and hears when it is to stop."""

    id: str
    _log: int
    _lock: int
    stopped: threading.Event = field(default_factory=threading.Event)
    is_overdue: bool = False
    _events: list[Event] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _on_stop: Callable[[], None] | None = None
    _is_closed: bool = False
    _deadline: float = field(default_factory=lambda: time.monotonic() + TURN_DEADLINE_S)

    def emit(self, name: str, /, **data: object) -> None:
        with self._changed:
            event = Event(len(self._events) + 1, name, data)
            with suppress(OSError):  # a full disk takes the log from other processes only
                os.write(self._log, _line(event))
            self._events.append(event)
            self._changed.notify_all()

    def stop(self) -> None:
        self.stopped.set()
        call = self._on_stop
        if call:
            call()

    def when_stopped(self, call: Callable[[], None] | None) -> None:
        """What ends the wait of the moment: shut a socket, kill a process. None: nothing to end."""
        self._on_stop = call
        if call and self.stopped.is_set():
            call()

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        os.close(self._log)
        os.close(self._lock)

    def follow(self, after: int, tick_s: float) -> Iterator[list[Event]]:
        """New events as they come, in batches; an empty batch every `tick_s` without any."""
        while True:
            with self._changed:
                if len(self._events) <= after and not self._is_closed:
                    self._changed.wait(tick_s)
                batch = self._events[after:]
                is_over = self._is_closed and not batch
            if is_over:
                return
            yield batch
            after += len(batch)


class LiveTurns:
    """The turns of all processes on one state directory."""

    def __init__(self, directory: Path, *, limit: int) -> None:
        self.directory = directory
        self._limit = limit
        self._running: dict[str, LiveTurn] = {}
        self._ended: OrderedDict[str, LiveTurn] = OrderedDict()
        self._mutex = threading.Lock()
        self._watcher: threading.Thread | None = None
        self._swept = -float(SWEEP_EVERY_S)

    def begin(self, conversation: str) -> LiveTurn:
        """Start a turn. Raises TurnRunning, Busy or StorageFailed; the caller ends what it gets."""
        make_private(self.directory)
        self._sweep()
        with self._mutex:
            if len(self._running) >= self._limit:
                raise Busy("Too many answers are being written at once.", retry_after_s=5)
            try:
                turn = self._locked_turn(conversation)
            except OSError as error:
                raise StorageFailed(
                    "The answer could not be begun: its log cannot be written."
                ) from error
            self._running[turn.id] = turn
            self._watch()
        return turn

    def _locked_turn(self, conversation: str) -> LiveTurn:
        holder = lock(self._lock_path(conversation), wait_s=BEGIN_WAIT_S)
        if holder is None:
            raise TurnRunning
        turn = new_turn_id(conversation)
        try:
            os.ftruncate(holder, 0)
            os.write(holder, turn.encode())
            return LiveTurn(turn, open_private(self._log_path(turn)), holder)
        except BaseException:
            os.close(holder)  # else nobody could ask here until this process ends
            raise

    def end(self, turn: LiveTurn) -> None:
        with self._mutex:
            self._running.pop(turn.id, None)
            self._ended[turn.id] = turn
            if len(self._ended) > REMEMBERED:
                self._ended.popitem(last=False)
        turn.close()

    def running(self, conversation: str) -> str | None:
        """The turn that some living process is writing in this conversation."""
        with self._mutex:
            for turn in self._running:
                if conversation_of(turn) == conversation:
                    return turn
        path = self._lock_path(conversation)
        return _read(path) or None if is_locked(path) else None

    def orphan(self, conversation: str) -> str | None:
        """The turn whose process died before it could say how it ended."""
        turn = _read(self._lock_path(conversation))
        if not _TURN.fullmatch(turn) or self.running(conversation) == turn:
            return None
        log = self.events(turn)
        return turn if log and log[-1].name != "done" else None

    def events(self, turn: str) -> list[Event]:
        """What is in a turn's log now; empty when the log was forgotten."""
        conversation_of(turn)
        return _events(_read_bytes(self._log_path(turn)))

    def finish(self, turn: str, *events: tuple[str, dict[str, object]]) -> None:
        """Write the last events of a turn whose process died."""
        holder = lock(self._lock_path(conversation_of(turn)), wait_s=BEGIN_WAIT_S)
        if holder is None:
            return  # somebody else is at it, or a new turn has begun
        try:
            known = self.events(turn)
            if known and known[-1].name != "done":
                ids = itertools.count(known[-1].id + 1)
                lines = [_line(Event(next(ids), *event)) for event in events]
                log = open_private(self._log_path(turn))
                os.write(log, b"\n" + b"".join(lines))
                os.close(log)
        finally:
            os.close(holder)

    def follow(self, turn: str, *, after: int = 0, tick_s: float = 10.0) -> Iterator[list[Event]]:
        """A running or kept turn's events behind `after`, as they come, until it ends or dies.

        An empty batch comes at least every `tick_s` seconds.
        """
        with self._mutex:
            own = self._running.get(turn) or self._ended.get(turn)
        if own is not None:  # also one that ended before its first viewer came: its log may be cut
            yield from own.follow(after, tick_s)
        else:
            yield from self._follow_file(turn, after, tick_s)

    def _follow_file(self, turn: str, after: int, tick_s: float) -> Iterator[list[Event]]:
        lock_path = self._lock_path(conversation_of(turn))
        offset, told = 0, time.monotonic()
        while True:
            is_alive = is_locked(lock_path) and _read(lock_path) == turn
            data = _read_bytes(self._log_path(turn), offset)
            whole = data[: data.rfind(b"\n") + 1]
            offset += len(whole)
            batch = [event for event in _events(whole) if event.id > after]
            if batch or time.monotonic() - told >= tick_s:
                told = time.monotonic()
                yield batch
            if not is_alive or (batch and batch[-1].name == "done"):
                return
            time.sleep(FOLLOW_EVERY_S)

    def stop(self, turn: str) -> None:
        """Ask a turn to stop, wherever it runs. A turn that has ended stays as it is."""
        conversation = conversation_of(turn)
        with self._mutex:
            own = self._running.get(turn)
        if own is not None:
            own.stop()
        elif self.running(conversation) == turn:
            os.close(open_private(self._stop_path(turn)))

    def stop_all(self) -> None:
        """Stop what this process runs, and wait a moment for its records."""
        with self._mutex:
            running = list(self._running.values())
        for turn in running:
            turn.stop()
        deadline = time.monotonic() + 2
        while self._running and time.monotonic() < deadline:
            time.sleep(0.02)

    def _watch(self) -> None:
        if self._watcher is None or not self._watcher.is_alive():
            self._watcher = threading.Thread(target=self._look, name="live-watch", daemon=True)
            self._watcher.start()

    def _look(self) -> None:
        """Hear stops asked for in other processes, and end turns that are past their deadline."""
        while True:
            with self._mutex:
                running = list(self._running.values())
                if not running:
                    self._watcher = None
                    return
            for turn in running:
                turn.is_overdue = turn.is_overdue or time.monotonic() > turn._deadline
                if turn.is_overdue or self._stop_path(turn.id).exists():
                    turn.stop()
            time.sleep(WATCH_EVERY_S)

    def _sweep(self) -> None:
        """Forget the files of turns that ended long ago."""
        if time.monotonic() - self._swept < SWEEP_EVERY_S:
            return
        self._swept = time.monotonic()
        oldest = time.time() - KEEP_S
        with os.scandir(self.directory) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another process sweeps as well
                    if entry.stat(follow_symlinks=False).st_mtime < oldest:
                        self._forget(Path(entry.path))

    def _forget(self, path: Path) -> None:
        lock_path = self._lock_path(path.name[:12])
        if path != lock_path:
            if not is_locked(lock_path):
                path.unlink()
            return
        holder = lock(path, wait_s=0)
        if holder is not None:
            path.unlink()  # while it is held: who comes now opens a new one
            os.close(holder)

    def _log_path(self, turn: str) -> Path:
        return self.directory / f"{turn}.events"

    def _stop_path(self, turn: str) -> Path:
        return self.directory / f"{turn}.stop"

    def _lock_path(self, conversation: str) -> Path:
        return self.directory / f"{conversation}.lock"


def _line(event: Event) -> bytes:
    text = json.dumps({"id": event.id, "event": event.name, "data": event.data})
    return text.encode() + b"\n"


def _events(data: bytes) -> list[Event]:
    events = []
    for line in data.split(b"\n"):
        try:
            raw = json.loads(line)
            events.append(Event(raw["id"], raw["event"], raw["data"]))
        except (ValueError, KeyError, TypeError):  # a line torn by a crash, or an empty one
            continue
    return events


def _read(path: Path) -> str:
    return _read_bytes(path).decode("ascii", "replace")


def _read_bytes(path: Path, offset: int = 0) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read()
    except FileNotFoundError:
        return b""
