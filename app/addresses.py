"""Addresses within Lectern: which ones may be gone back to, and their query."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlencode

MAX_CHARS = 512
# One slash, then neither a slash nor a backslash: browsers read both as another host.
_LOCAL = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")


def local(address: str, *, default: str) -> str:
    """`address` if it stays on this server, else `default`."""
    is_local = len(address) <= MAX_CHARS and _LOCAL.fullmatch(address)
    return address if is_local else default


def without(full_path: str, name: str, *, root: str) -> str:
    """The address of a request without one of its query's keys."""
    path, _, query = full_path.partition("?")
    rest = [pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] != name]
    return root + (f"{path}?{urlencode(rest)}" if rest else path)


def adding(address: str, name: str, value: str) -> str:
    address = address.partition("#")[0]
    return f"{address}{'&' if '?' in address else '?'}{urlencode({name: value})}"
