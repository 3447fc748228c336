"""A real server on a free port, with a paced model behind it, for the time of a measurement."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.demo.model import Model
from app.demo.wire import serve

ADDRESS = re.compile(r"at (http://\S+)/")
MAIN = "from app.cli import main; main()"


@dataclass(frozen=True)
class Running:
    url: str
    model: Model
    started_s: float  # from the command to the first whole page


@contextmanager
def server(root: Path, model: Model, *, workers: int = 1) -> Iterator[Running]:
    upstream = serve(model)
    with tempfile.TemporaryDirectory() as state:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": state,
            "OPENAI_API_KEY": "bench",
            "OPENAI_BASE_URL": f"{upstream.url}/v1",
            "LECTERN_STATE_DIR": state,
            "LECTERN_MAX_CONCURRENT_TURNS": "64",
        }
        command = [sys.executable, "-c", MAIN, "serve", str(root), "--port", "0"]
        begun = time.monotonic()
        process = subprocess.Popen(
            [*command, "--workers", str(workers)],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            found = ADDRESS.search(process.stdout.readline())
            fetch(found[1])
            yield Running(found[1], model, time.monotonic() - begun)
        finally:
            process.terminate()
            process.wait(30)
            upstream.close()


def fetch(url: str) -> float:
    """Seconds for one whole page."""
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    begun = time.perf_counter()
    connection.request("GET", parts.path or "/", headers={"Accept": "text/html"})
    response = connection.getresponse()
    response.read()
    assert response.status == 200, response.status
    connection.close()
    return time.perf_counter() - begun
