"""Signing in to local mode where it asks for a token: by the address, or by typing it in."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.addresses import local
from app.guards import accepts, remember
from app.shell import Page
from app.wiring import services

bp = Blueprint("auth", __name__)


@bp.get("/auth/login")
def login() -> ResponseReturnValue:
    if services().settings.dispatch_token is None:
        return redirect(url_for("docs.index"))
    return _form("")


@bp.post("/auth/login")
def enter() -> ResponseReturnValue:
    settings = services().settings
    if not accepts(request.form.get("token", ""), settings):
        return _form("This is not the token."), 401
    remember(settings)
    return redirect(_next(request.form.get("next", "")), 303)


def _form(error: str) -> str:
    page = Page("login", None, "Sign in")
    asked = request.values.get("next", "")
    return render_template("login.html", page=page, error=error, next=_next(asked))


def _next(address: str) -> str:
    return local(address, default=url_for("docs.index"))
