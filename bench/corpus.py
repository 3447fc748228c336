"""A repository of any size, the same bytes every time: python -m bench.corpus TARGET COUNT."""

from __future__ import annotations

import random
import sys
from pathlib import Path

WORDS = (
    "anchor beacon bearing buoy channel chart current depth drift fathom fog harbour heading keel "
    "lamp lantern ledger light log marker mooring pilot quay radio reading reef relay sail shoal "
    "signal station storm tide tower vessel wake watch wave wind"
).split()
FOLDERS = ("guides", "reference", "decisions", "operations", "notes")


def make(target: Path, count: int, *, seed: int = 7) -> None:
    """Write `count` Markdown files below `target`, some twenty to a folder."""
    chance = random.Random(seed)
    names = [_name(number) for number in range(count)]
    for number, name in enumerate(names):
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_page(chance, number, names), encoding="utf-8")
    (target / "README.md").write_text(_index(names[:20]), encoding="utf-8")


def _name(number: int) -> str:
    folder = FOLDERS[number % len(FOLDERS)]
    return f"docs/{folder}/part-{number // 100:03}/page-{number:05}.md"


def _index(names: list[str]) -> str:
    links = "\n".join(f"- [{name}]({name})" for name in names)
    return f"# Corpus\n\nMade by a script.\n\n{links}\n"


def _page(chance: random.Random, number: int, names: list[str]) -> str:
    parts = [f"# Page {number}: {_words(chance, 3)}\n"]
    parts += [
        f"\n## {section}. {_words(chance, 2).capitalize()}\n\n{_prose(chance)}\n"
        for section in range(1, 5)
    ]
    other = names[chance.randrange(len(names))]
    parts.append(f"\nSee also [another page](/{other}).\n")
    parts.append(f"\n| item | value |\n|---|---|\n| {_words(chance, 1)} | {number} |\n")
    parts.append(f"\n```python\ndef {WORDS[number % len(WORDS)]}():\n    return {number}\n```\n")
    return "".join(parts)


def _words(chance: random.Random, count: int) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(count))


def _prose(chance: random.Random) -> str:
    sentences = (f"{_words(chance, chance.randrange(6, 14)).capitalize()}." for _ in range(6))
    return " ".join(sentences)


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]))
