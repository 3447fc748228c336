"""Server-sent events: a turn's events as a text/event-stream response.

Knows the format and the pace; the events come from outside, and so does their HTML.
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

from flask import Response

from app.services.live import Event

MIN_GAP_S = 0.02  # at most some 50 frames of text a second; what comes faster is joined
KEEP_ALIVE_S = 10.0
WRITE_TIMEOUT_S = 30.0  # a client that does not read keeps a thread no longer
KEEP_ALIVE = b": keep-alive\n\n"

Draw = Callable[[Event], dict[str, Any]]


def encode(event: Event, data: dict[str, Any]) -> bytes:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"id: {event.id}\nevent: {event.name}\ndata: {text}\n\n".encode("utf-8", "replace")


def frames(
    batches: Iterator[list[Event]], draw: Draw, *, is_gone: Callable[[], bool]
) -> Generator[bytes, None, None]:
    """A turn's batches of events as frames; a comment while there are none."""
    yield KEEP_ALIVE  # the headers leave at once, however long the first event takes
    last = time.monotonic()
    for batch in batches:
        if is_gone():
            return
        now = time.monotonic()
        if batch:
            yield b"".join(encode(event, draw(event)) for event in joined(batch))
            time.sleep(max(0.0, last + MIN_GAP_S - now))
        elif now - last < KEEP_ALIVE_S:
            continue
        else:
            yield KEEP_ALIVE
        last = time.monotonic()


def watcher(connection: socket.socket | None) -> Callable[[], bool]:
    """Tells whether the client has left, without waiting for a write to fail."""
    if connection is None:
        return lambda: False
    connection.settimeout(WRITE_TIMEOUT_S)

    def is_gone() -> bool:
        try:
            readable, _, _ = select.select([connection], [], [], 0)
            return bool(readable) and connection.recv(1, socket.MSG_PEEK) == b""
        except (OSError, ValueError):  # closed under our hands
            return True

    return is_gone


def joined(batch: list[Event]) -> Iterator[Event]:
    """The batch with neighbouring pieces of text made one, under the id of the last."""
    held: Event | None = None
    for event in batch:
        if held and event.name == "content":
            text = held.data["text"] + event.data["text"]
            held = Event(event.id, "content", {"text": text})
            continue
        if held:
            yield held
        held = event if event.name == "content" else None
        if not held:
            yield event
    if held:
        yield held


def stream(body: Generator[bytes, None, None], release: Callable[[], None]) -> Response:
    """The response, which closes `body` and calls `release` however the connection ends."""
    response = Response(body, mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store, no-transform"
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(body.close)
    response.call_on_close(release)
    return response
