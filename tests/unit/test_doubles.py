"""The doubles behave on the wire as their originals do: over real HTTP, with a plain client."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from app.demo.forgejo import Forgejo
from app.demo.model import (
    Chunk,
    Cut,
    Delta,
    End,
    Model,
    Pause,
    Reasoning,
    Reply,
    Stamp,
    Text,
    ToolCall,
    Wait,
    call_tool,
    call_tools,
    fail_midway,
    raw,
    refuse,
    say,
    whole,
)
from app.demo.traffic import Fault
from app.demo.wire import ClientGone, serve
from app.demo.woodpecker import Run, Woodpecker

TOKEN = "0123456789abcdef0123456789abcdef01234567"
OTHER_TOKEN = "76543210fedcba9876543210fedcba9876543210"
ISSUES = "/api/v1/repos/acme/widgets/issues"


class Client:
    """A session that follows nothing and believes nothing in the environment."""

    def __init__(self, url: str, authorization: str | None = None) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False
        if authorization:
            self._session.headers["Authorization"] = authorization

    def get(self, path: str, **options: Any) -> requests.Response:
        return self._send("GET", path, **options)

    def post(self, path: str, payload: object = None, **options: Any) -> requests.Response:
        if payload is not None:
            options["json"] = payload
        return self._send("POST", path, **options)

    def stream(self, **body: Any) -> requests.Response:
        payload = {"model": "m", "messages": [], "stream": True, **body}
        return self.post("/v1/chat/completions", payload, stream=True)

    def close(self) -> None:
        self._session.close()

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        options = {"timeout": 10, "allow_redirects": False} | options
        return self._session.request(method, self.url + path, **options)


@pytest.fixture
def client_for() -> Iterator[Any]:
    """Serve an app and hand out clients for it."""
    opened: list[Any] = []

    def client(app: Any, authorization: str | None = None) -> Client:
        server = serve(app)
        made = Client(server.url, authorization)
        opened.extend([made, server])
        return made

    yield client
    for each in opened:
        each.close()


# The wire


def test_closing_the_server_ends_open_streams_at_once(client_for: Any) -> None:
    model = Model()
    server = serve(model)
    model.script(Reply((Text("a"), Wait(threading.Event(), timeout_s=None))))
    client = Client(server.url)
    answer = client.stream()
    assert model.wait_for_open_streams(1)
    started = time.monotonic()
    server.close()
    assert time.monotonic() - started < 1.0
    assert model.open_streams == 0
    answer.close()
    client.close()


def test_a_body_of_unknown_length_comes_in_chunks(client_for: Any) -> None:
    model = Model()
    model.script(say("hello"))
    answer = client_for(model).stream()
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert answer.raw.version == 11
    answer.close()


# The model's server


def frames(answer: requests.Response) -> list[Any]:
    """The JSON of every data line but the last, which has to be [DONE]."""
    lines = [line for line in answer.content.decode().splitlines() if line]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def deltas(chunks: list[Any]) -> list[Any]:
    return [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]


def test_an_answer_is_streamed_as_openai_streams_it(client_for: Any) -> None:
    model = Model()
    model.script(say("Hello there"))
    client = client_for(model, "Bearer key")
    chunks = frames(client.stream(stream_options={"include_usage": True}))
    assert deltas(chunks) == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "Hello "},
        {"content": "there"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [*[None] * 3, "stop"]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 4
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}


def test_usage_is_not_told_to_those_who_do_not_ask(client_for: Any) -> None:
    model = Model()
    model.script(say("Hello"))
    chunks = frames(client_for(model).stream())
    assert all("usage" not in chunk for chunk in chunks)


def test_usage_can_come_in_every_chunk_or_unasked_or_never(client_for: Any) -> None:
    model = Model()
    model.script(say("a b", usage="every"), say("a b", usage="always"), say("a b", usage="none"))
    client = client_for(model)
    every = frames(client.stream())
    assert [chunk["usage"]["completion_tokens"] for chunk in every] == [1, 2, 3, 4]
    assert frames(client.stream())[-1]["usage"]["completion_tokens"] == 4
    asked = frames(client.stream(stream_options={"include_usage": True}))
    assert all("usage" not in chunk for chunk in asked)


def test_a_tool_call_comes_in_pieces_that_make_its_arguments(client_for: Any) -> None:
    model = Model()
    model.script(call_tool("read_file", {"path": "docs/öl.md"}, call_id="c9"))
    calls = [delta["tool_calls"][0] for delta in deltas(frames(client_for(model).stream()))[1:-1]]
    assert calls[0] == {
        "index": 0,
        "id": "c9",
        "type": "function",
        "function": {"name": "read_file", "arguments": ""},
    }
    assert all(set(call) == {"index", "function"} for call in calls[1:])
    pieces = [call["function"]["arguments"] for call in calls]
    assert len(pieces) > 2
    assert json.loads("".join(pieces)) == {"path": "docs/öl.md"}


def test_parallel_tool_calls_have_their_own_index_and_id(client_for: Any) -> None:
    model = Model()
    model.script(call_tools(("a", {}), ("b", {"q": 1}), before="One moment."))
    chunks = frames(client_for(model).stream())
    named = [d["tool_calls"][0] for d in deltas(chunks) if "id" in d.get("tool_calls", [{}])[0]]
    assert [(call["index"], call["id"]) for call in named] == [(0, "call_1"), (1, "call_2")]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("frame", "delta"),
    [
        pytest.param(
            ToolCall("a", {"x": 1}, index=None),
            {
                "tool_calls": [
                    {"type": "function", "function": {"name": "a", "arguments": {"x": 1}}}
                ]
            },
            id="whole call at once, arguments an object, no index, no id",
        ),
        pytest.param(
            ToolCall(arguments="}", id="c2"),
            {"tool_calls": [{"index": 0, "id": "c2", "function": {"arguments": "}"}}]},
            id="another call at index 0",
        ),
        pytest.param(
            Reasoning("hm"), {"content": None, "reasoning_content": "hm"}, id="reasoning_content"
        ),
        pytest.param(
            Reasoning("hm", "reasoning"), {"content": None, "reasoning": "hm"}, id="reasoning"
        ),
        pytest.param(Delta(None), None, id="null delta"),
        pytest.param(Delta({"content": None}), {"content": None}, id="null content"),
    ],
)
def test_other_servers_deltas_can_be_sent(client_for: Any, frame: Any, delta: Any) -> None:
    model = Model()
    model.script(Reply((frame,)))
    assert deltas(frames(client_for(model).stream()))[1] == delta


@pytest.mark.parametrize(
    "payload", [{"choices": []}, {"choices": None}, {"id": "x"}, {"error": {}}]
)
def test_any_chunk_can_be_sent(client_for: Any, payload: Any) -> None:
    model = Model()
    model.script(Reply((Chunk(payload),)))
    assert frames(client_for(model).stream())[1] == payload


@pytest.mark.parametrize("reason", ["", "eos", "length", "stop"])
def test_any_finish_reason_can_be_given(client_for: Any, reason: str) -> None:
    model = Model()
    model.script(Reply((ToolCall("a", "{}", "c1"),), finish_reason=reason))
    assert frames(client_for(model).stream())[-1]["choices"][0]["finish_reason"] == reason


def test_a_missing_finish_reason_still_ends_with_done(client_for: Any) -> None:
    model = Model()
    model.script(say("a", finish_reason=None))
    assert deltas(frames(client_for(model).stream()))[-1] == {"content": "a"}


def test_a_clean_end_has_neither_reason_nor_done(client_for: Any) -> None:
    model = Model()
    model.script(Reply((Text("half"), End())))
    text = client_for(model).stream().content.decode()
    assert "half" in text
    assert "[DONE]" not in text
    assert '"finish_reason":"stop"' not in text


def test_a_cut_breaks_the_body_and_is_no_disconnect(client_for: Any) -> None:
    model = Model()
    model.script(Reply((Text("half"), Cut())))
    answer = client_for(model).stream()
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        _ = answer.content
    assert model.wait_for_open_streams(0)
    assert model.disconnects == 0


def test_an_error_object_can_stand_in_the_stream(client_for: Any) -> None:
    model = Model()
    model.script(fail_midway("some text", "overloaded"))
    text = client_for(model).stream().content.decode()
    assert '"error":{"message":"overloaded"' in text
    assert "[DONE]" not in text


def test_line_ends_and_blanks_can_be_other_servers(client_for: Any) -> None:
    model = Model()
    model.script(Reply((Text("a"),), newline="\r\n", after_colon=""))
    body = client_for(model).stream().content
    assert b"data:{" in body
    assert body.endswith(b"data:[DONE]\r\n\r\n")


def test_bytes_go_out_as_they_are_and_apart(client_for: Any) -> None:
    euro = "€".encode()
    model = Model()
    gate = threading.Event()
    model.script(raw(b'data: {"x":"' + euro[:1], Wait(gate), euro[1:] + b'"}\n\n'))
    answer = client_for(model).stream()
    pieces = answer.iter_content(None)
    first = next(pieces)
    gate.set()
    assert first == b'data: {"x":"' + euro[:1]
    assert b"".join(pieces) == euro[1:] + b'"}\n\n'


def test_a_plain_answer_can_stand_in_for_a_stream(client_for: Any) -> None:
    model = Model()
    model.script(whole(b"<h1>Bad gateway</h1>", "text/html"), whole(b"{}", "application/json"))
    client = client_for(model)
    html = client.stream()
    assert (html.status_code, html.text) == (200, "<h1>Bad gateway</h1>")
    assert client.stream().headers["Content-Type"] == "application/json"


def test_a_refusal_has_openai_s_shape_and_our_headers(client_for: Any) -> None:
    model = Model()
    model.script(refuse(429, "Slow down.", code="rate_limit", headers={"Retry-After": "7"}))
    answer = client_for(model).stream()
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "7"
    assert answer.json()["error"]["message"] == "Slow down."


def test_a_wrong_key_is_refused_and_the_script_is_kept(client_for: Any) -> None:
    model = Model(api_key="good")
    model.script(say("hello"))
    answer = client_for(model, "Bearer bad").stream()
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert "bad" in answer.json()["error"]["message"]
    assert model.requests == []
    assert client_for(model, "Bearer good").stream().status_code == 200


def test_a_field_the_server_does_not_know_is_422_by_name(client_for: Any) -> None:
    client = client_for(Model(refused_fields=["stream_options"]))
    refused = client.stream(stream_options={"include_usage": True})
    assert refused.status_code == 422
    assert "stream_options" in refused.text


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model":"m"}'])
def test_a_completion_without_messages_is_400(client_for: Any, body: bytes) -> None:
    assert client_for(Model()).post("/v1/chat/completions", data=body).status_code == 400


def test_models_are_listed_and_other_paths_are_not_there(client_for: Any) -> None:
    client = client_for(Model())
    assert client.get("/v1/models").json()["data"][0]["id"] == "simulated"
    assert client.get("/chat/completions").status_code == 404


def test_requests_are_remembered_with_their_headers(client_for: Any) -> None:
    model = Model()
    model.script(say("a"))
    messages = [{"role": "user", "content": "hi"}]
    client_for(model, "Bearer k").stream(messages=messages).close()
    assert model.wait_for_requests(1)
    (request,) = model.requests
    assert request.messages == messages
    assert request.headers["Authorization"] == "Bearer k"
    assert json.loads(request.raw) == request.body


@pytest.mark.parametrize(
    "halt", [Wait(threading.Event(), None), Pause(30.0)], ids=["wait", "pause"]
)
def test_a_client_that_leaves_is_noticed_while_the_stream_rests(client_for: Any, halt: Any) -> None:
    model = Model()
    model.script(Reply((Text("a"), halt)))
    answer = client_for(model).stream()
    # Kept: an iterator that is thrown away closes the connection.
    lines = answer.iter_lines()
    assert next(lines)
    assert not model.disconnected.is_set()
    answer.close()
    assert model.disconnected.wait(2.0)
    assert model.disconnects == 1


def test_a_client_that_leaves_is_noticed_while_text_is_sent(client_for: Any) -> None:
    model = Model()
    model.script(Reply(tuple(Text("word ") for _ in range(200_000))))
    answer = client_for(model).stream()
    lines = answer.iter_lines()
    assert next(lines)
    answer.close()
    assert model.disconnected.wait(5.0)


def test_a_reader_who_stays_to_the_end_has_not_left(client_for: Any) -> None:
    model = Model()
    model.script(say("a b c"))
    frames(client_for(model).stream())
    assert model.wait_for_open_streams(0)
    assert model.disconnects == 0


def test_a_stamp_says_when_it_left(client_for: Any) -> None:
    model = Model()
    model.script(Reply((Stamp(),)))
    before = time.monotonic_ns()
    sent = int(deltas(frames(client_for(model).stream()))[1]["content"])
    assert before < sent < time.monotonic_ns()


# Forgejo: who is calling


@pytest.fixture
def forgejo() -> Forgejo:
    return seeded(Forgejo())


def seeded(forgejo: Forgejo, **options: Any) -> Forgejo:
    labels = [("bug", "d73a4a"), ("documentation", "0075ca")]
    forgejo.add_repository("acme/widgets", labels=labels, **options)
    forgejo.add_token(TOKEN, "lectern-bot")
    return forgejo


@pytest.fixture
def api(client_for: Any, forgejo: Forgejo) -> Client:
    return client_for(forgejo, f"token {TOKEN}")


@pytest.mark.parametrize(
    ("version", "scheme", "is_known"),
    [
        ("15.0.3", "token", True),
        ("15.0.3", "Token", True),
        ("11.0.15", "Token", False),
        ("11.0.15", "BEARER", True),
        ("15.0.3", "Digest", False),
    ],
)
def test_the_scheme_word_counts(client_for: Any, version: str, scheme: str, is_known: bool) -> None:
    client = client_for(seeded(Forgejo(version)), f"{scheme} {TOKEN}")
    answer = client.get("/api/v1/user")
    assert answer.status_code == (200 if is_known else 401)
    assert is_known or answer.json()["message"] == "token is required"


def test_a_header_of_three_words_counts_as_none(client_for: Any, forgejo: Forgejo) -> None:
    client = client_for(forgejo, f"token {TOKEN} x")
    assert client.get("/api/v1/version").status_code == 200
    assert client.get("/api/v1/user").status_code == 401


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ("11.0.15", "user does not exist [uid: 0, name: ]"),
        ("15.0.3", f"access token does not exist [sha: {OTHER_TOKEN}]"),
        (
            "16.0.0",
            "user does not exist [uid: 0, name: ]\n"
            f"access token does not exist [sha: {OTHER_TOKEN}]",
        ),
    ],
)
def test_a_bad_token_is_refused_first_and_from_15_on_echoed(
    client_for: Any, version: str, text: str
) -> None:
    client = client_for(seeded(Forgejo(version)), f"Bearer {OTHER_TOKEN}")
    for path in ("/api/v1/version", "/api/v1/repos/no/where"):
        answer = client.get(path)
        assert answer.status_code == 401
        assert answer.json() == {"message": text, "url": f"{client.url}/api/swagger"}


def test_a_token_must_look_like_one() -> None:
    with pytest.raises(ValueError, match="40 lower-case hex"):
        Forgejo().add_token("secret", "ada")


def test_scopes_are_checked_before_the_repository(client_for: Any, forgejo: Forgejo) -> None:
    forgejo.add_token(OTHER_TOKEN, "ada", scopes=["read:issue", "read:repository"])
    client = client_for(forgejo, f"token {OTHER_TOKEN}")
    assert client.get("/api/v1/repos/acme/widgets/labels").status_code == 200
    answer = client.post("/api/v1/repos/no/where/issues", {"title": "x"})
    assert answer.status_code == 403
    text = "token does not have at least one of required scope(s): [write:issue]"
    assert answer.json()["message"] == text
    assert client.get("/api/v1/user").status_code == 403
    assert client.get("/api/v1/version").status_code == 200


def test_only_administrators_may_act_as_others(client_for: Any, forgejo: Forgejo) -> None:
    forgejo.add_user("root", is_admin=True)
    forgejo.add_token(OTHER_TOKEN, "root")
    admin = client_for(forgejo, f"token {OTHER_TOKEN}")
    assert admin.get("/api/v1/user?sudo=lectern-bot").json()["login"] == "lectern-bot"
    assert admin.get("/api/v1/user?sudo=nobody").status_code == 404
    plain = client_for(forgejo, f"token {TOKEN}")
    refused = plain.get("/api/v1/user", headers={"Sudo": "root"})
    assert refused.status_code == 403
    assert refused.json() == {"message": "Only administrators allowed to sudo."}


def test_a_private_repository_looks_like_none(client_for: Any) -> None:
    forgejo = seeded(Forgejo(), private=True, writers=["ada"])
    hidden = client_for(forgejo, f"token {TOKEN}").get("/api/v1/repos/acme/widgets")
    assert hidden.status_code == 404
    assert hidden.json()["errors"] == []
    assert client_for(forgejo).get("/api/v1/repos/acme/widgets").status_code == 404
    forgejo.add_token(OTHER_TOKEN, "ada")
    shown = client_for(forgejo, f"token {OTHER_TOKEN}").get("/api/v1/repos/acme/widgets")
    assert shown.json()["permissions"]["push"] is True


def test_a_token_limited_to_other_repositories_only_reads(
    client_for: Any, forgejo: Forgejo
) -> None:
    forgejo.add_token(OTHER_TOKEN, "ada", ["write:issue"], repositories=["acme/gadgets"])
    client = client_for(forgejo, f"token {OTHER_TOKEN}")
    made = client.post(ISSUES, {"title": "x", "labels": [forgejo.label_id("acme/widgets", "bug")]})
    assert made.status_code == 201
    assert made.json()["labels"] == []


@pytest.mark.parametrize(
    ("version", "status"), [("11.0.15", 307), ("12.0.0", 301), ("15.0.3", 301)]
)
def test_a_renamed_repository_redirects(client_for: Any, version: str, status: int) -> None:
    forgejo = seeded(Forgejo(version))
    forgejo.rename_repository("acme/widgets", "acme/gadgets")
    client = client_for(forgejo, f"token {TOKEN}")
    answer = client.post(ISSUES, {"title": "x"})
    assert answer.status_code == status
    assert answer.headers["Location"] == "/api/v1/repos/acme/gadgets/issues"
    assert forgejo.issues("acme/gadgets") == ()
    listed = client.get(f"{ISSUES}?page=2")
    assert listed.headers["Location"] == "/api/v1/repos/acme/gadgets/issues?page=2"


# Forgejo: small reads


def test_the_version_is_told_to_anyone(client_for: Any, forgejo: Forgejo) -> None:
    answer = client_for(forgejo).get("/api/v1/version")
    assert answer.json() == {"version": "15.0.3+gitea-1.22.0"}
    assert answer.headers["Content-Type"] == "application/json;charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_slashes_are_forgiven(api: Client) -> None:
    assert api.get("//api//v1/version/").status_code == 200


def test_an_unknown_address_is_a_json_404(api: Client) -> None:
    answer = api.get("/api/v1/nothing")
    assert answer.status_code == 404
    assert set(answer.json()) == {"message", "url", "errors"}


def test_branches_are_listed_and_an_empty_repository_has_null(
    client_for: Any, forgejo: Forgejo
) -> None:
    forgejo.add_repository("acme/many", branches=["main", "feature/lamp"])
    forgejo.add_repository("acme/empty", branches=[])
    client = client_for(forgejo, f"token {TOKEN}")
    listed = client.get("/api/v1/repos/acme/many/branches").json()
    assert [branch["name"] for branch in listed] == ["main", "feature/lamp"]
    assert client.get("/api/v1/repos/acme/empty/branches").json() is None
    for spelt in ("feature/lamp", "feature%2Flamp"):
        assert client.get(f"/api/v1/repos/acme/many/branches/{spelt}").status_code == 200
    missing = client.get("/api/v1/repos/acme/many/branches/gone")
    assert missing.json()["errors"] == ["branch does not exist [name: gone]"]


def test_labels_come_in_pages_only_when_a_page_is_asked_for(client_for: Any) -> None:
    forgejo = Forgejo()
    names = [(f"label {number:02}", "ededed") for number in range(70)]
    forgejo.add_repository("acme/widgets", labels=names, organisation=True)
    client = client_for(forgejo)
    path = "/api/v1/repos/acme/widgets/labels"
    assert len(client.get(f"{path}?limit=5").json()) == 70
    assert len(client.get(f"{path}?page=1").json()) == 30
    assert len(client.get(f"{path}?page=1&limit=500").json()) == 50
    second = client.get(f"{path}?page=2&limit=50")
    assert [label["name"] for label in second.json()][0] == "label 50"
    assert second.headers["X-Total-Count"] == "70"
    assert "Link" not in second.headers


def test_organisation_labels_are_listed_apart(client_for: Any) -> None:
    forgejo = Forgejo()
    forgejo.add_repository(
        "acme/widgets",
        labels=[("bug", "d73a4a")],
        organisation=True,
        organisation_labels=[("security", "000000")],
    )
    forgejo.add_repository("ada/notes")
    client = client_for(forgejo)
    own = client.get("/api/v1/repos/acme/widgets/labels").json()
    assert [label["name"] for label in own] == ["bug"]
    shared = client.get("/api/v1/orgs/acme/labels").json()
    assert [(label["name"], label["color"]) for label in shared] == [("security", "000000")]
    assert client.get("/api/v1/orgs/ada/labels").status_code == 404


# Forgejo: creating issues


def test_an_issue_is_created_with_the_labels_asked_for(api: Client, forgejo: Forgejo) -> None:
    bug = forgejo.label_id("acme/widgets", "bug")
    answer = api.post(ISSUES, {"title": " Lamp ", "body": "It flickers.", "labels": [bug, 4711]})
    assert answer.status_code == 201
    issue = answer.json()
    assert (issue["number"], issue["title"], issue["state"]) == (1, "Lamp", "open")
    assert issue["html_url"] == f"{api.url}/acme/widgets/issues/1"
    assert [label["name"] for label in issue["labels"]] == ["bug"]
    assert issue["user"]["login"] == "lectern-bot"
    (stored,) = forgejo.issues("acme/widgets")
    assert (stored.body, stored.label_names) == ("It flickers.", ("bug",))


def test_organisation_labels_are_good_on_its_issues(client_for: Any) -> None:
    forgejo = Forgejo()
    forgejo.add_repository(
        "acme/widgets", organisation=True, organisation_labels=[("security", "000000")]
    )
    forgejo.add_token(TOKEN, "bot")
    wanted = {"title": "x", "labels": [forgejo.label_id("acme/widgets", "security")]}
    made = client_for(forgejo, f"token {TOKEN}").post(ISSUES, wanted).json()
    assert [label["name"] for label in made["labels"]] == ["security"]


def test_without_the_right_to_write_labels_are_dropped_in_silence(client_for: Any) -> None:
    forgejo = seeded(Forgejo(), writers=["ada"])
    wanted = {"title": "x", "labels": [forgejo.label_id("acme/widgets", "bug")]}
    answer = client_for(forgejo, f"token {TOKEN}").post(ISSUES, wanted)
    assert answer.status_code == 201
    assert answer.json()["labels"] == []


@pytest.mark.parametrize("title", ["a" * 256, "a" + "é" * 200, "aa" + "🎉" * 64])
def test_a_long_title_is_cut_at_255_bytes_between_characters(api: Client, title: str) -> None:
    cut = api.post(ISSUES, {"title": title}).json()["title"]
    assert len(cut.encode()) <= 255
    assert cut.endswith("…")
    assert title.startswith(cut[:-1])


def test_a_title_of_255_bytes_is_kept(api: Client) -> None:
    assert api.post(ISSUES, {"title": "a" * 255}).json()["title"] == "a" * 255


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({}, "[Title]: Required"),
        ({"title": ""}, "[Title]: Required"),
        (
            {"title": "x", "labels": ["bug"]},
            "[]: json: cannot unmarshal string into Go struct field CreateIssueOption.labels"
            " of type int64",
        ),
        (
            {"title": 1},
            "[]: json: cannot unmarshal number into Go struct field CreateIssueOption.title"
            " of type string",
        ),
        ([], "[]: json: cannot unmarshal array into Go value of type structs.CreateIssueOption"),
        ({"title": "x", "assignees": ["nobody"]}, "Assignee does not exist: [name: nobody]"),
    ],
)
def test_a_bad_form_is_422_and_nothing_is_made(
    api: Client, forgejo: Forgejo, payload: Any, text: str
) -> None:
    answer = api.post(ISSUES, payload)
    assert answer.status_code == 422
    assert answer.json()["message"] == text
    assert forgejo.issues("acme/widgets") == ()


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("", "[]: Empty Content-Type"),
        ("application/x-www-form-urlencoded", "[Title]: Required"),
        ("text/plain", "[]: Unsupported Content-Type"),
    ],
)
def test_the_body_must_be_declared_as_json(api: Client, kind: str, text: str) -> None:
    answer = api.post(ISSUES, data=b'{"title":"x"}', headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["message"]) == (422, text)


def test_an_archived_repository_is_locked_before_the_form_is_read(client_for: Any) -> None:
    forgejo = seeded(Forgejo(), archived=True)
    answer = client_for(forgejo, f"token {TOKEN}").post(ISSUES, {})
    assert answer.status_code == 423
    assert answer.json()["message"].endswith(":acme/widgets> is archived")


def test_the_anonymous_are_told_before_the_archive_is(client_for: Any) -> None:
    answer = client_for(seeded(Forgejo(), archived=True)).post(ISSUES, {})
    assert (answer.status_code, answer.json()["message"]) == (401, "token is required")


@pytest.mark.parametrize(("version", "status"), [("11.0.15", 403), ("15.0.3", 404)])
def test_without_an_issue_tracker_none_is_made(client_for: Any, version: str, status: int) -> None:
    forgejo = seeded(Forgejo(version), has_issues=False)
    client = client_for(forgejo, f"token {TOKEN}")
    assert client.post(ISSUES, {"title": "x"}).status_code == status


# Forgejo: finding issues


def test_issues_are_listed_newest_first_in_pages_with_links(api: Client, forgejo: Forgejo) -> None:
    for number in range(65):
        forgejo.add_issue("acme/widgets", title=f"No. {number + 1}", author="lectern-bot")
    second = api.get(f"{ISSUES}?state=all&page=2&limit=30")
    assert [issue["number"] for issue in second.json()] == list(range(35, 5, -1))
    assert second.headers["X-Total-Count"] == "65"
    assert second.links["next"]["url"] == f"{api.url}{ISSUES}?state=all&page=3&limit=30"
    assert second.links["first"]["url"].startswith(api.url)
    assert "next" not in api.get(f"{ISSUES}?page=3").links


def test_issues_are_filtered(client_for: Any) -> None:
    start = datetime(2026, 11, 1, 12, tzinfo=UTC)
    forgejo = seeded(Forgejo(now=lambda: start))
    for number, state in enumerate(["open", "closed"]):
        at = start + timedelta(days=number)
        forgejo.add_user(f"user{number}")
        forgejo.add_issue(
            "acme/widgets", title="t", author=f"user{number}", state=state, at=at, labels=["bug"]
        )
    client = client_for(forgejo, f"token {TOKEN}")

    def numbers(query: str) -> list[int]:
        return [issue["number"] for issue in client.get(f"{ISSUES}?{query}").json()]

    assert numbers("") == [1]
    assert numbers("state=closed") == [2]
    assert numbers("state=all") == [2, 1]
    assert numbers("state=nonsense") == [1]
    assert numbers("state=all&since=2026-11-02T00:00:00Z") == [2]
    assert numbers("state=all&created_by=user0") == [1]
    assert numbers("state=all&type=pulls") == []
    assert numbers("state=all&labels=bug,documentation") == []
    # A name that no label has is forgotten; with no other name the filter is gone.
    assert numbers("state=all&labels=nonsense") == [2, 1]
    assert client.get(f"{ISSUES}?since=yesterday").status_code == 422
    assert client.get(f"{ISSUES}?created_by=nobody").status_code == 404


def test_a_new_issue_is_listed_at_once_but_searched_for_in_vain(
    api: Client, forgejo: Forgejo
) -> None:
    api.post(ISSUES, {"title": "Flicker"})
    assert len(api.get(ISSUES).json()) == 1
    assert api.get(f"{ISSUES}?q=flicker").json() == []
    forgejo.catch_up_index()
    assert len(api.get(f"{ISSUES}?q=flicker").json()) == 1


def test_times_carry_the_servers_own_offset(client_for: Any) -> None:
    forgejo = seeded(Forgejo(now=lambda: datetime(2026, 11, 1, 12, tzinfo=UTC)))
    made = client_for(forgejo, f"token {TOKEN}").post(ISSUES, {"title": "x"}).json()
    assert made["created_at"] == "2026-11-01T14:00:00+02:00"


def test_one_issue_is_read_by_number(api: Client, forgejo: Forgejo) -> None:
    forgejo.add_issue("acme/widgets", title="t", author="lectern-bot")
    assert api.get(f"{ISSUES}/1").json()["title"] == "t"
    assert api.get(f"{ISSUES}/2").status_code == 404


def test_links_start_with_the_configured_address(client_for: Any) -> None:
    forgejo = seeded(Forgejo(root_url="https://git.example"))
    made = client_for(forgejo, f"token {TOKEN}").post(ISSUES, {"title": "x"}).json()
    assert made["html_url"] == "https://git.example/acme/widgets/issues/1"


# Forgejo: failing


def test_a_fault_before_the_effect_prevents_it_once(api: Client, forgejo: Forgejo) -> None:
    forgejo.fail_next(Fault(status=502, body=b"<h1>Bad gateway</h1>", content_type="text/html"))
    failed = api.post(ISSUES, {"title": "x"})
    assert (failed.status_code, failed.text) == (502, "<h1>Bad gateway</h1>")
    assert forgejo.issues("acme/widgets") == ()
    assert api.post(ISSUES, {"title": "x"}).status_code == 201


def test_a_fault_after_the_effect_hides_it(api: Client, forgejo: Forgejo) -> None:
    forgejo.fail_next(Fault(when="after", status=201, body=b"<html>"))
    answer = api.post(ISSUES, {"title": "x"})
    assert (answer.status_code, answer.text) == (201, "<html>")
    assert len(forgejo.issues("acme/widgets")) == 1


@pytest.mark.parametrize(("when", "made"), [("before", 0), ("after", 1)])
def test_a_connection_is_dropped_around_the_effect(
    api: Client, forgejo: Forgejo, when: Any, made: int
) -> None:
    forgejo.fail_next(Fault(when=when, drop=True))
    with pytest.raises(requests.ConnectionError):
        api.post(ISSUES, {"title": "x"})
    assert len(forgejo.issues("acme/widgets")) == made


@pytest.mark.parametrize(("when", "made"), [("before", 0), ("after", 1)])
def test_a_stall_outlasts_an_impatient_client(
    api: Client, forgejo: Forgejo, when: Any, made: int
) -> None:
    forgejo.fail_next(Fault(when=when, stall=threading.Event()))
    with pytest.raises(requests.ReadTimeout):
        api.post(ISSUES, {"title": "x"}, timeout=0.2)
    assert len(forgejo.issues("acme/widgets")) == made


def test_a_stall_that_ends_is_only_late(api: Client, forgejo: Forgejo) -> None:
    forgejo.fail_next(Fault(stall_s=0.05))
    assert api.post(ISSUES, {"title": "x"}).status_code == 201


def test_an_effect_can_come_after_the_client_has_left(client_for: Any) -> None:
    made = threading.Event()
    release = threading.Event()

    def now() -> datetime:
        made.set()
        return datetime.now(UTC)

    forgejo = seeded(Forgejo(now=now))
    forgejo.fail_next(Fault(stall=release, carry_on=True))
    client = client_for(forgejo, f"token {TOKEN}")
    with pytest.raises(requests.ReadTimeout):
        client.post(ISSUES, {"title": "x"}, timeout=0.2)
    assert not made.is_set()
    release.set()
    assert made.wait(5.0)


def test_only_a_fault_that_carries_on_outlasts_the_client() -> None:
    here, there = socket.socketpair()
    there.close()
    with here:
        environ = {"werkzeug.socket": here}
        assert Fault(stall_s=0.01, carry_on=True).strike(environ) is None
        with pytest.raises(ClientGone):
            Fault(stall_s=30).strike(environ)


def test_a_dropped_connection_is_reset_not_ended(client_for: Any, forgejo: Forgejo) -> None:
    forgejo.fail_next(Fault(method="GET", drop=True))
    port = int(client_for(forgejo).url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_a_fault_waits_for_the_request_it_is_meant_for(api: Client, forgejo: Forgejo) -> None:
    forgejo.fail_next(Fault(method="GET", path=r".*/labels", status=500))
    assert api.post(ISSUES, {"title": "x"}).status_code == 201
    assert api.get(ISSUES).status_code == 200
    assert api.get("/api/v1/repos/acme/widgets/labels").status_code == 500
    assert api.get("/api/v1/repos/acme/widgets/labels").status_code == 200


def test_every_request_is_remembered(api: Client, forgejo: Forgejo) -> None:
    api.post(f"{ISSUES}?x=1", {"title": "x"})
    (request,) = forgejo.requests
    assert (request.method, request.path, request.query) == ("POST", ISSUES, "x=1")
    assert request.headers["Authorization"] == f"token {TOKEN}"
    assert request.json == {"title": "x"}


def test_many_threads_make_as_many_issues(api: Client, forgejo: Forgejo) -> None:
    def create() -> None:
        client = Client(api.url, f"token {TOKEN}")
        for _ in range(5):
            client.post(ISSUES, {"title": "x"})
        client.close()

    at_once(create, create, create, create)
    numbers = [issue.number for issue in forgejo.issues("acme/widgets")]
    assert numbers == list(range(1, 21))


def test_two_requests_never_change_the_state_together(client_for: Any) -> None:
    meeting = threading.Barrier(2)
    met = []

    def now() -> datetime:
        with suppress(threading.BrokenBarrierError):
            met.append(meeting.wait(timeout=0.2))
        return datetime.now(UTC)

    client = client_for(seeded(Forgejo(now=now)), f"token {TOKEN}")
    other = client_for(Forgejo(), f"token {TOKEN}")
    other.url = client.url
    at_once(*(lambda each=each: each.post(ISSUES, {"title": "x"}) for each in (client, other)))
    assert met == []


def at_once(*tasks: Callable[[], object]) -> None:
    threads = [threading.Thread(target=task) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# Forgejo: pages for people


def test_an_issue_has_a_page_that_escapes_everything(api: Client, forgejo: Forgejo) -> None:
    forgejo.add_issue(
        "acme/widgets",
        title="<script>alert(1)</script>",
        body="Fine <b>text</b>\n<!-- lectern:abc -->",
        author="lectern-bot",
        labels=["bug"],
    )
    page = api.get("/acme/widgets/issues/1")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "&lt;script&gt;" in page.text
    assert "<script" not in page.text
    assert "&lt;b&gt;text" in page.text
    assert "lectern:abc" not in page.text
    assert "imulated Forgejo" in page.text


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/", 200, "acme/widgets"),
        ("/acme/widgets", 200, "Issues in acme/widgets"),
        ("/acme/widgets/issues", 200, "No issues yet."),
        ("/acme/widgets/issues/9", 404, "Page not found"),
        ("/no/where", 404, "Page not found"),
        ("/-/style.css", 200, "color-scheme"),
    ],
)
def test_the_other_pages_are_there(api: Client, path: str, status: int, text: str) -> None:
    page = api.get(path)
    assert page.status_code == status
    assert text in page.text


# Woodpecker


@pytest.fixture
def woodpecker() -> Woodpecker:
    made = Woodpecker()
    made.add_token("t", "lectern-bot")
    made.add_repository("acme/widgets")
    return made


@pytest.fixture
def ci(client_for: Any, woodpecker: Woodpecker) -> Client:
    return client_for(woodpecker, "Bearer t")


PIPELINES = "/api/repos/1/pipelines"


def test_woodpecker_says_its_version_and_that_it_lives(client_for: Any, ci: Client) -> None:
    answer = ci.get("/version")
    assert answer.json()["version"] == "3.17.0"
    assert answer.headers["X-WOODPECKER-VERSION"] == "3.17.0"
    health = ci.get("/healthz")
    assert (health.status_code, health.content) == (204, b"")


def test_an_unknown_path_looks_like_success(ci: Client) -> None:
    for path in ("/api/nothing", "/wrong/api/user", "/repos/1"):
        answer = ci.get(path)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    ("authorization", "status"),
    [("Bearer t", 200), ("bearer t", 401), ("token t", 401), (None, 401), ("Bearer x", 401)],
)
def test_the_word_bearer_is_case_sensitive(
    client_for: Any, woodpecker: Woodpecker, authorization: str | None, status: int
) -> None:
    answer = client_for(woodpecker, authorization).get("/api/user")
    assert answer.status_code == status
    assert status == 200 or answer.text == "User not authorized"


def test_a_repository_is_looked_up_in_any_case(ci: Client) -> None:
    found = ci.get("/api/repos/lookup/Acme/Widgets").json()
    assert (found["id"], found["active"], found["visibility"]) == (1, True, "public")
    assert ci.get("/api/repos/1").json() == found


def test_errors_have_no_body(client_for: Any, woodpecker: Woodpecker, ci: Client) -> None:
    stranger = client_for(woodpecker)
    answers = {
        400: ci.get("/api/repos/x"),
        404: ci.get("/api/repos/lookup/no/where"),
        401: stranger.post(PIPELINES, {"branch": "main"}),
        500: ci.post(PIPELINES, {"branch": "gone"}),
    }
    for status, answer in answers.items():
        assert (answer.status_code, answer.content) == (status, b"")


def test_public_repositories_are_read_by_strangers(client_for: Any, woodpecker: Woodpecker) -> None:
    woodpecker.add_repository("acme/secret", private=True)
    stranger = client_for(woodpecker, "Bearer wrong")
    assert stranger.get("/api/repos/1").status_code == 200
    assert stranger.get("/api/repos/2").status_code == 401


def test_without_the_right_to_push_a_trigger_is_404(client_for: Any) -> None:
    woodpecker = Woodpecker()
    woodpecker.add_token("t", "reader")
    woodpecker.add_repository("acme/widgets", pushers=["ada"])
    client = client_for(woodpecker, "Bearer t")
    refused = client.post(PIPELINES, {"branch": "main"})
    assert (refused.status_code, refused.content) == (404, b"")
    assert client.get("/api/repos/1/permissions").json()["push"] is False


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"branch":"main","variables":{"a":1}}'])
def test_a_bad_trigger_is_400(ci: Client, body: bytes) -> None:
    assert ci.post(PIPELINES, data=body).status_code == 400


def test_a_pipeline_moves_on_each_time_it_is_looked_at(ci: Client) -> None:
    started = ci.post(PIPELINES, {"branch": "main", "variables": {"marker": "x"}}).json()
    assert (started["number"], started["status"], started["event"]) == (1, "created", "manual")
    looks = [ci.get(f"{PIPELINES}/1").json() for _ in range(4)]
    assert [each["status"] for each in looks] == ["pending", "running", "success", "success"]
    assert looks[0]["finished"] == 0
    assert looks[2]["finished"] > 0
    assert looks[0]["workflows"][0]["children"][0]["state"] == "pending"
    (listed,) = ci.get(PIPELINES).json()
    assert "workflows" not in listed
    assert listed["variables"] == {"marker": "x"}


def test_a_pipeline_can_move_by_the_clock(client_for: Any) -> None:
    clock = [100.0]
    woodpecker = Woodpecker(step_s=10, now=lambda: clock[0])
    woodpecker.add_token("t", "bot")
    woodpecker.add_repository("acme/widgets")
    client = client_for(woodpecker, "Bearer t")
    client.post(PIPELINES, {"branch": "main"})
    assert client.get(f"{PIPELINES}/1").json()["status"] == "created"
    clock[0] += 25
    assert client.get(f"{PIPELINES}/1").json()["status"] == "running"


def test_a_filtered_pipeline_is_204_and_leaves_nothing(ci: Client, woodpecker: Woodpecker) -> None:
    woodpecker.script(Run(is_filtered=True))
    answer = ci.post(PIPELINES, {"branch": "main"})
    assert (answer.status_code, answer.headers["Pipeline-Filtered"]) == (204, "true")
    assert ci.get(PIPELINES).json() == []


@pytest.mark.parametrize(("version", "status"), [("3.17.0", 204), ("3.13.0", 200), ("2.8.3", 200)])
def test_an_unreadable_configuration_leaves_an_errored_pipeline(
    client_for: Any, version: str, status: int
) -> None:
    woodpecker = Woodpecker(version)
    woodpecker.add_token("t", "bot")
    woodpecker.add_repository("acme/widgets")
    woodpecker.script(Run(is_unreadable=True))
    client = client_for(woodpecker, "Bearer t")
    answer = client.post(PIPELINES, {"branch": "main"})
    assert answer.status_code == status
    assert "Pipeline-Filtered" not in answer.headers
    assert answer.content in (b"", b"null")
    assert client.get(PIPELINES).json()[0]["status"] == "error"


def test_a_lint_error_is_a_pipeline_in_error(ci: Client, woodpecker: Woodpecker) -> None:
    woodpecker.script(Run(("error",), errors=("unknown key",)))
    started = ci.post(PIPELINES, {"branch": "main"}).json()
    assert started["status"] == "error"
    assert started["errors"][0]["message"] == "unknown key"


def test_version_2_has_other_names_for_times(client_for: Any) -> None:
    woodpecker = Woodpecker("2.8.3")
    woodpecker.add_token("t", "bot")
    woodpecker.add_repository("acme/widgets")
    started = client_for(woodpecker, "Bearer t").post(PIPELINES, {"branch": "main"}).json()
    assert "created_at" in started
    assert "created" not in started


def test_a_pipeline_that_is_not_there_is_404(ci: Client) -> None:
    assert ci.get(f"{PIPELINES}/9").status_code == 404
    assert ci.get(f"{PIPELINES}/nine").status_code == 400


def test_a_pipeline_has_a_page_for_people(ci: Client) -> None:
    ci.post(PIPELINES, {"branch": "main"})
    page = ci.get("/repos/1/pipeline/1")
    assert "Simulated pipeline 1 of acme/widgets" in page.text


def test_woodpecker_remembers_and_fails_too(ci: Client, woodpecker: Woodpecker) -> None:
    woodpecker.fail_next(Fault(path=r"/api/repos/1/pipelines", when="after", drop=True))
    with pytest.raises(requests.ConnectionError):
        ci.post(PIPELINES, {"branch": "main"})
    assert len(ci.get(PIPELINES).json()) == 1
    assert [request.method for request in woodpecker.requests] == ["POST", "GET"]
