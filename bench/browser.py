"""The first token as Chromium sees it: from the model's write to text in the document."""

from __future__ import annotations

import shutil
import time

from app.demo.reply import Pause, Reply, Stamp, Text
from bench.server import Running

WATCH = """() => {
  window.seen = 0;
  new MutationObserver((changes) => {
    const text = [...document.querySelectorAll('[data-answer]')].pop()?.textContent ?? '';
    if (!window.seen && /\\d{6,}/.test(text)) {
      window.seen = performance.timeOrigin + performance.now();
      window.stamp = /\\d{6,}/.exec(text)[0];
    }
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""


def first_tokens(running: Running, count: int) -> list[float]:
    """Milliseconds, once per turn; empty without Chromium."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        return []
    from playwright.sync_api import sync_playwright

    offset_ns = time.time_ns() - time.monotonic_ns()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = chromium.new_page()
        page.goto(f"{running.url}/docs/README.md?ask=1")
        waits = [_one(page, running, offset_ns) for _ in range(count)]
        chromium.close()
    return waits


def _one(page, running: Running, offset_ns: int) -> float:
    running.model.script(Reply((Stamp(), Pause(0.05), Text("done"))))
    page.evaluate(WATCH)
    page.fill("[data-message]", "How long does this take?")
    page.keyboard.press("Enter")
    page.wait_for_function("() => window.seen > 0")
    page.wait_for_selector("[data-stop][hidden]", state="attached")
    stamped_ms = (int(page.evaluate("() => window.stamp")) + offset_ns) / 1e6
    return page.evaluate("() => window.seen") - stamped_ms
