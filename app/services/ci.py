"""Woodpecker's REST API as far as Lectern uses it. Knows no proposals and no pages."""

from __future__ import annotations

from app.services.failure import Asked, Service
from app.services.http import Timing, Upstream
from app.services.words import plain

WOODPECKER = Service(
    "ci",
    "Woodpecker",
    url_setting="WOODPECKER_SERVER",
    token_setting="WOODPECKER_TOKEN",  # noqa: S106
)


class WoodpeckerClient:
    def __init__(
        self, url: str, *, public_url: str, token: str, timing: Timing | None = None
    ) -> None:
        # Its version is beside the API, not in it; both are under the address's path, if any.
        self._upstream = Upstream(WOODPECKER, url, token=token, timing=timing)
        self._public_url = public_url.rstrip("/")

    def close(self) -> None:
        self._upstream.close()

    def version(self) -> str:
        asked = Asked("say its version", "the API at WOODPECKER_SERVER")
        answer = self._upstream.get("/version", asked=asked)
        version = answer.data.get("version") if isinstance(answer.data, dict) else None
        if not isinstance(version, str):
            raise self._upstream.unreadable(asked, answer.status)
        return plain(version)
