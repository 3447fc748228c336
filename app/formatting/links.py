"""Where a link in untrusted text may lead: a file of the repository, a named host, or nowhere.

Knows addresses and nothing of HTML, files or who asks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

# Names of ours in a page begin like this, so nothing an author writes may.
OUR_NAMES = "lectern-"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_EXTERNAL = re.compile(r"https?://([^/\\?#]+)", re.IGNORECASE)
# What may stand unescaped in a path segment (RFC 3986, pchar).
_SEGMENT = "!$&'()*+,;=:@~"


@dataclass(frozen=True, slots=True)
class Link:
    """`host` is set for another site, `path` for a file of the repository ("" is its root)."""

    href: str
    host: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Base:
    """What relative addresses start from: the folder of the document and the prefix of the site."""

    folder: str
    prefix: str

    def link(self, address: str) -> Link | None:
        """None: an address that leads nowhere we would send a person."""
        # Browsers drop these before they read an address: `java\nscript:` is a scheme to them.
        url = re.sub(r"[\t\n\r]", "", address).strip("".join(map(chr, range(0x21))))
        if any(char < " " or char == "\x7f" for char in url):
            return None
        if url.startswith("//"):
            url = f"https:{url}"
        scheme = _SCHEME.match(url)
        if scheme is None:
            return self._local(url)
        if scheme[1].lower() in ("http", "https"):
            return _external(url)
        return Link(url) if scheme[1].lower() == "mailto" else None

    def _local(self, url: str) -> Link | None:
        # To a browser a backslash is a slash: /\host is another host.
        if re.match(r"[/\\]{2}", url):
            return None
        rest, _, fragment = url.partition("#")
        anchor = f"#{own_fragment(fragment)}" if fragment else ""
        named = rest.partition("?")[0]
        if not named:
            return Link(anchor) if anchor else None
        path = self._resolve(named)
        if path is None:
            return None
        return Link(f"{self.prefix}/{f'docs/{path}' if path else ''}{anchor}", path=path)

    def _resolve(self, named: str) -> str | None:
        start = "" if named.startswith("/") else self.folder
        parts: list[bytes] = [part for part in start.encode().split(b"/") if part]
        # Decoded before splitting: %2e%2e and %2f are `..` and `/` to a browser or a server.
        for part in unquote_to_bytes(named).split(b"/"):
            if part == b"..":
                if not parts:
                    return None
                parts.pop()
            elif any(byte < 0x20 for byte in part):
                return None
            elif part not in (b"", b"."):
                parts.append(part)
        return "/".join(quote(part, safe=_SEGMENT) for part in parts)


def own_fragment(name: str) -> str:
    """The id that a heading of this name gets, which is never one of ours."""
    return f"section-{name}" if name.lower().startswith(OUR_NAMES) else name


def _external(url: str) -> Link | None:
    # `https:x` and `https:/x` are relative to a browser that is on https already.
    match = _EXTERNAL.match(url)
    host = match[1].rpartition("@")[2] if match else ""
    return Link(url, host=host) if host else None
