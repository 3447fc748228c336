"""Settings: read once from the environment, every problem reported at once. Knows nothing of Flask.

`Settings.from_env()` is the only reader of environment variables; secrets are wrapped so that
printing a settings object, by accident or in a traceback, prints `***`.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from dotenv.parser import parse_stream

DEFAULT_MODEL = "gpt-5.6"
DEFAULT_LLM_URL = "https://api.openai.com/v1"
DEFAULT_PORT = 8765
DEFAULT_TURNS = 16
MAX_TURNS = 256
MIN_SECRET_CHARS = 32
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
METADATA_NETWORKS = tuple(
    ipaddress.ip_network(n) for n in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32")
)
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PREFIX = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)*")
_HOST_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[[0-9A-Fa-f:.]+\]")


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A value that prints as `***`; `reveal()` is called where it is used and nowhere else."""

    _value: str

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class LLMSettings:
    api_key: Secret
    model: str = DEFAULT_MODEL
    base_url: str = DEFAULT_LLM_URL


@dataclass(frozen=True, slots=True)
class ForgeSettings:
    url: str
    public_url: str
    token: Secret
    repository: str
    repositories: tuple[str, ...]  # what actions may target, the default one first


@dataclass(frozen=True, slots=True)
class CISettings:
    url: str
    public_url: str
    token: Secret


@dataclass(frozen=True, slots=True)
class Settings:
    root: Path
    state_dir: Path
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    secret_key: Secret | None = None  # None: made once and kept in the state directory
    public_url: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    max_concurrent_turns: int = DEFAULT_TURNS
    dispatch_token: Secret | None = None
    llm: LLMSettings | None = None
    forge: ForgeSettings | None = None
    ci: CISettings | None = None
    is_demo: bool = False

    @property
    def url_prefix(self) -> str:
        """The path the app is mounted under: "" or "/team/docs", never with a closing slash."""
        return urlsplit(self.public_url).path.rstrip("/") if self.public_url else ""

    @property
    def name(self) -> str:
        """What the served repository is called on every page."""
        return self.forge.repository if self.forge else self.root.name

    @staticmethod
    def from_env(environ: Mapping[str, str] | None = None) -> Settings:
        """Read `environ` (default: the process's) and the root's `.env`, which never overrides it.

        Raises SettingsError with every problem found, each named by its variable.
        """
        return _Reader(os.environ if environ is None else environ).settings()


class SettingsError(Exception):
    """Each problem is a sentence that begins with the variable's name."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass
class _Reader:
    environ: Mapping[str, str]
    problems: list[str] = field(default_factory=list)

    def settings(self) -> Settings:
        root = self._root()
        if root is not None:
            self.environ = {**self._dotenv(root), **self.environ}
        settings = self._build(root or Path.cwd())
        if self.problems:
            raise SettingsError(tuple(self.problems))
        return settings

    def _build(self, root: Path) -> Settings:
        self._mode()
        return Settings(
            root=root,
            state_dir=Path(self._text("LECTERN_STATE_DIR") or root / ".lectern").absolute(),
            host=self._host(),
            port=self._number("LECTERN_PORT", DEFAULT_PORT, low=0, high=65535),
            secret_key=self._secret_key(),
            public_url=self._public_url(),
            allowed_hosts=self._names("LECTERN_ALLOWED_HOSTS", _HOST_NAME, "a host name"),
            max_concurrent_turns=self._number(
                "LECTERN_MAX_CONCURRENT_TURNS", DEFAULT_TURNS, low=1, high=MAX_TURNS
            ),
            dispatch_token=self._secret("TASKS_SERVER_DISPATCH_TOKEN"),
            llm=self._llm(),
            forge=self._forge(),
            ci=self._ci(),
        )

    def _problem(self, name: str, sentence: str) -> None:
        self.problems.append(f"{name}: {sentence}")

    def _text(self, name: str) -> str:
        return self.environ.get(name, "").strip()

    def _root(self) -> Path | None:
        root = Path(self._text("LECTERN_ROOT") or ".").absolute()
        if root.is_dir() and os.access(root, os.R_OK | os.X_OK):
            return root.resolve()
        self._problem("LECTERN_ROOT", f"{root} is not a folder that can be read.")
        return None

    def _dotenv(self, root: Path) -> dict[str, str]:
        path = root / ".env"
        if not path.is_file():
            return {}
        try:
            with path.open(encoding="utf-8-sig") as stream:
                bindings = list(parse_stream(stream))
        except (OSError, UnicodeDecodeError) as error:
            self._problem(".env", f"cannot be read as UTF-8 text ({type(error).__name__}).")
            return {}
        for bad in (b.original for b in bindings if b.error):
            blank = bad.string.removesuffix(bad.string.lstrip())  # empty lines belong to it
            line = bad.line + blank.count("\n")
            self._problem(".env", f"line {line} is not of the form NAME=value.")
        return {b.key: b.value for b in bindings if b.key and b.value is not None}

    def _mode(self) -> None:
        mode = self._text("LECTERN_MODE") or "local"
        if mode == "team":
            self._problem("LECTERN_MODE", "team mode is not part of this version; use local.")
        elif mode != "local":
            self._problem("LECTERN_MODE", "must be local.")

    def _host(self) -> str:
        host = self._text("LECTERN_HOST") or "127.0.0.1"
        if host == "localhost" or _is_loopback(host.strip("[]")):
            return host
        self._problem("LECTERN_HOST", "local mode serves this computer only; use 127.0.0.1.")
        return host

    def _secret_key(self) -> Secret | None:
        secret = self._secret("LECTERN_SECRET_KEY")
        if secret and len(secret.reveal()) < MIN_SECRET_CHARS:
            self._problem("LECTERN_SECRET_KEY", f"needs at least {MIN_SECRET_CHARS} characters.")
        return secret

    def _secret(self, name: str) -> Secret | None:
        value = self._text(name)
        if not (value.isascii() and value.isprintable()):
            self._problem(name, "may hold printable ASCII characters only.")
        return Secret(value) if value else None

    def _number(self, name: str, default: int, *, low: int, high: int) -> int:
        text = self._text(name)
        if not text:
            return default
        if text.isascii() and text.isdigit() and len(text) < 10 and low <= int(text) <= high:
            return int(text)
        self._problem(name, f"must be a whole number from {low} to {high}.")
        return default

    def _names(self, name: str, pattern: re.Pattern[str], what: str) -> tuple[str, ...]:
        items = tuple(item.strip() for item in self._text(name).split(",") if item.strip())
        for item in items:
            if not pattern.fullmatch(item):
                self._problem(name, f"{item[:60]!r} is not {what}.")
        return items

    def _url(self, name: str) -> str | None:
        text = self._text(name)
        if not text:
            return None
        reason = _url_problem(text)
        if reason:
            self._problem(name, reason)
            return None
        return text.rstrip("/")

    def _public_url(self) -> str | None:
        url = self._url("LECTERN_PUBLIC_URL")
        if url and not _PREFIX.fullmatch(urlsplit(url).path):
            self._problem(
                "LECTERN_PUBLIC_URL", "may have only letters, digits and . _ ~ - in its path."
            )
        return url

    def _complete(self, names: tuple[str, ...], *, hint: str = "") -> bool:
        """Whether all of `names` are set; some but not all is a problem of each missing one."""
        missing = [name for name in names if not self._text(name)]
        if missing and len(missing) < len(names):
            present = ", ".join(name for name in names if name not in missing)
            for name in missing:
                self._problem(name, f"is not set although {present} is.{hint}")
        return not missing

    def _llm(self) -> LLMSettings | None:
        key = self._secret("OPENAI_API_KEY")
        base_url = self._url("OPENAI_BASE_URL") or DEFAULT_LLM_URL
        if self._text("OPENAI_BASE_URL") and not key:
            self._problem(
                "OPENAI_API_KEY",
                "is not set although OPENAI_BASE_URL is; if that server needs none, set any word.",
            )
        model = self._text("OPENAI_MODEL") or DEFAULT_MODEL
        return LLMSettings(key, model, base_url) if key else None

    def _forge(self) -> ForgeSettings | None:
        url = self._url("FORGE_URL")
        token = self._secret("FORGE_TOKEN")
        public_url = self._url("FORGE_PUBLIC_URL") or url
        owner = self._one("FORGE_OWNER", _OWNER)
        repository = self._one("FORGE_REPO", _OWNER)
        more = self._names("FORGE_REPOS", _REPOSITORY, "of the form owner/name")
        if not self._complete(("FORGE_URL", "FORGE_TOKEN", "FORGE_OWNER", "FORGE_REPO")):
            return None
        default = f"{owner}/{repository}"
        repositories = tuple(dict.fromkeys((default, *more)))
        secret = token or Secret("")
        return ForgeSettings(url or "", public_url or "", secret, default, repositories)

    def _one(self, name: str, pattern: re.Pattern[str]) -> str:
        text = self._text(name)
        if text and not pattern.fullmatch(text):
            self._problem(name, "is not a name that Forgejo allows.")
        return text

    def _ci(self) -> CISettings | None:
        url = self._url("WOODPECKER_SERVER")
        token = self._secret("WOODPECKER_TOKEN")
        public_url = self._url("WOODPECKER_PUBLIC_URL") or url
        if not self._complete(("WOODPECKER_SERVER", "WOODPECKER_TOKEN")):
            return None
        return CISettings(url or "", public_url or "", token or Secret(""))


def _url_problem(text: str) -> str | None:
    try:
        parts = urlsplit(text)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return "is not an address."
    if parts.scheme not in ("http", "https") or not host:
        return "must be an address that begins with http:// or https:// and names a host."
    if not text.isascii():  # clients read "１６９" as 169, which a look at the host would miss
        return "must be in plain ASCII: write a host of other letters as xn--…."
    if parts.username or parts.password or parts.query or parts.fragment:
        return "must have no user name, password, ? or # in it."
    if _is_metadata(host):
        return "is a link-local or cloud metadata address, which Lectern does not call."
    return None


def _is_metadata(host: str) -> bool:
    address = _address(host)
    if address is None:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return any(mapped.version == n.version and mapped in n for n in METADATA_NETWORKS)


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return address is not None and address.is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return _legacy_ipv4(host)


def _legacy_ipv4(host: str) -> ipaddress.IPv4Address | None:
    """Decimal, octal and short forms that the C library would still resolve."""
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def refuse(problems: tuple[str, ...]) -> NoReturn:
    """End the process with every problem on standard error and exit code 2."""
    lines = ["Lectern cannot start with these settings:", *(f"  {p}" for p in problems)]
    sys.stderr.write("\n".join(lines) + "\n")
    raise SystemExit(2)
