"""An upstream's own words, made fit to be shown. Knows no HTTP and no sentences of ours."""

from __future__ import annotations

import json
import re
import unicodedata

MAX_QUOTE_CHARS = 300

TOKEN_SHAPED = re.compile(
    r"[0-9A-Fa-f]{40,}"  # a personal access token of Forgejo
    r"|gto_\w+"  # a client secret of Forgejo
    r"|eyJ[\w-]+(?:\.[\w-]+)+"  # a JWT: OAuth tokens of Forgejo, every token of Woodpecker
    r"|(?i:\b(?:bearer|basic|token)\s+[\w.+/=-]{16,})"  # an Authorization header
    r"|(?<=://)[^\s/@]+@"  # the credentials in an address
)


def quotable(body: bytes, *, token: str) -> str:
    """The `message` of a JSON answer: one line, short, no secret; or nothing."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    message = answer.get("message") if isinstance(answer, dict) else None
    return plain(message, token=token) if isinstance(message, str) else ""


def plain(text: str, *, token: str = "") -> str:
    # In this order: a token must neither survive in pieces nor be put together by the cleaning.
    text = "".join(c for c in " ".join(text.split()) if unicodedata.category(c)[0] != "C")
    if token:
        text = text.replace(token, "***")
    return TOKEN_SHAPED.sub("***", text)[:MAX_QUOTE_CHARS]
