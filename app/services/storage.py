"""Private files shared by processes: folders 0700, files 0600, locks that die with their holder.

Knows nothing of what is stored in them.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from app.services.errors import StorageFailed

_PLAIN = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # no link, and no waiting for a pipe
_OPEN = os.O_RDWR | os.O_CREAT | os.O_APPEND | _PLAIN


def make_private(directory: Path) -> Path:
    """Create `directory` and what is missing above it, for this user only."""
    missing = [p for p in (directory, *directory.parents) if not p.exists()]
    for folder in reversed(missing):
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            continue
        os.chmod(folder, 0o700)  # whatever the umask says
    return directory


def open_private(path: Path) -> int:
    """A descriptor on `path`, created 0600 when missing. Links, pipes and folders are refused."""
    return _checked(os.open(path, _OPEN, 0o600))


def read_private(path: Path) -> BinaryIO:
    """A reader on `path`. Links, pipes and folders are refused."""
    return os.fdopen(_checked(os.open(path, os.O_RDONLY | _PLAIN)), "rb")


def _checked(descriptor: int) -> int:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StorageFailed("A file that Lectern keeps its records in is not a plain file.")
    return descriptor


def write_private(path: Path, data: bytes) -> None:
    """Replace `path` by `data` at once: a reader sees the old bytes or the new, a crash too."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def lock(path: Path, *, wait_s: float | None = None) -> int | None:
    """Take the exclusive lock on `path` and return its descriptor; closing it lets go.

    `wait_s=None` waits as long as it takes; otherwise None is returned once `wait_s` seconds are
    over. A file that was removed or replaced while waiting is opened again.
    """
    deadline = None if wait_s is None else time.monotonic() + wait_s
    while True:
        descriptor = open_private(path)
        try:
            if not _acquire(descriptor, deadline):
                os.close(descriptor)
                return None
            if _is_current(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _acquire(descriptor: int, deadline: float | None) -> bool:
    if deadline is None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return True
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.005)
        else:
            return True


def _is_current(descriptor: int, path: Path) -> bool:
    try:
        named = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    opened = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)


@contextmanager
def locked(path: Path) -> Iterator[int]:
    descriptor = lock(path)
    if descriptor is None:
        raise AssertionError("a lock without a deadline is always taken")
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether some process or thread holds the lock on `path` at this moment."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _PLAIN)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
