"""The routes of Forgejo's REST API: what each needs, and the small reads. Knows nothing of faults
or of the pages for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Response

from app.demo.forgejo import access, issues, listing, shape
from app.demo.forgejo.access import Call, Moved, Refusal
from app.demo.forgejo.state import Label


def answer(call: Call) -> Response:
    """The answer to any request under /api."""
    try:
        response = _dispatch(call)
    except Refusal as refusal:
        response = call.answer(_error(call, refusal), refusal.status)
    except Moved as moved:
        response = Response(status=moved.status, headers={"Location": moved.location})
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "max-age=0, private, must-revalidate, no-transform"
    return response


def _dispatch(call: Call) -> Response:
    call = access.authenticated(call)
    path = "/" + "/".join(part for part in call.request.path.split("/") if part)
    try:
        name, arguments = ROUTES.bind("").match(path, call.request.method)
    except HTTPException as error:
        raise access.not_found() from error
    handler, scopes = HANDLERS[name]
    access.check_scopes(call, scopes)
    return handler(call, **arguments)


def _error(call: Call, refusal: Refusal) -> dict[str, Any]:
    body: dict[str, Any] = {"message": refusal.message}
    if refusal.has_url:
        body["url"] = f"{call.root}/api/swagger"
    if refusal.errors is not None:
        body["errors"] = refusal.errors
    return body


def version(call: Call) -> Response:
    return call.answer({"version": ".".join(map(str, call.version)) + "+gitea-1.22.0"})


def user(call: Call) -> Response:
    return call.answer(shape.user(access.signed_in(call), root=call.root))


def repository(call: Call, owner: str, name: str) -> Response:
    found = access.repository(call, owner, name)
    can_write = call.state.can_write(found, call.user, call.token)
    return call.answer(shape.repository(found, root=call.root, can_write=can_write))


def branches(call: Call, owner: str, name: str) -> Response:
    names = access.repository(call, owner, name).branches
    if not names:
        return call.answer(None)
    return listing.page(call, [shape.branch(each) for each in names])


def branch(call: Call, owner: str, name: str, branch: str) -> Response:
    if branch not in access.repository(call, owner, name).branches:
        raise access.not_found(f"branch does not exist [name: {branch}]")
    return call.answer(shape.branch(branch))


def labels(call: Call, owner: str, name: str) -> Response:
    found = access.repository(call, owner, name)
    return _labels(call, found.labels, f"{call.root}/api/v1/repos/{found.full_name}")


def organisation_labels(call: Call, org: str) -> Response:
    found = call.state.organisation_labels.get(org.lower())
    if found is None:
        raise access.not_found()
    return _labels(call, found, f"{call.root}/api/v1/orgs/{org}")


def _labels(call: Call, of: list[Label], url: str) -> Response:
    by_name = sorted(of, key=lambda label: label.name)
    return listing.page_if_asked(call, [shape.label(each, url=url) for each in by_name])


REPOSITORY = "/api/v1/repos/<owner>/<name>"

# Method, path, handler, categories of scope.
TABLE: tuple[tuple[str, str, Callable[..., Response], tuple[str, ...]], ...] = (
    ("GET", "/api/v1/version", version, ()),
    ("GET", "/api/v1/user", user, ("user",)),
    ("GET", REPOSITORY, repository, ("repository",)),
    ("GET", f"{REPOSITORY}/branches", branches, ("repository",)),
    ("GET", f"{REPOSITORY}/branches/<path:branch>", branch, ("repository",)),
    ("GET", f"{REPOSITORY}/labels", labels, ("issue",)),
    ("GET", "/api/v1/orgs/<org>/labels", organisation_labels, ("organization",)),
    ("POST", f"{REPOSITORY}/issues", issues.create, ("issue",)),
    ("GET", f"{REPOSITORY}/issues", issues.index, ("issue",)),
    ("GET", f"{REPOSITORY}/issues/<int:number>", issues.read, ("issue",)),
)
ROUTES = Map([Rule(path, endpoint=f"{m} {path}", methods=[m]) for m, path, _, _ in TABLE])
HANDLERS = {f"{m} {path}": (handler, scopes) for m, path, handler, scopes in TABLE}
