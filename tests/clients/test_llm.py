"""The model's client against a simulated server, over real HTTP."""

from __future__ import annotations

import json
import logging
import select
import socket
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from app.demo.model import (
    Chunk,
    Delta,
    Model,
    Pause,
    Reasoning,
    Reply,
    Text,
    ToolCall,
    Wait,
    call_tool,
    call_tools,
    raw,
    refuse,
    say,
    whole,
)
from app.demo.wire import serve
from app.services.completion import Completion, Usage
from app.services.errors import UpstreamError
from app.services.llm import MAX_ANSWER_CHARS, ChatModel, Stop
from app.settings import LLMSettings, Secret

KEY = "sk-canary-5f1c7e0a9b3d4c2e"
QUESTION = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
SILENT = threading.Event()  # never set
TOOLS = [{"type": "function", "function": {"name": "read_file", "parameters": {}}}]


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def url(model: Model) -> Iterator[str]:
    with serve(model) as server:
        yield server.url + "/v1"


@pytest.fixture
def chat(url: str) -> Iterator[ChatModel]:
    with closing(client(url)) as chat:
        yield chat


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


def client(url: str, *, retry_wait_s: float = 0.01) -> ChatModel:
    settings = LLMSettings(Secret(KEY), "simulated", url)
    return ChatModel(settings, read_timeout_s=10, retry_wait_s=retry_wait_s)


def streamed(
    chat: ChatModel, stop: Stop | None = None, tools: Sequence[Any] = (), **more: bool
) -> list[str | Completion]:
    return list(chat.stream(QUESTION, tools, stop=stop or Stop(), **more))


def ask(chat: ChatModel, stop: Stop | None = None) -> Completion:
    """The completion, of which the pieces that came before are the text."""
    *pieces, done = streamed(chat, stop)
    assert isinstance(done, Completion)
    assert done.text == "".join(map(str, pieces))
    return done


def refused(chat: ChatModel, stop: Stop | None = None) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        streamed(chat, stop)
    assert caught.value.service == "llm"
    assert str(caught.value)
    return caught.value


def asked(done: Completion) -> list[tuple[str, Any]]:
    return [(call.name, json.loads(call.arguments)) for call in done.calls]


def event(payload: object, newline: bytes = b"\n") -> bytes:
    return b"data: " + json.dumps(payload, ensure_ascii=False).encode() + newline * 2


def delta(content: str, finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": finish}]}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class TestRequest:
    def test_it_carries_the_conversation_and_asks_for_a_stream(
        self, chat: ChatModel, model: Model
    ) -> None:
        model.script(say("Because."))
        streamed(chat, tools=TOOLS)
        (request,) = model.requests
        assert request.body == {
            "model": "simulated",
            "messages": QUESTION,
            "tools": TOOLS,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        assert request.headers["Authorization"] == f"Bearer {KEY}"

    def test_without_tools_it_names_none(self, chat: ChatModel, model: Model) -> None:
        model.script(say("Because."))
        ask(chat)
        assert "tools" not in model.requests[0].body

    def test_the_tools_stay_when_no_call_is_wanted(self, chat: ChatModel, model: Model) -> None:
        model.script(say("Because."))
        streamed(chat, tools=TOOLS, may_call=False)
        assert model.requests[0].body["tools"] == TOOLS
        assert model.requests[0].body["tool_choice"] == "none"

    def test_of_two_requests_one_is_the_beginning_of_the_other(
        self, chat: ChatModel, model: Model
    ) -> None:
        model.script(say("a"), say("b"))
        more = [*QUESTION, {"role": "assistant", "content": "a"}]
        for messages in (QUESTION, more):
            list(chat.stream(messages, TOOLS, stop=Stop()))
        first, second = (request.raw for request in model.requests)
        same = first.index(b"Why?") + len(b'Why?"}')
        assert second[:same] == first[:same]
        assert second.endswith(first[first.index(b'],"') :])


class TestText:
    def test_it_comes_in_pieces_and_then_whole(self, chat: ChatModel, model: Model) -> None:
        model.script(say("Because it is so."))
        *pieces, done = streamed(chat)
        assert "".join(map(str, pieces)) == "Because it is so."
        assert isinstance(done, Completion)
        assert (done.text, done.calls, done.finish) == ("Because it is so.", (), "stop")
        assert done.model == "simulated"

    def test_a_piece_is_given_as_soon_as_it_came(self, chat: ChatModel, model: Model) -> None:
        go_on = threading.Event()
        model.script(Reply((Text("first "), Wait(go_on), Text("second"))))
        pieces = chat.stream(QUESTION, [], stop=Stop())
        assert next(pieces) == "first "
        go_on.set()
        assert next(pieces) == "second"
        pieces.close()

    def test_thoughts_are_left_out(self, chat: ChatModel, model: Model) -> None:
        model.script(Reply((Reasoning("Hm."), Reasoning("Hm.", "reasoning"), Text("So."))))
        assert ask(chat).text == "So."

    @pytest.mark.parametrize(
        "payload", [{}, {"choices": []}, {"choices": None}, [], 7, None, "x"], ids=json.dumps
    )
    def test_chunks_that_say_nothing_are_passed_over(
        self, chat: ChatModel, model: Model, payload: object
    ) -> None:
        model.script(Reply((Chunk(payload), Text("So."), Delta(None), Chunk(payload))))
        assert ask(chat).text == "So."

    @pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=ascii)
    @pytest.mark.parametrize("after_colon", ["", " ", "  ", "\t"], ids=ascii)
    def test_newlines_and_blanks_may_be_of_any_kind(
        self, chat: ChatModel, model: Model, newline: str, after_colon: str
    ) -> None:
        model.script(Reply((Text("So "), Text("it is.")), newline=newline, after_colon=after_colon))
        assert ask(chat).text == "So it is."

    @pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
    def test_bytes_may_be_split_anywhere(
        self, chat: ChatModel, model: Model, newline: bytes
    ) -> None:
        sent = b"\xef\xbb\xbf" + event(delta("Grüße 🚀 "), newline)
        sent += b"event: message" + newline + event(delta("日本", "stop"), newline)
        sent += b"data: [DONE]" + newline * 2
        model.script(raw(*(sent[i : i + 1] for i in range(len(sent)))))
        assert ask(chat).text == "Grüße 🚀 日本"

    def test_the_last_line_needs_no_newline(self, chat: ChatModel, model: Model) -> None:
        model.script(raw(event(delta("So.", "stop")).rstrip(b"\n")))
        assert ask(chat).text == "So."

    def test_comments_are_passed_over(self, chat: ChatModel, model: Model) -> None:
        model.script(raw(b": ping\n\n", event(delta("So.", "stop")), b": ping\n\n"))
        assert ask(chat).text == "So."

    def test_an_answer_without_done_but_with_a_reason_is_whole(
        self, chat: ChatModel, model: Model
    ) -> None:
        model.script(raw(event(delta("So.", "eos"))))
        assert ask(chat).finish == "eos"

    def test_a_hundred_thousand_tiny_chunks_take_a_few_seconds(
        self, chat: ChatModel, model: Model
    ) -> None:
        model.script(raw(event(delta("x")) * 100_000, event(delta("", "stop"))))
        begun = time.monotonic()
        *pieces, done = streamed(chat)
        assert time.monotonic() - begun < 10
        assert isinstance(done, Completion)
        assert len(done.text) == 100_000
        assert len(pieces) < 20_000  # joined as the network brought them

    @pytest.mark.parametrize(
        "frame",
        [Text("x" * 10_000), ToolCall("read_file", "x" * 10_000, "c1")],
        ids=["text", "call"],
    )
    def test_an_answer_without_end_is_cut(
        self, chat: ChatModel, model: Model, frame: Text | ToolCall
    ) -> None:
        model.script(Reply((frame,) * 100), say("next"))
        *_, done = streamed(chat)
        assert isinstance(done, Completion)
        assert done.finish == "length"
        size = len(done.text) + sum(len(call.arguments) for call in done.calls)
        assert MAX_ANSWER_CHARS < size < MAX_ANSWER_CHARS + 200_000
        assert ask(chat).text == "next"


class TestCalls:
    def test_a_call_comes_with_the_completion(self, chat: ChatModel, model: Model) -> None:
        model.script(call_tool("read_file", {"path": "README.md"}, before="Let me look. "))
        done = ask(chat)
        assert asked(done) == [("read_file", {"path": "README.md"})]
        assert (done.text, done.finish) == ("Let me look. ", "tool_calls")

    def test_two_calls_at_once(self, chat: ChatModel, model: Model) -> None:
        model.script(call_tools(("read_file", {"path": "a"}), ("list_files", {})))
        assert asked(ask(chat)) == [("read_file", {"path": "a"}), ("list_files", {})]

    @pytest.mark.parametrize(
        "frames",
        [
            (ToolCall("a", {"x": 1}, "c1"), ToolCall("b", {"y": 2}, "c2")),
            (ToolCall("a", '{"x": 1}', "c1", None), ToolCall("b", '{"y": 2}', "c2", None)),
            (ToolCall("a", '{"x": 1}', None, None), ToolCall("b", '{"y": 2}', None, None)),
            (
                ToolCall("a", "", "c1"),
                ToolCall(arguments='{"x": 1}'),
                ToolCall("b", {"y": 2}, "c2"),
            ),
        ],
        ids=["all at index 0", "no index", "no index, no id", "in pieces at index 0"],
    )
    @pytest.mark.parametrize("finish", ["tool_calls", "stop", "eos"])
    def test_calls_of_any_shape(
        self, chat: ChatModel, model: Model, frames: tuple[ToolCall, ...], finish: str
    ) -> None:
        model.script(Reply(frames, finish_reason=finish))
        done = ask(chat)
        assert asked(done) == [("a", {"x": 1}), ("b", {"y": 2})]
        assert done.finish == finish

    def test_a_call_that_broke_off_is_never_given(self, chat: ChatModel, model: Model) -> None:
        frames = (ToolCall("read_file", '{"path": ', "c1"),)
        model.script(Reply(frames, finish_reason=None))
        assert refused(chat).code == "interrupted"


class TestUsage:
    @pytest.mark.parametrize("usage", ["last", "always", "every"])
    def test_it_is_known_however_it_is_sent(
        self, chat: ChatModel, model: Model, usage: Any
    ) -> None:
        model.script(say("a b c", usage=usage))
        counted = ask(chat).usage
        assert counted.input_tokens
        assert counted.output_tokens
        assert counted.cached_tokens == 0

    def test_it_may_be_unknown(self, chat: ChatModel, model: Model) -> None:
        model.script(say("a", usage="none"))
        assert ask(chat).usage == Usage(None, None, None)


class TestUnknownOption:
    def test_it_is_asked_again_without_and_remembered(self) -> None:
        mistral = Model(refused_fields=["stream_options"])
        mistral.script(say("a", usage="always"), say("b"))
        with serve(mistral) as server:
            chat = client(server.url + "/v1", retry_wait_s=60)  # what has to wait is not tried
            assert ask(chat).usage.input_tokens
            assert ask(chat).text == "b"
        asked_for = ["stream_options" in request.body for request in mistral.requests]
        assert asked_for == [True, False, False]

    @pytest.mark.parametrize("status", [400, 422])
    def test_either_status_says_so(self, chat: ChatModel, model: Model, status: int) -> None:
        model.script(refuse(status, "Unrecognized request argument: stream_options"), say("So."))
        assert ask(chat).text == "So."

    @pytest.mark.parametrize("status", [400, 422])
    def test_another_field_is_no_reason(self, chat: ChatModel, model: Model, status: int) -> None:
        model.script(refuse(status, "Unrecognized request argument: messages"), say("So."))
        assert refused(chat).code == "invalid"
        assert ask(chat).text == "So."
        assert "stream_options" in model.requests[-1].body

    def test_two_first_questions_at_once_are_both_answered(self, pool: ThreadPoolExecutor) -> None:
        both = threading.Barrier(2)

        def answer(body: dict[str, Any]) -> Reply:
            if "stream_options" not in body:
                return say("So.")
            both.wait(5)
            return refuse(422, "Extra inputs are not permitted: stream_options")

        with serve(Model(responder=answer)) as server:
            chat = client(server.url + "/v1")
            questions = [pool.submit(ask, chat) for _ in range(2)]
            assert [question.result().text for question in questions] == ["So.", "So."]

    def test_found_out_on_the_second_try_it_is_said_and_mended(
        self, chat: ChatModel, model: Model
    ) -> None:
        model.script(refuse(503), refuse(422, "Unknown field: stream_options"), say("So."))
        assert refused(chat).retryable
        assert ask(chat).text == "So."
        assert "stream_options" not in model.requests[-1].body


@dataclass(frozen=True)
class Refusal:
    code: str
    word: str
    retryable: bool = False
    requests: int = 1


REFUSALS = {
    400: Refusal("invalid", "did not accept the question"),
    401: Refusal("unauthorized", "OPENAI_API_KEY"),
    403: Refusal("forbidden", "OPENAI_API_KEY"),
    404: Refusal("not_found", "OPENAI_MODEL"),
    413: Refusal("invalid", "too long"),
    418: Refusal("invalid", "refused"),
    422: Refusal("invalid", "refused"),
    429: Refusal("rate_limited", "limiting", retryable=True, requests=2),
    500: Refusal("failed", "failed (500)", retryable=True, requests=2),
    502: Refusal("failed", "failed (502)", retryable=True, requests=2),
    503: Refusal("failed", "failed (503)", retryable=True, requests=2),
    529: Refusal("failed", "failed (529)", retryable=True, requests=2),
}


class TestRefusals:
    @pytest.mark.parametrize("status", REFUSALS)
    def test_each_status_has_its_own_words(
        self, chat: ChatModel, model: Model, status: int
    ) -> None:
        expected = REFUSALS[status]
        model.script(*[refuse(status, "Secret text of the server.")] * 3)
        error = refused(chat)
        assert (error.code, error.status) == (expected.code, status)
        assert error.retryable == expected.retryable
        assert expected.word in str(error)
        assert "Secret text" not in str(error)
        assert len(model.requests) == expected.requests

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_a_passing_failure_is_tried_once_more(
        self, chat: ChatModel, model: Model, status: int
    ) -> None:
        model.script(refuse(status), say("So."))
        assert ask(chat).text == "So."
        assert len(model.requests) == 2

    def test_the_second_try_waits_a_moment(self, url: str, model: Model) -> None:
        model.script(refuse(500), say("So."))
        begun = time.monotonic()
        assert ask(client(url, retry_wait_s=0.3)).text == "So."
        assert time.monotonic() - begun >= 0.3

    def test_a_short_wait_is_kept(self, chat: ChatModel, model: Model) -> None:
        model.script(refuse(429, headers={"Retry-After": "1"}), say("So."))
        begun = time.monotonic()
        assert ask(chat).text == "So."
        assert 1 <= time.monotonic() - begun < 10

    def test_a_long_wait_is_not(self, chat: ChatModel, model: Model) -> None:
        model.script(refuse(429, headers={"Retry-After": "300"}))
        begun = time.monotonic()
        error = refused(chat)
        assert time.monotonic() - begun < 5
        assert error.retry_after_s == 300
        assert "Try again in 300 s." in str(error)
        assert len(model.requests) == 1

    @pytest.mark.parametrize(
        "header", ["", "soon", "-1", "1.5", "Fri, 20 Nov 2026 12:00:00 GMT", "²", "9" * 30]
    )
    def test_a_wait_that_cannot_be_read_is_unknown(
        self, chat: ChatModel, model: Model, header: str
    ) -> None:
        model.script(*[refuse(429, headers={"Retry-After": header})] * 2)
        error = refused(chat)
        assert error.retry_after_s is None
        assert "Try again in a while." in str(error)

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_a_redirect_is_not_followed(self, chat: ChatModel, model: Model, status: int) -> None:
        elsewhere = Model()
        with serve(elsewhere) as other:
            target = f"{other.url}/v1/chat/completions"
            model.script(refuse(status, headers={"Location": target}))
            assert refused(chat).status == status
        assert elsewhere.requests == []

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            ("text/html", b"<html><body>Sign in</body></html>"),
            ("text/html", b"<html>\ndata: no\n</html>"),
            ("application/json", json.dumps({"choices": [{"message": {"content": "x"}}]}).encode()),
            ("text/plain", b"ok"),
            ("text/event-stream", b""),
            ("text/event-stream", b"data: [DONE]\n\n"),
            ("text/event-stream", b": ping\n\n: ping\n\n"),
        ],
    )
    def test_a_200_that_is_no_answer_is_an_error(
        self, chat: ChatModel, model: Model, content_type: str, body: bytes
    ) -> None:
        model.script(whole(body, content_type))
        assert refused(chat).code == "bad_answer"

    def test_an_answer_to_no_question_of_ours_is_not_tried_again(
        self, chat: ChatModel, model: Model
    ) -> None:
        model.script(whole(b"<html>", "text/html"), say("next"))
        refused(chat)
        assert len(model.requests) == 1
        assert ask(chat).text == "next"


class TestReach:
    def test_a_closed_port_is_said_within_six_seconds(self) -> None:
        begun = time.monotonic()
        error = refused(client(f"http://127.0.0.1:{free_port()}/v1"))
        assert time.monotonic() - begun < 6
        assert (error.code, error.retryable) == ("unreachable", True)

    def test_plain_http_where_tls_was_expected_is_unreachable(self, url: str) -> None:
        error = refused(client(url.replace("http://", "https://")))
        assert error.code == "unreachable"

    def test_a_server_that_begins_to_listen_meanwhile_is_reached(
        self, pool: ThreadPoolExecutor
    ) -> None:
        port, model = free_port(), Model()
        model.script(say("So."))
        question = pool.submit(ask, client(f"http://127.0.0.1:{port}/v1", retry_wait_s=0.5))
        with serve(model, port=port):
            assert question.result(timeout=5).text == "So."

    def test_the_environment_changes_nothing(
        self, url: str, model: Model, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trap = f"http://127.0.0.1:{free_port()}"
        stray = {
            **dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"), trap),
            **{"OPENAI_BASE_URL": f"{trap}/v1", "OPENAI_API_KEY": "sk-other"},
            **{"OPENAI_ORG_ID": "org-stray", "OPENAI_PROJECT_ID": "proj-stray"},
            "OPENAI_CUSTOM_HEADERS": "Authorization: Bearer sk-other\nX-Stray: yes",
            "SSL_CERT_FILE": "/nowhere",
        }
        for name, value in stray.items():
            monkeypatch.setenv(name, value)
        model.script(say("So."))
        assert ask(client(url)).text == "So."
        headers = {k.lower(): v for k, v in model.requests[0].headers.items()}
        assert headers["authorization"] == f"Bearer {KEY}"
        assert headers.keys().isdisjoint({"openai-organization", "openai-project", "x-stray"})


class TestConnections:
    def test_questions_at_once_do_not_share_one(
        self, chat: ChatModel, model: Model, pool: ThreadPoolExecutor
    ) -> None:
        go_on = threading.Event()
        model.script(*[Reply((Text("a "), Wait(go_on), Text("b")))] * 3)
        questions = [pool.submit(ask, chat) for _ in range(3)]
        assert model.wait_for_open_streams(3)
        go_on.set()
        assert {question.result().text for question in questions} == {"a b"}

    def test_who_leaves_in_the_middle_closes_it(self, chat: ChatModel, model: Model) -> None:
        model.script(Reply((Text("a "), Wait(SILENT))))
        pieces = chat.stream(QUESTION, [], stop=Stop())
        next(pieces)
        pieces.close()
        assert model.disconnected.wait(5)

    def test_warming_up_asks_nothing(self, chat: ChatModel, model: Model) -> None:
        chat.warm()
        assert model.requests == []
        model.script(say("So."))
        assert ask(chat).text == "So."


def stop_now(stop: Stop) -> None:
    """As the turn's stop does it."""
    stop.event.set()
    stop.cut()


PHASES: dict[str, Reply] = {
    "before the headers": raw(Wait(SILENT)),
    "before the first piece": raw(b": ping\n\n", Wait(SILENT)),
    "in the middle, while pieces come": say("word " * 2000, pace_s=0.005),
    "in the middle, in silence": Reply((Text("a "), Wait(SILENT))),
    "in a call": Reply((ToolCall("read_file", '{"pa', "c1"), Wait(SILENT))),
    "after the reason, before the end": raw(event(delta("So.", "stop")), Wait(SILENT)),
}


class TestStop:
    @pytest.mark.parametrize("reply", PHASES.values(), ids=PHASES)
    def test_it_ends_the_answer_within_a_second_and_the_server_notices(
        self, chat: ChatModel, model: Model, pool: ThreadPoolExecutor, reply: Reply
    ) -> None:
        model.script(reply, say("next"))
        stop = Stop()
        question = pool.submit(refused, chat, stop)
        assert model.wait_for_open_streams(1)
        begun = time.monotonic()
        stop_now(stop)
        assert question.result(timeout=5).code == "stopped"
        assert time.monotonic() - begun < 1
        assert model.disconnected.wait(5)
        assert ask(chat).text == "next"

    def test_while_waiting_for_the_second_try(
        self, chat: ChatModel, model: Model, pool: ThreadPoolExecutor
    ) -> None:
        class Watched(threading.Event):
            is_waited_for = threading.Event()

            def wait(self, timeout: float | None = None) -> bool:
                self.is_waited_for.set()
                return super().wait(timeout)

        model.script(refuse(429, headers={"Retry-After": "2"}), say("never asked"))
        stop = Stop(Watched())
        question = pool.submit(refused, chat, stop)
        assert Watched.is_waited_for.wait(5)
        begun = time.monotonic()
        stop_now(stop)
        assert question.result(timeout=5).code == "stopped"
        assert time.monotonic() - begun < 1
        assert len(model.requests) == 1

    def test_before_it_began(self, chat: ChatModel, model: Model) -> None:
        model.script(say("never read"))
        stop = Stop()
        stop_now(stop)
        begun = time.monotonic()
        assert refused(chat, stop).code == "stopped"
        assert time.monotonic() - begun < 1

    def test_twice_and_after_the_end_it_does_nothing(self, chat: ChatModel, model: Model) -> None:
        model.script(say("a"), say("b"))
        stop = Stop()
        assert ask(chat, stop).text == "a"
        stop_now(stop)
        stop_now(stop)
        assert ask(chat).text == "b"

    def test_others_go_on(self, chat: ChatModel, model: Model, pool: ThreadPoolExecutor) -> None:
        go_on = threading.Event()
        model.script(*[Reply((Text("a "), Wait(go_on), Text("b")))] * 2)
        stop = Stop()
        stopped = pool.submit(refused, chat, stop)
        assert model.wait_for_open_streams(1)
        other = pool.submit(ask, chat)
        assert model.wait_for_open_streams(2)
        stop_now(stop)
        assert stopped.result(timeout=5).code == "stopped"
        go_on.set()
        assert other.result(timeout=5).text == "a b"


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
Piece = bytes | threading.Event


def kept(*pieces: Piece) -> tuple[Piece, ...]:
    """An answer on a connection that is kept. An event stands for silence until it is set."""
    chunks = [b"%x\r\n%s\r\n" % (len(p), p) if isinstance(p, bytes) else p for p in pieces]
    return (HEAD, *chunks, b"0\r\n\r\n")


class Keeper(ThreadingHTTPServer):
    """A server that keeps its connections, which the simulated one does not."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), KeeperHandler)
        self.answers: deque[tuple[Piece, ...]] = deque()
        self.connections: list[int] = []
        self.silent = threading.Event()
        self.left = threading.Event()

    def script(self, *answers: tuple[Piece, ...]) -> None:
        self.answers.extend(answers)


class KeeperHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Keeper

    def do_POST(self) -> None:  # noqa: N802
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.connections.append(self.client_address[1])
        for piece in self.server.answers.popleft():
            if isinstance(piece, bytes):
                self.wfile.write(piece)
            elif not self._wait(piece):
                return

    def _wait(self, event: threading.Event) -> bool:
        """Until the event is set; False when nobody waits for the answer any more."""
        self.server.silent.set()
        while not event.wait(0.005):
            readable, _, _ = select.select([self.connection], [], [], 0)
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                self.server.left.set()
                self.close_connection = True
                return False
        return True

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class TestKeptConnections:
    SO = kept(event(delta("So.", "stop")), b"data: [DONE]\n\n")

    @pytest.fixture
    def keeper(self) -> Iterator[Keeper]:
        server = Keeper()
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()
        server.server_close()

    @pytest.fixture
    def chat(self, keeper: Keeper) -> Iterator[ChatModel]:
        with closing(client(f"http://127.0.0.1:{keeper.server_port}/v1")) as chat:
            yield chat

    def test_one_serves_one_question_after_the_other(self, chat: ChatModel, keeper: Keeper) -> None:
        keeper.script(*[self.SO] * 4)
        assert [ask(chat).text for _ in range(4)] == ["So."] * 4
        assert len(set(keeper.connections)) == 1

    def test_also_for_who_leaves_at_the_completion(self, chat: ChatModel, keeper: Keeper) -> None:
        keeper.script(*[self.SO] * 4)
        for _ in range(4):
            for item in chat.stream(QUESTION, [], stop=Stop()):
                if isinstance(item, Completion):
                    break
        assert len(set(keeper.connections)) == 1

    def test_none_is_kept_after_a_failure(self, chat: ChatModel, keeper: Keeper) -> None:
        keeper.script(kept(b"data: {\n\n"), self.SO)
        assert refused(chat).code == "bad_answer"
        assert ask(chat).text == "So."
        assert len(set(keeper.connections)) == 2

    def test_closing_ends_those_that_are_kept(
        self, chat: ChatModel, keeper: Keeper, pool: ThreadPoolExecutor
    ) -> None:
        keeper.script(self.SO, self.SO)
        ask(chat)
        chat.close()
        assert ask(chat).text == "So."
        assert len(set(keeper.connections)) == 2

    @pytest.mark.parametrize(
        "answer",
        [(SILENT,), kept(SILENT), kept(event(delta("a ")), SILENT)],
        ids=["before the headers", "before the first piece", "in the middle"],
    )
    def test_a_stop_ends_the_answer_on_it(
        self, chat: ChatModel, keeper: Keeper, pool: ThreadPoolExecutor, answer: tuple[Piece, ...]
    ) -> None:
        keeper.script(self.SO, answer, self.SO)
        ask(chat)
        stop = Stop()
        question = pool.submit(refused, chat, stop)
        assert keeper.silent.wait(5)
        begun = time.monotonic()
        stop_now(stop)
        assert question.result(timeout=5).code == "stopped"
        assert time.monotonic() - begun < 1
        assert keeper.left.wait(5)
        assert ask(chat).text == "So."

    def test_a_stop_before_the_answer_began_is_heard(self, chat: ChatModel, keeper: Keeper) -> None:
        keeper.script(self.SO, kept(SILENT), self.SO)
        ask(chat)
        stop = Stop()
        stop_now(stop)
        begun = time.monotonic()
        assert refused(chat, stop).code == "stopped"
        assert time.monotonic() - begun < 1

    def test_a_late_stop_does_not_cut_the_next_answer(
        self, chat: ChatModel, keeper: Keeper
    ) -> None:
        go_on = threading.Event()
        keeper.script(self.SO, kept(event(delta("b ")), go_on, event(delta("c", "stop"))))
        late = Stop()
        ask(chat, late)
        answer = chat.stream(QUESTION, [], stop=Stop())
        assert next(answer) == "b "
        stop_now(late)
        go_on.set()
        assert next(answer) == "c"
        assert isinstance(next(answer), Completion)
        assert len(set(keeper.connections)) == 1


class TestSecrets:
    @pytest.fixture
    def model(self) -> Model:
        return Model(api_key="sk-another")  # refuses ours, and repeats it in full

    def test_the_key_is_in_no_error_and_no_log(
        self, chat: ChatModel, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        error = refused(chat)
        assert error.code == "unauthorized"
        shown = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
        assert KEY not in shown
        assert KEY not in caplog.text
        assert KEY not in "".join(repr(record.__dict__) for record in caplog.records)

    @pytest.mark.parametrize("failure", ["refused", "garbage", "broken off"])
    def test_nor_when_something_else_fails(
        self, failure: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        replies: dict[str, Callable[[], Reply]] = {
            "refused": lambda: refuse(500, f"You sent {KEY}"),
            "garbage": lambda: raw(f"data: {{{KEY}\n\n".encode(), Pause(0)),
            "broken off": lambda: raw(event({"error": {"message": f"You sent {KEY}"}})),
        }
        model = Model(responder=lambda body: replies[failure]())
        with serve(model) as server:
            error = refused(client(server.url + "/v1"))
        assert KEY not in "".join(traceback.format_exception(error))
        assert KEY not in caplog.text
