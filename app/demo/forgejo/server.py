"""The simulated Forgejo as tests and the demo hold it: seed it, serve it, look at what it has
become, make it fail. Knows nothing of Lectern."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Literal

from werkzeug.wrappers import Request, Response

from app.demo.forgejo import api, pages
from app.demo.forgejo.access import Call
from app.demo.forgejo.state import Issue, Repository, State, Token, User
from app.demo.traffic import Fault, Received, Traffic

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# Times carry the server's own offset, seldom Z.
ZONE = timezone(timedelta(hours=2))


def _now() -> datetime:
    return datetime.now(UTC)


class Forgejo:
    """A stateful WSGI app. `root_url` is what links in answers start with, unless it is left to
    the address the request came to. Everything is safe to call from many threads."""

    def __init__(
        self,
        version: str = "15.0.3",
        *,
        root_url: str | None = None,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._version = tuple(int(part) for part in version.split("."))
        self._root_url = root_url
        self._now = now
        self._state = State()
        self._traffic = Traffic()
        self._lock = threading.RLock()

    # Seeding

    def add_user(self, login: str, *, is_admin: bool = False) -> User:
        with self._lock:
            user = User(self._state.next_id(), login, is_admin)
            self._state.users[login.lower()] = user
            return user

    def add_token(
        self,
        token: str,
        login: str,
        scopes: Iterable[str] = ("all",),
        *,
        repositories: Iterable[str] = (),
    ) -> None:
        """Let `token` act for `login`, who is added if unknown."""
        if not re.fullmatch(r"[0-9a-f]{40}", token):
            raise ValueError("a personal access token is 40 lower-case hex characters")
        with self._lock:
            if self._state.user(login) is None:
                self.add_user(login)
            limits = frozenset(repositories)
            self._state.tokens[token] = Token(token, login, frozenset(scopes), limits)

    def revoke_token(self, token: str) -> None:
        with self._lock:
            self._state.tokens.pop(token, None)

    def add_repository(
        self,
        full_name: str,
        *,
        labels: Iterable[tuple[str, str]] = (),
        organisation: bool = False,
        organisation_labels: Iterable[tuple[str, str]] = (),
        archived: bool = False,
        private: bool = False,
        has_issues: bool = True,
        writers: Iterable[str] | None = None,
        readers: Iterable[str] = (),
        branches: Iterable[str] = ("main",),
    ) -> None:
        """`labels` are (name, colour); `writers` None means every user; the first branch is the
        default one."""
        owner, _, name = full_name.partition("/")
        with self._lock:
            self._state.repositories[full_name.lower()] = Repository(
                id=self._state.next_id(),
                owner=owner,
                name=name,
                labels=self._state.make_labels(labels),
                branches=tuple(branches),
                is_organisation=organisation,
                is_archived=archived,
                is_private=private,
                has_issues=has_issues,
                writers=None if writers is None else frozenset(writers),
                readers=frozenset(readers),
            )
            if organisation:
                known = self._state.organisation_labels.setdefault(owner.lower(), [])
                known += self._state.make_labels(organisation_labels)

    def add_issue(
        self,
        full_name: str,
        *,
        title: str,
        body: str = "",
        author: str,
        labels: Iterable[str] = (),
        state: Literal["open", "closed"] = "open",
        at: datetime | None = None,
    ) -> Issue:
        """An issue that is there already; its labels by name."""
        with self._lock:
            within = self._repository(full_name)
            names = set(labels)
            known = self._state.labels_for(within)
            moment = (at or self._now()).astimezone(ZONE)
            issue = Issue(
                id=0,
                number=0,
                title=title,
                body=body,
                author=author,
                created=moment,
                updated=moment,
                labels=tuple(label for label in known if label.name in names),
                state=state,
            )
            return self._state.add_issue(within, issue)

    def rename_repository(self, old: str, new: str) -> None:
        """Calls for the old name are redirected from now on."""
        with self._lock:
            moved = self._state.repositories.pop(old.lower())
            moved.owner, _, moved.name = new.partition("/")
            self._state.repositories[new.lower()] = moved
            self._state.renamed[old.lower()] = new

    def catch_up_index(self) -> None:
        """Let searches with `q` see the issues made since: the indexer runs late."""
        with self._lock:
            for within in self._state.repositories.values():
                within.issues = [replace(issue, is_indexed=True) for issue in within.issues]

    # Looking and failing

    @property
    def requests(self) -> list[Received]:
        """Every request, oldest first."""
        return self._traffic.requests

    def issues(self, full_name: str) -> tuple[Issue, ...]:
        with self._lock:
            return tuple(self._repository(full_name).issues)

    def label_id(self, full_name: str, name: str) -> int:
        with self._lock:
            labels = self._state.labels_for(self._repository(full_name))
            return next(label.id for label in labels if label.name == name)

    def fail_next(self, fault: Fault) -> None:
        """Let this go wrong with the next request that matches it, once."""
        self._traffic.fail_next(fault)

    def _repository(self, full_name: str) -> Repository:
        found = self._state.repository(full_name)
        if found is None:
            raise LookupError(f"no repository {full_name}")
        return found

    # Serving

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        response = self._traffic.handle(environ, lambda received: self._answer(request, received))
        return response(environ, start_response)

    def _answer(self, request: Request, received: Received) -> Response:
        root = self._root_url or request.root_url.rstrip("/")
        call = Call(
            request=request,
            body=received.body,
            state=self._state,
            version=self._version,
            root=root,
            now=lambda: self._now().astimezone(ZONE),
        )
        with self._lock:
            return api.answer(call) if request.path.startswith("/api/") else pages.answer(call)
