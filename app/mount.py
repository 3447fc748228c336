"""Mounts the app under the path of LECTERN_PUBLIC_URL; a proxy passes the path on unchanged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Mounted:
    """Moves the prefix from PATH_INFO to SCRIPT_NAME; what lies outside of it does not exist."""

    def __init__(self, app: WSGIApplication, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if not self._prefix:
            return self._app(environ, start)
        if path == self._prefix:
            start("308 Permanent Redirect", [("Location", f"{self._prefix}/")])
            return []
        if path.startswith(f"{self._prefix}/"):
            environ["SCRIPT_NAME"] = self._prefix
            environ["PATH_INFO"] = path[len(self._prefix) :]
            return self._app(environ, start)
        start("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [f"Lectern is at {self._prefix}/".encode()]
