"""What tests share: somebody in front of a browser, and the app as they find it."""

from __future__ import annotations

import atexit
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from app.demo.wire import Server
from app.rendering import Renderer
from app.settings import Settings
from app.wiring import EXTENSION, Services, build

TOKEN = "0123456789abcdef0123456789abcdef01234567"  # forty hex digits, as Forgejo's are
KEY = "sk-canary-model-key"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360f8cfc0000000030001000518d84e0000000049454e44ae426082"
)
FILES = {
    "README.md": "# Widgets\n\nStart with [the setup](docs/setup.md).\n",
    "docs/README.md": "# Documentation\n\n- [Setup](setup.md)\n",
    "docs/setup.md": "# Setup\n\n## Install\n\nRun `make`.\n\n## Retry\n\nIt retries twice.\n",
    "docs/plain.md": "No heading here, only a sentence.\n",
    "docs/with space.md": "# With space\n",
    "src/app.py": "def main():\n    return 'retry'\n",
    ".env": "OPENAI_UNUSED=canary-dotenv\n",
    "docs/picture.svg": "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    "docs/data.bin.txt": "x\x00y",
}


@cache
def shared_renderer() -> Renderer:
    """One for all apps of a test run: its processes take longer to start than most tests."""
    renderer = Renderer()
    atexit.register(renderer.close)
    return renderer


def running(settings: Settings) -> Iterator[Flask]:
    app = create_app(settings, build(settings, renderer=shared_renderer()))
    yield app
    services_of(app).live.stop_all()


def services_of(app: Flask) -> Services:
    found: Services = app.extensions[EXTENSION]
    return found


@dataclass
class World:
    """The doubles as they are served."""

    model: Server
    forge: Server


@dataclass
class Events:
    """A stream's events as a browser would see them."""

    all: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)

    def __getitem__(self, name: str) -> list[dict[str, Any]]:
        return [data for _, event, data in self.all if event == name]

    @property
    def names(self) -> list[str]:
        return [event for _, event, _ in self.all]

    @property
    def text(self) -> str:
        return "".join(data["text"] for data in self["content"])

    @property
    def outcome(self) -> str:
        return str(self["done"][0]["outcome"])


def parse_events(body: str) -> Events:
    events = Events()
    for frame in body.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in frame.splitlines() if ": " in line)
        if "event" in lines:
            events.all.append((int(lines["id"]), lines["event"], json.loads(lines["data"])))
    return events


class Person:
    """Somebody in front of a browser; `fetch` is what our own scripts do."""

    PAGE = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}
    FETCH = {"Accept": "*/*", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def visit(self, path: str, **more: Any) -> TestResponse:
        return self.client.get(path, headers=self.PAGE, **more)

    def submit(self, path: str, **fields: Any) -> TestResponse:
        return self.client.post(path, data=fields, headers=self.PAGE)

    def fetch(self, path: str, method: str = "GET", **more: Any) -> TestResponse:
        headers = {**self.FETCH, **more.pop("headers", {})}
        return self.client.open(path, method=method, headers=headers, **more)

    def swap(self, path: str, **fields: Any) -> TestResponse:
        headers = {**self.FETCH, "HX-Request": "true"}
        return self.client.post(path, data=fields, headers=headers)

    def ask(self, message: str, **fields: Any) -> Events:
        response = self.fetch("/actions/chat", "POST", json={"message": message, **fields})
        assert response.status_code == 200, response.text
        return parse_events(response.text)

    def records(self, conversation: str) -> list[dict[str, Any]]:
        found = self.fetch(f"/chat/history/{conversation}").get_json()
        return list(found["records"])
