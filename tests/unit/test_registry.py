"""The closed schemas of the actions: what a payload may hold, and what it is made into."""

from __future__ import annotations

from typing import Any

import pytest

from app.actions.registry import (
    ACTIONS,
    INSTRUCTIONS,
    MAX_BODY_BYTES,
    MAX_NAME_CHARS,
    MAX_NAMES,
    MAX_TITLE_BYTES,
    check,
)

ISSUE = ACTIONS["issue-create"]
ALLOWED = ("acme/widgets", "acme/other")


def checked(**raw: object) -> Any:
    return check(ISSUE, {"title": "A title", **raw}, repositories=ALLOWED)


def test_there_is_one_action_in_this_version_and_the_table_is_read_only() -> None:
    assert set(ACTIONS) == {"issue-create"}
    with pytest.raises(TypeError):
        ACTIONS["delete"] = ISSUE  # type: ignore[index]


def test_every_action_is_known_by_its_own_name_and_names_its_effect() -> None:
    for name, action in ACTIONS.items():
        assert action.name == name
        assert action.verb
        assert action.noun
        assert action.service
        for field in action.fields:
            assert action.field(field.name) is field
        assert action.field("nope") is None


def test_the_model_is_told_how_to_write_each_action() -> None:
    for name, action in ACTIONS.items():
        assert f'<action type="{name}">' in INSTRUCTIONS
        assert all(f'"{field.name}"' in INSTRUCTIONS for field in action.fields)


def test_a_bare_title_is_a_whole_payload() -> None:
    found = checked()
    assert found.problems == {}
    assert found.payload == {"repo": "acme/widgets", "title": "A title", "body": "", "labels": []}


REGULAR: dict[str, tuple[dict[str, object], str, object]] = {
    "blanks around a title": ({"title": "  a  "}, "title", "a"),
    "dos lines": ({"body": "a\r\nb"}, "body", "a\nb"),
    "a text keeps its blanks": ({"body": "  a\n\n"}, "body", "  a\n\n"),
    "tabs in a text": ({"body": "\ta"}, "body", "\ta"),
    "other scripts": ({"title": "Überschrift 標題 עברית"}, "title", "Überschrift 標題 עברית"),
    "joined emoji": ({"title": "👩‍🚒"}, "title", "👩‍🚒"),
    "nothing for a text": ({"body": None}, "body", ""),
    "nothing for names": ({"labels": None}, "labels", []),
    "names once each": ({"labels": ["b", "a", "b", " a "]}, "labels", ["b", "a"]),
    "empty names": ({"labels": ["", "  ", "a"]}, "labels", ["a"]),
    "another allowed repository": ({"repo": "acme/other"}, "repo", "acme/other"),
    "no repository": ({"repo": ""}, "repo", "acme/widgets"),
    "null for a repository": ({"repo": None}, "repo", "acme/widgets"),
}


@pytest.mark.parametrize(("raw", "key", "value"), REGULAR.values(), ids=REGULAR.keys())
def test_a_payload_is_made_regular(raw: dict[str, object], key: str, value: object) -> None:
    found = checked(**raw)
    assert found.problems == {}
    assert found.payload[key] == value


FITS = {
    "title": {"title": "x" * MAX_TITLE_BYTES},
    "title in two bytes": {"title": "é" * (MAX_TITLE_BYTES // 2)},
    "body": {"body": "x" * MAX_BODY_BYTES},
    "labels": {"labels": [f"{n:0{MAX_NAME_CHARS}}" for n in range(MAX_NAMES)]},
}


@pytest.mark.parametrize("raw", FITS.values(), ids=FITS.keys())
def test_what_just_fits_is_taken(raw: dict[str, object]) -> None:
    assert checked(**raw).problems == {}


WRONG: dict[str, tuple[dict[str, object], str]] = {
    "no title": ({"title": None}, "title"),
    "empty title": ({"title": ""}, "title"),
    "blank title": ({"title": " \t "}, "title"),
    "title of 256 bytes": ({"title": "x" * (MAX_TITLE_BYTES + 1)}, "title"),
    "title of 128 letters of two bytes": ({"title": "é" * 128}, "title"),
    "title is a number": ({"title": 7}, "title"),
    "title is true": ({"title": True}, "title"),
    "title is a list": ({"title": ["a"]}, "title"),
    "title is an object": ({"title": {"a": "b"}}, "title"),
    "title of two lines": ({"title": "a\nb"}, "title"),
    "title with a carriage return": ({"title": "a\rb"}, "title"),
    "title of two dos lines": ({"title": "a\r\nb"}, "title"),
    "title with a tab": ({"title": "a\tb"}, "title"),
    "title with NUL": ({"title": "a\x00b"}, "title"),
    "title with escape": ({"title": "a\x1b[31mb"}, "title"),
    "title with a C1 control": ({"title": "a\x85b"}, "title"),
    "title with a line separator": ({"title": "a\u2028b"}, "title"),
    "title turned around": ({"title": "a\u202eb"}, "title"),
    "title isolated": ({"title": "a\u2066b"}, "title"),
    "title with tag characters": ({"title": "a\U000e0041"}, "title"),
    "title with half a pair": ({"title": "a\ud800"}, "title"),
    "body is too long": ({"body": "x" * (MAX_BODY_BYTES + 1)}, "body"),
    "body is too long in bytes": ({"body": "é" * (MAX_BODY_BYTES // 2 + 1)}, "body"),
    "body is a list": ({"body": ["a"]}, "body"),
    "body with NUL": ({"body": "a\x00"}, "body"),
    "body turned around": ({"body": "a\u202eb"}, "body"),
    "body with half a pair": ({"body": "\udfff"}, "body"),
    "labels are one text": ({"labels": "bug"}, "labels"),
    "labels are ids": ({"labels": [1, 2]}, "labels"),
    "labels are an object": ({"labels": {"bug": True}}, "labels"),
    "too many labels": ({"labels": [str(n) for n in range(MAX_NAMES + 1)]}, "labels"),
    "a label that is too long": ({"labels": ["x" * (MAX_NAME_CHARS + 1)]}, "labels"),
    "a label of two lines": ({"labels": ["a\nb"]}, "labels"),
    "a label turned around": ({"labels": ["good", "a\u202eb"]}, "labels"),
    "another key": ({"assignee": "me"}, "assignee"),
    "the key in capitals": ({"Title": "x"}, "Title"),
    "a key with a blank": ({"title ": "x"}, "title "),
    "a foreign repository": ({"repo": "evil/widgets"}, "repo"),
    "a repository in capitals": ({"repo": "ACME/widgets"}, "repo"),
    "a repository with its suffix": ({"repo": "acme/widgets.git"}, "repo"),
    "a repository that climbs": ({"repo": "acme/widgets/../x"}, "repo"),
    "a repository with blanks": ({"repo": " acme/widgets"}, "repo"),
    "a repository in look-alike letters": ({"repo": "аcme/widgets"}, "repo"),
    "a repository that is a list": ({"repo": ["acme/widgets"]}, "repo"),
    "a repository that is false": ({"repo": False}, "repo"),
    "a repository that is zero": ({"repo": 0}, "repo"),
}


@pytest.mark.parametrize(("raw", "key"), WRONG.values(), ids=WRONG.keys())
def test_what_does_not_fit_is_a_problem_of_its_key_alone(raw: dict[str, object], key: str) -> None:
    problems = checked(**raw).problems
    assert list(problems) == [key]
    assert problems[key].endswith(".")


def test_every_problem_is_told_at_once() -> None:
    problems = checked(title="", body=7, labels="x", repo="x", more=1, other=2).problems
    assert set(problems) == {"title", "body", "labels", "repo", "more", "other"}


def test_a_problem_names_the_hidden_character_instead_of_repeating_it() -> None:
    problem = checked(title="a\u202eb").problems["title"]
    assert "U+202E" in problem
    assert "\u202e" not in problem


def test_a_strange_key_is_named_short_and_printable() -> None:
    key = "\u202e" + "x" * 500 + "\x1b"
    (problem,) = checked(**{key: 1}).problems.values()
    assert problem.isprintable()
    assert len(problem) < 100


@pytest.mark.parametrize("repo", [None, "", "acme/widgets"])
def test_without_a_forge_nothing_is_targeted(repo: str | None) -> None:
    found = check(ISSUE, {"title": "x", "repo": repo}, repositories=())
    assert found.payload["repo"] == ""
    assert ("repo" in found.problems) is (repo == "acme/widgets")


def test_a_checked_payload_checks_out_unchanged() -> None:
    once = checked(title=" a ", body="b\r\nc", labels=["x", "x "])
    again = check(ISSUE, once.payload, repositories=ALLOWED)
    assert again == once
