"""Real servers for tests: started as people start them, watched from outside, ended by their pid.

Knows processes and sockets; knows nothing of what a test wants of them.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

TOP = Path(__file__).resolve().parent.parent
LECTERN = (sys.executable, "-c", "from app.cli import main; main()")
GUNICORN = (sys.executable, "-m", "gunicorn", "wsgi:app")
START_S = 20.0
POLL_S = 0.01
ADDRESS = re.compile(r"at:? (http://\S+)")
FETCH = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Accept": "*/*"}
PAGE = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Accept": "text/html"}


def eventually(condition: Callable[[], Any], *, within_s: float = 10.0) -> Any:
    """What `condition` gives once it gives something; fails when it never does."""
    until = time.monotonic() + within_s
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < until, "it did not come about in time"
        time.sleep(POLL_S)


def clean_environ(**more: str) -> dict[str, str]:
    """What a process needs to start, with nothing of the tests' own environment."""
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": str(TOP), **more}


def finished(command: tuple[str, ...], **environ: str) -> subprocess.CompletedProcess[str]:
    """A command that is expected to end by itself, in time."""
    return subprocess.run(
        command,
        env=clean_environ(**environ),
        cwd=TOP,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass
class Stream:
    """A response that is still being read, as the events in it."""

    connection: http.client.HTTPConnection
    response: http.client.HTTPResponse
    seen: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [name for _, name, _ in self.seen]

    @property
    def text(self) -> str:
        return "".join(data["text"] for _, name, data in self.seen if name == "content")

    def data(self, wanted: str) -> dict[str, Any]:
        return next(data for _, name, data in self.seen if name == wanted)

    def read_until(self, wanted: str) -> dict[str, Any]:
        """Read on up to the next event of this name."""
        for number, name, data in self._events():
            self.seen.append((number, name, data))
            if name == wanted:
                return data
        raise AssertionError(f"the stream ended without {wanted}: {self.names}")

    def read_all(self) -> None:
        self.seen.extend(self._events())

    def close(self) -> None:
        """Leave, as a closed tab does."""
        self.response.close()
        self.connection.close()

    def _events(self) -> Iterator[tuple[int, str, dict[str, Any]]]:
        frame: dict[str, str] = {}
        while line := self._line():
            name, colon, value = line.rstrip("\n").partition(": ")
            if colon and name:
                frame[name] = value
            elif not line.strip() and "event" in frame:
                yield int(frame["id"]), frame["event"], json.loads(frame["data"])
                frame = {}

    def _line(self) -> str:
        """Empty at the end, be it in good order or not."""
        try:
            return self.response.readline().decode()
        except (http.client.HTTPException, ConnectionError):
            return ""


@dataclass
class Client:
    """Somebody's browser, one connection a request. `close` leaves every stream."""

    url: str
    timeout_s: float = 15.0
    headers: Mapping[str, str] = field(default_factory=dict)
    streams: list[Stream] = field(default_factory=list)

    def get(self, path: str, *, headers: Mapping[str, str] = FETCH) -> Answer:
        return self.send("GET", path, headers=headers)

    def post(self, path: str, **body: object) -> Answer:
        return self.send("POST", path, body)

    def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        headers: Mapping[str, str] = FETCH,
    ) -> Answer:
        connection, response = self._open(method, path, body, headers)
        with contextlib.closing(connection):
            text = response.read().decode("utf-8", "replace")
            return Answer(response.status, dict(response.getheaders()), text)

    def ask(self, message: str, *, doc: str | None = "README.md", **more: object) -> Stream:
        body = {"message": message, "doc": doc, **more}
        return self._stream("POST", "/actions/chat", body)

    def watch(self, turn: str, *, after: int = 0) -> Stream:
        return self._stream("GET", f"/chat/turns/{turn}/events?after={after}", None)

    def records(self, conversation: str) -> list[dict[str, Any]]:
        return list(self.get(f"/chat/history/{conversation}").json["records"])

    def close(self) -> None:
        for stream in self.streams:
            stream.close()

    def _stream(self, method: str, path: str, body: Mapping[str, object] | None) -> Stream:
        stream = Stream(*self._open(method, path, body, FETCH))
        self.streams.append(stream)
        assert stream.response.status == 200, stream.response.read()
        return stream

    def _open(
        self, method: str, path: str, body: object, headers: Mapping[str, str]
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(
            str(parts.hostname), parts.port, timeout=self.timeout_s
        )
        sent = {**headers, **self.headers}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        connection.request(method, parts.path.rstrip("/") + path, body=data, headers=sent)
        return connection, connection.getresponse()


@dataclass
class Running:
    """A server in processes of its own."""

    process: subprocess.Popen[str]
    client: Client
    log: Path

    @property
    def url(self) -> str:
        return self.client.url

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 80

    def workers(self) -> list[int]:
        return children(self.pid)

    def limit_files(self, max_bytes: int = resource.RLIM_INFINITY) -> None:
        """From now on no file may grow beyond this: a full disk without one."""
        for pid in (self.pid, *descendants(self.pid)):
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (max_bytes, hard))

    def kill(self) -> None:
        """kill -9 of the master."""
        self.process.kill()
        self.process.wait(10)

    def end(self, *, within_s: float = 30.0) -> int:
        """SIGTERM, and its exit code."""
        self.process.terminate()
        return self.process.wait(within_s)


@contextmanager
def running(command: tuple[str, ...], environ: Mapping[str, str]) -> Iterator[Running]:
    """The server that `command` starts; whatever is left of it is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("w") as stderr:
            process = subprocess.Popen(
                command,
                env=clean_environ(**environ),
                cwd=TOP,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        started = Running(process, Client(""), log)
        try:
            started.client.url = _address(started)
            yield started
        finally:
            started.client.close()
            _end(started)


@contextmanager
def lectern(
    root: Path, environ: Mapping[str, str], *, port: int = 0, workers: int = 2
) -> Iterator[Running]:
    """`lectern serve`, with its workers up."""
    options = ("--port", str(port), "--workers", str(workers))
    with running((*LECTERN, "serve", str(root), *options), environ) as started:
        eventually(lambda: len(started.workers()) == workers, within_s=START_S)
        yield started


def children(pid: int) -> list[int]:
    """The processes whose parent this is, ended ones left out."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(stat.parent.name))
    return sorted(found)


def descendants(pid: int) -> list[int]:
    own = children(pid)
    return own + [below for child in own for below in descendants(child)]


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def is_there(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def _address(started: Running) -> str:
    """Where it says it serves: `lectern` on its output, gunicorn in its log."""
    stdout = started.process.stdout
    assert stdout is not None
    os.set_blocking(stdout.fileno(), False)

    def found() -> str:
        assert started.process.poll() is None, started.log.read_text()
        match = ADDRESS.search(_read(stdout)) or ADDRESS.search(started.log.read_text())
        return match[1].rstrip("/") if match else ""

    return str(eventually(found, within_s=START_S))


def _read(stdout: IO[str]) -> str:
    try:
        return os.read(stdout.fileno(), 65_536).decode()
    except BlockingIOError:
        return ""


def _end(started: Running) -> None:
    below = descendants(started.pid) if started.process.poll() is None else []
    started.process.kill()
    started.process.wait(10)
    for pid in below:  # the workers go with their master; this is for a test that failed
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if started.process.stdout:
        started.process.stdout.close()
