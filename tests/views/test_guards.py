"""Who may call what in local mode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.assets import static_path
from app.settings import Secret, Settings
from tests.support import Person, running

TOKEN = "a-dispatch-token"

FOREIGN_HOSTS = (
    "evil.test",
    "127.0.0.1.nip.io",
    "localhost.",
    "0.0.0.0",
    "127.1",
    "[::ffff:127.0.0.1]",
    "localhost:80@evil",
    "localhost:port",
    "localhost, evil.test",
    "",
)


@pytest.fixture
def client(bare_app: Flask) -> FlaskClient:
    return bare_app.test_client()


@pytest.fixture
def guarded(bare_settings: Settings) -> Iterator[Flask]:
    yield from running(replace(bare_settings, dispatch_token=Secret(TOKEN)))


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
@pytest.mark.parametrize("path", ["/", "/healthz", f"{static_path()}/js/main.js"])
def test_a_foreign_host_name_is_refused(client: FlaskClient, host: str, path: str) -> None:
    answer = client.get(path, headers={"Host": host}, buffered=True)
    assert answer.status_code == 400


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8765", "[::1]:8765", "LOCALHOST:1"])
def test_the_names_of_this_computer_are_allowed(client: FlaskClient, host: str) -> None:
    assert client.get("/", headers={"Host": host}).status_code == 200


def test_a_further_host_can_be_allowed(bare_settings: Settings) -> None:
    for app in running(replace(bare_settings, allowed_hosts=("desk.local",))):
        answer = app.test_client().get("/", headers={"Host": "desk.local:8765"})
        assert answer.status_code == 200


def test_a_caller_from_elsewhere_is_refused(client: FlaskClient) -> None:
    elsewhere = {"REMOTE_ADDR": "192.0.2.7"}
    assert client.get("/", environ_overrides=elsewhere).status_code == 403


@pytest.mark.parametrize(
    "name",
    [
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Prefix",
        "X-Real-IP",
        "X-Original-URL",
        "X-Forwarded-User",
    ],
)
def test_a_proxy_in_front_is_refused(client: FlaskClient, name: str) -> None:
    assert client.get("/", headers={name: "127.0.0.1"}).status_code == 403


ORIGINS = {
    "same origin": ({"Sec-Fetch-Site": "same-origin"}, True),
    "our origin": ({"Origin": "http://localhost"}, True),
    "our referer": ({"Referer": "http://localhost/docs/x"}, True),
    "typed in": ({"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, True),
    "nothing said": ({}, False),
    "another site": ({"Sec-Fetch-Site": "cross-site"}, False),
    "another port": ({"Sec-Fetch-Site": "same-site"}, False),
    "a fetch from nowhere": ({"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "cors"}, False),
    "null": ({"Origin": "null"}, False),
    "another scheme": ({"Origin": "https://localhost"}, False),
    "our origin as a prefix": ({"Origin": "http://localhost.evil.test"}, False),
    "another port's origin": ({"Origin": "http://localhost:9999"}, False),
    "a foreign referer": ({"Referer": "http://evil.test/http://localhost/"}, False),
    "ours, but said to be foreign": (
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
        False,
    ),
}


@pytest.mark.parametrize(("headers", "is_ours"), ORIGINS.values(), ids=ORIGINS.keys())
def test_what_changes_something_comes_from_our_pages(
    client: FlaskClient, headers: dict[str, str], is_ours: bool
) -> None:
    answer = client.post("/chat/new", json={"doc": "README.md"}, headers=headers)
    assert (answer.status_code in (201, 303)) is is_ours
    assert (answer.status_code == 403) is not is_ours


@pytest.mark.parametrize(
    "path", ["/", "/docs/README.md", "/history", "/chat/panel", "/nothing", "/raw/README.md"]
)
def test_without_the_token_a_page_leads_to_the_sign_in(guarded: Flask, path: str) -> None:
    answer = Person(guarded.test_client()).visit(path)
    assert answer.status_code == 302
    assert answer.location.startswith("/auth/login?next=")


def test_without_the_token_everything_else_is_401(guarded: Flask) -> None:
    person = Person(guarded.test_client())
    assert person.fetch("/chat/history").status_code == 401
    assert person.fetch("/chat/new", "POST", json={}).status_code == 401
    assert person.submit("/chat/new").status_code == 401
    assert person.swap("/chat/action/issue-create").status_code == 401


def test_the_token_in_the_address_becomes_a_session_and_leaves_it(guarded: Flask) -> None:
    person = Person(guarded.test_client())
    answer = person.visit(f"/docs/README.md?token={TOKEN}&ask=1")
    assert answer.status_code == 302
    assert answer.location == "/docs/README.md?ask=1"
    assert TOKEN not in answer.headers["Set-Cookie"]
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert person.visit("/docs/README.md").status_code == 200


def test_a_wrong_token_is_no_token(guarded: Flask) -> None:
    assert Person(guarded.test_client()).visit("/?token=wrong").status_code == 302
    assert Person(guarded.test_client()).fetch("/?token=wrong").status_code == 401


@pytest.mark.parametrize(
    "headers", [{"Authorization": f"Bearer {TOKEN}"}, {"X-Dispatch-Token": TOKEN}]
)
def test_a_script_brings_the_token_in_a_header(guarded: Flask, headers: dict[str, str]) -> None:
    client = guarded.test_client()
    assert client.get("/chat/history", headers=headers).status_code == 200
    assert client.post("/chat/new", json={}, headers=headers).status_code == 201


def test_a_token_does_not_excuse_a_foreign_page(guarded: Flask) -> None:
    headers = {"X-Dispatch-Token": TOKEN, "Origin": "http://evil.test"}
    assert guarded.test_client().post("/chat/new", json={}, headers=headers).status_code == 403


def test_the_token_can_be_typed_in(guarded: Flask) -> None:
    person = Person(guarded.test_client())
    wrong = person.submit("/auth/login", token="wrong", next="/history")
    assert wrong.status_code == 401
    right = person.submit("/auth/login", token=TOKEN, next="/history")
    assert (right.status_code, right.location) == (303, "/history")
    assert person.visit("/history").status_code == 200


@pytest.mark.parametrize(
    "target", ["//evil.test", "/\\evil.test", "/\t/evil.test", "https://evil.test", "/\r\nX: y"]
)
def test_signing_in_leads_nowhere_else(guarded: Flask, target: str) -> None:
    answer = Person(guarded.test_client()).submit("/auth/login", token=TOKEN, next=target)
    assert answer.location == "/"


def test_a_session_of_another_token_is_worthless(guarded: Flask, bare_settings: Settings) -> None:
    person = Person(guarded.test_client())
    cookie = person.visit(f"/?token={TOKEN}").headers["Set-Cookie"].partition(";")[0]
    for other in running(replace(bare_settings, dispatch_token=Secret("another-token"))):
        client = other.test_client()
        name, _, value = cookie.partition("=")
        client.set_cookie(name, value)
        assert client.get("/chat/history").status_code == 401


def test_health_needs_no_token(guarded: Flask) -> None:
    client = guarded.test_client()
    assert client.get("/healthz").text == "ok"
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/nothing", f"{static_path()}/js/main.js", "/chat/history"]
)
def test_every_answer_carries_the_headers(client: FlaskClient, path: str) -> None:
    headers = client.get(path, buffered=True).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "Access-Control-Allow-Origin" not in headers


def test_a_refusal_carries_the_headers_too(client: FlaskClient) -> None:
    answer = client.get("/", headers={"Host": "evil.test"})
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_static_files_may_be_kept_for_good(client: FlaskClient) -> None:
    answer = client.get(f"{static_path()}/js/main.js", buffered=True)
    assert "max-age=31536000" in answer.headers["Cache-Control"]
    assert "no-store" not in answer.headers["Cache-Control"]


def test_an_address_that_takes_other_methods_names_them(client: FlaskClient) -> None:
    answer = client.get("/chat/new")
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "OPTIONS, POST"
