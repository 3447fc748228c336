"""Plain pages for people who follow a link to the simulated Forgejo. Every value is escaped by the
templates; there is no script."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from jinja2 import DictLoader, Environment
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Response

from app.demo.forgejo import markup

if TYPE_CHECKING:
    from app.demo.forgejo.access import Call
    from app.demo.forgejo.state import Repository

CSP = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'"
# Forgejo does not show comments of the Markdown either.
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)

TEMPLATES = Environment(
    autoescape=True,
    loader=DictLoader(
        {
            "base": markup.BASE,
            "chips": markup.CHIPS,
            "home": markup.HOME,
            "issues": markup.ISSUES,
            "issue": markup.ISSUE,
            "missing": markup.MISSING,
        }
    ),
)
ROUTES = Map(
    [
        Rule("/", endpoint="home"),
        Rule("/-/style.css", endpoint="style"),
        Rule("/<owner>/<name>", endpoint="issues"),
        Rule("/<owner>/<name>/issues", endpoint="issues"),
        Rule("/<owner>/<name>/issues/<int:number>", endpoint="issue"),
    ]
)


def answer(call: Call) -> Response:
    """The answer to any request outside /api. Private repositories do not show here."""
    try:
        endpoint, arguments = ROUTES.bind("").match(call.request.path, call.request.method)
    except HTTPException:
        return _missing(call)
    response = HANDLERS[endpoint](call, **arguments)
    response.headers["Content-Security-Policy"] = CSP
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _home(call: Call) -> Response:
    repositories = [each for each in call.state.repositories.values() if not each.is_private]
    return _page(call, "home", "A simulated Forgejo", repositories=repositories)


def _style(call: Call) -> Response:
    return Response(markup.STYLE, content_type="text/css; charset=utf-8")


def _issues(call: Call, owner: str, name: str) -> Response:
    within = _public(call, owner, name)
    if within is None:
        return _missing(call)
    title = f"Issues in {within.full_name}"
    newest_first = within.issues[::-1]
    return _page(call, "issues", title, full_name=within.full_name, issues=newest_first)


def _issue(call: Call, owner: str, name: str, number: int) -> Response:
    within = _public(call, owner, name)
    found = [each for each in within.issues if each.number == number] if within else []
    if within is None or not found:
        return _missing(call)
    issue = found[0]
    body = COMMENT.sub("", issue.body).strip()
    return _page(call, "issue", issue.title, full_name=within.full_name, issue=issue, body=body)


def _missing(call: Call) -> Response:
    return _page(call, "missing", "Page not found", status=404)


HANDLERS: Mapping[str, Callable[..., Response]] = {
    "home": _home,
    "style": _style,
    "issues": _issues,
    "issue": _issue,
}


def _public(call: Call, owner: str, name: str) -> Repository | None:
    found = call.state.repository(f"{owner}/{name}")
    return None if found is None or found.is_private else found


def _page(
    call: Call, template: str, title: str, *, status: int = 200, **values: object
) -> Response:
    html = TEMPLATES.get_template(template).render(title=title, root=call.root, **values)
    return Response(html, status=status, content_type="text/html; charset=utf-8")
