"""The outside services as the rest of the app sees them: what they can do and what they give.

Knows no HTTP; who imports this module loads no client.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Label:
    id: int
    name: str
    color: str


@dataclass(frozen=True, slots=True)
class Issue:
    """`labels` are the names that the forge reports, which may be fewer than were asked for."""

    number: int
    url: str
    title: str
    labels: tuple[str, ...]
    state: str


class Forge(Protocol):
    """Every method may raise `UpstreamError`, whose `effect` says if a write can have happened."""

    def version(self) -> str: ...

    def labels(self, repository: str) -> tuple[Label, ...]:
        """Those that an issue of `owner/name` can carry, archived ones left out, names unique."""

    def create_issue(
        self, repository: str, *, title: str, body: str, labels: Sequence[int] = ()
    ) -> Issue:
        """Sends once. The issue says which labels it really got."""

    def find_issue(self, repository: str, *, marker: str, since: datetime) -> Issue | None:
        """The issue whose text has the marker, touched since then; None only if there is none."""


class CI(Protocol):
    def version(self) -> str: ...
