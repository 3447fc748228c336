"""The list of a user's conversations, kept as a small file beside the history.

A cache, no more: an entry is believed while the conversation's file has the size it was read
at; what came since is read from there on, and a missing list is made again from the files.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from app.services.history import (
    BLOCK_BYTES,
    Conversation,
    History,
    Record,
    decode,
    is_conversation_id,
    user_folder,
)
from app.services.storage import locked, make_private, read_private, write_private

PREVIEW_CHARS = 80
SUFFIX = ".ndjson"


@dataclass(frozen=True, slots=True)
class Summary:
    """One conversation in a list. `size`: how far its file was read, in bytes."""

    id: str
    doc: str | None = None
    page_kind: str = "doc"
    created_at: str = ""
    updated_at: str = ""
    preview: str = ""
    message_count: int = 0
    is_hidden: bool = False
    size: int = 0


class HistoryIndex:
    def __init__(self, directory: Path, history: History) -> None:
        self.directory = directory
        self._history = history

    def conversations(self, user: str) -> list[Summary]:
        """This user's conversations that are not hidden, newest first."""
        shown = (s for s in self._refreshed(user).values() if not s.is_hidden)
        return sorted(shown, key=lambda s: (s.updated_at or s.created_at, s.id), reverse=True)

    def newest(self, user: str, *, doc: str | None, page_kind: str) -> str | None:
        """The conversation that goes on when the user asks about this page without naming one."""
        for summary in self.conversations(user):
            if summary.doc == doc and (doc or summary.page_kind == page_kind):
                return summary.id
        return None

    def create(
        self, user: str, *, doc: str | None, page_kind: str, conversation: str | None = None
    ) -> Conversation:
        """A new conversation about this page. It is listed at once, though nothing was said yet."""
        made = self._history.create(user, conversation)
        make_private(self.directory)
        with locked(self._lock(user)):
            known = self._load(user)
            now = self._history.moment()
            known[made.id] = Summary(made.id, doc, page_kind, created_at=now, updated_at=now)
            self._save(user, known)
        return made

    def is_hidden(self, user: str, conversation: str) -> bool:
        found = self._refreshed(user).get(conversation)
        return found is not None and found.is_hidden

    def _refreshed(self, user: str) -> dict[str, Summary]:
        folder = self._history.folder(user)
        known = self._load(user)
        if _read_sizes(known) == _sizes(folder):
            return known
        make_private(self.directory)
        with locked(self._lock(user)):
            sizes = _sizes(folder)  # again: who was waited for may have made a conversation
            known = {c: s for c, s in self._load(user).items() if c in sizes}
            for conversation, _ in sizes.items() - _read_sizes(known).items():
                path = folder / f"{conversation}{SUFFIX}"
                known[conversation] = _caught_up(known.get(conversation), conversation, path)
            self._save(user, known)
        return known

    def _path(self, user: str) -> Path:
        return self.directory / f"{user_folder(user)}.json"

    def _lock(self, user: str) -> Path:
        return self.directory / f"{user_folder(user)}.lock"

    def _load(self, user: str) -> dict[str, Summary]:
        try:
            entries = json.loads(self._path(user).read_bytes())
            return {entry["id"]: Summary(**entry) for entry in entries}
        except (OSError, ValueError, TypeError, KeyError):  # missing, torn or of another version
            return {}

    def _save(self, user: str, known: dict[str, Summary]) -> None:
        entries = [asdict(summary) for summary in known.values()]
        with suppress(OSError):  # a full disk costs time, not the list
            write_private(self._path(user), json.dumps(entries).encode())


def _read_sizes(known: dict[str, Summary]) -> dict[str, int]:
    return {conversation: summary.size for conversation, summary in known.items()}


def _sizes(folder: Path) -> dict[str, int]:
    sizes = {}
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name.removesuffix(SUFFIX)
            is_plain = entry.is_file(follow_symlinks=False)
            if is_plain and is_conversation_id(name) and entry.name.endswith(SUFFIX):
                with suppress(FileNotFoundError):  # removed at this moment
                    sizes[name] = entry.stat(follow_symlinks=False).st_size
    return sizes


def _caught_up(summary: Summary | None, conversation: str, path: Path) -> Summary:
    """The summary brought up to the file's last whole line."""
    summary = summary or Summary(conversation)
    with read_private(path) as file:
        if summary.size > os.fstat(file.fileno()).st_size:
            summary = Summary(conversation)  # the file was cut: begin again
        file.seek(summary.size)
        while block := file.readlines(BLOCK_BYTES):
            # A line that is being written comes in two parts, and no part of it is read yet.
            whole = list(itertools.takewhile(lambda line: line.endswith(b"\n"), block))
            summary = _with_records(summary, (decode(line) for line in whole))
            summary = replace(summary, size=summary.size + sum(map(len, whole)))
            if len(whole) < len(block):
                break
    return summary


def _with_records(summary: Summary, records: Iterable[Record | None]) -> Summary:
    for record in records:
        if record is not None:
            summary = _with_record(summary, record)
    return summary


def _with_record(summary: Summary, record: Record) -> Summary:
    role = record.get("role")
    if role == "hidden":
        return replace(summary, is_hidden=True)
    ts = str(record.get("ts", ""))
    summary = replace(summary, created_at=summary.created_at or ts, updated_at=ts)
    if role == "user":
        summary = _with_page(summary, record)
    is_message = role in ("user", "assistant")
    return replace(summary, message_count=summary.message_count + is_message)


def _with_page(summary: Summary, record: Record) -> Summary:
    """A conversation is about the page of its first question."""
    if summary.preview:
        return summary
    page = record.get("page")
    page = page if isinstance(page, dict) else {}
    text = " ".join(str(record.get("content", "")).split())
    return replace(
        summary,
        doc=page.get("doc"),
        page_kind=str(page.get("kind", "doc")),
        preview=text[:PREVIEW_CHARS] + ("…" if len(text) > PREVIEW_CHARS else ""),
    )
