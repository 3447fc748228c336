"""Processes that may be killed: each answers one request at a time, within a deadline or never.

Knows pipes and processes; what is asked and answered is the business of `app.rendering` and
`app.render_worker`. Nothing is started before the first request, so a server may fork first.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path

log = logging.getLogger(__name__)

# A process that has not said it is ready by then never will.
START_DEADLINE_S = 15.0
MAX_ANSWER_BYTES = 64 << 20

_LENGTH = struct.Struct("!I")
_TOP = Path(__file__).resolve().parent.parent


class RenderFailed(Exception):
    """No answer came."""


class TooSlow(RenderFailed):
    """The deadline passed, and the process was killed."""


class Crashed(RenderFailed):
    """The process ended, or could not be started."""


class AllBusy(RenderFailed):
    """No process became free."""


class Pool:
    """Thread-safe; at most `processes` requests are under way at once."""

    def __init__(self, *, processes: int, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        # As long as a few slow requests in front of this one may take.
        self._patience_s = deadline_s * 4
        self._slots = threading.BoundedSemaphore(processes)
        self._lock = threading.Lock()
        self._idle: list[_Process] = []
        self._busy: set[_Process] = set()
        self._is_closed = False

    def warm(self) -> None:
        """Start a process and do not wait for it."""
        with self._lock, contextlib.suppress(Crashed):
            if not (self._idle or self._busy or self._is_closed):
                self._idle.append(_Process())

    def ask(self, request: Mapping[str, str]) -> dict[str, object]:
        body = json.dumps(request).encode()
        if not self._slots.acquire(timeout=self._patience_s):
            raise AllBusy
        try:
            process = self._take()
            try:
                answer = process.ask(body, self._deadline_s)
            except BaseException:
                process.kill()
                raise
            finally:
                self._give_back(process)
        finally:
            self._slots.release()
        found: dict[str, object] = json.loads(answer)
        return found

    def close(self) -> None:
        """Kill every process; a request under way ends as a crash."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
            for process in self._busy:
                process.kill()
        for process in idle:
            process.discard()

    def _take(self) -> _Process:
        with self._lock:
            if self._is_closed:
                raise Crashed
            while self._idle and not self._idle[-1].is_alive():
                self._idle.pop().discard()
            process = self._idle.pop() if self._idle else _Process()
            self._busy.add(process)
        return process

    def _give_back(self, process: _Process) -> None:
        with self._lock:
            self._busy.discard(process)
            is_of_use = process.is_alive() and not self._is_closed
            if is_of_use:
                self._idle.append(process)
        if not is_of_use:
            process.discard()


class _Process:
    def __init__(self) -> None:
        try:
            # -P and "/": a served repository must not lend us its modules.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "app.render_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                cwd="/",
                env=_environment(),
                close_fds=True,
                start_new_session=True,
            )
        except OSError as error:
            raise Crashed from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input = self._process.stdin
        self._output = self._process.stdout
        self._end = weakref.finalize(self, _end, self._process)
        os.set_blocking(self._input.fileno(), False)
        os.set_blocking(self._output.fileno(), False)
        self._is_ready = False

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, body: bytes, deadline_s: float) -> bytes:
        try:
            self._start()
            until = time.monotonic() + deadline_s
            self._send(_LENGTH.pack(len(body)) + body, until)
            return self._receive(until)
        except RenderFailed as failure:
            log.warning("rendering process lost: %s", type(failure).__name__)
            raise

    def _start(self) -> None:
        if self._is_ready:
            return
        try:
            self._receive(time.monotonic() + START_DEADLINE_S)
        except TooSlow as error:
            # Not the fault of what was asked.
            raise Crashed from error
        self._is_ready = True

    def kill(self) -> None:
        """Kill and reap; the pipes stay open for the thread that may be waiting on them."""
        self._process.kill()
        self._process.wait()

    def discard(self) -> None:
        self._end()

    def _send(self, data: bytes, until: float) -> None:
        rest = memoryview(data)
        while rest:
            _wait(self._input.fileno(), select.POLLOUT, until)
            try:
                rest = rest[os.write(self._input.fileno(), rest) :]
            except BrokenPipeError as error:
                raise Crashed from error

    def _receive(self, until: float) -> bytes:
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size, until))
        if length > MAX_ANSWER_BYTES:
            raise Crashed
        return self._read(length, until)

    def _read(self, length: int, until: float) -> bytes:
        data = bytearray()
        while len(data) < length:
            _wait(self._output.fileno(), select.POLLIN, until)
            chunk = os.read(self._output.fileno(), min(length - len(data), 1 << 20))
            if not chunk:
                raise Crashed
            data += chunk
        return bytes(data)


def _environment() -> dict[str, str]:
    """Made from nothing, so that no secret of the server's is in it."""
    places = [str(_TOP), os.environ.get("PYTHONPATH", "")]
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join(place for place in places if place),
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()


def _wait(descriptor: int, event: int, until: float) -> None:
    poll = select.poll()
    poll.register(descriptor, event)
    rest_s = until - time.monotonic()
    if rest_s <= 0 or not poll.poll(rest_s * 1000):
        raise TooSlow
