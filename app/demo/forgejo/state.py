"""What a simulated Forgejo remembers: users, tokens, repositories, labels, issues, and who may do
what. Knows nothing of HTTP."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

MAX_TITLE_BYTES = 255
ELLIPSIS = "…"


@dataclass(frozen=True, slots=True)
class User:
    id: int
    login: str
    is_admin: bool = False


@dataclass(frozen=True, slots=True)
class Token:
    """A personal access token; `repositories` limits it to these full names (since v15)."""

    sha: str
    login: str
    scopes: frozenset[str]
    repositories: frozenset[str] = frozenset()

    @property
    def is_public_only(self) -> bool:
        return "public-only" in self.scopes

    def grants(self, level: Literal["read", "write"], category: str) -> bool:
        wanted = {"all", f"write:{category}", f"{level}:{category}"}
        return not wanted.isdisjoint(self.scopes)


@dataclass(frozen=True, slots=True)
class Label:
    id: int
    name: str
    color: str
    description: str = ""
    is_archived: bool = False


@dataclass(frozen=True, slots=True)
class Issue:
    id: int
    number: int
    title: str
    body: str
    author: str
    created: datetime
    updated: datetime
    labels: tuple[Label, ...] = ()
    state: Literal["open", "closed"] = "open"
    assignees: tuple[str, ...] = ()
    ref: str = ""
    is_indexed: bool = True

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.labels)


@dataclass(slots=True)
class Repository:
    id: int
    owner: str
    name: str
    labels: list[Label]
    branches: tuple[str, ...]
    is_organisation: bool = False
    is_archived: bool = False
    is_private: bool = False
    has_issues: bool = True
    # None: every user may write.
    writers: frozenset[str] | None = None
    readers: frozenset[str] = frozenset()
    issues: list[Issue] = field(default_factory=list)

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def default_branch(self) -> str:
        return self.branches[0] if self.branches else "main"


@dataclass(slots=True)
class State:
    """Everything behind one lock, which the caller holds."""

    users: dict[str, User] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    repositories: dict[str, Repository] = field(default_factory=dict)
    organisation_labels: dict[str, list[Label]] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    last_id: int = 0

    def next_id(self) -> int:
        self.last_id += 1
        return self.last_id

    def user(self, login: str) -> User | None:
        return self.users.get(login.lower())

    def repository(self, full_name: str) -> Repository | None:
        return self.repositories.get(full_name.lower())

    def make_labels(self, pairs: Iterable[tuple[str, str]]) -> list[Label]:
        return [Label(self.next_id(), name, color) for name, color in pairs]

    def labels_for(self, repository: Repository) -> list[Label]:
        """The repository's own and its organisation's: both are valid on its issues."""
        return repository.labels + self.organisation_labels.get(repository.owner.lower(), [])

    def can_read(self, repository: Repository, user: User | None, token: Token | None) -> bool:
        if not repository.is_private:
            return True
        if user is None or token is None or token.is_public_only:
            return False
        if token.repositories and repository.full_name not in token.repositories:
            return False
        if user.is_admin or repository.writers is None:
            return True
        return user.login in repository.readers | repository.writers

    def can_write(self, repository: Repository, user: User | None, token: Token | None) -> bool:
        if user is None or token is None or not self.can_read(repository, user, token):
            return False
        if token.repositories and repository.full_name not in token.repositories:
            return False
        return user.is_admin or repository.writers is None or user.login in repository.writers

    def add_issue(self, repository: Repository, issue: Issue) -> Issue:
        """Store it under fresh numbers, its title cut as Forgejo cuts it."""
        stored = replace(
            issue,
            id=self.next_id(),
            number=len(repository.issues) + 1,
            title=cut_title(issue.title.strip()),
        )
        repository.issues.append(stored)
        return stored


def cut_title(title: str) -> str:
    """Longer than 255 bytes is no error: cut between characters to 252 bytes and an ellipsis."""
    data = title.encode()
    if len(data) <= MAX_TITLE_BYTES:
        return title
    room = MAX_TITLE_BYTES - len(ELLIPSIS.encode())
    return data[:room].decode(errors="ignore") + ELLIPSIS
