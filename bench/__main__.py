"""make bench: start, first page, first token, and pages beside open streams, in one run."""

from __future__ import annotations

import http.client
import json
import statistics
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from app.demo.model import Model
from app.demo.reply import Reply, Stamp, Wait, paced, words
from bench import browser
from bench.corpus import make
from bench.server import Running, fetch, server

FILES = 500
TURNS = 30
STREAMS = 20
PAGES = 100


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make(root, FILES)
        with server(root, Model()) as running:
            say("start to first page", running.started_s * 1000)
            cold = [fetch(f"{running.url}/docs/{page}") for page in pages(root, 20)]
            say("page, first view", *(s * 1000 for s in cold))
            warm = [fetch(f"{running.url}/docs/{pages(root, 1)[0]}") for _ in range(PAGES)]
            say("page, again", *(s * 1000 for s in warm))
            say("first token, client", *(first_token(running) for _ in range(TURNS)))
            say("first token, browser", *browser.first_tokens(running, TURNS))
            beside(running, f"{running.url}/docs/{pages(root, 1)[0]}")


def pages(root: Path, count: int) -> list[str]:
    found = sorted(str(p.relative_to(root)) for p in root.rglob("page-*.md"))
    return found[:count]


def say(what: str, *values_ms: float) -> None:
    ordered = sorted(values_ms)
    if not ordered:
        print(f"{what:<36} not measured here")
        return
    p99 = ordered[min(len(ordered) - 1, round(0.99 * (len(ordered) - 1)))]
    median = statistics.median(ordered)
    print(f"{what:<36} median {median:8.1f} ms   p99 {p99:8.1f} ms   n={len(ordered)}")


def first_token(running: Running) -> float:
    """Milliseconds from the model's write to the first piece of text at an HTTP client."""
    running.model.script(Reply((Stamp(),)))
    arrived_ns, text = 0, ""
    for event, data in events(running.url, "How long does this take?"):
        if event == "content" and not text:
            arrived_ns, text = time.monotonic_ns(), data["text"]
    return (arrived_ns - int(text.split()[0])) / 1e6


def events(url: str, question: str):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    body = json.dumps({"message": question, "page_kind": "doc", "doc": "README.md"})
    headers = {"Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"}
    made = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    made.request("POST", "/chat/new", body, headers)
    conversation = json.loads(made.getresponse().read())["conversation"]
    body = json.dumps({"message": question, "doc": "README.md", "conversation": conversation})
    connection.request("POST", "/actions/chat", body, headers)
    response = connection.getresponse()
    assert response.status == 200, response.read()
    event = ""
    for line in response:
        if line.startswith(b"event: "):
            event = line[7:].strip().decode()
        elif line.startswith(b"data: "):
            yield event, json.loads(line[6:])
    connection.close()


def beside(running: Running, page: str) -> None:
    """A plain page while streams are open and written to at 30 chunks a second each."""
    held = threading.Event()
    chunks = paced(words("word " * 300), 1 / 30)
    running.model.script(*[Reply((*chunks, Wait(held))) for _ in range(STREAMS)])
    watchers = [
        threading.Thread(target=lambda: list(events(running.url, "Talk on")), daemon=True)
        for _ in range(STREAMS)
    ]
    for watcher in watchers:
        watcher.start()
    running.model.wait_for_open_streams(STREAMS)
    say(f"page beside {STREAMS} streams", *(fetch(page) * 1000 for _ in range(PAGES)))
    held.set()
    for watcher in watchers:
        watcher.join(60)


main()
