"""What the cache of pages keeps and forgets."""

from __future__ import annotations

import pytest

from app.render_cache import Cache


def test_the_cache_forgets_what_was_not_used_for_longest() -> None:
    cache: Cache[str] = Cache(20, len)
    made: list[str] = []

    def get(key: str) -> str:
        def make() -> tuple[str, float]:
            made.append(key)
            return key * 8, 60.0

        return cache.get(key.encode(), make)

    for key in "abacab":
        get(key)

    assert "".join(made) == "abcb"


def test_the_cache_keeps_nothing_for_no_seconds_and_nothing_too_large() -> None:
    cache: Cache[str] = Cache(20, len)
    made: list[float] = []

    def get(size: int, keep_s: float) -> str:
        def make() -> tuple[str, float]:
            made.append(keep_s)
            return "x" * size, keep_s

        return cache.get(str((size, keep_s)).encode(), make)

    for size, keep_s in ((1, 9.0), (1, 0.0), (1, 0.0), (21, 8.0), (21, 8.0), (1, 9.0)):
        get(size, keep_s)

    assert made == [9.0, 0.0, 0.0, 8.0, 8.0]


def test_the_cache_lets_go_of_a_key_whose_making_failed() -> None:
    cache: Cache[str] = Cache(20, len)

    def fail() -> tuple[str, float]:
        raise LookupError

    with pytest.raises(LookupError):
        cache.get(b"a", fail)

    assert cache.get(b"a", lambda: ("x", 60.0)) == "x"
