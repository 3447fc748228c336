"""What arrived at a double, and what shall go wrong next. Knows nothing of what the double does."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from werkzeug.wrappers import Request, Response

from app.demo.wire import Dropped, wait_for

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

STALL_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it arrived."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong once, for the next request with this method and path.

    First a stall (until `stall` is set, or for `stall_s`), then a reset (`drop`) or another answer
    (`status`, `body`); with none of these the right answer follows late. `when` says whether the
    fault strikes before or after the effect. A client that leaves during a stall before the effect
    prevents it, unless `carry_on` is set.
    """

    method: str = "POST"
    path: str = ".*"
    when: Literal["before", "after"] = "before"
    status: int | None = None
    body: bytes = b""
    content_type: str = "application/json;charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: bool = False
    stall: threading.Event | None = None
    stall_s: float = 0.0
    carry_on: bool = False

    def matches(self, received: Received) -> bool:
        is_method = self.method in ("", received.method)
        return is_method and re.fullmatch(self.path, received.path) is not None

    def strike(self, environ: WSGIEnvironment) -> Response | None:
        """The answer to give instead, if there is one."""
        if self.stall or self.stall_s:
            event = self.stall or threading.Event()
            watched = {} if self.carry_on else environ
            wait_for(watched, event, self.stall_s or STALL_LIMIT_S)
        if self.drop:
            raise Dropped
        if self.status is None:
            return None
        response = Response(self.body, status=self.status, content_type=self.content_type)
        response.headers.extend(self.headers)
        return response


class Traffic:
    """A double's memory of requests and its queue of faults, for use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received: list[Received] = []
        self._faults: list[Fault] = []

    @property
    def requests(self) -> list[Received]:
        with self._lock:
            return list(self._received)

    def fail_next(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def handle(self, environ: WSGIEnvironment, answer: Callable[[Received], Response]) -> Response:
        """Record the request, let a fault strike or not, and answer."""
        received = _received(Request(environ))
        fault = self._record(received)
        if fault is None:
            return answer(received)
        if fault.when == "before":
            return fault.strike(environ) or answer(received)
        response = answer(received)
        return fault.strike(environ) or response

    def _record(self, received: Received) -> Fault | None:
        with self._lock:
            self._received.append(received)
            for fault in self._faults:
                if fault.matches(received):
                    self._faults.remove(fault)
                    return fault
        return None


def _received(request: Request) -> Received:
    return Received(
        method=request.method,
        path=request.path,
        query=request.query_string.decode("latin-1"),
        headers=dict(request.headers),
        # Read here, whatever follows: an unread body would hold the connection open.
        body=request.get_data(),
    )
