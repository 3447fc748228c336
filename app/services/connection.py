"""Connections that know whether they were made at all, and that end at a deadline.

Knows sockets and urllib3, nothing of JSON, tokens or what is asked for. It exists because requests
says `ConnectionError` both for "could not connect" and for "broke off after the request was sent",
and because its timeouts only bound the pause between two bytes.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from contextvars import ContextVar
from types import TracebackType

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.response import HTTPResponse


class Watch:
    """One request on the wire. Nothing can have been sent while `is_connected` is false."""

    def __init__(self, *, until: float) -> None:
        self.is_dialled = False
        self.is_connected = False
        self.is_expired = False
        self._connection: HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(max(0.0, until - time.monotonic()), self._expire)
        self._timer.daemon = True

    def __enter__(self) -> Watch:
        self._timer.start()
        self._before = _watch.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        self._timer.join()
        _watch.reset(self._before)

    def dials(self, connection: HTTPConnection) -> None:
        self.is_dialled = True
        self._connection = connection

    def listens(self, sock: socket.socket | None) -> None:
        # Kept apart from the connection, which forgets its socket once it has the response's head.
        self._socket = sock
        if self.is_expired:
            self._expire()

    def _expire(self) -> None:
        self.is_expired = True
        sock = self._socket or (self._connection and self._connection.sock)
        if sock:
            with contextlib.suppress(OSError):
                # Not SSLSocket.shutdown: it would pull the TLS state from under the reading thread.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


_watch: ContextVar[Watch] = ContextVar("watch")


class _Plain(HTTPConnection):
    def connect(self) -> None:
        watch = _watch.get()
        watch.dials(self)
        super().connect()
        watch.is_connected = True

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3 itself does
        _watch.get().listens(self.sock)
        return super().getresponse()


class _Secure(_Plain, HTTPSConnection):
    """The same over TLS: `connect` ends after the handshake."""


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


class WatchedAdapter(HTTPAdapter):
    """Makes connections that report to the `Watch` of the calling thread."""

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: object
    ) -> None:
        super().init_poolmanager(connections, maxsize, block, **pool_kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}


class UnredirectedSession(requests.Session):
    """With `allow_redirects=False` alone, a redirect's body is still read whole and unbounded."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None
