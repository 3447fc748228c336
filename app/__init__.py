"""Lectern: a repository's docs in the browser, talked over, and turned into issues by a click."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from app.settings import Settings
    from app.wiring import Services

__version__ = "0.1.0"

MAX_BODY_BYTES = 1_000_000


def create_app(settings: Settings, services: Services | None = None) -> Flask:
    """The whole wiring on one screen. Starts nothing and connects to nothing."""
    # Imported here: the rendering processes and the doubles load this package without Flask.
    from flask import Flask

    from app import errors, guards
    from app.assets import KEEP_S, static_path
    from app.blueprints import actions, auth, chat, docs, health, history, screen
    from app.mount import Mounted
    from app.state import prepare, secret_key
    from app.wiring import EXTENSION, build

    prepare(settings)
    app = Flask(__name__, static_url_path=static_path())
    app.config.update(
        SECRET_KEY=secret_key(settings),
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_BODY_BYTES,
        SESSION_COOKIE_NAME="lectern",
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_HTTPONLY=True,
        SEND_FILE_MAX_AGE_DEFAULT=KEEP_S,
    )
    app.extensions[EXTENSION] = services or build(settings)
    app.wsgi_app = Mounted(app.wsgi_app, settings.url_prefix)  # type: ignore[method-assign,assignment]
    guards.init_app(app, settings)
    errors.init_app(app)
    screen.init_app(app)
    for module in (docs, chat, actions, history, auth, health):
        app.register_blueprint(module.bp)
    return app
