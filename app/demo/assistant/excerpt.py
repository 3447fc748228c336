"""The passages of a Markdown text that a question is about. Knows nothing of conversations."""

from __future__ import annotations

from math import sqrt

from app.demo.assistant.block import Block, blocks
from app.demo.assistant.term import key, keys


def passages(text: str, wanted: list[str], *, limit: int = 2) -> list[list[Block]]:
    """The blocks that share most terms with the question, best first, each with what it leads on
    to. Empty when none shares enough."""
    all_blocks = blocks(text)
    scores = _scores(all_blocks, wanted)
    order = sorted(range(len(all_blocks)), key=lambda at: -scores[at])
    chosen: list[int] = []
    for at in order:
        if len(chosen) == limit or scores[at] <= (scores[chosen[0]] / 2 if chosen else 0):
            break
        if at - 1 not in chosen or not all_blocks[at - 1].leads_on:
            chosen.append(at)
    return [_with_next(all_blocks, at) for at in chosen]


def _scores(all_blocks: list[Block], wanted: list[str]) -> list[float]:
    """What each block shares with the question; 0 where it is too little."""
    inside = [keys(block.text) for block in all_blocks]
    above = [keys(block.heading) for block in all_blocks]
    counts = {key(term): sum(key(term) in own for own in inside) for term in wanted}
    # A word that stands everywhere, such as the project's name, says little.
    telling = {term for term, count in counts.items() if count <= 2 + len(all_blocks) / 3}
    needed = 1 if len(telling) < 3 else 2
    return [
        _score(block, own, head, counts)
        if len((telling or set(counts)) & (own | head)) >= needed
        else 0.0
        for block, own, head in zip(all_blocks, inside, above, strict=True)
    ]


def _score(block: Block, own: set[str], head: set[str], counts: dict[str, int]) -> float:
    score = sum(
        (1.0 if term in own else 0.75) / sqrt(max(1, count))
        for term, count in counts.items()
        if term in own | head
    )
    # Prose says more about a question than the code beside it.
    return score * 0.6 if block.is_code else score


def _with_next(all_blocks: list[Block], at: int) -> list[Block]:
    if all_blocks[at].leads_on and at + 1 < len(all_blocks):
        return all_blocks[at : at + 2]
    return [all_blocks[at]]
