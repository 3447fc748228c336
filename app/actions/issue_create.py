"""Creating an issue on Forgejo: labels by name, one request, and finding it again by its marker."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from app.actions.registry import Payload
from app.services.errors import NotConfigured
from app.services.protocols import Forge, Issue

LABELS_KEEP_S = 60.0


class IssueCreate:
    """Knows the labels of the repositories it was asked about for a minute each."""

    def __init__(self, forge: Forge | None) -> None:
        self._forge = forge
        self._labels: dict[str, tuple[float, dict[str, int]]] = {}

    def problems(self, payload: Payload) -> Mapping[str, str]:
        """What only Forgejo can say is wrong, before anything is sent. Raises UpstreamError."""
        self._service()
        wanted = payload["labels"]
        if not wanted:
            return {}
        known = self._label_ids(str(payload["repo"]), max_age_s=LABELS_KEEP_S)
        missing = [name for name in wanted if name not in known]
        if missing:
            known = self._label_ids(str(payload["repo"]), max_age_s=0)
            missing = [name for name in wanted if name not in known]
        return {"labels": _missing(missing, str(payload["repo"]))} if missing else {}

    def send(self, payload: Payload, *, mark: str) -> dict[str, Any]:
        """Create the issue. Raises UpstreamError, whose `effect` says whether it may exist."""
        repository = str(payload["repo"])
        ids = self._label_ids(repository, max_age_s=LABELS_KEEP_S) if payload["labels"] else {}
        issue = self._service().create_issue(
            repository,
            title=str(payload["title"]),
            body=f"{payload['body']}\n\n{mark}".lstrip("\n"),
            # One that went away since it was looked up is told as dropped.
            labels=[ids[name] for name in payload["labels"] if name in ids],
        )
        return _response(issue, payload)

    def look(self, payload: Payload, *, mark: str, since: datetime) -> dict[str, Any] | None:
        """The issue that carries `mark`, when there is one. Raises UpstreamError."""
        issue = self._service().find_issue(str(payload["repo"]), marker=mark, since=since)
        return _response(issue, payload) if issue else None

    def choices(self, repository: str) -> tuple[str, ...]:
        """The label names that are known now; asks nobody."""
        return tuple(self._labels.get(repository, (0.0, {}))[1])

    def prepare(self, repository: str) -> None:
        """Learn the labels, so that a card can offer them. Raises UpstreamError."""
        self._label_ids(repository, max_age_s=LABELS_KEEP_S)

    def _label_ids(self, repository: str, *, max_age_s: float) -> dict[str, int]:
        known = self._labels.get(repository)
        if known and time.monotonic() - known[0] < max_age_s:
            return known[1]
        labels = {label.name: label.id for label in self._service().labels(repository)}
        self._labels[repository] = (time.monotonic(), labels)
        return labels

    def _service(self) -> Forge:
        if self._forge is None:
            raise NotConfigured(
                "forge",
                "Forgejo is off. Set FORGE_URL, FORGE_TOKEN, FORGE_OWNER and FORGE_REPO.",
            )
        return self._forge


def _missing(names: list[str], repository: str) -> str:
    shown = ", ".join(names)
    return f"{repository} has no label {shown}. Remove it here, or create it on Forgejo first."


def _response(issue: Issue, payload: Payload) -> dict[str, Any]:
    dropped = [name for name in payload["labels"] if name not in issue.labels]
    return {
        "status": 201,
        "number": issue.number,
        "url": issue.url,
        "title": issue.title,
        "labels": list(issue.labels),
        "dropped_labels": dropped,
    }
