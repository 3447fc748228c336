"""The words of a text that say something, and when two of them are the same. Knows nothing of
Markdown."""

from __future__ import annotations

import re

WORD = re.compile(r"[^\W_][\w'-]*")

COMMON = frozenset(
    WORD.findall(
        """
    a about after all also am an and any are as at be been but by can could did do does doing
    done for from had has have help here how i if in into is it its just know let like make me
    mean more my need no not of on one or other our out page please project repository say says
    see should show so some tell than that the their them then there these they thing things
    this to up us use used want was we were what when where which while who why will with work
    works would write you your explain describe summarise summarize document happen happens happened
    hello hi hey thank thanks get got exactly really always
    """
    )
)


def terms(text: str) -> list[str]:
    """The words of a text that say something, in order, each once, without plural endings."""
    stems = (_stem(word) for word in WORD.findall(text.lower()) if word not in COMMON)
    return list(dict.fromkeys(stem for stem in stems if len(stem) > 2))


def keys(text: str) -> set[str]:
    """The words of a text as they are compared: without endings, hyphenated ones in parts too."""
    words = WORD.findall(text.lower())
    parts = [part for word in words if "-" in word for part in word.split("-")]
    return {key(word) for word in words + parts}


def key(word: str) -> str:
    """raise, raises, raised and raising are one."""
    for ending in ("ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def _stem(word: str) -> str:
    word = word.removesuffix("'s").removesuffix("'")
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("s") and not word.endswith("ss") and len(word) > 3:
        return word[:-1]
    return word
