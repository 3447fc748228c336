"""The JSON shapes of Forgejo's API. Knows nothing of requests or permissions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from app.demo.forgejo.state import Issue, Label, Repository, State, User

Shape = dict[str, Any]


def user(of: User, *, root: str) -> Shape:
    return {
        "id": of.id,
        "login": of.login,
        "login_name": "",
        "source_id": 0,
        "full_name": "",
        "email": f"{of.login}@noreply.localhost",
        "avatar_url": "",
        "html_url": f"{root}/{of.login}",
        "language": "",
        "is_admin": of.is_admin,
        "restricted": False,
        "active": True,
        "prohibit_login": False,
        "visibility": "public",
        "username": of.login,
    }


def label(of: Label, *, url: str) -> Shape:
    return {
        "id": of.id,
        "name": of.name,
        "exclusive": False,
        "is_archived": of.is_archived,
        "color": of.color,
        "description": of.description,
        "url": f"{url}/labels/{of.id}",
    }


def repository(of: Repository, *, root: str, can_write: bool) -> Shape:
    return {
        "id": of.id,
        "owner": {"login": of.owner, "username": of.owner},
        "name": of.name,
        "full_name": of.full_name,
        "html_url": f"{root}/{of.full_name}",
        "default_branch": of.default_branch,
        "empty": not of.branches,
        "archived": of.is_archived,
        "private": of.is_private,
        "has_issues": of.has_issues,
        "has_pull_requests": True,
        "open_issues_count": sum(issue.state == "open" for issue in of.issues),
        "permissions": {"admin": False, "push": can_write, "pull": True},
    }


def branch(name: str) -> Shape:
    commit = {"id": f"{sum(name.encode()):040x}", "message": f"Work on {name}\n", "url": ""}
    return {
        "name": name,
        "commit": commit,
        "protected": False,
        "required_approvals": 0,
        "enable_status_check": False,
        "status_check_contexts": [],
        "user_can_push": True,
        "user_can_merge": True,
        "effective_branch_protection_name": "",
    }


def issue(of: Issue, within: Repository, *, root: str, state: State) -> Shape:
    path = f"{within.full_name}/issues/{of.number}"
    repository_url = f"{root}/api/v1/repos/{within.full_name}"
    assignees = [_known(login, root=root, state=state) for login in of.assignees] or None
    return {
        "id": of.id,
        "number": of.number,
        "url": f"{root}/api/v1/repos/{path}",
        "html_url": f"{root}/{path}",
        "user": _known(of.author, root=root, state=state),
        "title": of.title,
        "body": of.body,
        "ref": of.ref,
        "assets": [],
        "labels": [label(each, url=repository_url) for each in of.labels],
        "milestone": None,
        "assignee": assignees[0] if assignees else None,
        "assignees": assignees,
        "state": of.state,
        "is_locked": False,
        "comments": 0,
        "created_at": _time(of.created),
        "updated_at": _time(of.updated),
        "closed_at": _time(of.updated) if of.state == "closed" else None,
        "due_date": None,
        "pull_request": None,
        "repository": {
            "id": within.id,
            "name": within.name,
            "owner": within.owner,
            "full_name": within.full_name,
        },
        "pin_order": 0,
        "original_author": "",
        "original_author_id": 0,
    }


def _known(login: str, *, root: str, state: State) -> Shape | None:
    found = state.user(login)
    return user(found, root=root) if found else None


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
