"""NDJSON history: one file per conversation, one line per record, append-only, chained by hash.

Knows nothing of HTTP or the model. The files are the truth; what lists them (`history_index.py`)
can always be made again from them.
"""

from __future__ import annotations

import bisect
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from app.services.errors import ConversationNotFound, StorageFailed
from app.services.storage import locked, make_private, open_private, read_private

Record = dict[str, Any]

MAX_LINE_BYTES = 1_000_000
BLOCK_BYTES = 64 * 1024
MAX_USER_BYTES = 120
_CONVERSATION = re.compile(r"[0-9a-f]{12}")
_COMMON = ("v", "id", "ts", "user", "conversation", "turn", "role", "prev")


def new_conversation_id() -> str:
    return secrets.token_hex(6)


def is_conversation_id(text: str) -> bool:
    return _CONVERSATION.fullmatch(text) is not None


def utc_now() -> datetime:
    return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_timestamp(text: str) -> datetime:
    return datetime.fromisoformat(text)


def user_folder(user: str) -> str:
    """A file name for a user name: readable, unique, and never a path or a case twin of another."""
    name = "".join(c if c in "abcdefghijklmnopqrstuvwxyz0123456789_-" else _escape(c) for c in user)
    if not name or len(name) > MAX_USER_BYTES:
        # No escape begins with "%_", so no other user's name can be made to look like this.
        return "%_" + hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()
    return name


def _escape(character: str) -> str:
    if character == ".":
        return "%2E"
    if character.isascii() and character.isupper():
        return f"%{ord(character):02X}"
    return quote(character.encode("utf-8", "surrogatepass"), safe="")


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a conversation: whole turns only, oldest first."""

    records: tuple[Record, ...]
    is_whole: bool


class History:
    """All conversations below one directory."""

    def __init__(self, directory: Path, *, now: Callable[[], datetime] = utc_now) -> None:
        self.directory = directory
        self._now = now

    def moment(self) -> str:
        return timestamp(self._now())

    def folder(self, user: str) -> Path:
        return self.directory / user_folder(user)

    def create(self, user: str, conversation: str | None = None) -> Conversation:
        """A new, empty conversation of this user. An id that cannot be one is not found."""
        made = self._at(user, conversation or new_conversation_id())
        try:
            make_private(made.path.parent)
            os.close(open_private(made.path))
            _sync_folder(made.path.parent)
        except OSError as error:
            raise StorageFailed(_unwritable(error)) from error
        return made

    def conversation(self, user: str, conversation: str) -> Conversation:
        """This user's conversation. Raises ConversationNotFound, for another user's too."""
        found = self._at(user, conversation)
        if found.path.is_symlink() or not found.path.is_file():
            raise ConversationNotFound
        return found

    def _at(self, user: str, conversation: str) -> Conversation:
        if not is_conversation_id(conversation):
            raise ConversationNotFound
        return Conversation(
            user, conversation, self.folder(user) / f"{conversation}.ndjson", self._now
        )


@dataclass(frozen=True, slots=True)
class Conversation:
    """One file of records. Handed out to its owner only."""

    user: str
    id: str
    path: Path
    _now: Callable[[], datetime]

    def append(self, role: str, *, turn: str, durable: bool = False, **fields: object) -> Record:
        """Write one record behind the last, whole or not at all; `durable`: on disk on return.

        Raises StorageFailed, with the file as it was.
        """
        try:
            with locked(self.path) as file:
                record, line = self._line(file, role, turn, fields)
                _write(file, line, durable=durable)
        except OSError as error:
            raise StorageFailed(_unwritable(error)) from error
        return record

    def _line(
        self, file: int, role: str, turn: str, fields: dict[str, object]
    ) -> tuple[Record, bytes]:
        last, is_torn = _last_line(file)
        record: Record = {
            "v": 1,
            "id": secrets.token_hex(8),
            "ts": self._next_timestamp(last),
            "user": self.user,
            "conversation": self.id,
            "turn": turn,
            "role": role,
            **fields,
            "prev": hashlib.sha256(last).hexdigest() if last is not None else "",
        }
        line = _bounded(record) + b"\n"
        return record, b"\n" + line if is_torn else line

    def _next_timestamp(self, last: bytes | None) -> str:
        """Now, or a millisecond after the newest record where the clock went back."""
        now = timestamp(self._now())
        newest = decode(last) or next(self.backwards(), {})  # a torn line knows no time
        previous = str(newest.get("ts", ""))
        if previous < now:
            return now
        try:
            return timestamp(parse_timestamp(previous) + timedelta(milliseconds=1))
        except (ValueError, OverflowError):  # somebody edited the file; it must go on
            return now

    def records(self) -> Iterator[Record]:
        """Every whole record, oldest first; lines that are no JSON object are passed over."""
        return (record for line in self.lines() if (record := decode(line)) is not None)

    def lines(self) -> Iterator[bytes]:
        """The lines without their newline; split on `\\n` only, for text may hold U+2028."""
        with self._reader() as file:
            for line in file:
                yield line.rstrip(b"\n")
                if not line.endswith(b"\n"):  # what is written behind it belongs to it
                    return

    def backwards(self) -> Iterator[Record]:
        """Whole records, newest first, reading only as much of the file as is asked for."""
        with self._reader() as file:
            for line in _lines_backwards(file):
                record = decode(line)
                if record is not None:
                    yield record

    def turn(self, turn: str) -> tuple[Record, ...]:
        """The records of one turn, oldest first; actions on its cards included."""
        found: list[Record] = []
        for record in self.backwards():
            if record.get("turn") != turn:
                continue
            found.append(record)
            if record.get("role") == "user":
                break
        return tuple(reversed(found))

    def tail(self, *, max_bytes: int) -> Tail:
        """The newest whole turns that fit into about `max_bytes`."""
        with self._reader() as file:
            start = max(0, os.fstat(file.fileno()).st_size - max_bytes)
            file.seek(start)
            lines = file.read(max_bytes).split(b"\n")[1 if start else 0 :]
        records = [r for line in lines if (r := decode(line)) is not None]
        if start:
            first = next(
                (i for i, r in enumerate(records) if r.get("role") == "user"), len(records)
            )
            records = records[first:]
        return Tail(tuple(records), is_whole=start == 0)

    def _reader(self) -> BinaryIO:
        try:
            return read_private(self.path)
        except (OSError, StorageFailed) as error:
            raise ConversationNotFound from error


def decode(line: bytes | None) -> Record | None:
    """The record a line holds, or None for a torn line."""
    try:
        value = json.loads(line or b"")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _encode(record: Record) -> bytes:
    try:
        return json.dumps(
            record, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        ).encode()
    except UnicodeEncodeError:  # a lone surrogate: only its escaped form fits into UTF-8
        return json.dumps(record, separators=(",", ":")).encode()
    except ValueError:  # JSON has no NaN and no infinity: they are kept as words
        return _encode(json.loads(json.dumps(record), parse_constant=str))


def _bounded(record: Record) -> bytes:
    """The record's line. Where it would be too long, its longest fields share the room there is."""
    line = _encode(record)
    if len(line) <= MAX_LINE_BYTES:
        return line
    sizes = {key: _size(value) for key, value in record.items() if key not in _COMMON}
    room = MAX_LINE_BYTES - _size({key: record[key] for key in _COMMON}) - 100
    for done, key in enumerate(sorted(sizes, key=sizes.__getitem__)):
        share = room // (len(sizes) - done) - _size(key) - 4
        if sizes[key] > share:
            record[key] = _cut(record[key], share)
        room -= _size(record[key]) + _size(key) + 4
    record["truncated"] = True
    return _encode(record)


def _size(value: object) -> int:
    """With every character escaped: what the line takes at most, whatever else is in it."""
    return len(json.dumps(value))


def _cut(value: object, size: int) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    longer = bisect.bisect_right(range(len(text) + 1), size, key=lambda n: _size(text[:n]))
    return text[: max(0, longer - 1)]


def _write(file: int, line: bytes, *, durable: bool) -> None:
    size = os.fstat(file).st_size
    try:
        view = memoryview(line)
        while view:
            view = view[os.write(file, view) :]
        if durable:
            os.fdatasync(file)
    except OSError:
        os.ftruncate(file, size)
        raise


def _last_line(file: int) -> tuple[bytes | None, bool]:
    """The last line without its newline (None: no line yet), and whether its newline is missing."""
    size = os.fstat(file).st_size
    if size == 0:
        return None, False
    is_torn = os.pread(file, 1, size - 1) != b"\n"
    end = size if is_torn else size - 1
    tail = b""
    while end > 0:
        start = max(0, end - BLOCK_BYTES)
        block = os.pread(file, end - start, start)
        cut = block.rfind(b"\n")
        if cut >= 0:
            return block[cut + 1 :] + tail, is_torn
        tail, end = block + tail, start
    return tail, is_torn


def _lines_backwards(file: BinaryIO) -> Iterator[bytes]:
    end = file.seek(0, os.SEEK_END)
    tail = b""
    while end > 0:
        start = max(0, end - BLOCK_BYTES)
        file.seek(start)
        parts = (file.read(end - start) + tail).split(b"\n")
        yield from reversed(parts[1:])
        tail, end = parts[0], start
    yield tail


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(error: OSError) -> str:
    reason = os.strerror(error.errno) if error.errno else type(error).__name__
    return f"The history could not be written ({reason.lower()}), so nothing was done."
