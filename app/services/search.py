"""Search in the served repository: ripgrep says where, the workspace says what stands there.

Knows nothing of HTTP or of the model. ripgrep opens files by name and so cannot keep the path
policy; therefore nothing of what it prints is used but path, line and column, each checked again.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from app.services.errors import LecternError, PathNotFound
from app.services.workspace import DENIED_FOLDERS, Workspace

DEADLINE_S = 10.0
POLL_S = 0.05
MAX_PATTERN = 1000
MAX_GLOB = 200
MAX_HITS = 200
MAX_HITS_PER_FILE = 50
MAX_FILE_BYTES = 1 << 20
MAX_OUTPUT_BYTES = 256 << 10
MAX_REASON = 200
MAX_TEXT = 300
LEAD = 80  # how much of a long line stands before the hit

_OPTIONS = (
    "--no-config",  # the environment could name a file with --pre, which runs programs
    *("--color=never", "--no-heading", "--no-messages", "--with-filename", "--null"),
    *("--line-number", "--column", "--sort=path", "--smart-case", "--crlf"),
    # (a{1000}){1000} would otherwise take minutes and gigabytes before the first byte is searched.
    *("--regex-size-limit=1M", "--dfa-size-limit=8M", f"--max-filesize={MAX_FILE_BYTES}"),
    # Only the place is wanted; a longer line is left out of the output.
    *("--max-columns=1", f"--max-count={MAX_HITS_PER_FILE + 1}"),
    # What git ignores, and not what other tools do; a .gitignore above the root is not the root's.
    *("--hidden", "--no-follow", "--no-require-git"),
    *("--no-ignore-parent", "--no-ignore-global", "--no-ignore-dot"),
)
_ENVIRONMENT = {"PATH": os.defpath, "LANG": "C.UTF-8"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_PLACE = re.compile(rb"^\./([^\0\n]+)\0(\d+):(\d+):", re.MULTILINE)


class SearchRefused(LecternError):
    """The pattern or the glob is not one that can be searched for."""


class SearchFailed(LecternError):
    """There was no answer; asking for less may help."""


class SearchUnavailable(LecternError):
    def __init__(self) -> None:
        super().__init__(
            "Search needs ripgrep, and there is none. Install it (on Debian: apt install ripgrep)."
        )


@dataclass(frozen=True, slots=True)
class Hit:
    path: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class SearchResult:
    hits: tuple[Hit, ...]
    files: int  # in which the hits are
    truncated: bool


@dataclass(frozen=True, slots=True)
class _Output:
    stdout: bytes
    stderr: bytes
    code: int | None  # None: it was ended before it was done


@dataclass(frozen=True, slots=True)
class _Place:
    line: int
    column: int  # in bytes, from 1


def search(
    workspace: Workspace,
    pattern: str,
    *,
    glob: str | None = None,
    literal: bool = False,
    stop: threading.Event | None = None,
    ripgrep: Path | None = None,
    deadline_s: float = DEADLINE_S,
) -> SearchResult:
    """Matching lines, by path, in files that the policy allows and git does not ignore.

    ripgrep goes by the patterns alone: a file that they name and that is tracked all the same is
    not searched.
    """
    _check_pattern(pattern)
    _check_glob(glob)
    arguments = _arguments(workspace, pattern, glob=glob, literal=literal)
    stop = stop or threading.Event()
    output = _run(
        [str(ripgrep or find_ripgrep()), *arguments],
        workspace.root,
        until=time.monotonic() + deadline_s,
        stop=stop,
    )
    places = _places(output.stdout)
    if not places:
        _raise_for(output, is_stopped=stop.is_set())
    return _result(workspace, places, is_whole=output.code in (0, 1), stop=stop)


def find_ripgrep(*, prefix: str = sys.prefix, path: str | None = None) -> Path:
    """The one installed beside this program, else the one on PATH."""
    beside = shutil.which("rg", path=os.path.join(prefix, "bin"))
    found = beside or shutil.which("rg", path=path)
    # A relative folder on PATH would be looked up in the served repository.
    if found is None or not os.path.isabs(found):
        raise SearchUnavailable()
    return Path(found)


def _check_pattern(pattern: str) -> None:
    if not 1 <= len(pattern) <= MAX_PATTERN:
        raise SearchRefused(f"A search pattern has 1 to {MAX_PATTERN} characters.")
    if re.search(r"[\0\n\r\ud800-\udfff]", pattern):
        raise SearchRefused("A search pattern is one line of text.")


def _check_glob(glob: str | None) -> None:
    if glob is None:
        return
    if not 1 <= len(glob) <= MAX_GLOB:
        raise SearchRefused(f"A glob has 1 to {MAX_GLOB} characters.")
    if glob.startswith(("/", "!")) or ".." in glob.split("/"):
        raise SearchRefused("A glob names files below the root, such as docs/**/*.md.")
    if re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", glob):
        raise SearchRefused("A glob has no control characters.")


def _arguments(
    workspace: Workspace, pattern: str, *, glob: str | None, literal: bool
) -> Iterator[str]:
    yield from _OPTIONS
    if glob is not None:
        yield f"--glob={glob}"
    # Only to save time: every hit is checked against the policy anyway.
    yield from (f"--iglob=!{folder}" for folder in DENIED_FOLDERS)
    yield from (f"--iglob=!/{_escaped(path)}" for path in workspace.hidden if path)
    if literal:
        yield "--fixed-strings"
    yield from (f"--regexp={pattern}", "--", ".")


def _escaped(path: str) -> str:
    return re.sub(r"([*?\[\]{}\\!])", r"\\\1", path)


def _run(argv: Sequence[str], folder: Path, *, until: float, stop: threading.Event) -> _Output:
    process = _started(argv, folder)
    stdout, stderr = bytearray(), bytearray()
    try:
        with selectors.DefaultSelector() as pipes:
            pipes.register(_pipe(process.stdout), selectors.EVENT_READ, stdout)
            pipes.register(_pipe(process.stderr), selectors.EVENT_READ, stderr)
            while pipes.get_map() and len(stdout) < MAX_OUTPUT_BYTES:
                if stop.is_set() or time.monotonic() >= until:
                    break
                _read_ready(pipes)
            is_cut = bool(pipes.get_map())
        code = None if is_cut else _code(process)
    finally:
        _end(process)
    return _Output(bytes(stdout[:MAX_OUTPUT_BYTES]), bytes(stderr), code)


def _started(argv: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv,
            cwd=folder,
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            process_group=0,
        )
    except OSError as error:
        raise SearchFailed("The search could not be started. Try again.") from error


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _read_ready(pipes: selectors.BaseSelector) -> None:
    for key, _ in pipes.select(POLL_S):
        chunk = os.read(key.fd, 1 << 16)
        if not chunk:
            pipes.unregister(key.fileobj)
        elif len(key.data) < MAX_OUTPUT_BYTES:
            key.data.extend(chunk)


def _code(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(timeout=1)
    except subprocess.TimeoutExpired:
        return None


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:
        # Not waited for yet, so the number cannot belong to another group.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdout, process.stderr):
        _pipe(pipe).close()


def _places(stdout: bytes) -> dict[str, list[_Place]]:
    places: dict[str, list[_Place]] = {}
    for path, line, column in _PLACE.findall(stdout):
        places.setdefault(os.fsdecode(path), []).append(_Place(int(line), int(column)))
    return places


def _raise_for(output: _Output, *, is_stopped: bool) -> None:
    """Says why there is no hit, unless it is because there is none."""
    if output.code is None and not is_stopped:
        raise SearchFailed("The search took too long and was ended. Narrow it with a glob.")
    if output.code == 2 and output.stderr:
        raise SearchRefused(f"That cannot be searched for: {_reason(output.stderr)}.")
    if output.code not in (None, 0, 1, 2):
        raise SearchFailed("The search ended before it was done. Try again.")


def _reason(stderr: bytes) -> str:
    """ripgrep's own words: the line that says "error", else the first."""
    lines = stderr.decode(errors="replace").splitlines()
    line = next((line for line in lines if line.startswith("error: ")), lines[0])
    reason = _CONTROL.sub("", line).removeprefix("error: ").removeprefix("rg: ")
    return reason[:MAX_REASON].rstrip(".")


def _result(
    workspace: Workspace,
    places: Mapping[str, Sequence[_Place]],
    *,
    is_whole: bool,
    stop: threading.Event,
) -> SearchResult:
    allowed = [path for path in places if workspace.allows(path)]
    ignored = workspace.ignored(allowed)
    hits: list[Hit] = []
    for path in allowed:
        if path not in ignored:
            hits.extend(_hits(workspace, path, places[path][:MAX_HITS_PER_FILE]))
        if len(hits) > MAX_HITS or stop.is_set():
            is_whole = False
            break
    hits = hits[:MAX_HITS]
    files = {hit.path for hit in hits}
    is_whole = is_whole and all(len(places[path]) <= MAX_HITS_PER_FILE for path in files)
    return SearchResult(hits=tuple(hits), files=len(files), truncated=not is_whole)


def _hits(workspace: Workspace, path: str, places: Sequence[_Place]) -> list[Hit]:
    try:
        file = workspace.read(path, limit=MAX_FILE_BYTES)
    except PathNotFound:
        return []
    # Under another path it is a link; the file is found under its own.
    if file.path != path or file.is_binary:
        return []
    lines = file.data.split(b"\n")
    return [
        Hit(path, place.line, _excerpt(lines[place.line - 1], place.column))
        for place in places
        if 1 <= place.line <= len(lines)
    ]


def _excerpt(line: bytes, column: int) -> str:
    """The line, or as much of it around the hit as fits."""
    text = _shown(line)
    if len(text) <= MAX_TEXT:
        return text
    start = max(0, len(_shown(line[: column - 1])) - LEAD)
    head = "…" if start else ""
    rest = text[start:]
    room = MAX_TEXT - len(head)
    return head + (rest if len(rest) <= room else rest[: room - 1] + "…")


def _shown(line: bytes) -> str:
    text = line.decode(errors="replace").removeprefix("\ufeff")
    return _CONTROL.sub("", text.replace("\t", " "))
