"""Who may call what, decided before any view runs; then the headers of every answer.

Default-deny: a route that is not in PUBLIC needs a principal, and an unsafe method needs proof that
the request comes from our own pages (or the token in a header, which no foreign page can send).
"""

from __future__ import annotations

import getpass
import hmac
import ipaddress
import os
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, redirect, request, session, url_for
from flask_login import LoginManager, UserMixin, current_user
from werkzeug.wrappers import Request

from app.errors import Refused, is_navigation
from app.settings import LOOPBACK_NAMES, Settings

PUBLIC = frozenset({"health.healthz", "health.readyz", "static", "auth.login", "auth.enter"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PROXY_HEADERS = ("Forwarded", "X-Real-IP", "X-Original-URL", "X-Rewrite-URL")
SESSION_KEY = "holder"
CSP = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "font-src 'self'",
        "frame-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "object-src 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types default lectern",
    )
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # no-referrer would make our own forms send Origin: null
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Principal(UserMixin):  # type: ignore[misc]
    """Who is calling. In local mode: the operating-system user, an administrator."""

    def __init__(self, login: str, *, is_admin: bool) -> None:
        self.id = login
        self.login = login
        self.is_admin = is_admin


def system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no name for this user id, as in some containers
        return f"uid-{os.getuid()}"


def init_app(app: Flask, settings: Settings) -> None:
    manager = LoginManager(app)
    manager.session_protection = None
    user = Principal(system_user(), is_admin=True)

    @manager.request_loader  # type: ignore[untyped-decorator]
    def load(_: Request) -> Principal | None:
        return user if _holds_token(settings) else None

    @app.before_request
    def admit() -> Response | None:
        _check_peer(request.remote_addr)
        _check_host(request.headers.getlist("Host"), settings)
        _check_proxy_headers()
        if request.endpoint in PUBLIC and request.method in SAFE_METHODS:
            return None
        if request.method not in SAFE_METHODS:
            _check_origin(settings)
        if request.endpoint in PUBLIC or current_user.is_authenticated:
            return _cleaned_address(settings)
        return _ask_to_sign_in()

    @app.after_request
    def add_headers(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Content-Security-Policy", CSP)
        response.headers.setdefault("Cache-Control", "no-store")
        return response


def _check_peer(address: str | None) -> None:
    if not address or not _is_loopback(address):
        raise Refused(403, "not_local", "Lectern serves this computer only.")


def _is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback


def _check_host(hosts: list[str], settings: Settings) -> None:
    """Only this stops a foreign name that resolves to this computer (DNS rebinding)."""
    allowed = {name.lower() for name in (*LOOPBACK_NAMES, *settings.allowed_hosts)}
    if len(hosts) != 1 or _host_name(hosts[0]) not in allowed:
        raise Refused(
            400,
            "host_not_allowed",
            "This host name is not one Lectern answers to. "
            "Use localhost, or add the name to LECTERN_ALLOWED_HOSTS.",
        )


def _host_name(host: str) -> str:
    """The name in a Host header, without its port; "" when it is not well formed."""
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        name, port = host, "80"
    is_port = port.isascii() and port.isdigit() and len(port) <= 5
    return name.lower() if is_port else ""


def _check_proxy_headers() -> None:
    names = [name for name in PROXY_HEADERS if name in request.headers]
    names += [name for name, _ in request.headers if name.lower().startswith("x-forwarded-")]
    if names:
        raise Refused(
            403,
            "proxied",
            f"A proxy stands in front ({names[0]}). Local mode answers this computer directly.",
        )


def _check_origin(settings: Settings) -> None:
    """Unsafe methods come from our own pages, or bring the token in a header."""
    ours = f"{request.scheme}://{request.host}"
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    referer = request.headers.get("Referer")
    if site is not None:
        is_ours = site == "same-origin" or (site == "none" and is_navigation())
    elif origin is not None:
        is_ours = origin == ours
    elif referer is not None:
        parts = urlsplit(referer)
        is_ours = f"{parts.scheme}://{parts.netloc}" == ours
    else:
        is_ours = _matches(_token_in_header(), settings)
    if not is_ours:
        raise Refused(403, "cross_origin", "This request does not come from Lectern's own pages.")


def _holds_token(settings: Settings) -> bool:
    if settings.dispatch_token is None:
        return True
    if _matches(_token_in_header(), settings) or _matches(_token_in_query(), settings):
        return True
    held = str(session.get(SESSION_KEY, ""))
    return hmac.compare_digest(held.encode(), _fingerprint(settings).encode())


def _token_in_header() -> str:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value:
        return value.strip()
    return request.headers.get("X-Dispatch-Token", "")


def _token_in_query() -> str:
    return request.args.get("token", "") if request.method in SAFE_METHODS else ""


def _matches(token: str, settings: Settings) -> bool:
    expected = settings.dispatch_token
    if expected is None or not token:
        return False
    return hmac.compare_digest(token.encode(), expected.reveal().encode())


def _fingerprint(settings: Settings) -> str:
    """What the session holds in place of the token; another token makes it worthless."""
    token = settings.dispatch_token.reveal() if settings.dispatch_token else ""
    key = str(current_app.secret_key).encode()
    return hmac.new(key, b"dispatch:" + token.encode(), "sha256").hexdigest()


def remember(settings: Settings) -> None:
    """Give this browser a session in place of the token."""
    session.clear()
    session[SESSION_KEY] = _fingerprint(settings)


def accepts(token: str, settings: Settings) -> bool:
    return _matches(token, settings)


def _cleaned_address(settings: Settings) -> Response | None:
    """The token leaves the address bar as soon as it was seen there."""
    if settings.dispatch_token is None or "token" not in request.args:
        return None
    if request.method not in SAFE_METHODS:
        return None
    if _matches(_token_in_query(), settings):
        remember(settings)
    rest = [(k, v) for k, v in request.args.items(multi=True) if k != "token"]
    target = url_for(request.endpoint or "docs.index", **(request.view_args or {}))
    return redirect(_with_query(target, rest))  # type: ignore[return-value]


def _with_query(target: str, pairs: list[tuple[str, str]]) -> str:
    from urllib.parse import urlencode

    return f"{target}?{urlencode(pairs)}" if pairs else target


def _ask_to_sign_in() -> Response:
    if request.method == "GET" and is_navigation():
        here = request.full_path.rstrip("?")
        return redirect(url_for("auth.login", next=request.script_root + here))  # type: ignore[return-value]
    raise Refused(401, "sign_in", "Sign in first: open the address that `lectern serve` printed.")
