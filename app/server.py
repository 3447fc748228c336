"""gunicorn as it runs everywhere: `lectern serve`, `lectern demo` and `gunicorn wsgi:app` alike.

The one place that says how many threads there are and what happens when workers come and go.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from app.settings import Settings, SettingsError, refuse
from app.state import prepare
from app.wiring import EXTENSION, Services

THREADS = 32  # wiring.MAX_STREAMS of them at most are held by streams
TIMEOUT_S = 60
GRACEFUL_S = 20
BIND_WAIT_S = 3.0
PR_SET_PDEATHSIG = 1


def options(settings: Settings) -> dict[str, Any]:
    """What gunicorn is told, whoever starts it."""
    return {
        "bind": f"{settings.host}:{settings.port}",
        "workers": int(os.environ.get("WEB_CONCURRENCY", "1")),
        "worker_class": "gthread",
        "threads": THREADS,
        "timeout": TIMEOUT_S,
        "graceful_timeout": GRACEFUL_S,
        "keepalive": 5,
        "control_socket_disable": True,
        "forwarded_allow_ips": "",  # by default any local process could claim https
        "worker_tmp_dir": "/dev/shm" if Path("/dev/shm").is_dir() else None,  # noqa: S108
        "post_fork": _end_with_parent,
        "post_worker_init": _begin,
        "worker_exit": _end,
    }


def deployment() -> dict[str, Any]:
    """The options for `gunicorn.conf.py`. Bad settings end the process before anything is bound."""
    log_to_stderr()
    try:
        settings = Settings.from_env()
        prepare(settings)
    except SettingsError as error:
        refuse(error.problems)
    return options(settings)


def log_to_stderr() -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    logging.getLogger("lectern").setLevel(logging.INFO)
    # Its warnings name addresses with their query.
    logging.getLogger("urllib3").setLevel(logging.ERROR)


def run(settings: Settings, *, workers: int, ready: Callable[[int], None]) -> None:
    """Serve until told to stop; `ready` is called with the port once it is bound.

    Raises SettingsError or OSError before anything is bound.
    """
    from app import create_app

    prepare(settings)
    listener = listen(settings.host, settings.port)
    ready(listener.getsockname()[1])
    chosen = options(settings) | {
        "bind": f"fd://{listener.detach()}",
        "workers": workers,
        "loglevel": "warning",
    }
    master = os.getpid()
    try:
        _Server(lambda: create_app(settings), chosen).run()
    except SystemExit as end:
        if os.getpid() != master:
            # A forked worker: what its caller would do at the end is the master's to do.
            os._exit(end.code if isinstance(end.code, int) else 1)
        raise


def listen(host: str, port: int) -> socket.socket:
    """The listening socket. Waits a moment for a port whose last owner is just going.

    Raises OSError when the port stays taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    deadline = time.monotonic() + BIND_WAIT_S
    while True:
        try:
            listener.bind((host.strip("[]"), port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                listener.close()
                raise
            time.sleep(0.05)
        else:
            listener.listen(256)
            return listener


class _Server(BaseApplication):  # type: ignore[misc]
    def __init__(self, factory: Callable[[], Flask], chosen: dict[str, Any]) -> None:
        self._factory = factory
        self._chosen = chosen
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._chosen.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return self._factory()


def _end_with_parent(_server: object, _worker: object) -> None:
    """A worker whose master was killed goes at once, so that the port is free again."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _begin(worker: Any) -> None:  # noqa: ANN401
    """Load what the first reader and the first question would wait for, beside serving."""
    threading.Thread(target=_warm, args=(_services(worker),), name="warm", daemon=True).start()


def _warm(services: Services) -> None:
    services.renderer.warm()
    if services.llm:
        services.llm.warm()


def _end(_server: object, worker: Any) -> None:  # noqa: ANN401
    if getattr(worker, "wsgi", None) is not None:
        services = _services(worker)
        services.live.stop_all()
        services.renderer.close()


def _services(worker: Any) -> Services:  # noqa: ANN401
    found: Services = worker.wsgi.extensions[EXTENSION]
    return found
