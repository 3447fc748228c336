"""Renders a page with what stands around it: the site, the tree, and the drawer when it is open."""

from __future__ import annotations

from flask import Flask, render_template, request
from flask_login import current_user

from app.blueprints import panel
from app.services.errors import ConversationNotFound
from app.shell import Page, Site, tree
from app.wiring import services


def show(template: str, page: Page, **more: object) -> str:
    """A whole page. `?ask` opens the drawer in it, on a named conversation or the newest."""
    return render_template(
        template,
        page=page,
        tree=tree(services().workspace, page),
        panel=_panel(page) if "ask" in request.args else None,
        **more,
    )


def _panel(page: Page) -> panel.Panel:
    named = request.args["ask"]
    try:
        return panel.build(page, named=named if len(named) > 1 else "")
    except ConversationNotFound:
        return panel.build(page)


def init_app(app: Flask) -> None:
    @app.context_processor
    def around() -> dict[str, object]:
        settings = services().settings
        user = current_user.login if current_user.is_authenticated else ""
        return {"site": Site(settings.name, user, settings.is_demo)}
