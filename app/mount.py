"""Mounts the app under the path of LECTERN_PUBLIC_URL; a proxy passes the path on unchanged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


NOWHERE = "/.."  # no route is called like this, so it is answered as not found, headers and all


class Mounted:
    """Moves the prefix from PATH_INFO to SCRIPT_NAME; what lies outside of it does not exist."""

    def __init__(self, app: WSGIApplication, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        is_inside = f"{path}/".startswith(f"{self._prefix}/")
        environ["SCRIPT_NAME"] = self._prefix
        environ["PATH_INFO"] = path[len(self._prefix) :] if is_inside else NOWHERE
        return self._app(environ, start)
