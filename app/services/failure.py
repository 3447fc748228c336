"""The one table from what went wrong with an upstream to `UpstreamError`, in sentences for people.

Knows status codes and exceptions, nothing of how a request is made. The rule for writes: what was
refused (3xx, 4xx) or never connected has no effect; everything else may have had one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import requests
import urllib3

from app.services.connection import Watch
from app.services.errors import Effect, UpstreamError

MAX_RETRY_AFTER_S = 3600

SCOPES = re.compile(r"\[((?:read|write):[a-z]+(?:[ ,]+(?:read|write):[a-z]+)*)\]")


@dataclass(frozen=True, slots=True)
class Service:
    """An upstream's names: `word` in logs and errors, the others in sentences."""

    word: str
    name: str
    url_setting: str
    token_setting: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request is for: `deed` follows "may not", `target` follows "does not know"."""

    deed: str
    target: str
    is_write: bool = False


@dataclass(frozen=True, slots=True)
class _Refusal:
    code: str
    sentence: str
    quotes: bool = False


REFUSALS: Mapping[int, _Refusal] = MappingProxyType(
    {
        401: _Refusal(
            "unauthorized", "{name} does not accept the token in {token}. Put a valid one there."
        ),
        403: _Refusal("forbidden", "The token in {token} may not {deed}.", quotes=True),
        404: _Refusal(
            "not_found", "{name} does not know {target}, or the token in {token} may not see it."
        ),
        422: _Refusal("invalid", "{name} did not take what it got to {deed}.", quotes=True),
        423: _Refusal(
            "archived", "{Target} is archived on {name}, so nothing can be created in it."
        ),
        429: _Refusal("rate_limited", "{name} gets too many requests. Try again {later}."),
    }
)
MOVED = _Refusal(
    "moved",
    "{name} says that {target} is at another address. If it was renamed, put its new name into the "
    "settings; otherwise correct {url}.",
)
REFUSED = _Refusal("invalid", "{name} refused to {deed} (status {status}).", quotes=True)
FAILED = _Refusal("failed", "{name} failed when it was asked to {deed} (status {status}).")
ODD = _Refusal(
    "bad_answer", "{name} gave an unexpected answer when it was asked to {deed} (status {status})."
)
SENSELESS = "{name} gave an answer that makes no sense when it was asked to {deed}."
TOO_LARGE = "{name}'s answer is larger than the 2 MB that are read."
# Woodpecker answers every unknown address with 200 and its web page.
NOT_JSON = "{url} does not lead to the API of {name}: the answer is not JSON."


def refused(
    service: Service, asked: Asked, *, status: int, words: str = "", retry_after: str = ""
) -> UpstreamError:
    """For an answer whose status is not the one that was wanted. `words` are fit to be shown."""
    row = _row(status)
    wait_s = _seconds(retry_after) if status == 429 else None
    scopes = SCOPES.search(words) if status == 403 else None
    sentence = _fill(row.sentence, service, asked, status=status, wait_s=wait_s)
    if scopes:
        sentence = f"{sentence[:-1]}: it lacks the scope {scopes[1]}."
    elif row.quotes and words:
        sentence = f"{sentence} {service.name} says: “{words}”"
    may_have_happened = asked.is_write and not 300 <= status < 500
    return UpstreamError(
        sentence + _doubt(service, asked, may_have_happened),
        service=service.word,
        code=row.code,
        status=status,
        effect="unknown" if may_have_happened else "none",
        retryable=(status == 429 or status >= 500) and not may_have_happened,
        retry_after_s=wait_s,
    )


def broken(service: Service, asked: Asked, error: Exception, watch: Watch) -> UpstreamError:
    """For a request that got no whole answer."""
    never_sent = _never_sent(error, watch)
    code, sentence = _symptom(error, watch, never_sent=never_sent)
    may_have_happened = asked.is_write and not never_sent
    return UpstreamError(
        _fill(sentence, service, asked) + _doubt(service, asked, may_have_happened),
        service=service.word,
        code=code,
        effect="unknown" if may_have_happened else "none",
        retryable=not may_have_happened and not isinstance(error, requests.exceptions.SSLError),
    )


def unreadable(service: Service, asked: Asked, *, status: int, sentence: str) -> UpstreamError:
    """For an answer with the right status that does not say what it should."""
    effect: Effect = "unknown" if asked.is_write else "none"
    return UpstreamError(
        _fill(sentence, service, asked) + _doubt(service, asked, asked.is_write),
        service=service.word,
        code="bad_answer",
        status=status,
        effect=effect,
    )


def _row(status: int) -> _Refusal:
    if 300 <= status < 400:
        return MOVED
    if 400 <= status < 500:
        return REFUSALS.get(status, REFUSED)
    return FAILED if 500 <= status < 600 else ODD


def _never_sent(error: Exception, watch: Watch) -> bool:
    if watch.is_connected:
        return False
    if watch.is_dialled:
        return True
    # No connection of ours was in play: only errors that can come from nowhere else are believed.
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.SSLError | ValueError):
        return True
    reason = getattr(_inner(error), "reason", None)
    return isinstance(reason, urllib3.exceptions.NewConnectionError)


def _inner(error: Exception) -> object:
    """What urllib3 raised, as far as requests keeps it."""
    return error.args[0] if error.args else None


def _symptom(error: Exception, watch: Watch, *, never_sent: bool) -> tuple[str, str]:
    # In a body, requests calls a timeout a ConnectionError.
    is_timeout = isinstance(_inner(error), urllib3.exceptions.ReadTimeoutError)
    if is_timeout or isinstance(error, requests.Timeout) or watch.is_expired:
        return "timeout", "{name} did not answer in time."
    if isinstance(error, requests.exceptions.ContentDecodingError):
        return "bad_answer", "{name}'s answer could not be unpacked."
    if not never_sent:
        return "failed", "The connection to {name} broke off."
    if isinstance(error, requests.exceptions.SSLError):
        return "unreachable", "{name} has no certificate that can be trusted. Check {url}."
    return (
        "unreachable",
        "{name} cannot be reached. Check that it is running and that {url} is right.",
    )


def _doubt(service: Service, asked: Asked, may_have_happened: bool) -> str:
    if not may_have_happened:
        return ""
    return f" It may have been done all the same: check {service.name} before trying again."


def _fill(
    sentence: str, service: Service, asked: Asked, *, status: int = 0, wait_s: int | None = None
) -> str:
    return sentence.format(
        name=service.name,
        url=service.url_setting,
        token=service.token_setting,
        deed=asked.deed,
        target=asked.target,
        Target=asked.target[:1].upper() + asked.target[1:],
        status=status,
        later="later" if wait_s is None else f"in {wait_s} s",
    )


def _seconds(retry_after: str) -> int | None:
    """The header's seconds; its other form, a date, would need the upstream's clock."""
    if not re.fullmatch(r"[0-9]{1,9}", retry_after.strip()):
        return None
    return min(int(retry_after), MAX_RETRY_AFTER_S)
