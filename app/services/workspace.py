"""The path policy: what of the served repository may be seen, and the only source of its bytes.

Knows nothing of HTTP, of Markdown or of the model. A path is checked as it is asked for and again
as it turns out after links are resolved; folders are opened one below the other, so that nothing
can be swapped in between.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import stat
import threading
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from app.services.errors import PathNotFound
from app.services.git_ignore import GitIgnore, Stamp

Kind = Literal["file", "folder"]

MAX_PATH_BYTES = 4096
MAX_NAME_BYTES = 255
MAX_LINKS = 40
MAX_STEPS = 4096  # a link's target may climb, and climbing opens everything from the root again
MAX_LOOKS = 10  # at a file that changes at this very moment
MAX_ENTRIES = 10_000
MAX_REMEMBERED = 100_000  # entries and folders together
SAMPLE_BYTES = 8192

# A path with such a name in it is refused; case and invisible characters make no difference.
DENIED_FOLDERS = (".git", ".claude", ".ssh", ".gnupg", ".aws", ".azure", ".kube")
DENIED_FILES = (
    *("*.env", ".env.*", ".env-*", ".env_*", ".env~", ".envrc"),
    *("*.pem", "*.key", "*.p12", "*.pfx", "*.ppk", "*.jks", "*.keystore", "*.keytab", "*.kdbx"),
    *("id_rsa", "id_dsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk", "id_xmss"),
    *(".netrc", "_netrc", ".npmrc", ".pypirc", ".htpasswd", ".pgpass", ".my.cnf", ".s3cfg"),
    *(".git-credentials", ".vault-token", ".dockercfg", ".docker/config.json"),
    *(".cargo/credentials", ".cargo/credentials.toml", ".mcp.json"),
)
SAMPLES = (
    ".env.example",
    ".env.sample",
    ".env.template",
)  # allowed although DENIED_FILES names them
INDEXES = (
    *("readme.md", "index.md", "readme.markdown", "index.markdown"),
    *("readme.rst", "readme.txt", "readme"),
)

_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff]")
# Not blocking, so that a FIFO or a device in the tree cannot hold a thread.
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_FOLDER_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY
_RACY_NS = 50_000_000  # a folder changed twice within a clock tick has the same mtime


@dataclass(frozen=True, slots=True)
class File:
    path: str  # canonical: relative to the root, links resolved
    data: bytes
    size: int
    modified: float
    truncated: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def is_binary(self) -> bool:
        sample = self.data[:SAMPLE_BYTES]
        if b"\0" in sample:
            return True
        return sample.decode(errors="replace").count("\N{REPLACEMENT CHARACTER}") * 3 > len(sample)

    @property
    def text(self) -> str:
        decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        # A character that the limit cut in two is left out.
        return decoder.decode(self.data, final=not self.truncated)


@dataclass(frozen=True, slots=True)
class Entry:
    name: str
    path: str
    kind: Kind


class Workspace:
    """The served repository. What may not be seen raises `PathNotFound`, as what is not there."""

    def __init__(self, root: Path, *, hidden: Iterable[Path] = ()) -> None:
        self.root = Path(os.path.realpath(root))
        self.hidden = _inside(self.root, root, hidden)
        # A hidden root hides all: the empty prefix.
        self._hidden = tuple(f"{_fold(path)}/" if path else "" for path in self.hidden)
        self._git = GitIgnore(self.root)
        self._listings = Listings()

    def read(self, path: str, *, limit: int) -> File:
        """Also what git ignores: the path was asked for exactly."""
        with self._open(path) as opened:
            if not opened.is_file:
                raise PathNotFound(path)
            try:
                data = _first_bytes(opened.descriptor, limit + 1)
            except OSError as error:
                raise PathNotFound(path) from error
        return File(
            path=opened.path,
            data=data[:limit],
            size=max(opened.state.st_size, len(data)),
            modified=opened.state.st_mtime,
            truncated=len(data) > limit,
        )

    def kind(self, path: str) -> Kind:
        with self._open(path) as opened:
            return "file" if opened.is_file else "folder"

    def listing(self, path: str = "") -> tuple[Entry, ...]:
        """What the policy allows and git does not ignore: folders first, at most `MAX_ENTRIES`."""
        with self._open(path) as opened:
            if opened.is_file:
                raise PathNotFound(path)
            stamps = (_stamp_of(opened.state), *self._git.stamps(opened.path))
            entries = self._listings.get(opened.path, stamps)
            if entries is None:
                now = time.time_ns()
                entries = self._scan(opened)
                self._listings.put(opened.path, stamps, entries, now=now)
            return entries

    def index_of(self, path: str = "") -> str | None:
        """The page that stands for a folder."""
        files = {
            entry.name.lower(): entry.path
            for entry in reversed(self.listing(path))
            if entry.kind == "file"
        }
        return next((files[name] for name in INDEXES if name in files), None)

    def allows(self, path: str) -> bool:
        """By name alone: no look at the disk, links not resolved."""
        try:
            self._parts(path)
        except PathNotFound:
            return False
        return True

    def is_ignored(self, path: str) -> bool:
        """Whether git ignores the path, or what it links to."""
        paths = [path]
        try:
            with self._open(path) as opened:
                paths.insert(0, opened.path)
        except PathNotFound:
            pass
        return bool(self.ignored(paths))

    def ignored(self, paths: Sequence[str]) -> frozenset[str]:
        """Those of the paths that git ignores, in one question; the paths have to be canonical."""
        return self._git.ignored([path for path in paths if self.allows(path)])

    def _parts(self, path: str) -> list[str]:
        parts = _parts_of(path)
        plain = _climbed(parts)
        if plain is None or self._denies("/".join(parts)) or self._denies("/".join(plain)):
            raise PathNotFound(path)
        return plain

    def _denies(self, path: str) -> bool:
        folded = _fold(path)
        return bool(_DENIED.search(folded)) or f"{folded}/".startswith(self._hidden)

    def _open(self, path: str) -> _Opened:
        parts = self._parts(path)
        try:
            opened = _Walk(self.root, path).to(parts)
        except (OSError, ValueError) as error:
            raise PathNotFound(path) from error
        # "a.md/" asks for a folder.
        if self._denies(opened.path) or (opened.is_file and path.endswith("/")):
            opened.close()
            raise PathNotFound(path)
        return opened

    def _scan(self, folder: _Opened) -> tuple[Entry, ...]:
        try:
            with os.scandir(folder.descriptor) as found:
                entries = list(islice(self._allowed(folder.path, found), MAX_ENTRIES))
        except OSError as error:
            raise PathNotFound(folder.path) from error
        ignored = self._git.ignored([entry.path for entry in entries])
        entries = [entry for entry in entries if entry.path not in ignored]
        entries.sort(key=lambda entry: (entry.kind != "folder", entry.name.casefold(), entry.name))
        return tuple(entries)

    def _allowed(self, folder: str, found: Iterator[os.DirEntry[str]]) -> Iterator[Entry]:
        for item in found:
            path = f"{folder}/{item.name}" if folder else item.name
            if not self.allows(path):
                continue
            kind = self._kind_of(item, path)
            if kind is not None:
                yield Entry(item.name, path, kind)

    def _kind_of(self, item: os.DirEntry[str], path: str) -> Kind | None:
        try:
            if item.is_symlink():
                return self.kind(path)
            if item.is_dir(follow_symlinks=False):
                return "folder"
            return "file" if _is_plain_file(item.stat(follow_symlinks=False)) else None
        except (OSError, PathNotFound):
            return None


class _Opened:
    """An open descriptor, the canonical path it was reached by, and its state at that time."""

    __slots__ = ("descriptor", "path", "state")

    def __init__(self, descriptor: int, path: str) -> None:
        self.descriptor = descriptor
        self.path = path
        self.state = os.fstat(descriptor)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.state.st_mode)

    def close(self) -> None:
        os.close(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Walk:
    """From the root to a path, one opened folder after the other, following links by their text."""

    def __init__(self, root: Path, asked: str) -> None:
        self._root = str(root)
        self._asked = asked
        self._at = os.open(self._root, _FOLDER_FLAGS)
        self._resolved: list[str] = []
        self._links = 0
        self._steps = 0

    def to(self, parts: Sequence[str]) -> _Opened:
        try:
            self._follow(parts)
            return _Opened(self._at, "/".join(self._resolved))
        except BaseException:
            os.close(self._at)
            raise

    def _follow(self, parts: Sequence[str]) -> None:
        pending = list(reversed(parts))
        while pending:
            self._count(1)
            name = pending.pop()
            if name == "..":
                self._climb()
                continue
            mode = self._look(name).st_mode
            if stat.S_ISDIR(mode):
                self._enter(name)
            elif stat.S_ISLNK(mode):
                pending.extend(reversed(self._target(name)))
            elif stat.S_ISREG(mode) and not pending:
                self._take(name)
            else:
                raise PathNotFound(self._asked)

    def _count(self, steps: int) -> None:
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise PathNotFound(self._asked)

    def _move(self, descriptor: int) -> None:
        os.close(self._at)
        self._at = descriptor

    def _enter(self, name: str) -> None:
        self._move(os.open(name, _FOLDER_FLAGS, dir_fd=self._at))
        self._resolved.append(name)

    def _climb(self) -> None:
        # Never by opening "..": the folder may have been moved out of the root meanwhile.
        if not self._resolved:
            raise PathNotFound(self._asked)
        self._restart(self._resolved[:-1])

    def _restart(self, names: Sequence[str]) -> None:
        self._count(len(names))
        self._move(os.open(self._root, _FOLDER_FLAGS))
        self._resolved.clear()
        for name in names:
            self._enter(name)

    def _target(self, name: str) -> list[str]:
        self._links += 1
        text = os.readlink(name, dir_fd=self._at)
        if self._links > MAX_LINKS or _UNFIT.search(text):
            raise PathNotFound(self._asked)
        if text.startswith("/"):
            text = self._below_root(text)
            self._restart(())
        return _split(text)

    def _below_root(self, text: str) -> str:
        root = self._root.rstrip("/")
        if text != root and not text.startswith(f"{root}/"):
            raise PathNotFound(self._asked)
        return text.removeprefix(root)

    def _take(self, name: str) -> None:
        for _ in range(MAX_LOOKS):
            descriptor = self._plain_file(name)
            if descriptor is not None:
                self._move(descriptor)
                self._resolved.append(name)
                return
        raise PathNotFound(self._asked)

    def _plain_file(self, name: str) -> int | None:
        """The file, opened; or None if it changed meanwhile, as when an editor saves it."""
        before = self._look(name)
        descriptor = os.open(name, _FILE_FLAGS, dir_fd=self._at)
        try:
            # This name could be the second one of a file outside, and be unlinked between opening
            # and counting; hence the name is looked at on both sides. Unlinking changes the ctime.
            looks = (os.fstat(descriptor), self._look(name))
            if all(_is_unchanged(before, look) for look in looks):
                return descriptor
        except OSError:
            pass
        os.close(descriptor)
        return None

    def _look(self, name: str) -> os.stat_result:
        return os.stat(name, dir_fd=self._at, follow_symlinks=False)


class Listings:
    """The listings of the folders looked at last, each good as long as its stamps are."""

    def __init__(self, *, room: int = MAX_REMEMBERED) -> None:
        self._room = room
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[tuple[Stamp | None, ...], tuple[Entry, ...]]] = (
            OrderedDict()
        )
        self._size = 0

    def get(self, folder: str, stamps: tuple[Stamp | None, ...]) -> tuple[Entry, ...] | None:
        with self._lock:
            kept = self._kept.get(folder)
            if kept is None or kept[0] != stamps:
                return None
            self._kept.move_to_end(folder)
            return kept[1]

    def put(
        self,
        folder: str,
        stamps: tuple[Stamp | None, ...],
        entries: tuple[Entry, ...],
        *,
        now: int,
    ) -> None:
        if any(stamp is not None and stamp[0] > now - _RACY_NS for stamp in stamps):
            return
        with self._lock:
            self._forget(folder)
            self._kept[folder] = (stamps, entries)
            self._size += len(entries) + 1
            while self._size > self._room:
                self._forget(next(iter(self._kept)))

    def _forget(self, folder: str) -> None:
        kept = self._kept.pop(folder, None)
        if kept is not None:
            self._size -= len(kept[1]) + 1


def _split(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _parts_of(path: str) -> list[str]:
    """The names in a path that is well formed, ".." among them."""
    if len(path) > MAX_PATH_BYTES or path.startswith("/") or _UNFIT.search(path):
        raise PathNotFound(path)
    parts = _split(path)
    if len(path.encode()) > MAX_PATH_BYTES or any(_is_too_long(part) for part in parts):
        raise PathNotFound(path)
    return parts


def _is_too_long(name: str) -> bool:
    return len(name) > MAX_NAME_BYTES or len(name.encode()) > MAX_NAME_BYTES


def _climbed(parts: Sequence[str]) -> list[str] | None:
    """The same without "..", or None where it would climb above the root."""
    plain: list[str] = []
    for part in parts:
        if part != "..":
            plain.append(part)
        elif plain:
            plain.pop()
        else:
            return None
    return plain


def _fold(path: str) -> str:
    """One spelling for all that some disk takes for one name: ".GIT", ".git.", ".g\u200cit"."""
    if path.isascii():
        folded = path.lower()
    else:
        visible = "".join(char for char in path if unicodedata.category(char) != "Cf")
        folded = unicodedata.normalize("NFKC", visible).casefold()
    return re.sub(r"[. ]+(?=/|$)", "", folded)


def _one_of(names: Iterable[str]) -> str:
    return "|".join(re.escape(name).replace(r"\*", "[^/]*") for name in names)


_DENIED = re.compile(
    rf"(?:^|/)(?!(?:{_one_of(SAMPLES)})(?:/|$))"
    rf"(?:{_one_of(DENIED_FOLDERS)}|{_one_of(DENIED_FILES)})(?:/|$)"
)


def _inside(root: Path, given: Path, hidden: Iterable[Path]) -> tuple[str, ...]:
    """The hidden paths that lie in the root, relative to it, as named and with links resolved."""
    roots = (root, Path(os.path.abspath(given)))
    places = [
        Path(resolve(root / path))
        for path in hidden
        for resolve in (os.path.abspath, os.path.realpath)
    ]
    found = {
        "/".join(place.relative_to(top).parts)
        for place in places
        for top in roots
        if place.is_relative_to(top)
    }
    return tuple(sorted(found))


def _is_plain_file(state: os.stat_result) -> bool:
    # No name at all is what a look shows of a file that is being replaced.
    return stat.S_ISREG(state.st_mode) and state.st_nlink <= 1


def _is_unchanged(before: os.stat_result, now: os.stat_result) -> bool:
    is_same = os.path.samestat(before, now) and before.st_ctime_ns == now.st_ctime_ns
    return is_same and stat.S_ISREG(now.st_mode) and before.st_nlink == now.st_nlink == 1


def _stamp_of(state: os.stat_result) -> Stamp:
    return state.st_mtime_ns, state.st_size, state.st_ino


def _first_bytes(descriptor: int, limit: int) -> bytes:
    """At most so many, however large the file has become since it was opened."""
    chunks: list[bytes] = []
    while limit > 0:
        chunk = os.read(descriptor, min(limit, 1 << 20))
        if not chunk:
            break
        chunks.append(chunk)
        limit -= len(chunk)
    return b"".join(chunks)
