"""Every route is closed unless it is listed, and nothing changes by being looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.routing import Rule

from app.demo.forgejo import Forgejo
from app.demo.model import Model
from app.demo.reply import say
from app.guards import PUBLIC, SAFE_METHODS
from app.settings import Secret, Settings
from tests.support import Person, running

TOKEN = "a-dispatch-token"
CONVERSATION = "0" * 12
SAMPLES = {
    "path": "README.md",
    "filename": "js/main.js",
    "turn": f"{CONVERSATION}-{'0' * 8}",
    "conversation": CONVERSATION,
    "proposal": f"{CONVERSATION}-p{'0' * 8}",
    "user": "somebody",
    "name": "issue-create",
}
# Whatever changes something. A new line here is a new power: it wants a reason in docs/.
UNSAFE = {
    ("POST", "/actions/chat"),
    ("POST", "/auth/login"),
    ("POST", "/chat/action/<name>"),
    ("POST", "/chat/new"),
    ("POST", "/chat/proposals/<proposal>/check"),
    ("POST", "/chat/proposals/<proposal>/dismiss"),
    ("POST", "/chat/turns/<turn>/stop"),
    ("DELETE", "/chat/history/<conversation>"),  # out of sight; the record stays
}
FOREIGN: Mapping[str, Mapping[str, str]] = {
    "another site": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    "another port": {"Sec-Fetch-Site": "same-site"},
    "another site's fetch": {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    "a foreign origin": {"Origin": "http://evil.test"},
    "no origin at all": {"Origin": "null"},
    "a foreign referer": {"Referer": "http://evil.test/"},
    "nothing said": {},
}


@dataclass(frozen=True)
class Route:
    method: str
    rule: str
    endpoint: str
    url: str

    @property
    def is_safe(self) -> bool:
        return self.method in SAFE_METHODS


def routes(app: Flask) -> list[Route]:
    return [
        Route(method, rule.rule, rule.endpoint, url_of(app, rule))
        for rule in app.url_map.iter_rules()
        for method in sorted(rule.methods or ())
        if method not in ("HEAD", "OPTIONS")
    ]


def url_of(app: Flask, rule: Rule) -> str:
    values = {name: SAMPLES[name] for name in rule.arguments}
    return str(app.url_map.bind("localhost").build(rule.endpoint, values))


@pytest.fixture
def guarded(settings: Settings) -> Iterator[Flask]:
    yield from running(replace(settings, dispatch_token=Secret(TOKEN)))


@pytest.fixture
def stranger(guarded: Flask) -> Person:
    """Somebody without the token."""
    return Person(guarded.test_client())


def records(root: Path) -> dict[str, bytes]:
    """The history and the proposals, byte for byte."""
    state = root / ".lectern"
    files = [*state.glob("history/**/*"), *state.glob("proposals/*")]
    return {str(file): file.read_bytes() for file in files if file.is_file()}


def test_the_open_routes_are_pinned(app: Flask) -> None:
    assert {"health.healthz", "health.readyz", "static", "auth.login", "auth.enter"} == PUBLIC
    assert set(app.view_functions) >= PUBLIC


def test_the_routes_that_change_something_are_pinned(app: Flask) -> None:
    assert {(r.method, r.rule) for r in routes(app) if not r.is_safe} == UNSAFE


def test_no_route_takes_a_method_that_replaces_or_patches(app: Flask) -> None:
    assert {r.method for r in routes(app)} == {"GET", "POST", "DELETE"}


def test_every_route_that_is_not_open_turns_a_stranger_away(
    guarded: Flask, stranger: Person, model: Model, forgejo: Forgejo
) -> None:
    for route in routes(guarded):
        if route.endpoint in PUBLIC:
            continue
        fetched = stranger.fetch(route.url, route.method)
        assert fetched.status_code == 401, route
        assert fetched.get_json()["error"]["code"] == "sign_in", route
        navigated = stranger.client.open(route.url, method=route.method, headers=Person.PAGE)
        if route.is_safe:
            assert navigated.status_code == 302, route
            assert navigated.location.startswith("/auth/login?next=/"), route
        else:
            assert navigated.status_code == 401, route
            assert "Location" not in navigated.headers, route
        for method in ("HEAD", "OPTIONS"):
            assert stranger.fetch(route.url, method).status_code in (401, 405), (method, route)
    assert model.requests == []
    assert forgejo.requests == []


@pytest.mark.parametrize("path", ["/nothing", "/docs/nothing.md", "/chat/history/" + "f" * 12])
def test_a_stranger_does_not_learn_what_exists(stranger: Person, path: str) -> None:
    assert stranger.fetch(path).status_code == 401
    assert stranger.visit(path).status_code == 302


def test_the_open_routes_answer_a_stranger(guarded: Flask, stranger: Person) -> None:
    for route in routes(guarded):
        if route.endpoint in PUBLIC and route.is_safe:
            answer = stranger.client.get(route.url, headers=Person.PAGE, buffered=True)
            assert answer.status_code == 200, route


def test_what_is_open_tells_nothing_of_the_repository(stranger: Person) -> None:
    told = [stranger.fetch(path).text for path in ("/healthz", "/readyz", "/auth/login")]
    told.append(stranger.visit("/auth/login").text)
    for text in told:
        assert "README" not in text
        assert "setup.md" not in text


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN.keys())
def test_every_route_that_changes_something_refuses_other_origins(
    app: Flask, repository: Path, model: Model, forgejo: Forgejo, headers: dict[str, str]
) -> None:
    client = app.test_client()
    before = records(repository)
    for route in (r for r in routes(app) if not r.is_safe):
        bodies: tuple[dict[str, Any], ...] = ({"data": {"title": "x"}}, {"json": {"title": "x"}})
        for body in bodies:
            answer = client.open(route.url, method=route.method, headers=headers, **body)
            assert answer.status_code == 403, route
            assert "Access-Control-Allow-Origin" not in answer.headers
    assert records(repository) == before
    assert model.requests == []
    assert forgejo.requests == []


def test_a_signed_in_browser_is_refused_across_origins_too(guarded: Flask) -> None:
    person = Person(guarded.test_client())
    person.visit(f"/?token={TOKEN}")
    assert person.fetch("/chat/history").status_code == 200
    for route in (r for r in routes(guarded) if not r.is_safe):
        headers = {"Origin": "http://evil.test", "Sec-Fetch-Site": "cross-site"}
        answer = person.client.open(route.url, method=route.method, headers=headers)
        assert answer.status_code == 403, route


def test_looking_changes_nothing(
    app: Flask, person: Person, repository: Path, model: Model, forgejo: Forgejo
) -> None:
    marker = '<action type="issue-create">{"title": "A title"}</action>'
    model.script(say(f"Agreed. {marker}"), say(f"Agreed.\n\n{marker}"))
    person.ask("One?", doc="README.md")
    told = person.ask("Two?", doc="README.md")
    real = {**SAMPLES, **told["start"][0], **told["proposal"][0]}
    before, asked = records(repository), len(model.requests)
    for rule in app.url_map.iter_rules():
        values = {name: real[name] for name in rule.arguments}
        url = app.url_map.bind("localhost").build(rule.endpoint, values)
        for method in ("GET", "HEAD", "OPTIONS"):
            for headers in (Person.PAGE, Person.FETCH, {}):
                answer = person.client.open(url, method=method, headers=headers, buffered=True)
                assert answer.status_code < 500, (method, url)
    assert records(repository) == before
    assert len(model.requests) == asked
    assert {r.method for r in forgejo.requests} <= {"GET"}


def test_an_address_that_changes_something_is_not_to_be_looked_at(
    app: Flask, person: Person
) -> None:
    readable = {r.rule for r in routes(app) if r.is_safe}
    for route in (r for r in routes(app) if not r.is_safe and r.rule not in readable):
        for method in ("GET", "HEAD"):
            assert person.fetch(route.url, method).status_code == 405, (method, route)
        allowed = person.fetch(route.url, "OPTIONS")
        assert allowed.status_code == 200
        assert set(allowed.headers["Allow"].split(", ")) == {route.method, "OPTIONS"}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "PROPFIND", "FOO"])
def test_a_method_nobody_serves_is_not_possible(app: Flask, person: Person, method: str) -> None:
    for route in routes(app):
        assert person.fetch(route.url, method).status_code == 405, route


OVERRIDES = {
    "header": {"headers": {"X-HTTP-Method-Override": "DELETE"}},
    "other header": {"headers": {"X-HTTP-Method": "DELETE", "X-Method-Override": "DELETE"}},
    "query": {"query_string": {"_method": "DELETE"}},
}


@pytest.mark.parametrize("override", OVERRIDES.values(), ids=OVERRIDES.keys())
def test_a_method_cannot_be_overridden(
    person: Person, model: Model, override: dict[str, Any]
) -> None:
    model.script(say("One."))
    conversation = person.ask("One?", doc="README.md")["start"][0]["conversation"]
    address = f"/chat/history/{conversation}"
    assert person.fetch(address, **override).status_code == 200
    assert person.fetch(address, "POST", **override).status_code == 405
    hidden = {"_method": "DELETE"}
    assert person.fetch(address, "POST", data=hidden, **override).status_code == 405
    assert person.fetch(address).status_code == 200


def test_every_route_needs_an_address_of_this_computer(app: Flask) -> None:
    client = app.test_client()
    for route in routes(app):
        answer = client.open(route.url, method=route.method, headers={"Host": "evil.test"})
        assert answer.status_code == 400, route
