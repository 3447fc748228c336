"""The model's server breaks off, stalls or sends garbage: an error then, never half an answer."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import pytest

from app.demo.model import Cut, Model, Reply, Text, ToolCall, Wait, call_tool, fail_midway, raw, say
from app.demo.wire import serve
from app.services import llm
from app.services.completion import Completion
from app.services.errors import UpstreamError
from app.services.llm import ChatModel, Stop
from app.settings import LLMSettings, Secret

QUESTION = [{"role": "user", "content": "Why?"}]
STALL_S = 0.5
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSED = HEAD + b"Connection: close\r\n\r\n"
SILENT = threading.Event()  # never set


def event(delta: object, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    text = json.dumps({"choices": [choice]}, ensure_ascii=False, separators=(",", ":"))
    return b"data: " + text.encode() + b"\n\n"


def calling(**call: object) -> dict[str, object]:
    return {"tool_calls": [{"index": 0, "function": call}]}


TEXT = "Grüße 🚀 "
ARGUMENTS = '{"path":"ä.md"}'
RECORDED = b"".join(
    [
        b": ping\n\n",
        event({"content": "Grüße "}),
        event({"content": "🚀 "}),
        event(calling(name="read_file", arguments='{"path":')),
        event(calling(arguments='"ä.md"}')),
        event({}, "tool_calls"),
        b"data: [DONE]\n\n",
    ]
)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class RawServer:
    """Answers every connection with the bytes of the moment and then ends it, in one of three ways.

    A request names the bytes: they are asked for by the text of its first message.
    """

    def __init__(self, end: Callable[[socket.socket], None]) -> None:
        self.answers: dict[bytes, bytes] = {}
        self._end = end
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._threads = [threading.Thread(target=self._accept) for _ in range(8)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, suppress(OSError):
                    connection.settimeout(5)
                    self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        data = connection.recv(65536)
        while not data.rstrip().endswith(b"}"):
            data += connection.recv(65536)
        name = json.loads(data.partition(b"\r\n\r\n")[2])["messages"][0]["content"]
        connection.sendall(self.answers[name.encode()])
        self._end(connection)


def close(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_WR)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def half_close(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)  # until the client has closed its end


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def chat(model: Model) -> Iterator[ChatModel]:
    with serve(model) as server, closing(client(server.url + "/v1")) as chat:
        yield chat


@pytest.fixture
def raw_server() -> Iterator[Callable[[Callable[[socket.socket], None]], RawServer]]:
    started: list[RawServer] = []

    def start(end: Callable[[socket.socket], None]) -> RawServer:
        started.append(RawServer(end))
        return started[-1]

    yield start
    for server in started:
        server.close()


def client(url: str, *, read_timeout_s: float = 10) -> ChatModel:
    settings = LLMSettings(Secret("sk-test"), "simulated", url)
    return ChatModel(settings, read_timeout_s=read_timeout_s, retry_wait_s=0.01)


def attempt(chat: ChatModel, text: str = "Why?") -> tuple[str, Completion | UpstreamError]:
    """What was said before the end, and the end."""
    said = ""
    try:
        for item in chat.stream([{"role": "user", "content": text}], [], stop=Stop()):
            if isinstance(item, Completion):
                return said, item
            said += item
    except UpstreamError as error:
        return said, error
    raise AssertionError("a stream ends with a completion or an error")


def failure(chat: ChatModel) -> tuple[str, UpstreamError]:
    said, end = attempt(chat)
    assert isinstance(end, UpstreamError)
    assert str(end)
    return said, end


class TestCutAnywhere:
    """The recorded stream, cut after every one of its bytes."""

    @pytest.mark.parametrize(("end", "step"), [(close, 1), (reset, 5), (half_close, 5)])
    def test_a_stream_of_chunks_is_whole_or_an_error(
        self,
        raw_server: Callable[[Callable[[socket.socket], None]], RawServer],
        end: Callable[[socket.socket], None],
        step: int,
    ) -> None:
        whole = CHUNKED + chunk(RECORDED[:100]) + chunk(RECORDED[100:]) + b"0\r\n\r\n"
        for cut, (said, ended) in self._sweep(raw_server(end), whole, step).items():
            assert TEXT.startswith(said)
            if cut == len(whole) and isinstance(ended, UpstreamError):
                assert end is reset  # which may overtake what was sent before it
            elif cut < len(whole):
                assert isinstance(ended, UpstreamError)
                assert ended.code in ("interrupted", "unreachable")

    def test_a_stream_that_ends_with_its_connection_is_whole_or_an_error(
        self, raw_server: Callable[[Callable[[socket.socket], None]], RawServer]
    ) -> None:
        whole = UNTIL_CLOSED + RECORDED
        enough = len(UNTIL_CLOSED) + RECORDED.index(b'"tool_calls"}]}') + len(b'"tool_calls"}]}')
        for cut, (said, ended) in self._sweep(raw_server(close), whole, 1).items():
            if cut >= enough:
                assert said == TEXT
                assert isinstance(ended, Completion)
                assert [(c.name, c.arguments) for c in ended.calls] == [("read_file", ARGUMENTS)]
            else:
                assert isinstance(ended, UpstreamError)
                assert ended.code in ("interrupted", "unreachable", "bad_answer")
                assert TEXT.startswith(said)

    @staticmethod
    def _sweep(
        server: RawServer, whole: bytes, step: int
    ) -> dict[int, tuple[str, Completion | UpstreamError]]:
        cuts = range(len(whole), -1, -step)
        server.answers = {b"%d" % cut: whole[:cut] for cut in cuts}
        with closing(client(server.url)) as chat, ThreadPoolExecutor(4) as pool:
            ends = pool.map(lambda cut: attempt(chat, str(cut)), cuts)
            return dict(zip(cuts, ends, strict=True))


class TestBrokenOff:
    @pytest.mark.parametrize("finish", [None, ""])
    def test_a_clean_end_without_a_reason_is_an_interruption(
        self, chat: ChatModel, model: Model, finish: str | None
    ) -> None:
        model.script(Reply((Text("Half an"),), finish_reason=finish))
        said, error = failure(chat)
        assert (said, error.code, error.retryable) == ("Half an", "interrupted", True)

    def test_a_reset_keeps_what_was_said(self, chat: ChatModel, model: Model) -> None:
        go_on = threading.Event()
        model.script(Reply((Text("Half an"), Wait(go_on), Cut())))
        pieces = chat.stream(QUESTION, [], stop=Stop())
        assert next(pieces) == "Half an"
        go_on.set()
        with pytest.raises(UpstreamError) as caught:
            next(pieces)
        assert caught.value.code == "interrupted"

    def test_a_reset_before_the_answer_is_tried_again(self, chat: ChatModel, model: Model) -> None:
        model.script(raw(Cut()), say("So."))
        assert attempt(chat)[0] == "So."

    def test_a_begun_answer_is_never_asked_for_again(self, chat: ChatModel, model: Model) -> None:
        model.script(Reply((Text("a"), Wait(threading.Event(), 0.05), Cut())), say("never"))
        assert failure(chat)[0] in ("", "a")
        assert len(model.requests) == 1

    def test_an_error_in_the_middle_is_told_without_its_text(
        self, chat: ChatModel, model: Model
    ) -> None:
        model.script(fail_midway("Half an", "Secret text of the server."))
        said, error = failure(chat)
        assert (said, error.code, error.retryable) == ("Half an", "failed", True)
        assert "Secret" not in str(error)

    @pytest.mark.parametrize("newline", [b"\n\n", b""])
    def test_what_came_at_once_with_an_error_is_kept(
        self, chat: ChatModel, model: Model, newline: bytes
    ) -> None:
        text = event({"content": "Half "}) + event({"content": "an"})
        model.script(raw(text + b'data: {"error":{"message":"x"}}' + newline))
        said, error = failure(chat)
        assert (said, error.code) == ("Half an", "failed")

    @pytest.mark.parametrize("error", [b'{"error":{"message":"x"}}', b'{"error":"overloaded"}'])
    def test_an_error_in_place_of_an_answer_is_tried_once_more(
        self, chat: ChatModel, model: Model, error: bytes
    ) -> None:
        model.script(raw(b"data: " + error + b"\n\n"), say("So."))
        assert attempt(chat)[0] == "So."

    def test_the_next_question_is_answered(self, chat: ChatModel, model: Model) -> None:
        for broken in (raw(b"data: {\n\n"), fail_midway("a"), Reply((Text("a"), Cut()))):
            model.script(broken, say("So."))
            failure(chat)
            assert attempt(chat)[0] == "So."


class TestGarbage:
    @pytest.mark.parametrize(
        "line",
        [
            b'{"choices"',
            b"<html>",
            b"\xff\xfe",
            b"[" * 100_000,
            b'{"a":' * 100_000,
            b"1" * 5000,
            b"{'choices': []}",
        ],
        ids=lambda line: ascii(line[:12]),
    )
    def test_a_line_that_is_not_json_ends_the_answer(
        self, chat: ChatModel, model: Model, line: bytes
    ) -> None:
        model.script(raw(event({"content": "Half an"}) + b"data: " + line + b"\n\n"))
        said, error = failure(chat)
        assert (said, error.code) == ("Half an", "bad_answer")

    def test_a_line_without_end_is_not_read_to_its_end(self, chat: ChatModel, model: Model) -> None:
        model.script(raw(b"data: ", *[b"x" * 100_000] * 40, Wait(SILENT)))
        assert failure(chat)[1].code == "bad_answer"
        assert model.disconnected.wait(5)

    @pytest.mark.parametrize("field", [b"id: 1", b"event: x", b"retry: 5", b"junk", b":", b"data"])
    def test_other_lines_are_passed_over(self, chat: ChatModel, model: Model, field: bytes) -> None:
        model.script(raw(field + b"\n", event({"content": "So."}, "stop"), field + b"\n\n"))
        assert attempt(chat)[0] == "So."


class TestStall:
    @pytest.fixture
    def chat(self, model: Model) -> Iterator[ChatModel]:
        with serve(model) as server:
            hasty = client(server.url + "/v1", read_timeout_s=STALL_S)
            with closing(hasty) as chat:
                yield chat

    @pytest.mark.parametrize(
        ("reply", "before"),
        [
            (raw(Wait(SILENT)), ""),
            (raw(b": ping\n\n", Wait(SILENT)), ""),
            (Reply((Text("Half an"), Wait(SILENT))), "Half an"),
            (Reply((ToolCall("read_file", '{"pa', "c1"), Wait(SILENT))), ""),
        ],
        ids=["before the headers", "before the first piece", "in the middle", "in a call"],
    )
    def test_silence_ends_at_the_read_timeout(
        self, chat: ChatModel, model: Model, reply: Reply, before: str
    ) -> None:
        model.script(reply)
        begun = time.monotonic()
        said, error = failure(chat)
        assert STALL_S <= time.monotonic() - begun < 10
        assert (said, error.code, error.retryable) == (before, "timeout", True)
        assert len(model.requests) == 1
        assert model.disconnected.wait(5)

    def test_pings_for_ever_end_at_the_deadline(
        self, chat: ChatModel, model: Model, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(llm, "CALL_DEADLINE_S", 0.3)
        pings = [item for _ in range(1000) for item in (b": ping\n\n", Wait(SILENT, 0.02))]
        model.script(raw(event({"content": "a"}), *pings))
        begun = time.monotonic()
        said, error = failure(chat)
        assert 0.3 <= time.monotonic() - begun < 10
        assert (said, error.code) == ("a", "timeout")
        assert model.disconnected.wait(5)

    def test_slow_is_not_silent(self, chat: ChatModel, model: Model) -> None:
        words = ("So ", "it ", "is ", "and ", "so ", "it ", "was.")
        frames = [frame for w in words for frame in (Text(w), Wait(SILENT, STALL_S / 5))]
        model.script(Reply(tuple(frames)))
        assert attempt(chat)[0] == "".join(words)


class TestNothingLeft:
    def test_failures_leave_no_thread_and_no_connection(
        self, chat: ChatModel, model: Model
    ) -> None:
        before = threading.active_count()
        replies = (Reply((Text("a"), Cut())), raw(b"data: {\n\n"), fail_midway("a"), raw(b"<html>"))
        for reply in replies * 5:
            model.script(reply)
            failure(chat)
        assert model.wait_for_open_streams(0)
        deadline = time.monotonic() + 5
        while threading.active_count() > before and time.monotonic() < deadline:
            threading.Event().wait(0.005)
        assert threading.active_count() <= before

    def test_arguments_of_a_call_are_given_whole_or_not_at_all(
        self, chat: ChatModel, model: Model
    ) -> None:
        model.script(call_tool("read_file", {"path": "x" * 5000}, chunks=500))
        end = attempt(chat)[1]
        assert isinstance(end, Completion)
        assert json.loads(end.calls[0].arguments) == {"path": "x" * 5000}
