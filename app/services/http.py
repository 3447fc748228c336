"""JSON over HTTP to one upstream: bounded in time and size, no redirects, no repeated writes.

Knows nothing of issues or pipelines; what went wrong is said by `failure`.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import urlsplit

import requests
import urllib3

from app.services import failure
from app.services.connection import UnredirectedSession, Watch, WatchedAdapter
from app.services.errors import UpstreamError
from app.services.failure import Asked, Service
from app.services.words import quotable

MAX_BODY_BYTES = 2_000_000
MAX_REFUSAL_BYTES = 64_000
CHUNK_BYTES = 16_384
# A proxy whose upstream is restarting: worth asking again, if nothing was to be changed.
PASSING_STATUSES = frozenset({502, 503, 504})
BREAKS = (requests.RequestException, urllib3.exceptions.HTTPError)

log = logging.getLogger("lectern.upstream")


@dataclass(frozen=True, slots=True)
class Timing:
    connect_s: float = 5
    read_s: float = 20  # between two bytes
    total_s: float = 30
    retry_pauses_s: tuple[float, ...] = (0.2, 0.6)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    data: object  # parsed JSON
    total: int | None  # how many there are on all pages, if the upstream says so


class _TooLarge(Exception):
    pass


class Upstream:
    """Reads share one pooled session. Threads may call at once: the pool locks, and nothing else in
    the session changes once it is made, as cookies are refused. Each write has a session of its
    own, hence a fresh connection: on a reused one it could die unread and leave us in doubt.
    """

    def __init__(
        self, service: Service, url: str, *, token: str, timing: Timing | None = None
    ) -> None:
        if not re.fullmatch(r"[\x21-\x7e]+", token):  # else errors about the header would quote it
            raise ValueError(f"{service.token_setting} has characters that no token has.")
        self.service = service
        self.timing = timing or Timing()
        self._url = url.rstrip("/")
        self._token = token
        self._reads = self._session()

    def close(self) -> None:
        self._reads.close()

    def get(
        self,
        path: str,
        *,
        asked: Asked,
        params: Mapping[str, str | int] | None = None,
        until: float | None = None,
    ) -> Answer:
        """`until` is a moment of `time.monotonic()`, for calls that share one deadline."""
        until = until or self.deadline()
        request = requests.Request("GET", self._url + path, params=params)
        for pause_s in self.timing.retry_pauses_s:
            try:
                return self._send(self._reads, request, asked, expect=200, until=until)
            except UpstreamError as error:
                if not _is_passing(error) or time.monotonic() + pause_s >= until:
                    raise
            time.sleep(pause_s)
        return self._send(self._reads, request, asked, expect=200, until=until)

    def post(self, path: str, *, asked: Asked, body: Mapping[str, object], expect: int) -> Answer:
        request = requests.Request("POST", self._url + path, json=body)
        with self._session() as session:
            session.headers["Connection"] = "close"
            return self._send(session, request, asked, expect=expect, until=self.deadline())

    def deadline(self) -> float:
        return time.monotonic() + self.timing.total_s

    def unreadable(self, asked: Asked, status: int) -> UpstreamError:
        """For the callers, who alone know what a sensible answer is."""
        return self._unreadable(asked, status, failure.SENSELESS)

    def _unreadable(self, asked: Asked, status: int, sentence: str) -> UpstreamError:
        return failure.unreadable(self.service, asked, status=status, sentence=sentence)

    def _session(self) -> requests.Session:
        session = UnredirectedSession()
        session.trust_env = False  # or ~/.netrc replaces our token, and proxies see it
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        session.headers["Authorization"] = f"Bearer {self._token}"
        session.headers["Accept"] = "application/json"
        session.headers["User-Agent"] = "Lectern"
        for scheme in ("http://", "https://"):
            session.mount(scheme, WatchedAdapter())
        return session

    def _send(
        self,
        session: requests.Session,
        request: requests.Request,
        asked: Asked,
        *,
        expect: int,
        until: float,
    ) -> Answer:
        """One request, one line in the log."""
        started, outcome = time.monotonic(), "failed"
        try:
            with Watch(until=until) as watch:
                try:
                    with self._open(session, request, until) as response:
                        outcome = str(response.status_code)
                        return self._answer(response, asked, expect, watch)
                except BREAKS as error:
                    broken = failure.broken(self.service, asked, error, watch)
                    outcome = broken.code
                    raise broken from error
        finally:
            took_ms = round((time.monotonic() - started) * 1000)
            path = urlsplit(request.url).path
            log.info("%s %s %s %s %dms", self.service.word, request.method, path, outcome, took_ms)

    def _open(
        self, session: requests.Session, request: requests.Request, until: float
    ) -> requests.Response:
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise requests.ConnectTimeout
        timeout = (min(self.timing.connect_s, left_s), min(self.timing.read_s, left_s))
        prepared = session.prepare_request(request)
        return session.send(prepared, timeout=timeout, allow_redirects=False, stream=True)

    def _answer(
        self, response: requests.Response, asked: Asked, expect: int, watch: Watch
    ) -> Answer:
        status = response.status_code
        if status != expect:
            raise failure.refused(
                self.service,
                asked,
                status=status,
                words=self._words(response),
                retry_after=response.headers.get("Retry-After", ""),
            )
        try:
            body = _read(response, MAX_BODY_BYTES)
        except _TooLarge:
            raise self._unreadable(asked, status, failure.TOO_LARGE) from None
        if watch.is_expired:  # a body without a length looks whole when it is cut
            raise requests.ReadTimeout
        return Answer(status, self._json(response, body, asked), _total(response))

    def _words(self, response: requests.Response) -> str:
        """What may be quoted of a refusal, which it remains when its text cannot be read.
        Forgejo's 401 repeats the token, so that one is not even looked at."""
        if response.status_code == 401 or not 400 <= response.status_code < 500:
            return ""
        try:
            body = _read(response, MAX_REFUSAL_BYTES)
        except (*BREAKS, _TooLarge):
            return ""
        return quotable(body, token=self._token)

    def _json(self, response: requests.Response, body: bytes, asked: Asked) -> object:
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise self._unreadable(asked, response.status_code, failure.NOT_JSON)
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise self._unreadable(asked, response.status_code, failure.SENSELESS) from None


def _read(response: requests.Response, limit: int) -> bytes:
    body = bytearray()
    for chunk in response.iter_content(CHUNK_BYTES):
        body += chunk
        if len(body) > limit:
            raise _TooLarge
    return bytes(body)


def _is_passing(error: UpstreamError) -> bool:
    """Not after a timeout: the person has waited long enough."""
    if error.status is not None:
        return error.status in PASSING_STATUSES
    return error.retryable and error.code in ("unreachable", "failed")


def _total(response: requests.Response) -> int | None:
    total = response.headers.get("X-Total-Count", "")
    return int(total) if re.fullmatch(r"[0-9]{1,9}", total) else None
