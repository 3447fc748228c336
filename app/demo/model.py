"""A simulated OpenAI-compatible server: scripted replies first, else whatever its responder says.
Knows the wire format; what the default responder says is in `assistant`."""

from __future__ import annotations

import json
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Request, Response

from app.demo.assistant import Assistant
from app.demo.reply import (
    JSON_TYPE,
    Chunk,
    Cut,
    Delta,
    Encoder,
    End,
    Frame,
    Pause,
    Raw,
    Reasoning,
    Reply,
    Stamp,
    Text,
    ToolCall,
    Wait,
    as_json,
    call_tool,
    call_tools,
    fail_midway,
    raw,
    refuse,
    say,
    whole,
)
from app.demo.wire import ClientGone, Dropped, pause, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from app.demo.reply import Halt

__all__ = [
    "Chunk",
    "Completion",
    "Cut",
    "Delta",
    "End",
    "Frame",
    "Model",
    "Pause",
    "Raw",
    "Reasoning",
    "Reply",
    "Stamp",
    "Text",
    "ToolCall",
    "Wait",
    "call_tool",
    "call_tools",
    "fail_midway",
    "raw",
    "refuse",
    "say",
    "whole",
]

MODELS = ("simulated",)
WAIT_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Completion:
    """A completion request as it arrived."""

    headers: Mapping[str, str]
    raw: bytes
    body: dict[str, Any]

    @property
    def messages(self) -> list[dict[str, Any]]:
        return list(self.body.get("messages") or [])

    @property
    def is_usage_asked(self) -> bool:
        return bool((self.body.get("stream_options") or {}).get("include_usage"))


class Model:
    """WSGI app for `POST /v1/chat/completions` and `GET /v1/models`.

    `api_key` None takes any key. `refused_fields` are answered 422 by name, as Mistral does with
    `stream_options`. Scripted replies are used up in order, one a request, before the responder
    is asked with the request's body; by default that is the simulated assistant.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        responder: Callable[[dict[str, Any]], Reply] | None = None,
        pace_s: float | None = None,
        refused_fields: Iterable[str] = (),
    ) -> None:
        self._api_key = api_key
        self._responder = responder or (Assistant() if pace_s is None else Assistant(pace_s=pace_s))
        self._refused_fields = tuple(refused_fields)
        self._script: deque[Reply] = deque()
        self._requests: list[Completion] = []
        self._changed = threading.Condition()
        self.disconnected = threading.Event()
        self.disconnects = 0
        self.open_streams = 0

    def script(self, *replies: Reply) -> None:
        """Queue replies for the next requests."""
        with self._changed:
            self._script.extend(replies)

    @property
    def requests(self) -> list[Completion]:
        """Every completion request that carried a good key, oldest first."""
        with self._changed:
            return list(self._requests)

    def wait_for_requests(self, count: int, timeout_s: float = WAIT_TIMEOUT_S) -> bool:
        """Whether `count` requests have arrived in time."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._requests) >= count, timeout_s)

    def wait_for_open_streams(self, count: int, timeout_s: float = WAIT_TIMEOUT_S) -> bool:
        """Whether `count` answers were being streamed at some moment before the time-out."""
        with self._changed:
            return self._changed.wait_for(lambda: self.open_streams == count, timeout_s)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        # Read before anything else: an unread body would hold the connection open.
        body = request.get_data()
        return self._answer(request, body)(environ, start_response)

    def _answer(self, request: Request, body: bytes) -> Response:
        if refusal := self._refusal(request.headers.get("Authorization", "")):
            return _plain(refusal)
        match (request.method, request.path):
            case ("GET", "/v1/models"):
                return _json({"object": "list", "data": [_model(name) for name in MODELS]})
            case ("POST", "/v1/chat/completions"):
                return self._complete(request, body)
        message = f"Invalid URL ({request.method} {request.path})"
        return _plain(refuse(404, message, code="unknown_url"))

    def _refusal(self, authorization: str) -> Reply | None:
        if self._api_key is None or authorization == f"Bearer {self._api_key}":
            return None
        # Servers differ in how much of the key they repeat; the worst repeat all of it.
        sent = authorization.removeprefix("Bearer ")
        return refuse(401, f"Incorrect API key provided: {sent}.", code="invalid_api_key")

    def _complete(self, request: Request, body: bytes) -> Response:
        try:
            payload = json.loads(body)
        except ValueError:
            return _plain(refuse(400, "We could not parse the JSON body of your request."))
        if not isinstance(payload, dict) or not isinstance(payload.get("messages"), list):
            return _plain(refuse(400, "Missing required parameter: 'messages'."))
        completion = Completion(dict(request.headers), body, payload)
        reply = self._reply(completion)
        if reply.body is not None:
            return _plain(reply)
        if payload.get("stream") is not True:
            return _plain(refuse(400, "This simulated server only streams: send stream=true."))
        return self._stream(reply, completion, request.environ)

    def _reply(self, completion: Completion) -> Reply:
        with self._changed:
            self._requests.append(completion)
            self._changed.notify_all()
            for name in self._refused_fields:
                if name in completion.body:
                    return refuse(422, f"Extra inputs are not permitted: {name}")
            if self._script:
                return self._script.popleft()
        return self._responder(completion.body)

    def _stream(self, reply: Reply, completion: Completion, environ: WSGIEnvironment) -> Response:
        encoder = Encoder(
            str(completion.body.get("model", MODELS[0])),
            reply,
            is_usage_asked=completion.is_usage_asked,
            input_tokens=len(completion.raw) // 4,
        )
        response = Response(
            self._watched(encoder.pieces(), environ),
            status=reply.status,
            content_type=reply.content_type or "text/event-stream; charset=utf-8",
            headers={"Cache-Control": "no-cache", "x-request-id": "req_simulated"},
        )
        response.headers.extend(reply.headers)
        return response

    def _watched(self, pieces: Iterator[bytes | Halt], environ: WSGIEnvironment) -> Iterator[bytes]:
        """The bytes of a stream, with a note when nobody is left to read them."""
        self._count(open_streams=1)
        try:
            yield from _played(pieces, environ)
        except (GeneratorExit, ClientGone):
            self._count(disconnects=1)
            self.disconnected.set()
            raise
        finally:
            self._count(open_streams=-1)

    def _count(self, *, open_streams: int = 0, disconnects: int = 0) -> None:
        with self._changed:
            self.open_streams += open_streams
            self.disconnects += disconnects
            self._changed.notify_all()


def _played(pieces: Iterator[bytes | Halt], environ: WSGIEnvironment) -> Iterator[bytes]:
    for piece in pieces:
        match piece:
            case bytes():
                yield piece
            case Pause(seconds):
                pause(environ, seconds)
            case Wait(event, timeout_s):
                wait_for(environ, event, timeout_s)
            case Cut():
                raise Dropped
            case End():
                return


def _plain(reply: Reply) -> Response:
    response = Response(reply.body, status=reply.status, content_type=reply.content_type)
    response.headers.extend(reply.headers)
    return response


def _json(payload: object) -> Response:
    return Response(as_json(payload), content_type=JSON_TYPE)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1_764_000_000, "owned_by": "simulation"}
