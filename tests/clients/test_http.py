"""What every upstream client does with the network: bounds, retries, redirects, secrets, and above
all whether a write that failed can have happened."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import requests
import responses
import urllib3

from app.services.errors import UpstreamError
from app.services.failure import Asked, Service
from app.services.http import Answer, Timing, Upstream
from app.services.words import plain

TOKEN = "0123456789abcdef0123456789abcdef01234567"
FORGE = Service("forge", "Forgejo", url_setting="FORGE_URL", token_setting="FORGE_TOKEN")
READ = Asked("read things", "the repository acme/widgets")
WRITE = Asked("create things", "the repository acme/widgets", is_write=True)
EAGER = Timing(retry_pauses_s=(0, 0))
HASTY = Timing(connect_s=0.2, read_s=0.2, total_s=0.4, retry_pauses_s=())

Behaviour = Callable[[socket.socket], None]


def address_of(listener: socket.socket) -> str:
    return f"127.0.0.1:{listener.getsockname()[1]}"


class RawServer:
    """Hands each connection to the next behaviour, and all further ones to the last."""

    def __init__(self) -> None:
        self.behaviours: list[Behaviour] = []
        self.requests: list[bytes] = []
        self.connections = 0
        self.ending = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = address_of(self._listener)
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self.ending.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(connection, self.connections))
                self.connections += 1
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket, index: int) -> None:
        connection.settimeout(5)
        with connection, suppress(OSError):
            self.behaviours[min(index, len(self.behaviours) - 1)](connection)

    def request(self, connection: socket.socket) -> bytes:
        """Read one request whole; empty when the client has hung up instead."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return b""
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                while len(body) < int(line.split(b":")[1]):
                    body += connection.recv(65536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return self.requests[-1]

    def answers(self, *answers: bytes) -> Behaviour:
        """Answer the requests of one connection one after the other, the last answer for ever."""

        def behave(connection: socket.socket) -> None:
            index = 0
            while self.request(connection):
                connection.sendall(answers[min(index, len(answers) - 1)])
                index += 1

        return behave

    def says(self, *pieces: bytes, every_s: float = 0) -> Behaviour:
        """Read a request, send the pieces, hang up."""

        def behave(connection: socket.socket) -> None:
            self.request(connection)
            for piece in pieces:
                connection.sendall(piece)
                if every_s and self.ending.wait(every_s):
                    return

        return behave

    def resets(self, *pieces: bytes) -> Behaviour:
        def behave(connection: socket.socket) -> None:
            self.says(*pieces)(connection)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        return behave

    def stalls(self, *pieces: bytes) -> Behaviour:
        def behave(connection: socket.socket) -> None:
            self.says(*pieces)(connection)
            self.ending.wait(5)

        return behave

    def never_reads(self, connection: socket.socket) -> None:
        self.ending.wait(5)


def answer(status: int, body: object, *headers: str) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(data)}", *headers]
    if not any(header.startswith("Content-Type") for header in headers):
        lines.append("Content-Type: application/json;charset=utf-8")
    return "\r\n".join([*lines, "", ""]).encode() + data


OK = answer(200, {"ok": True})
CREATED = answer(201, {"number": 1})


@pytest.fixture
def server() -> Iterator[RawServer]:
    raw = RawServer()
    yield raw
    raw.close()


@pytest.fixture
def connect() -> Iterator[Callable[..., Upstream]]:
    made: list[Upstream] = []

    def connect(address: str, timing: Timing = EAGER, *, scheme: str = "http") -> Upstream:
        made.append(Upstream(FORGE, f"{scheme}://{address}", token=TOKEN, timing=timing))
        return made[-1]

    yield connect
    for upstream in made:
        upstream.close()


Connect = Callable[..., Upstream]


def read(upstream: Upstream) -> Answer:
    return upstream.get("/x", asked=READ)


def write(upstream: Upstream) -> Answer:
    return upstream.post("/x", asked=WRITE, body={"a": 1}, expect=201)


def write_error(upstream: Upstream) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        write(upstream)
    return caught.value


def read_error(upstream: Upstream) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        read(upstream)
    return caught.value


# What went out


def test_a_read_carries_the_token_and_no_body(server: RawServer, connect: Connect) -> None:
    server.behaviours = [server.answers(OK)]
    assert read(connect(server.address)) == Answer(200, {"ok": True}, None)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"GET /x HTTP/1.1\r\n")
    assert f"Authorization: Bearer {TOKEN}".encode() in head
    assert b"Content-Type" not in head
    assert body == b""


def test_a_write_sends_json_on_a_connection_of_its_own(server: RawServer, connect: Connect) -> None:
    server.behaviours = [server.answers(OK), server.answers(CREATED)]
    upstream = connect(server.address)
    read(upstream)
    write(upstream)
    read(upstream)
    assert server.connections == 2  # the two reads shared one
    head, _, body = server.requests[1].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /x HTTP/1.1\r\n")
    assert b"Content-Type: application/json" in head
    assert b"Connection: close" in head
    assert json.loads(body) == {"a": 1}


def test_netrc_proxies_and_certificate_settings_of_the_environment_have_no_effect(
    server: RawServer, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login dev password hunter2\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    server.behaviours = [server.answers(OK), server.answers(CREATED)]
    upstream = connect(server.address)
    read(upstream)
    write(upstream)
    assert all(f"Authorization: Bearer {TOKEN}".encode() in each for each in server.requests)


def test_cookies_of_the_upstream_are_not_kept(server: RawServer, connect: Connect) -> None:
    server.behaviours = [server.answers(answer(200, {}, "Set-Cookie: session=theirs; Path=/"))]
    upstream = connect(server.address)
    read(upstream)
    read(upstream)
    assert b"cookie" not in server.requests[1].lower()


def test_a_token_that_no_header_can_carry_is_refused_without_being_quoted() -> None:
    with pytest.raises(ValueError, match="FORGE_TOKEN has characters") as caught:
        Upstream(FORGE, "http://forge.test", token="secret\r\nX-Evil: 1")
    assert "secret" not in str(caught.value)


def test_threads_may_read_at_once(server: RawServer, connect: Connect) -> None:
    def echo(connection: socket.socket) -> None:
        while request := server.request(connection):
            connection.sendall(answer(200, request.split()[1].decode()))

    server.behaviours = [echo]
    upstream = connect(server.address)
    paths = [f"/{number}" for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda path: upstream.get(path, asked=READ).data, paths))
    assert answers == paths


def test_one_line_is_logged_without_query_token_or_body(
    server: RawServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    server.behaviours = [server.answers(OK)]
    upstream = connect(f"{server.address}/git")
    with caplog.at_level(logging.INFO, "lectern.upstream"):
        upstream.get("/labels", asked=READ, params={"q": "private"})
    (record,) = [each for each in caplog.records if each.name == "lectern.upstream"]
    words = record.getMessage().split()
    assert words[:4] == ["forge", "GET", "/git/labels", "200"]
    assert words[4].endswith("ms")
    assert record.levelno == logging.INFO


def test_a_call_without_an_answer_is_logged_with_what_happened(
    server: RawServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    server.behaviours = [server.resets()]
    with caplog.at_level(logging.INFO, "lectern.upstream"):
        write_error(connect(server.address))
    messages = [each.getMessage() for each in caplog.records if each.name == "lectern.upstream"]
    assert [each.split()[:4] for each in messages] == [["forge", "POST", "/x", "failed"]]


# Whether a failed write can have happened


def chunked(*chunks: bytes) -> bytes:
    head = b"HTTP/1.1 201 C\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)


GZIPPED = "Content-Encoding: gzip"
OPEN_ENDED = b"HTTP/1.1 201 C\r\nContent-Type: application/json\r\n\r\n"
HALF = CREATED[:-4]
BODILESS = answer(201, b" " * 99)[:-99]
BOMB = answer(201, gzip.compress(b" " * 30_000_000), GZIPPED)
UNKNOWN: list[tuple[str, Callable[[RawServer], Behaviour], str]] = [
    ("never reads", lambda s: s.never_reads, "timeout"),
    ("never answers", lambda s: s.stalls(), "timeout"),
    ("stalls in the head", lambda s: s.stalls(b"HTTP/1.1 201 Cr"), "timeout"),
    ("stalls in the body", lambda s: s.stalls(HALF), "timeout"),
    ("drips the head", lambda s: s.says(*drops(CREATED), every_s=0.02), "timeout"),
    ("drips the body", lambda s: s.says(BODILESS, *drops(b" " * 99), every_s=0.02), "timeout"),
    ("drips without end", lambda s: s.says(OPEN_ENDED, *drops(b" " * 99), every_s=0.02), "timeout"),
    ("resets after reading", lambda s: s.resets(), "failed"),
    ("hangs up after reading", lambda s: s.says(), "failed"),
    ("resets in the body", lambda s: s.resets(HALF), "failed"),
    ("hangs up in the body", lambda s: s.says(HALF), "failed"),
    ("hangs up in a chunk", lambda s: s.says(chunked(b'{"number":', b"1}")[:-3]), "failed"),
    ("does not speak http", lambda s: s.says(b"220 mail.example ESMTP\r\n"), "failed"),
    ("sends a gzip bomb", lambda s: s.says(BOMB), "bad_answer"),
    ("sends too much", lambda s: s.says(answer(201, b"1" * 2_000_001)), "bad_answer"),
    ("sends no end", lambda s: s.says(chunked(*[b" " * 50_000] * 60)), "bad_answer"),
    ("sends broken gzip", lambda s: s.says(answer(201, b"nonsense", GZIPPED)), "bad_answer"),
    ("sends html", lambda s: s.says(answer(201, b"<p>", "Content-Type: text/html")), "bad_answer"),
    ("sends no type", lambda s: s.says(answer(201, b"{}", "Content-Type:")), "bad_answer"),
    ("sends broken json", lambda s: s.says(answer(201, b'{"number": 1')), "bad_answer"),
    ("sends deep json", lambda s: s.says(answer(201, b"[" * 100_000)), "bad_answer"),
    ("sends other bytes", lambda s: s.says(answer(201, b'"\xff"')), "bad_answer"),
    ("answers 200", lambda s: s.says(OK), "bad_answer"),
    ("answers 202", lambda s: s.says(answer(202, {"number": 1})), "bad_answer"),
    ("answers 204", lambda s: s.says(b"HTTP/1.1 204 No Content\r\n\r\n"), "bad_answer"),
    ("answers 500", lambda s: s.says(answer(500, {"message": ""})), "failed"),
    (
        "answers 500 in html",
        lambda s: s.says(answer(500, b"<", "Content-Type: text/html")),
        "failed",
    ),
    ("answers 502", lambda s: s.says(answer(502, b"")), "failed"),
    ("answers 503", lambda s: s.says(answer(503, b"", "Retry-After: 60")), "failed"),
    ("answers 504", lambda s: s.says(answer(504, b"")), "failed"),
]


def drops(data: bytes) -> list[bytes]:
    return [data[index : index + 1] for index in range(len(data))]


@pytest.mark.parametrize(
    ("make", "code"), [row[1:] for row in UNKNOWN], ids=[r[0] for r in UNKNOWN]
)
def test_a_write_that_may_have_arrived_is_unknown_and_not_repeated(
    server: RawServer, connect: Connect, make: Callable[[RawServer], Behaviour], code: str
) -> None:
    server.behaviours = [make(server)]
    started = time.monotonic()
    error = write_error(connect(server.address, HASTY if code == "timeout" else EAGER))
    assert time.monotonic() - started < 1.5
    assert (error.code, error.effect, error.retryable) == (code, "unknown", False)
    assert str(error).endswith(
        "It may have been done all the same: check Forgejo before trying again."
    )
    assert server.connections == 1


REFUSALS = [
    (301, "moved"), (302, "moved"), (303, "moved"), (307, "moved"), (308, "moved"),
    (400, "invalid"), (401, "unauthorized"), (403, "forbidden"), (404, "not_found"),
    (409, "invalid"), (413, "invalid"), (422, "invalid"), (423, "archived"), (429, "rate_limited"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "code"), REFUSALS)
def test_a_refused_write_has_no_effect(
    server: RawServer, connect: Connect, status: int, code: str
) -> None:
    elsewhere = f"Location: http://{server.address}/elsewhere"
    server.behaviours = [server.says(answer(status, {"message": "No."}, elsewhere))]
    error = write_error(connect(server.address))
    assert (error.code, error.status, error.effect) == (code, status, "none")
    assert server.connections == 1


def test_a_refusal_whose_text_breaks_off_is_a_refusal(server: RawServer, connect: Connect) -> None:
    server.behaviours = [server.resets(answer(422, {"message": "No."})[:-5])]
    error = write_error(connect(server.address))
    assert (error.code, error.effect) == ("invalid", "none")


def test_the_body_of_a_redirect_is_not_read(server: RawServer, connect: Connect) -> None:
    head = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 9999\r\n\r\n"
    server.behaviours = [server.stalls(head)]
    assert write_error(connect(server.address, HASTY)).code == "moved"


def test_the_text_of_a_401_is_not_even_read(server: RawServer, connect: Connect) -> None:
    server.behaviours = [server.stalls(answer(401, {"message": TOKEN})[:-9])]
    started = time.monotonic()
    assert write_error(connect(server.address)).code == "unauthorized"
    assert time.monotonic() - started < 2


def test_nothing_is_sent_after_the_deadline(server: RawServer, connect: Connect) -> None:
    with pytest.raises(UpstreamError) as caught:
        connect(server.address).get("/x", asked=READ, until=time.monotonic())
    assert caught.value.code == "timeout"
    assert server.connections == 0


def test_a_refused_connection_has_no_effect(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = address_of(listener)
    error = write_error(connect(address))
    assert (error.code, error.effect, error.retryable) == ("unreachable", "none", True)
    assert str(error) == (
        "Forgejo cannot be reached. Check that it is running and that FORGE_URL is right."
    )


def test_a_connection_that_is_never_accepted_has_no_effect(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = [socket.socket() for _ in range(4)]  # they fill the queue
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        error = write_error(connect(address_of(listener), HASTY))
        for each in waiting:
            each.close()
    assert (error.code, error.effect) == ("timeout", "none")


TLS_FAILURES: list[tuple[str, Callable[[RawServer], Behaviour], str]] = [
    ("speaks no tls", lambda s: lambda c: c.sendall(OK), "unreachable"),
    ("hangs up", lambda s: lambda c: None, "unreachable"),
    ("stalls", lambda s: s.never_reads, "timeout"),
]


@pytest.mark.parametrize(
    ("make", "code"), [row[1:] for row in TLS_FAILURES], ids=[row[0] for row in TLS_FAILURES]
)
def test_a_failed_tls_handshake_has_no_effect(
    server: RawServer, connect: Connect, make: Callable[[RawServer], Behaviour], code: str
) -> None:
    server.behaviours = [make(server)]
    timing = HASTY if code == "timeout" else EAGER
    error = write_error(connect(server.address, timing, scheme="https"))
    assert (error.code, error.effect) == (code, "none")


def wrapped(reason: Exception) -> requests.ConnectionError:
    pool = urllib3.HTTPConnectionPool("forge.test")
    return requests.ConnectionError(urllib3.exceptions.MaxRetryError(pool, "/x", reason))


def no_address() -> Exception:
    connection = urllib3.connection.HTTPConnection("forge.test")
    return urllib3.exceptions.NameResolutionError("forge.test", connection, socket.gaierror())


@pytest.mark.parametrize(
    ("error", "effect"),
    [
        (wrapped(no_address()), "none"),
        (requests.ConnectTimeout(), "none"),
        (requests.exceptions.SSLError(), "none"),
        (requests.exceptions.InvalidURL(), "none"),
        (requests.ConnectionError(), "unknown"),
        (requests.ConnectionError(urllib3.exceptions.ProtocolError("aborted")), "unknown"),
        (requests.ReadTimeout(), "unknown"),
        (requests.exceptions.ChunkedEncodingError(), "unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_error_of_another_transport_is_judged_by_its_kind(
    connect: Connect, error: Exception, effect: str
) -> None:
    with responses.RequestsMock() as upstream:
        upstream.post("http://forge.test/x", body=error)
        assert write_error(connect("forge.test")).effect == effect


# Reads


@pytest.mark.parametrize("make", [row[1] for row in UNKNOWN[:12]], ids=[r[0] for r in UNKNOWN[:12]])
def test_a_failed_read_never_has_an_effect(
    server: RawServer, connect: Connect, make: Callable[[RawServer], Behaviour]
) -> None:
    server.behaviours = [make(server)]
    error = read_error(connect(server.address, HASTY))
    assert error.effect == "none"
    assert "It may have been done" not in str(error)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_read_is_asked_again_when_a_proxy_has_lost_its_upstream(
    server: RawServer, connect: Connect, status: int
) -> None:
    passing = answer(status, b"", "Retry-After: 60")
    server.behaviours = [server.says(passing), server.resets(), server.says(OK)]
    assert read(connect(server.address)).data == {"ok": True}
    assert len(server.requests) == 3


def test_a_read_is_asked_three_times_at_most(server: RawServer, connect: Connect) -> None:
    server.behaviours = [server.says(answer(503, b""))]
    error = read_error(connect(server.address))
    assert (error.code, error.status, error.retryable) == ("failed", 503, True)
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 429, 500])
def test_other_answers_to_a_read_are_final(
    server: RawServer, connect: Connect, status: int
) -> None:
    server.behaviours = [server.says(answer(status, b"", "Location: /y"))]
    assert read_error(connect(server.address)).status == status
    assert len(server.requests) == 1


def test_a_read_is_not_asked_again_after_a_timeout(server: RawServer, connect: Connect) -> None:
    server.behaviours = [server.stalls()]
    timing = Timing(read_s=0.1, retry_pauses_s=(0, 0))
    assert read_error(connect(server.address, timing)).code == "timeout"
    assert server.connections == 1


def test_retries_stay_within_the_deadline(server: RawServer, connect: Connect) -> None:
    server.behaviours = [server.says(answer(503, b""))]
    started = time.monotonic()
    read_error(connect(server.address, Timing(total_s=5, retry_pauses_s=(5, 5))))
    assert time.monotonic() - started < 4
    assert len(server.requests) == 1


def test_a_gzipped_answer_is_read(server: RawServer, connect: Connect) -> None:
    server.behaviours = [server.answers(answer(200, gzip.compress(b'{"ok": 1}'), GZIPPED))]
    assert read(connect(server.address)).data == {"ok": 1}


def test_no_timer_outlives_its_call(server: RawServer, connect: Connect) -> None:
    server.behaviours = [server.answers(OK)]
    read(connect(server.address))
    assert not [each for each in threading.enumerate() if isinstance(each, threading.Timer)]


# What people are told


def refusal(connect: Connect, status: int, **answer: object) -> UpstreamError:
    with responses.RequestsMock() as upstream:
        upstream.post("http://forge.test/x", status=status, **answer)
        return write_error(connect("forge.test"))


@pytest.mark.parametrize(
    ("status", "message", "sentence"),
    [
        (301, "", "Forgejo says that the repository acme/widgets is at another address. If it was "
         "renamed, put its new name into the settings; otherwise correct FORGE_URL."),
        (401, "No.", "Forgejo does not accept the token in FORGE_TOKEN. Put a valid one there."),
        (403, "token does not have at least one of required scope(s): [write:issue]",
         "The token in FORGE_TOKEN may not create things: it lacks the scope write:issue."),
        (403, "user is blocked",
         "The token in FORGE_TOKEN may not create things. Forgejo says: “user is blocked”"),
        (404, "The target couldn't be found.", "Forgejo does not know the repository acme/widgets, "
         "or the token in FORGE_TOKEN may not see it."),
        (422, "[Title]: Required",
         "Forgejo did not take what it got to create things. Forgejo says: “[Title]: Required”"),
        (423, "", "The repository acme/widgets is archived on Forgejo, so nothing can be created "
         "in it."),
        (429, "", "Forgejo gets too many requests. Try again later."),
        (418, "", "Forgejo refused to create things (status 418)."),
        (500, "dial tcp: secret", "Forgejo failed when it was asked to create things (status 500). "
         "It may have been done all the same: check Forgejo before trying again."),
    ],
)  # fmt: skip
def test_a_refusal_is_said_in_a_sentence(
    connect: Connect, status: int, message: str, sentence: str
) -> None:
    assert str(refusal(connect, status, json={"message": message})) == sentence


@pytest.mark.parametrize(
    ("header", "wait_s", "words"),
    [
        ("7", 7, "in 7 s."),
        ("999999", 3600, "in 3600 s."),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None, "later."),
        ("-1", None, "later."),
        ("", None, "later."),
    ],
)
def test_how_long_to_wait_is_passed_on(
    connect: Connect, header: str, wait_s: int | None, words: str
) -> None:
    error = refusal(connect, 429, headers={"Retry-After": header})
    assert (error.retry_after_s, error.retryable) == (wait_s, True)
    assert str(error).endswith(words)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[1]", b"null", b'{"message": 1}', b'{"message": null}', b"[" * 60_000,
     b"\xff", b'{"message": "' + b"x" * 70_000 + b'"}'],
    ids=["empty", "html", "list", "null", "number", "none", "deep", "bytes", "huge"],
)  # fmt: skip
def test_odd_texts_of_a_refusal_are_left_out(connect: Connect, body: bytes) -> None:
    assert (
        str(refusal(connect, 422, body=body))
        == "Forgejo did not take what it got to create things."
    )


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 423, 429, 500])
def test_a_repeated_token_is_never_passed_on(
    connect: Connect, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    echo = f"access token does not exist [sha: {TOKEN}]"
    with caplog.at_level(logging.DEBUG):
        error = refusal(connect, status, json={"message": echo})
    assert TOKEN not in str(error)
    assert TOKEN not in caplog.text


def test_the_text_of_a_401_is_not_passed_on_at_all(connect: Connect) -> None:
    assert "does not exist" not in str(
        refusal(connect, 401, json={"message": "user does not exist"})
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one\r\n\ttwo", "one two"),
        ("a\x00b\x1b[31mc\u202ed\u200be", "ab[31mcde"),
        ("x" * 400, "x" * 300),
        ("the canary", "the ***"),
        ("ca\x00nary", "***"),
        ("ca\u200bnary", "***"),
        ("x" * 298 + "canary", "x" * 298 + "**"),
        (f"sha: {'ab' * 20}", "sha: ***"),
        ("secret gto_abc234xyz", "secret ***"),
        ("eyJhbGciOi.eyJ0eXBl.c2ln-_x rest", "*** rest"),
        ("Authorization: Bearer c2VjcmV0LXRva2Vu", "Authorization: ***"),
        ("postgres://me:pw@db/x", "postgres://***db/x"),
        ("token is required", "token is required"),
    ],
)
def test_quoted_words_are_one_short_line_without_secrets(text: str, shown: str) -> None:
    assert plain(text, token="canary") == shown
