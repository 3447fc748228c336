"""What was made last, up to a number of bytes, each thing made by one thread at a time.

Knows nothing of what it keeps.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class _Entry(Generic[Value]):
    value: Value
    cost: int
    until: float


class Cache(Generic[Value]):
    """Thread-safe; what was not used for longest goes first."""

    def __init__(self, limit_bytes: int, cost: Callable[[Value], int]) -> None:
        self._limit = limit_bytes
        self._cost = cost
        self._size = 0
        self._entries: OrderedDict[bytes, _Entry[Value]] = OrderedDict()
        self._making: dict[bytes, threading.Event] = {}
        self._lock = threading.Lock()

    def get(self, key: bytes, make: Callable[[], tuple[Value, float]]) -> Value:
        """`make` returns the value and for how many seconds it may be kept."""
        while True:
            with self._lock:
                entry = self._found(key)
                if entry:
                    return entry.value
                making = self._making.get(key)
                if making is None:
                    self._making[key] = threading.Event()
                    break
            making.wait()
        try:
            value, keep_s = make()
            self._keep(key, value, keep_s)
        finally:
            with self._lock:
                self._making.pop(key).set()
        return value

    def _found(self, key: bytes) -> _Entry[Value] | None:
        entry = self._entries.get(key)
        if entry is None or entry.until <= time.monotonic():
            return None
        self._entries.move_to_end(key)
        return entry

    def _keep(self, key: bytes, value: Value, keep_s: float) -> None:
        cost = self._cost(value)
        if cost > self._limit:
            return
        with self._lock:
            self._drop(self._entries.pop(key, None))
            self._entries[key] = _Entry(value, cost, time.monotonic() + keep_s)
            self._size += cost
            while self._size > self._limit:
                self._drop(self._entries.popitem(last=False)[1])

    def _drop(self, entry: _Entry[Value] | None) -> None:
        self._size -= entry.cost if entry else 0
