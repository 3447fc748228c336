"""Who is calling Forgejo's API and what they may reach: tokens, sudo, scopes, repositories. Knows
nothing of what the calls do."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from werkzeug.wrappers import Request, Response

from app.demo.forgejo.state import Repository, State, Token, User

JSON_TYPE = "application/json;charset=utf-8"
NOT_FOUND = "The target couldn't be found."
UNKNOWN_USER = "user does not exist [uid: 0, name: ]"


class Refusal(Exception):
    """An error answer. `has_url` False is the bare shape that sudo refusals have."""

    def __init__(
        self, status: int, message: str, *, errors: list[str] | None = None, has_url: bool = True
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors
        self.has_url = has_url


class Moved(Exception):
    def __init__(self, status: int, location: str) -> None:
        super().__init__(location)
        self.status = status
        self.location = location


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as the handler sees it that answers it."""

    request: Request
    body: bytes
    state: State
    version: tuple[int, ...]
    root: str
    now: Callable[[], datetime]
    user: User | None = None
    token: Token | None = None

    def answer(
        self, payload: object, status: int = 200, *, headers: Mapping[str, str] | None = None
    ) -> Response:
        body = json.dumps(payload, ensure_ascii=False)
        response = Response(body, status=status, content_type=JSON_TYPE)
        response.headers.update(headers or {})
        return response


def not_found(*details: str) -> Refusal:
    return Refusal(404, NOT_FOUND, errors=list(details))


def authenticated(call: Call) -> Call:
    """The call with its caller. A bad token is refused before anything else is looked at."""
    sha = _credential(call)
    if sha is None:
        return call
    token = call.state.tokens.get(sha)
    if token is None:
        raise Refusal(401, _unknown_token(call.version, sha))
    return _as_somebody_else(replace(call, user=call.state.user(token.login), token=token))


def signed_in(call: Call) -> User:
    if call.user is None:
        raise Refusal(401, "token is required")
    return call.user


def check_scopes(call: Call, categories: tuple[str, ...]) -> None:
    """All of them are wanted, although the text says "at least one of"."""
    if call.token is None:
        return
    is_read = call.request.method in ("GET", "HEAD")
    level: Literal["read", "write"] = "read" if is_read else "write"
    if all(call.token.grants(level, category) for category in categories):
        return
    wanted = " ".join(f"{level}:{category}" for category in categories)
    raise Refusal(403, f"token does not have at least one of required scope(s): [{wanted}]")


def repository(call: Call, owner: str, name: str) -> Repository:
    """The repository, if this caller can see it; what is hidden looks like what is missing."""
    full_name = f"{owner}/{name}"
    found = call.state.repository(full_name)
    if found is None:
        _redirect_if_renamed(call, full_name)
        raise not_found()
    if found.is_private and call.token and call.token.is_public_only and call.version < (15,):
        raise Refusal(403, "token scope is limited to public repos")
    if not call.state.can_read(found, call.user, call.token):
        raise not_found()
    return found


def _credential(call: Call) -> str | None:
    """The token sent. A header that is not two words counts as none at all."""
    words = call.request.headers.get("Authorization", "").split()
    if len(words) != 2:
        return None
    scheme, value = words
    if scheme == "token" or scheme.lower() == "bearer":
        return value
    if scheme.lower() == "token" and call.version >= (12, 0, 4):
        return value
    return _basic(value) if scheme.lower() == "basic" else None


def _basic(value: str) -> str:
    try:
        name, _, password = base64.b64decode(value).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return value
    return name if password in ("", "x-oauth-basic") else password


def _unknown_token(version: tuple[int, ...], sha: str) -> str:
    # From v15 on the text repeats the token that was sent.
    echo = f"access token does not exist [sha: {sha}]"
    if version >= (16,):
        return f"{UNKNOWN_USER}\n{echo}"
    return UNKNOWN_USER if version < (15,) or "." in sha else echo


def _as_somebody_else(call: Call) -> Call:
    login = call.request.args.get("sudo") or call.request.headers.get("Sudo")
    if not login:
        return call
    token = call.token
    is_narrow = token is not None and bool(token.is_public_only or token.repositories)
    is_refused = is_narrow and call.version >= (15,)
    if call.user is None or not call.user.is_admin or is_refused:
        raise Refusal(403, "Only administrators allowed to sudo.", has_url=False)
    user = call.state.user(login)
    if user is None:
        raise not_found()
    return replace(call, user=user)


def _redirect_if_renamed(call: Call, full_name: str) -> None:
    new_name = call.state.renamed.get(full_name.lower())
    if new_name is None:
        return
    path = call.request.path.replace(f"/repos/{full_name}", f"/repos/{new_name}", 1)
    query = call.request.query_string.decode("latin-1")
    # The location is a path, without a host.
    location = f"{call.request.script_root}{path}" + (f"?{query}" if query else "")
    raise Moved(301 if call.version >= (12,) else 307, location)
