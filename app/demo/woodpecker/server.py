"""The simulated Woodpecker as tests and the demo hold it: seed it, serve it, say how pipelines go,
make it fail. Knows nothing of Lectern."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from app.demo.traffic import Fault, Received, Traffic
from app.demo.woodpecker.state import (
    Pipeline,
    Repository,
    Run,
    pipeline_shape,
    repository_shape,
    workflow_shape,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

MAX_PAGE = 50
SOURCE = "https://github.com/woodpecker-ci/woodpecker"


class Refusal(Exception):
    """An error answer: a status and, nearly always, no body."""

    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(frozen=True, slots=True)
class Call:
    request: Request
    body: bytes
    login: str | None


class Woodpecker:
    """A stateful WSGI app. A pipeline moves on one state each time it is looked at, or, with
    `step_s`, by the clock."""

    def __init__(
        self,
        version: str = "3.17.0",
        *,
        step_s: float | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._version = version
        self._release = tuple(int(part) for part in version.split("."))
        self._step_s = step_s
        self._now = now
        self._logins: dict[str, str] = {}
        self._repositories: dict[int, Repository] = {}
        self._runs: deque[Run] = deque()
        self._traffic = Traffic()
        self._lock = threading.RLock()

    def add_token(self, token: str, login: str) -> None:
        with self._lock:
            self._logins[token] = login

    def add_repository(
        self,
        full_name: str,
        *,
        private: bool = False,
        active: bool = True,
        branches: Iterable[str] = ("main",),
        pushers: Iterable[str] | None = None,
    ) -> int:
        """The repository's id; `pushers` None means every user."""
        allowed = None if pushers is None else frozenset(pushers)
        with self._lock:
            number = len(self._repositories) + 1
            self._repositories[number] = Repository(
                number, full_name, private, active, tuple(branches), allowed
            )
            return number

    def script(self, *runs: Run) -> None:
        """Say how the next pipelines go; without this they succeed."""
        with self._lock:
            self._runs.extend(runs)

    def fail_next(self, fault: Fault) -> None:
        """Let this go wrong with the next request that matches it, once."""
        self._traffic.fail_next(fault)

    @property
    def requests(self) -> list[Received]:
        """Every request, oldest first."""
        return self._traffic.requests

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        response = self._traffic.handle(environ, lambda received: self._answer(request, received))
        return response(environ, start_response)

    def _answer(self, request: Request, received: Received) -> Response:
        try:
            name, arguments = ROUTES.bind("").match(request.path, request.method)
        except HTTPException:
            # Any unknown path is the web interface: a wrong address looks like success.
            name, arguments = "interface", {}
        call = Call(request, received.body, self._login(request))
        try:
            with self._lock:
                response = HANDLERS[name](self, call, **arguments)
        except Refusal as refusal:
            response = _plain(refusal.status, refusal.text)
        response.headers["X-WOODPECKER-VERSION"] = self._version
        return response

    def _login(self, request: Request) -> str | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return self._logins.get(token) if scheme == "Bearer" else None

    # System and the web interface

    def get_version(self, call: Call) -> Response:
        return _json({"source": SOURCE, "version": self._version})

    def get_health(self, call: Call) -> Response:
        return _plain(204)

    def get_interface(self, call: Call) -> Response:
        return _html("Simulated Woodpecker", "This stands in for a real CI while you try Lectern.")

    def get_pipeline_page(self, call: Call, repo: int, number: int) -> Response:
        repository = self._repositories.get(repo)
        found = repository.pipeline(number) if repository else None
        if repository is None or found is None or not repository.may_pull(call.login):
            return self.get_interface(call)
        title = f"Simulated pipeline {number} of {repository.full_name}"
        return _html(title, f"Branch {found.branch}: {self._state(found)}.")

    def get_user(self, call: Call) -> Response:
        if call.login is None:
            raise Refusal(401, "User not authorized")
        return _json({"id": 1, "forge_id": 1, "login": call.login, "email": "", "org_id": 1})

    # Repositories

    def look_up(self, call: Call, full_name: str) -> Response:
        for number, each in self._repositories.items():
            if each.full_name.lower() == full_name.lower():
                return self.get_repository(call, str(number))
        raise _hidden(call)

    def get_repository(self, call: Call, repo: str) -> Response:
        if not repo.isdecimal():
            raise Refusal(400)
        return _json(repository_shape(self._visible(call, int(repo))))

    def get_permissions(self, call: Call, repo: int) -> Response:
        # Answered for every repository that exists, seen or not.
        found = self._repositories.get(repo)
        if found is None:
            raise _hidden(call)
        pull, push = found.may_pull(call.login), found.may_push(call.login)
        return _json({"pull": pull, "push": push, "admin": False, "synced": 0})

    def _visible(self, call: Call, number: int) -> Repository:
        found = self._repositories.get(number)
        if found is None or not found.may_pull(call.login):
            raise _hidden(call)
        return found

    # Pipelines

    def trigger(self, call: Call, repo: int) -> Response:
        found = self._visible(call, repo)
        if not found.may_push(call.login):
            # No right to push looks like no repository.
            raise _hidden(call)
        branch, variables = _trigger_form(call.body)
        if branch not in found.branches:
            raise Refusal(500)
        run = self._runs.popleft() if self._runs else Run()
        if run.is_filtered:
            return _plain(204, headers={"Pipeline-Filtered": "true"})
        if run.is_unreadable:
            run = Run(("error",), errors=("could not fetch the configuration",), is_unreadable=True)
        pipeline = found.start(
            run, branch=branch, variables=variables, author=call.login, created=int(self._now())
        )
        if not run.is_unreadable:
            return _json(self._shape(pipeline))
        return _plain(204) if self._release >= (3, 14) else _json(None)

    def get_pipelines(self, call: Call, repo: int) -> Response:
        found = self._visible(call, repo)
        page = max(1, call.request.args.get("page", 1, type=int))
        size = min(MAX_PAGE, max(1, call.request.args.get("perPage", MAX_PAGE, type=int)))
        newest = found.pipelines[::-1][(page - 1) * size : page * size]
        return _json([self._shape(each) for each in newest])

    def get_pipeline(self, call: Call, repo: int, number: str) -> Response:
        repository = self._visible(call, repo)
        if not number.isdecimal():
            raise Refusal(400)
        found = repository.pipeline(int(number))
        if found is None:
            raise Refusal(404)
        found.looks += 1
        return _json(self._shape(found) | {"workflows": [workflow_shape(self._state(found))]})

    def _state(self, pipeline: Pipeline) -> str:
        if self._step_s is None:
            return pipeline.state_at(pipeline.looks)
        return pipeline.state_at(int((self._now() - pipeline.created) / self._step_s))

    def _shape(self, pipeline: Pipeline) -> dict[str, object]:
        return pipeline_shape(pipeline, self._state(pipeline), is_v2=self._release < (3,))


def _hidden(call: Call) -> Refusal:
    return Refusal(401 if call.login is None else 404)


def _trigger_form(body: bytes) -> tuple[str, dict[str, str]]:
    """Branch and variables, whatever the content type says."""
    try:
        form = json.loads(body)
    except ValueError as error:
        raise Refusal(400) from error
    if not isinstance(form, dict):
        raise Refusal(400)
    branch, variables = form.get("branch") or "", form.get("variables") or {}
    values = variables.values() if isinstance(variables, dict) else [variables]
    if not all(isinstance(value, str) for value in [branch, *values]):
        raise Refusal(400)
    return branch, variables


def _json(payload: object) -> Response:
    return Response(json.dumps(payload), content_type="application/json; charset=utf-8")


def _plain(status: int, text: str = "", headers: Mapping[str, str] | None = None) -> Response:
    response = Response(text, status=status, content_type="text/plain; charset=utf-8")
    if not text:
        del response.headers["Content-Type"]
    response.headers.update(headers or {})
    return response


def _html(title: str, text: str) -> Response:
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
    body = f"<main><h1>{escape(title)}</h1><p>{escape(text)}</p></main></html>"
    return Response(head + body, content_type="text/html; charset=utf-8")


TABLE: tuple[tuple[str, str, Callable[..., Response]], ...] = (
    ("GET", "/version", Woodpecker.get_version),
    ("GET", "/healthz", Woodpecker.get_health),
    ("GET", "/repos/<int:repo>/pipeline/<int:number>", Woodpecker.get_pipeline_page),
    ("GET", "/api/user", Woodpecker.get_user),
    ("GET", "/api/repos/lookup/<path:full_name>", Woodpecker.look_up),
    ("GET", "/api/repos/<repo>", Woodpecker.get_repository),
    ("GET", "/api/repos/<int:repo>/permissions", Woodpecker.get_permissions),
    ("POST", "/api/repos/<int:repo>/pipelines", Woodpecker.trigger),
    ("GET", "/api/repos/<int:repo>/pipelines", Woodpecker.get_pipelines),
    ("GET", "/api/repos/<int:repo>/pipelines/<number>", Woodpecker.get_pipeline),
)
ROUTES = Map([Rule(path, endpoint=f"{m} {path}", methods=[m]) for m, path, _ in TABLE])
HANDLERS: Mapping[str, Callable[..., Response]] = {
    "interface": Woodpecker.get_interface,
    **{f"{method} {path}": handler for method, path, handler in TABLE},
}
