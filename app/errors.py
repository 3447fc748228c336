"""One table from what went wrong to what the caller is told: a page, a fragment, or JSON.

The only place that turns exceptions into answers. What is not in the table is our own fault: it is
logged and the caller learns nothing of its text.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from types import MappingProxyType

from flask import Flask, Response, jsonify, make_response, render_template, request
from flask.typing import ResponseReturnValue
from flask_login import current_user
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from app.actions.proposals import InvalidPayload, ProposalNotFound, ProposalState
from app.services import errors
from app.shell import Node, Page, tree
from app.wiring import services

log = logging.getLogger("lectern.errors")


@dataclass(frozen=True, slots=True)
class Problem:
    """What a caller is told. `code` is stable; the rest is for people."""

    status: int
    code: str
    title: str
    message: str
    is_retryable: bool = False
    retry_after_s: int | None = None
    fields: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    """A request that is turned away before it reaches anything."""

    def __init__(
        self, status: int, code: str, message: str, *, fields: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.fields = fields or {}


_TABLE = MappingProxyType(
    {
        errors.PathNotFound: (404, "not_found", "Not found"),
        errors.ConversationNotFound: (404, "not_found", "Not found"),
        errors.TurnNotFound: (404, "not_found", "Not found"),
        ProposalNotFound: (404, "not_found", "Not found"),
        errors.TurnRunning: (409, "turn_running", "Still answering"),
        ProposalState: (409, "conflict", "This card has moved on"),
        InvalidPayload: (422, "invalid", "Not sent"),
        errors.Busy: (503, "busy", "Busy"),
        errors.NotConfigured: (503, "not_configured", "Not configured"),
        errors.StorageFailed: (507, "storage_failed", "Nothing could be recorded"),
    }
)
_UPSTREAM = MappingProxyType(
    {
        "timeout": 504,
        "forbidden": 403,
        "archived": 422,
        "invalid": 422,
        "not_found": 422,
        "rate_limited": 429,
    }
)
_HTTP = MappingProxyType(
    {
        400: ("malformed", "That request could not be read", "The request is not well formed."),
        404: ("not_found", "Not found", "There is no such page or file here."),
        405: ("method_not_allowed", "Not possible here", "This address does not take that."),
        413: ("too_long", "Too long", "That is more than fits."),
        415: ("unsupported_type", "Not understood", "Send a form or JSON."),
    }
)


def problem_of(error: Exception) -> Problem | None:
    """What to say about `error`; None when it is not one that is known."""
    if isinstance(error, Refused):
        return Problem(error.status, error.code, "Refused", str(error), fields=error.fields)
    if isinstance(error, errors.UpstreamError):
        return _upstream(error)
    if isinstance(error, HTTPException):
        return _http(error)
    for kind, (status, code, title) in _TABLE.items():
        if isinstance(error, kind):
            return _known(error, status, code, title)
    return None


def _known(error: Exception, status: int, code: str, title: str) -> Problem:
    if isinstance(error, errors.NotConfigured):
        code = f"{error.service}_not_configured"
    return Problem(
        status,
        code,
        title,
        str(error),
        is_retryable=status in (409, 503, 507),
        retry_after_s=getattr(error, "retry_after_s", None),
        fields=getattr(error, "problems", {}),
    )


def _upstream(error: errors.UpstreamError) -> Problem:
    return Problem(
        _UPSTREAM.get(error.code, 502),
        error.code,
        "The other side did not do it",
        str(error),
        is_retryable=error.retryable,
        retry_after_s=error.retry_after_s,
    )


def _http(error: HTTPException) -> Problem:
    status = error.code or 500
    fallback = ("refused", "Refused", "That is not possible.")
    code, title, message = _HTTP.get(status, fallback)
    return Problem(status, code, title, message)


def is_navigation() -> bool:
    """Whether a person follows a link or sends a form, rather than a script fetching something."""
    mode = request.headers.get("Sec-Fetch-Mode")
    if mode:
        return mode == "navigate"
    return wants_html() and not wants_fragment()


def wants_html() -> bool:
    return "text/html" in request.headers.get("Accept", "")


def wants_fragment() -> bool:
    return "HX-Request" in request.headers


# Whoever asks from there gets no page: its files would be refused too.
AT_THE_DOOR = ("host_not_allowed", "proxied", "not_local")


def answer(problem: Problem) -> Response:
    if problem.code in AT_THE_DOOR and wants_html():
        body = Response(f"{problem.message}\n", content_type="text/plain; charset=utf-8")
    elif wants_fragment():
        body = make_response(render_template("_error.html", **_as_page(problem)))
    elif wants_html():
        around = {"tree": _tree()} if problem.status == 404 else {}
        body = make_response(
            render_template("error.html", **_as_page(problem), **around, question=_question())
        )
    else:
        body = jsonify({"error": _as_json(problem)})
    body.status_code = problem.status
    if problem.retry_after_s is not None:
        body.headers["Retry-After"] = str(problem.retry_after_s)
    return body


def _as_page(problem: Problem) -> dict[str, object]:
    return {
        "page": Page("error", None, problem.title),
        "title": problem.title,
        "sentence": problem.message,
        "hint": " ".join(problem.fields.values()),
        "retryable": problem.is_retryable,
    }


def _tree() -> tuple[Node, ...]:
    """Who looks for a page that is not there sees which there are."""
    if not current_user.is_authenticated:
        return ()
    return tree(services().workspace, Page("error", None, ""))


def _question() -> dict[str, str]:
    """A question that was refused is given back, to be sent again."""
    is_question = request.endpoint == "chat.start" and current_user.is_authenticated
    return request.form.to_dict() if is_question and request.form.get("message") else {}


def _as_json(problem: Problem) -> dict[str, object]:
    told: dict[str, object] = {"code": problem.code, "message": problem.message}
    return told | {"fields": problem.fields} if problem.fields else told


def init_app(app: Flask) -> None:
    @app.errorhandler(Exception)
    def told(error: Exception) -> ResponseReturnValue:
        if isinstance(error, HTTPException) and error.code and error.code < 400:
            return error
        problem = problem_of(error)
        if problem is None:
            log.error("unforeseen at %s: %s", request.endpoint, errors.trace_of(error))
            message = "Lectern failed here. This is its own fault; the log has the details."
            problem = Problem(500, "internal", "Something failed", message, is_retryable=True)
        response = answer(problem)
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
        return response
