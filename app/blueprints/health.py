"""Whether the process lives, and whether what it depends on can be used."""

from __future__ import annotations

import os

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from app.services.errors import UpstreamError
from app.wiring import services

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Touches nothing."""
    return "ok", 200, {"Content-Type": "text/plain; charset=utf-8"}


@bp.get("/readyz")
def readyz() -> ResponseReturnValue:
    """One reason per dependency: `ok`, `off`, or what is wrong with it."""
    checks = {
        "root": _folder(str(services().settings.root), os.R_OK | os.X_OK),
        "state": _folder(str(services().settings.state_dir), os.W_OK | os.X_OK),
        "forge": _service(services().forge),
        "ci": _service(services().ci),
        "llm": "off" if services().llm is None else "ok",
    }
    is_ready = all(reason in ("ok", "off") for reason in checks.values())
    status = "ready" if is_ready else "unavailable"
    return jsonify({"status": status, "checks": checks}), 200 if is_ready else 503


def _folder(path: str, mode: int) -> str:
    return "ok" if os.path.isdir(path) and os.access(path, mode) else "cannot be used"


def _service(client: object) -> str:
    version = getattr(client, "version", None)
    if version is None:
        return "off"
    try:
        version()
    except UpstreamError as error:
        return str(error)
    return "ok"
