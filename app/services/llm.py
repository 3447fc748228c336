"""The model behind any OpenAI-compatible Chat Completions server, streamed and stoppable.

Keeps the SDK's connection and error handling and reads the event stream itself: typed chunk objects
cost most of the time and break on other servers. `openai` is imported on first use, not at start.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from app.services.completion import JSON, Accumulator, Completion
from app.services.errors import UpstreamError
from app.settings import LLMSettings

if TYPE_CHECKING:
    import openai

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 60.0
CALL_DEADLINE_S = 180.0
MAX_ANSWER_CHARS = 256 * 1024
MAX_RETRY_WAIT_S = 2.0
RETRY_WAIT_S = 0.5
TRIED_AGAIN = ("unreachable", "failed", "rate_limited", "unknown_option")
SERVICE = "llm"


class Stop:
    """What stops a completion from another thread: an event, and the socket it waits on."""

    def __init__(self, event: threading.Event | None = None) -> None:
        self.event = event or threading.Event()
        self._socket: socket.socket | None = None
        self._mutex = threading.Lock()

    def attach(self, opened: socket.socket | None) -> None:
        """From here on `cut` ends this connection, and no other any more."""
        with self._mutex:
            self._socket = opened
        if self.event.is_set():
            self.cut()

    def cut(self) -> None:
        """Wake the reader: closing alone would leave it in `recv` until its timeout."""
        with self._mutex:
            if self._socket is not None:
                with suppress(OSError):
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class _Line:
    """One SDK client with at most one connection, whose socket is known."""

    def __init__(self, settings: LLMSettings, tls: ssl.SSLContext, read_timeout_s: float) -> None:
        import httpx2
        import openai

        self.stop = Stop()
        self._socket: socket.socket | None = None
        http = httpx2.Client(
            verify=tls,
            trust_env=False,
            follow_redirects=False,  # a redirect would carry the whole prompt to another host
            limits=httpx2.Limits(max_connections=1, max_keepalive_connections=1),
            timeout=httpx2.Timeout(read_timeout_s, connect=CONNECT_TIMEOUT_S),
            event_hooks={"request": [self._trace]},
        )
        self.client = openai.OpenAI(
            api_key=settings.api_key.reveal(),
            base_url=settings.base_url,
            max_retries=0,
            http_client=http,
        )
        # None of this may come from the environment; the SDK takes no argument that says so.
        self.client.organization = self.client.project = None
        self.client._custom_headers = {}

    def use(self, stop: Stop) -> None:
        self.stop = stop
        stop.attach(self._socket)

    def leave(self) -> None:
        """The stop that was used must not cut what the next user of this line reads."""
        self.stop.attach(None)
        self.stop = Stop()

    def _trace(self, request: Any) -> None:  # noqa: ANN401
        request.extensions["trace"] = self._note

    def _note(self, name: str, info: dict[str, Any]) -> None:
        if name in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._socket = info["return_value"].get_extra_info("socket")
            self.stop.attach(self._socket)


class ChatModel:
    """Streams completions of one model of one server. Safe for many threads."""

    def __init__(
        self,
        settings: LLMSettings,
        *,
        read_timeout_s: float = READ_TIMEOUT_S,
        retry_wait_s: float = RETRY_WAIT_S,
    ) -> None:
        self.model = settings.model
        self._read_timeout_s = read_timeout_s
        self._retry_wait_s = retry_wait_s
        self._settings = settings
        self._idle: list[_Line] = []
        self._mutex = threading.Lock()
        self._tls: ssl.SSLContext | None = None
        self._takes_options = True

    def warm(self) -> None:
        """Import the SDK and build a client now, so that no question waits for it."""
        line = self._line()
        _ = line.client.chat.completions.with_streaming_response
        self._idle.append(line)

    def close(self) -> None:
        """Close the connections that are kept. The next question opens one again."""
        with self._mutex:
            idle, self._idle = self._idle, []
        for line in idle:
            line.client.close()

    def stream(
        self,
        messages: Sequence[JSON],
        tools: Sequence[JSON],
        *,
        stop: Stop,
        may_call: bool = True,
    ) -> Generator[str | Completion, None, None]:
        """Pieces of text as they come, then the whole Completion.

        Raises UpstreamError; nothing is tried again once the answer has begun.
        """
        request: JSON = {"model": self.model, "messages": list(messages), "stream": True}
        if tools:
            request["tools"] = list(tools)
        if not may_call:
            request["tool_choice"] = "none"  # the tools stay, so that the prompt cache holds
        for attempt in (1, 2):
            begun = False
            try:
                for item in self._once(request, stop):
                    begun = True
                    yield item
            except UpstreamError as error:
                wait_s = self._wait_s(error)
                if begun or attempt == 2 or wait_s is None:
                    raise
                if stop.event.wait(wait_s):
                    raise _stopped() from None
            else:
                return

    def _wait_s(self, error: UpstreamError) -> float | None:
        """How long to wait before the one second try; None: do not try again."""
        if error.code not in TRIED_AGAIN:
            return None
        wait_s = self._retry_wait_s if error.retry_after_s is None else float(error.retry_after_s)
        return wait_s if wait_s <= MAX_RETRY_WAIT_S else None

    def _once(self, request: JSON, stop: Stop) -> Iterator[str | Completion]:
        import httpx2
        import openai

        line, done = self._line(), None
        options = {"stream_options": {"include_usage": True}} if self._takes_options else {}
        line.use(stop)
        try:
            done = yield from self._read(line.client, {**request, **options}, stop)
            yield done
        except (openai.OpenAIError, httpx2.HTTPError, httpx2.StreamError, OSError) as error:
            if options:
                self._learn(error)
            raise _translated(error, stop) from None  # its text may hold the key
        finally:
            line.leave()
            self._release(line, is_whole=done is not None)

    def _release(self, line: _Line, *, is_whole: bool) -> None:
        """Keep a connection for the next answer only when this one was read to its end."""
        if is_whole:
            with self._mutex:
                self._idle.append(line)
        else:
            line.client.close()

    def _read(
        self, client: openai.OpenAI, request: JSON, stop: Stop
    ) -> Generator[str, None, Completion]:
        create: Any = client.chat.completions.with_streaming_response.create
        deadline = time.monotonic() + CALL_DEADLINE_S
        answer = Accumulator()
        with create(**request) as response:
            for chunks in _chunks(response.iter_bytes()):
                _check(stop, deadline)
                text = "".join([answer.add(chunk) for chunk in chunks])
                if text:
                    yield text
                if answer.size > MAX_ANSWER_CHARS:
                    answer.finish = "length"
                    break
        if stop.event.is_set():
            raise _stopped()
        return _whole(answer)

    def _line(self) -> _Line:
        with self._mutex:
            if self._idle:
                return self._idle.pop()
            if self._tls is None:
                import httpx2

                self._tls = httpx2.create_ssl_context(trust_env=False)
        return _Line(self._settings, self._tls, self._read_timeout_s)

    def _learn(self, error: Exception) -> None:
        """Some servers refuse `stream_options`: ask once more without it, and from now on."""
        if _names_options(error):
            self._takes_options = False
            message = "The model's server did not accept the question. It will the next time."
            raise _error("unknown_option", message, retryable=True, retry_after_s=0) from None


def _chunks(pieces: Iterator[bytes]) -> Iterator[list[JSON]]:
    """The JSON objects of an event stream, in the batches in which the network brought them."""
    rest = b""
    for piece in pieces:
        lines = (rest + piece).removeprefix(b"\xef\xbb\xbf").split(b"\n")
        rest = lines.pop()
        if len(rest) > MAX_ANSWER_CHARS * 4:
            raise _error("bad_answer", "The model's server sent a line without end.")
        yield from _decoded(lines)
    try:
        yield from _decoded([rest])
    except UpstreamError as error:
        if error.code != "bad_answer":  # half a line is what stands where the stream was cut
            raise


def _decoded(lines: list[bytes]) -> Iterator[list[JSON]]:
    """One batch. Where a line is faulty, what stands before it is given before the error."""
    chunks: list[JSON] = []
    try:
        for line in lines:
            chunk = _chunk(line[5:].strip()) if line.startswith(b"data:") else None
            if isinstance(chunk, dict):
                chunks.append(chunk)
    except UpstreamError:
        yield chunks
        raise
    yield chunks


def _chunk(data: bytes) -> Any:  # noqa: ANN401
    if data == b"[DONE]" or not data:
        return None
    try:
        chunk = json.loads(data)
    except (ValueError, RecursionError):
        message = "The model's server sent a line that is not JSON."
        raise _error("bad_answer", message, effect="unknown") from None
    if isinstance(chunk, dict) and chunk.get("error"):
        message = "The model's server reported an error in the middle of the answer."
        raise _error("failed", message, retryable=True)
    return chunk


def _check(stop: Stop, deadline: float) -> None:
    if stop.event.is_set():
        raise _stopped()
    if time.monotonic() > deadline:
        raise _error("timeout", "The model took too long to finish its answer.", retryable=True)


def _whole(answer: Accumulator) -> Completion:
    if not answer.has_begun:
        raise _error(
            "bad_answer",
            "The model's server answered, but not with a stream of text. "
            "Check that OPENAI_BASE_URL points at a Chat Completions API.",
        )
    if not answer.finish:
        raise _error("interrupted", "The model's server broke off its answer.", retryable=True)
    return answer.completion()


def _names_options(error: Exception) -> bool:
    status = getattr(error, "status_code", None)
    return status in (400, 422) and "stream_options" in str(error)


def _translated(error: Exception, stop: Stop) -> UpstreamError:
    import httpx2
    import openai

    if stop.event.is_set():
        return _stopped()
    if isinstance(error, openai.APIStatusError):
        return _refusal(error.status_code, error.response.headers.get("retry-after", ""))
    if isinstance(error, openai.APITimeoutError | httpx2.TimeoutException):
        return _error("timeout", "The model's server did not answer in time.", retryable=True)
    if isinstance(error, openai.APIConnectionError):
        return _error("unreachable", "The model's server cannot be reached.", retryable=True)
    return _error("interrupted", "The connection to the model's server broke off.", retryable=True)


_REFUSALS = {
    400: ("invalid", "The model's server did not accept the question (400)."),
    401: ("unauthorized", "The model's server does not accept the key in OPENAI_API_KEY (401)."),
    403: ("forbidden", "The key in OPENAI_API_KEY may not use this model (403)."),
    404: (
        "not_found",
        "The model's server does not know this model or address (404). "
        "Check OPENAI_MODEL and OPENAI_BASE_URL.",
    ),
    413: ("invalid", "The question and its context are too long for the model's server (413)."),
}


def _refusal(status: int, retry_after: str) -> UpstreamError:
    seconds = int(retry_after) if retry_after.isdecimal() and len(retry_after) < 7 else None
    if status == 429:
        when = f" Try again in {seconds} s." if seconds else " Try again in a while."
        return _error(
            "rate_limited",
            f"The model's server is limiting requests or its quota is used up (429).{when}",
            status=status,
            retryable=True,
            retry_after_s=seconds,
        )
    if status >= 500:
        message = f"The model's server failed ({status}). This is on its side."
        return _error("failed", message, status=status, retryable=True)
    fallback = ("invalid", f"The model's server refused the question ({status}).")
    code, message = _REFUSALS.get(status, fallback)
    return _error(code, message, status=status)


def _stopped() -> UpstreamError:
    return _error("stopped", "The answer was stopped.")


def _error(code: str, message: str, **more: Any) -> UpstreamError:  # noqa: ANN401
    return UpstreamError(message, service=SERVICE, code=code, **more)
