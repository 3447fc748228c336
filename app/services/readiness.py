"""Whether what the app depends on can be used, one reason each; asked at most every few seconds.

Knows no HTTP answers and tells no secrets: the reasons may be read by anybody.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from app.services.errors import UpstreamError
from app.services.protocols import CI, Forge
from app.settings import Settings

KEEP_S = 5.0  # anybody may ask, so asking costs the services little
CONNECT_TIMEOUT_S = 2.0


class Readiness:
    def __init__(self, settings: Settings, forge: Forge | None, ci: CI | None) -> None:
        root, state = settings.root, settings.state_dir
        self._probes: Mapping[str, Callable[[], str]] = {
            "root": lambda: _folder(str(root), os.R_OK | os.X_OK),
            "state": lambda: _folder(str(state), os.W_OK | os.X_OK),
            "forge": lambda: _version(forge),
            "ci": lambda: _version(ci),
            "llm": lambda: _reachable(settings.llm.base_url if settings.llm else ""),
        }
        self._mutex = threading.Lock()
        self._asked_at = -KEEP_S
        self._reasons: dict[str, str] = {}

    def reasons(self) -> dict[str, str]:
        """`ok`, `off`, or a sentence, by dependency."""
        with self._mutex:
            if time.monotonic() - self._asked_at >= KEEP_S:
                self._reasons = {name: probe() for name, probe in self._probes.items()}
                self._asked_at = time.monotonic()
            return dict(self._reasons)


def _folder(path: str, mode: int) -> str:
    return "ok" if os.path.isdir(path) and os.access(path, mode) else "cannot be used"


def _version(client: Forge | CI | None) -> str:
    if client is None:
        return "off"
    try:
        client.version()
    except UpstreamError as error:
        return str(error)
    return "ok"


def _reachable(url: str) -> str:
    if not url:
        return "off"
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), CONNECT_TIMEOUT_S).close()
    except OSError:
        return "The model's server cannot be reached."
    return "ok"
