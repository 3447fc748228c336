"""What git ignores in a working tree, asked of git itself. Knows nothing of the path policy.

A file that is tracked is not ignored, whatever the patterns say. Nested repositories (submodules,
worktrees) have their own rules, and are ignored whole where the repository around them says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

TIMEOUT_S = 5

Stamp = tuple[int, int, int]  # mtime in ns, size, inode

# Built from nothing: the served repository decides less than one that a person works in.
# No protocol and no lazy fetch, as a partial clone could otherwise name a program to fetch with.
_ENVIRONMENT = {
    "PATH": os.defpath,
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}
_SETTINGS = ("core.fsmonitor=false", f"core.hooksPath={os.devnull}", "safe.directory=*")


class GitIgnore:
    """Paths are relative to the root, with "/", and without symbolic links in their folders."""

    def __init__(self, root: Path, *, timeout_s: float = TIMEOUT_S) -> None:
        self._root = str(root)
        self._timeout_s = timeout_s

    def ignored(self, paths: Sequence[str]) -> frozenset[str]:
        """Those of `paths` that git ignores; none without git, without a repository, or in time."""
        by_repository: defaultdict[str, list[str]] = defaultdict(list)
        for path in paths:
            by_repository[self._repository_of(path)].append(path)
        nested = tuple(repository for repository in by_repository if repository)
        lost = self.ignored(nested) if nested else frozenset()
        found: set[str] = set()
        for repository, members in by_repository.items():
            found.update(members if repository in lost else self._ask(repository, members))
        return frozenset(found)

    def stamps(self, folder: str) -> tuple[Stamp | None, ...]:
        """Changes whenever the answer for the entries of `folder` may have changed."""
        return tuple(
            _stamp(file)
            for place in self._places(folder)
            for file in (f"{place}/.gitignore", *_rules_of(place))
        )

    def _repository_of(self, path: str) -> str:
        """The innermost nested repository that holds `path`; "" is the one the root is in."""
        folder = os.path.dirname(path)
        while folder and not os.path.lexists(f"{self._root}/{folder}/.git"):
            folder = os.path.dirname(folder)
        return folder

    def _places(self, folder: str) -> Iterator[str]:
        """The folder and those above it, up to the root or the repository that holds the root."""
        while folder:
            yield f"{self._root}/{folder}"
            folder = os.path.dirname(folder)
        place = self._root
        yield place
        while not os.path.lexists(f"{place}/.git") and place != os.path.dirname(place):
            place = os.path.dirname(place)
            yield place

    def _ask(self, repository: str, paths: Sequence[str]) -> set[str]:
        within = f"{repository}/" if repository else ""
        names = {path.removeprefix(within): path for path in paths}
        # --no-index, because with an index git walks all of it again for every path.
        questions = _joined(["", *names])
        answer = self._git(
            repository, "check-ignore", "--no-index", "-z", "--stdin", told=questions
        )
        matching = {name.removeprefix("./") for name in _parted(answer)}
        # A root that the repository around it ignores is not part of that repository.
        if not matching or "" in matching:
            return set()
        return {names[name] for name in matching - self._tracked(repository) if name in names}

    def _tracked(self, repository: str) -> set[str]:
        """Files that match the patterns and are tracked all the same, and their folders."""
        answer = self._git(repository, "ls-files", "-z", "--cached", "-i", "--exclude-standard")
        files = _parted(answer)
        return {
            *files,
            *(file[:end] for file in files for end in range(len(file)) if file[end] == "/"),
        }

    def _git(self, folder: str, *arguments: str, told: bytes = b"") -> bytes:
        binary = shutil.which("git")
        # A relative folder on PATH would be looked up in the served repository.
        if binary is None or not os.path.isabs(binary):
            return b""
        settings = [word for setting in _SETTINGS for word in ("-c", setting)]
        try:
            done = subprocess.run(
                [binary, *settings, *arguments],
                cwd=f"{self._root}/{folder}",
                env=_ENVIRONMENT,
                input=told,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=self._timeout_s,
                check=False,
            )
        except (OSError, subprocess.SubprocessError):
            return b""
        # Where git gave up halfway, what it said before is still true.
        return done.stdout


def _joined(names: Iterable[str]) -> bytes:
    # "./" keeps a name that starts with ":" from being read as pathspec magic.
    return b"".join(b"./" + name.encode("utf-8", "surrogateescape") + b"\0" for name in names)


def _parted(answer: bytes) -> list[str]:
    return [name.decode("utf-8", "surrogateescape") for name in answer.split(b"\0") if name]


def _rules_of(place: str) -> tuple[str, ...]:
    """The files of the repository at `place`, if there is one, that decide what it ignores."""
    entry = f"{place}/.git"
    if not os.path.lexists(entry):
        return ()
    own = _named_in(entry, b"gitdir: ") or entry
    shared = _named_in(f"{own}/commondir", b"") or own
    return (f"{own}/index", f"{shared}/info/exclude", f"{shared}/config")


def _named_in(file: str, prefix: bytes) -> str | None:
    """The folder that a one-line file of git's names: linked worktrees and submodules have it."""
    try:
        # Not blocking: the tree may hold a FIFO of this name.
        opened = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return None
    try:
        line = os.read(opened, 4096).partition(b"\n")[0]
    except OSError:
        return None
    finally:
        os.close(opened)
    if not line.startswith(prefix):
        return None
    return os.path.join(os.path.dirname(file), os.fsdecode(line[len(prefix) :]))


def _stamp(file: str) -> Stamp | None:
    try:
        state = os.stat(file)
    except (OSError, ValueError):
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino
