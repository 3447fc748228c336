"""Contrast as it is drawn, in light and in dark: at least 4.5 : 1 for text, 3 : 1 for the edges of
what one acts on."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from app.demo.forgejo import Forgejo
from app.demo.model import Model
from app.demo.reply import call_tool, fail_midway, say
from tests.browser.support import Drawer, Lectern, Windows

TEXT = """\
---
owner: Ines
---

# Everything that has a colour

Text with [a link](setup.md), [one that leads away](https://example.org/), `code` and a note[^1].

> A quotation.

> [!NOTE]
> A note.

> [!TIP]
> A tip.

> [!WARNING]
> A warning.

> [!CAUTION]
> A caution.

> [!IMPORTANT]
> It matters.

| A | B |
|---|---|
| 1 | 2 |

- [x] done

```python
# A comment
class Name(Base):
    value: int = 42 + len("a string")  # and more
    def method(self) -> None:
        raise ValueError(f"no {self.value!r}")
```

[^1]: The note.
"""
MARKER = '<action type="issue-create">{"title": "Retry is silent", "labels": ["bug"]}</action>'
# Every text that is seen, with its colour and what is behind it, both as the screen gets them.
MEASURE = """element => {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data].map((value) => value / 255);
  };
  const over = ([r, g, b, a], under) => [r, g, b].map((v, i) => v * a + under[i] * (1 - a));
  const behind = (one) => {
    const layers = [];
    for (let at = one; at; at = at.parentElement) {
      layers.push(rgba(getComputedStyle(at).backgroundColor));
      if (layers.at(-1)[3] === 1) break;
    }
    return layers.reduceRight((under, layer) => over(layer, under), rgba("Canvas").slice(0, 3));
  };
  const light = (rgb) => rgb
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const contrast = (a, b) => {
    const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const isSeen = (one) => one.checkVisibility({ opacityProperty: true, visibilityProperty: true })
    && !one.closest(".visually-hidden, [aria-hidden=true], [disabled], .skip");
  const name = (one) => `${one.tagName.toLowerCase()}.${one.className} “${
    (one.innerText || one.ariaLabel || "").trim().slice(0, 30)}”`;
  const low = [];
  for (const one of element.querySelectorAll("*")) {
    if (!isSeen(one) || one.closest("svg")) continue;
    const style = getComputedStyle(one);
    const ground = behind(one);
    const hasText = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (hasText || one.matches("input:not([type=checkbox]), textarea")) {
      const ratio = contrast(over(rgba(style.color), ground), ground);
      if (ratio < 4.5) low.push(`text ${ratio.toFixed(2)} ${name(one)}`);
    }
    if (one.matches("textarea, input:not([type=hidden]):not([type=checkbox])") && one.placeholder) {
      const { color } = getComputedStyle(one, "::placeholder");
      const ratio = contrast(over(rgba(color), ground), ground);
      if (ratio < 4.5) low.push(`placeholder ${ratio.toFixed(2)} ${name(one)}`);
    }
    if (one.matches("[data-control], button, a.button, input:not([type=hidden]), textarea")) {
      const icon = one.querySelector("svg");
      const edge = ["Top", "Right", "Bottom", "Left"].every((side) =>
        parseFloat(style[`border${side}Width`]) >= 1) ? style.borderTopColor : "transparent";
      const outside = behind(one.parentElement);
      const ratio = Math.max(
        contrast(over(rgba(edge), outside), outside), contrast(ground, outside),
        icon ? contrast(over(rgba(getComputedStyle(icon).color), ground), ground) : 0,
        hasText ? contrast(over(rgba(style.color), ground), ground) : 0);
      // The composer draws one edge around its box and its buttons.
      const isInner = one.matches("[data-composer] textarea");
      if (ratio < 3 && !isInner) low.push(`control ${ratio.toFixed(2)} ${name(one)}`);
    }
  }
  return [...new Set(low)];
}"""


@pytest.fixture(params=["light", "dark"])
def page(window: Windows, model: Model, forgejo: Forgejo, request: pytest.FixtureRequest) -> Page:
    size = {"width": 1280, "height": 800}
    return window(color_scheme=request.param, viewport=size, reduced_motion="reduce")


def expect_to_be_readable(part: Locator) -> None:
    assert part.evaluate(MEASURE) == []


def test_the_two_schemes_differ(page: Page, doc: str) -> None:
    page.goto(doc)
    scheme = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    channels = [int(value) for value in ground.removeprefix("rgb(").rstrip(")").split(", ")]
    assert (sum(channels) / 3 < 128) == scheme, ground


def test_pages_are_readable(page: Page, doc: str, lectern: Lectern) -> None:
    lectern.write(doc.removeprefix("docs/"), TEXT)
    for address in (doc, "docs/src/app.py", "docs/docs/", "history"):
        page.goto(address)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect_to_be_readable(page.locator("body"))


def test_the_drawer_is_readable_in_every_state(
    page: Page, drawer: Drawer, doc: str, model: Model
) -> None:
    model.script(
        call_tool("read_file", {"path": "docs/setup.md"}),
        say(f'{TEXT}\n\n{MARKER}\n\n<action type="issue-create">{{"titel": "x"}}</action>'),
        fail_midway("As far as this"),
    )
    page.goto(doc)
    drawer.open()
    expect_to_be_readable(drawer.aside)
    drawer.ask("What is there?")
    drawer.expect_end()
    expect(drawer.card).to_have_count(2)
    expect_to_be_readable(drawer.aside)
    drawer.card.first.get_by_role("button", name="Create issue").click()
    expect(drawer.card.first).to_have_attribute("data-state", "done")
    drawer.ask("And then?")
    drawer.expect_end("failed")
    expect_to_be_readable(drawer.aside)


def test_focus_is_seen(page: Page, drawer: Drawer, doc: str) -> None:
    page.goto(doc)
    drawer.open()
    for _ in range(12):
        page.keyboard.press("Shift+Tab")
        ring = page.locator(":focus").evaluate(
            """one => {
              const around = one.closest("[data-composer]") ?? one;
              return [one, around].some((at) => {
                const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(at);
                const line = getComputedStyle(at, "::after");
                return (outlineStyle !== "none" && parseFloat(outlineWidth) >= 1)
                  || boxShadow !== "none"
                  || (line.content !== "none" && line.backgroundColor !== "rgba(0, 0, 0, 0)");
              });
            }"""
        )
        assert ring, page.locator(":focus").evaluate("one => one.outerHTML")
