"""Whether the process lives, and whether what it depends on can be used."""

from __future__ import annotations

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from app.wiring import services

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Touches nothing."""
    return "ok", 200, {"Content-Type": "text/plain; charset=utf-8"}


@bp.get("/readyz")
def readyz() -> ResponseReturnValue:
    """One reason per dependency: `ok`, `off`, or what is wrong with it."""
    reasons = services().readiness.reasons()
    is_ready = all(reason in ("ok", "off") for reason in reasons.values())
    status = "ready" if is_ready else "unavailable"
    return jsonify({"status": status, "checks": reasons}), 200 if is_ready else 503
