"""Forgejo's REST API as far as Lectern uses it. Knows no proposals and no pages.

Of Forgejo it relies on this: an issue is created with label ids, not names; a label list has pages
only if a page is asked for; a search with `q` lags behind, a list without it does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeGuard
from urllib.parse import quote

from app.services.errors import UpstreamError
from app.services.failure import Asked, Service
from app.services.http import Timing, Upstream
from app.services.protocols import Issue, Label
from app.services.words import plain

__all__ = ["ForgejoClient", "Issue", "Label"]

FORGEJO = Service("forge", "Forgejo", url_setting="FORGE_URL", token_setting="FORGE_TOKEN")  # noqa: S106
REPOSITORY = re.compile(r"([A-Za-z0-9][\w.-]{0,39})/(?!\.{1,2}$)([\w.-]{1,100})", re.ASCII)
MAX_PAGES = 40
LABELS_PER_PAGE = 50
ISSUES_PER_PAGE = 20  # with bodies of 64 KB a page still fits into the 2 MB that are read
CLOCK_SLACK = timedelta(minutes=15)  # how far Forgejo's clock may be behind ours

Row = Mapping[str, object]


class ForgejoClient:
    def __init__(
        self, url: str, *, public_url: str, token: str, timing: Timing | None = None
    ) -> None:
        self._upstream = Upstream(FORGEJO, f"{url.rstrip('/')}/api/v1", token=token, timing=timing)
        self._public_url = public_url.rstrip("/")

    def close(self) -> None:
        self._upstream.close()

    def version(self) -> str:
        asked = Asked("say its version", "the API at FORGE_URL")
        answer = self._upstream.get("/version", asked=asked)
        version = answer.data.get("version") if isinstance(answer.data, dict) else None
        if not isinstance(version, str):
            raise self._upstream.unreadable(asked, answer.status)
        return plain(version)

    def labels(self, repository: str) -> tuple[Label, ...]:
        """The repository's and its organisation's. Names are not unique: the first one counts."""
        owner, _ = _split(repository)
        asked = Asked(f"read the labels of {repository}", f"the repository {repository}")
        found: dict[str, Label] = {}
        for row in self._rows(f"{_path(repository)}/labels", asked, limit=LABELS_PER_PAGE):
            self._collect(row, found, asked)
        try:
            for row in self._rows(f"/orgs/{owner}/labels", asked, limit=LABELS_PER_PAGE):
                self._collect(row, found, asked)
        except UpstreamError as error:
            # The owner is a person, or the token lacks read:organization: none for us then.
            if error.code not in ("not_found", "forbidden"):
                raise
        return tuple(found.values())

    def create_issue(
        self, repository: str, *, title: str, body: str, labels: Sequence[int] = ()
    ) -> Issue:
        asked = Asked(
            f"create issues in {repository}", f"the repository {repository}", is_write=True
        )
        payload = {"title": title, "body": body, "labels": list(labels)}
        path = f"{_path(repository)}/issues"
        answer = self._upstream.post(path, asked=asked, body=payload, expect=201)
        issue = self._issue(repository, answer.data)
        if issue is None:
            raise self._upstream.unreadable(asked, answer.status)
        return issue

    def find_issue(self, repository: str, *, marker: str, since: datetime) -> Issue | None:
        """The oldest issue whose text has the marker; None only after every page was read."""
        asked = Asked(f"list the issues of {repository}", f"the repository {repository}")
        after = (since - CLOCK_SLACK).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        params = {"state": "all", "type": "issues", "since": after}
        found: list[Issue] = []
        for row in self._rows(
            f"{_path(repository)}/issues", asked, limit=ISSUES_PER_PAGE, params=params
        ):
            body = row.get("body")
            if isinstance(body, str) and marker in body:
                issue = self._issue(repository, row)
                if issue is None:
                    raise self._upstream.unreadable(asked, 200)
                found.append(issue)
        return min(found, key=lambda issue: issue.number, default=None)

    def _rows(
        self,
        path: str,
        asked: Asked,
        *,
        limit: int,
        params: Mapping[str, str] | None = None,
    ) -> Iterator[Row]:
        """Every row of a list, under one deadline; raises if there are more pages than are read."""
        until = self._upstream.deadline()
        seen = 0
        for page in range(1, MAX_PAGES + 1):
            query: dict[str, str | int] = {**(params or {}), "page": page, "limit": limit}
            answer = self._upstream.get(path, asked=asked, params=query, until=until)
            rows = [] if answer.data is None else answer.data  # an empty list may come as null
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise self._upstream.unreadable(asked, answer.status)
            yield from rows
            seen += len(rows)
            if _is_last(rows, seen, limit=limit, total=answer.total):
                return
        raise UpstreamError(
            f"{asked.target[:1].upper()}{asked.target[1:]} has more than Lectern reads to "
            f"{asked.deed} ({seen:,} of them were read).",
            service=FORGEJO.word,
            code="failed",
        )

    def _collect(self, row: Row, found: dict[str, Label], asked: Asked) -> None:
        number, name, color = row.get("id"), row.get("name"), row.get("color")
        if not _is_number(number) or not isinstance(name, str):
            raise self._upstream.unreadable(asked, 200)
        if row.get("is_archived") is not True:
            found.setdefault(name, Label(number, name, color if isinstance(color, str) else ""))

    def _issue(self, repository: str, data: object) -> Issue | None:
        """The address is put together here: the answer's own may be internal, or worse."""
        if not isinstance(data, dict) or not _is_number(data.get("number")):
            return None
        labels = data.get("labels")
        names = [label.get("name") for label in labels or () if isinstance(label, dict)]
        number = data["number"]
        return Issue(
            number=number,
            url=f"{self._public_url}/{quote(repository, safe='/')}/issues/{number}",
            title=str(data.get("title", "")),
            labels=tuple(name for name in names if isinstance(name, str)),
            state=str(data.get("state", "open")),
        )


def _path(repository: str) -> str:
    owner, name = _split(repository)
    return f"/repos/{quote(owner, safe='')}/{quote(name, safe='')}"


def _split(repository: str) -> tuple[str, str]:
    match = REPOSITORY.fullmatch(repository)
    if match is None:
        raise UpstreamError(
            "Name the repository as owner/name, in letters, digits, dots, dashes and underscores.",
            service=FORGEJO.word,
            code="invalid",
        )
    return match[1], match[2]


def _is_last(rows: Sequence[Row], seen: int, *, limit: int, total: int | None) -> bool:
    """A page shorter than asked for is not the last one where the server's own limit is lower."""
    if not rows:
        return True
    return len(rows) < limit and (total is None or seen >= total)


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
