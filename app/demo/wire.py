"""HTTP on loopback for the doubles: one thread a request, chunked streams, connections that can be
cut. Knows nothing of what the doubles say."""

from __future__ import annotations

import logging
import select
import socket
import struct
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

if TYPE_CHECKING:
    from collections.abc import Mapping

    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

GLANCE_S = 0.005
ACCEPT_POLL_S = 0.2
CLOSE_TIMEOUT_S = 2.0
# SO_LINGER on with zero seconds: close() sends a reset instead of an orderly end.
NO_LINGER = struct.pack("ii", 1, 0)


class Dropped(ConnectionError):
    """Raised by a double: the connection is reset without another byte."""


class ClientGone(ConnectionError):
    """The client closed the connection while the double was waiting."""


def has_gone(environ: Mapping[str, Any]) -> bool:
    """Whether the client has closed its end. False where the server does not show its socket."""
    return _is_closed_within(environ, 0)


def pause(environ: Mapping[str, Any], seconds: float) -> None:
    """Sleep, but raise ClientGone as soon as nobody listens any more."""
    deadline = time.monotonic() + seconds
    if _is_closed_within(environ, seconds):
        raise ClientGone("the client closed the connection")
    # Only bytes that nobody asked for can have cut the wait short.
    time.sleep(max(0.0, deadline - time.monotonic()))


def wait_for(
    environ: Mapping[str, Any], event: threading.Event, timeout_s: float | None = None
) -> None:
    """Wait for the event, at most `timeout_s`; raise ClientGone when nobody listens any more."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while not event.wait(GLANCE_S):
        if has_gone(environ):
            raise ClientGone("the client closed the connection")
        if deadline is not None and time.monotonic() >= deadline:
            return


def _is_closed_within(environ: Mapping[str, Any], seconds: float) -> bool:
    connection = environ.get("werkzeug.socket")
    if not isinstance(connection, socket.socket):
        return False
    try:
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        readable = poll.poll(seconds * 1000)
        return bool(readable) and connection.recv(1, socket.MSG_PEEK) == b""
    except (OSError, ValueError):
        return True


class _Handler(WSGIRequestHandler):
    server: _HTTPServer
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.server.opened(self.connection)

    def finish(self) -> None:
        self.server.closed(self.connection)
        super().finish()

    def connection_dropped(
        self, error: BaseException, environ: WSGIEnvironment | None = None
    ) -> None:
        self.close_connection = True
        if isinstance(error, Dropped):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            self.connection.close()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """The doubles keep their own record of requests."""


class _HTTPServer(ThreadedWSGIServer):
    def __init__(self, port: int, app: WSGIApplication) -> None:
        self._open: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        super().__init__("127.0.0.1", port, app, handler=_Handler)

    def opened(self, connection: socket.socket) -> None:
        with self._lock:
            self._open[connection] = threading.current_thread()

    def closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.pop(connection, None)

    def cut_all(self) -> None:
        """End every open connection and wait, within bounds, for the threads that served them."""
        with self._lock:
            threads = list(self._open.values())
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        deadline = time.monotonic() + CLOSE_TIMEOUT_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002
        log.error(message, *args)


class Server:
    """A WSGI app being served on loopback until `close()`."""

    def __init__(self, app: WSGIApplication, *, port: int = 0) -> None:
        self._http = _HTTPServer(port, app)
        self.url = f"http://127.0.0.1:{self._http.port}"
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(ACCEPT_POLL_S,), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening and end open streams. May be called twice."""
        if self._thread.is_alive():
            # Wakes the accepting thread at once where the system allows it, else at its next poll.
            with suppress(OSError):
                self._http.socket.shutdown(socket.SHUT_RDWR)
            self._http.shutdown()
            self._thread.join()
        self._http.cut_all()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve(app: WSGIApplication, *, port: int = 0) -> Server:
    """Serve `app` on 127.0.0.1, on a free port unless one is named."""
    return Server(app, port=port)
