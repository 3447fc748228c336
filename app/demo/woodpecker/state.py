"""What a simulated Woodpecker remembers, and the JSON it tells of it. Knows nothing of HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

WAITING = ("created", "pending")
SUCCEEDS = ("created", "pending", "running", "success")
V2_NAMES = {"created": "created_at", "started": "started_at", "finished": "finished_at"}


@dataclass(frozen=True, slots=True)
class Run:
    """How a triggered pipeline goes: its states in order, the last one for good. `is_filtered`:
    every workflow is left out, so nothing runs. `is_unreadable`: the configuration could not be
    fetched. `errors` come with the state `error`."""

    states: tuple[str, ...] = SUCCEEDS
    is_filtered: bool = False
    is_unreadable: bool = False
    errors: tuple[str, ...] = ()


@dataclass(slots=True)
class Pipeline:
    number: int
    branch: str
    author: str
    variables: Mapping[str, str]
    created: int
    run: Run
    looks: int = 0

    def state_at(self, step: int) -> str:
        return self.run.states[min(step, len(self.run.states) - 1)]


@dataclass(slots=True)
class Repository:
    id: int
    full_name: str
    is_private: bool
    is_active: bool
    branches: tuple[str, ...]
    # None: every user.
    pushers: frozenset[str] | None
    pipelines: list[Pipeline] = field(default_factory=list)

    def may_push(self, login: str | None) -> bool:
        return login is not None and (self.pushers is None or login in self.pushers)

    def may_pull(self, login: str | None) -> bool:
        return not self.is_private or self.may_push(login)

    def pipeline(self, number: int) -> Pipeline | None:
        return next((each for each in self.pipelines if each.number == number), None)

    def start(self, run: Run, **fields: Any) -> Pipeline:  # noqa: ANN401
        pipeline = Pipeline(number=len(self.pipelines) + 1, run=run, **fields)
        self.pipelines.append(pipeline)
        return pipeline


def repository_shape(of: Repository) -> dict[str, Any]:
    owner, _, name = of.full_name.partition("/")
    return {
        "id": of.id,
        "owner": owner,
        "name": name,
        "full_name": of.full_name,
        "default_branch": of.branches[0] if of.branches else "",
        "visibility": "private" if of.is_private else "public",
        "private": of.is_private,
        "active": of.is_active,
        "config_file": "",
    }


def pipeline_shape(of: Pipeline, state: str, *, is_v2: bool = False) -> dict[str, Any]:
    is_over = state not in (*WAITING, "running")
    shape = {
        "id": 1000 + of.number,
        "number": of.number,
        "author": of.author,
        "event": "manual",
        "status": state,
        "errors": [_error(message) for message in of.run.errors] or None,
        "created": of.created,
        "started": 0 if state in WAITING else of.created + 1,
        "finished": of.created + 2 if is_over else 0,
        "commit": "0" * 40,
        "branch": of.branch,
        "ref": of.branch,
        "message": "",
        "variables": dict(of.variables),
    }
    if not is_v2:
        return shape
    return {V2_NAMES.get(name, name): value for name, value in shape.items()}


def workflow_shape(state: str) -> dict[str, Any]:
    step = {"id": 1, "pid": 2, "ppid": 1, "name": "test", "state": state, "type": "commands"}
    return {"id": 1, "pid": 1, "name": "ci", "state": state, "children": [step]}


def _error(message: str) -> dict[str, Any]:
    return {"type": "linter", "message": message, "is_warning": False, "data": None}
