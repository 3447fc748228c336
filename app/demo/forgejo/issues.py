"""Creating, listing and reading issues, with every silence that Forgejo keeps about what it drops.
Knows nothing of tokens or routes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from app.demo.forgejo import access, listing, shape
from app.demo.forgejo.access import Call, Refusal
from app.demo.forgejo.state import Issue, Label, Repository

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
READ_RIGHT = "user should have specific read permission or be a repo admin or a site admin"

Form = dict[str, Any]


def create(call: Call, owner: str, name: str) -> Response:
    within = access.repository(call, owner, name)
    author = access.signed_in(call)
    if within.is_archived:
        raise Refusal(423, f"<Repository {within.id}:{within.full_name}> is archived")
    form = _form(call)
    _check_unit(call, within)
    can_write = call.state.can_write(within, author, call.token)
    # Without the right to write, labels and assignees are dropped in silence.
    labels = _labels(call, within, form) if can_write else ()
    assignees = _assignees(call, form) if can_write else ()
    moment = call.now()
    issue = Issue(
        id=0,
        number=0,
        title=form["title"],
        body=form.get("body") or "",
        author=author.login,
        created=moment,
        updated=moment,
        labels=labels,
        state="closed" if form.get("closed") else "open",
        assignees=assignees,
        ref=form.get("ref") or "",
        is_indexed=False,
    )
    stored = call.state.add_issue(within, issue)
    return call.answer(shape.issue(stored, within, root=call.root, state=call.state), 201)


def read(call: Call, owner: str, name: str, number: int) -> Response:
    within = access.repository(call, owner, name)
    for issue in within.issues:
        if issue.number == number:
            return call.answer(shape.issue(issue, within, root=call.root, state=call.state))
    raise access.not_found()


def index(call: Call, owner: str, name: str) -> Response:
    within = access.repository(call, owner, name)
    filters = _filters(call, within)
    issues = [issue for issue in within.issues if all(fits(issue) for fits in filters)]
    issues.sort(key=lambda issue: issue.number, reverse=call.request.args.get("sort") != "oldest")
    shapes = [shape.issue(each, within, root=call.root, state=call.state) for each in issues]
    return listing.page(call, shapes)


def _check_unit(call: Call, within: Repository) -> None:
    if within.has_issues:
        return
    if call.version >= (15,):
        raise access.not_found()
    raise Refusal(403, READ_RIGHT)


# The form


def _form(call: Call) -> Form:
    kind = call.request.mimetype
    if not kind:
        raise Refusal(422, "[]: Empty Content-Type")
    if kind in FORM_TYPES:
        raise Refusal(422, "[Title]: Required")
    if "json" not in kind:
        raise Refusal(422, "[]: Unsupported Content-Type")
    form = _object(call.body)
    for field, (kind_of, go_type) in FIELDS.items():
        value = form.get(field)
        if value is not None and not kind_of(value):
            raise Refusal(422, _mismatch(value, f"struct field CreateIssueOption.{field}", go_type))
    if not form.get("title"):
        raise Refusal(422, "[Title]: Required")
    return form


def _object(body: bytes) -> Form:
    try:
        form = json.loads(body)
    except ValueError as error:
        raise Refusal(422, "[]: unexpected EOF") from error
    if not isinstance(form, dict):
        raise Refusal(422, _mismatch(form, "value", "structs.CreateIssueOption"))
    return form


def _mismatch(value: object, place: str, go_type: str) -> str:
    inner = value[0] if isinstance(value, list) and value and go_type == "int64" else value
    found = {str: "string", list: "array", dict: "object", bool: "bool"}.get(type(inner), "number")
    return f"[]: json: cannot unmarshal {found} into Go {place} of type {go_type}"


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(_is_text(each) for each in value)


def _is_numbers(value: object) -> bool:
    return isinstance(value, list) and all(_is_number(each) for each in value)


FIELDS: dict[str, tuple[Callable[[object], bool], str]] = {
    "title": (_is_text, "string"),
    "body": (_is_text, "string"),
    "ref": (_is_text, "string"),
    "assignee": (_is_text, "string"),
    "assignees": (_is_texts, "[]string"),
    "milestone": (_is_number, "int64"),
    # Label ids. A list of names is what clients get wrong.
    "labels": (_is_numbers, "int64"),
    "closed": (lambda value: isinstance(value, bool), "bool"),
}


def _labels(call: Call, within: Repository, form: Form) -> tuple[Label, ...]:
    """Unknown ids, and ids of other repositories, are dropped in silence."""
    wanted = set(form.get("labels") or ())
    return tuple(label for label in call.state.labels_for(within) if label.id in wanted)


def _assignees(call: Call, form: Form) -> tuple[str, ...]:
    wanted = [*(form.get("assignees") or ()), *filter(None, [form.get("assignee")])]
    for login in wanted:
        if call.state.user(login) is None:
            raise Refusal(422, f"Assignee does not exist: [name: {login}]")
    return tuple(dict.fromkeys(wanted))


# The filters of the list

Filter = Callable[[Issue], bool]


def _filters(call: Call, within: Repository) -> list[Filter]:
    args = call.request.args
    filters = [_state_filter(args.get("state", ""))]
    if args.get("type") == "pulls":
        filters.append(lambda _: False)
    if login := args.get("created_by"):
        filters.append(_author_filter(call, login))
    if since := args.get("since"):
        moment = _moment(since)
        filters.append(lambda issue: issue.updated >= moment)
    if before := args.get("before"):
        limit = _moment(before)
        filters.append(lambda issue: issue.updated <= limit)
    if words := args.get("q", "").lower().split():
        filters.append(lambda issue: issue.is_indexed and _mentions(issue, words))
    return filters + _label_filters(call, within, args.get("labels", ""))


def _state_filter(state: str) -> Filter:
    if state == "all":
        return lambda _: True
    wanted: Literal["open", "closed"] = "closed" if state == "closed" else "open"
    return lambda issue: issue.state == wanted


def _author_filter(call: Call, login: str) -> Filter:
    user = call.state.user(login)
    if user is None:
        raise access.not_found(f"user does not exist [uid: 0, name: {login}]")
    return lambda issue: issue.author == user.login


def _label_filters(call: Call, within: Repository, names: str) -> list[Filter]:
    """All must be there; a name that no label has is forgotten, so the filter may vanish."""
    known = {label.name for label in call.state.labels_for(within)}
    wanted = known & set(names.split(","))
    return [lambda issue: wanted <= set(issue.label_names)] if wanted else []


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Refusal(422, f'parsing time "{text}" as RFC 3339 failed') from error
    if moment.tzinfo is None:
        raise Refusal(422, f'parsing time "{text}" as RFC 3339 failed')
    return moment


def _mentions(issue: Issue, words: list[str]) -> bool:
    text = f"{issue.title} {issue.body}".lower()
    return all(word in text for word in words)
