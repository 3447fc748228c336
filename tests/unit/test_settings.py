"""Settings: what each variable takes, and that every problem is told at once, by name."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from app.settings import (
    CISettings,
    ForgeSettings,
    LLMSettings,
    Secret,
    Settings,
    SettingsError,
)

FORGE = {
    "FORGE_URL": "https://forge.test",
    "FORGE_TOKEN": "canary-forge",
    "FORGE_OWNER": "acme",
    "FORGE_REPO": "widgets",
}
CI = {"WOODPECKER_SERVER": "https://ci.test", "WOODPECKER_TOKEN": "canary-ci"}
LLM = {"OPENAI_API_KEY": "canary-llm"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    return folder


def read(root: Path, **environ: str) -> Settings:
    return Settings.from_env({"LECTERN_ROOT": str(root), **environ})


def problems(root: Path, **environ: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        read(root, **environ)
    return caught.value.problems


def named(told: tuple[str, ...]) -> list[str]:
    """The variables that problems begin with."""
    return [problem.partition(":")[0] for problem in told]


def test_with_nothing_set_everything_has_its_default(root: Path) -> None:
    settings = read(root)
    assert settings == Settings(root=root, state_dir=root / ".lectern")
    assert (settings.host, settings.port) == ("127.0.0.1", 8765)
    assert settings.max_concurrent_turns == 16
    assert settings.url_prefix == ""
    assert settings.name == "repo"
    assert (settings.llm, settings.forge, settings.ci) == (None, None, None)
    assert (settings.secret_key, settings.dispatch_token) == (None, None)
    assert settings.is_demo is False


def test_the_root_is_where_one_is_when_none_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    assert Settings.from_env({}).root == root


def test_the_processs_environment_is_read_when_none_is_given(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LECTERN_ROOT", str(root))
    monkeypatch.setenv("LECTERN_PORT", "9001")
    assert Settings.from_env().port == 9001


GOOD: dict[str, tuple[dict[str, str], str, Any]] = {
    "mode": ({"LECTERN_MODE": "local"}, "host", "127.0.0.1"),
    "host by name": ({"LECTERN_HOST": "localhost"}, "host", "localhost"),
    "host": ({"LECTERN_HOST": "127.0.0.2"}, "host", "127.0.0.2"),
    "host of IPv6": ({"LECTERN_HOST": "::1"}, "host", "::1"),
    "host in brackets": ({"LECTERN_HOST": "[::1]"}, "host", "[::1]"),
    "any port": ({"LECTERN_PORT": "0"}, "port", 0),
    "last port": ({"LECTERN_PORT": "65535"}, "port", 65535),
    "port with blanks": ({"LECTERN_PORT": " 80 "}, "port", 80),
    "state": ({"LECTERN_STATE_DIR": "/var/lib/lectern"}, "state_dir", Path("/var/lib/lectern")),
    "key": ({"LECTERN_SECRET_KEY": "k" * 32}, "secret_key", Secret("k" * 32)),
    "token": ({"TASKS_SERVER_DISPATCH_TOKEN": "t"}, "dispatch_token", Secret("t")),
    "public address": (
        {"LECTERN_PUBLIC_URL": "http://localhost:8765/"},
        "public_url",
        "http://localhost:8765",
    ),
    "hosts": (
        {"LECTERN_ALLOWED_HOSTS": " desk.local , ,box ,[fd00::1]"},
        "allowed_hosts",
        ("desk.local", "box", "[fd00::1]"),
    ),
    "one turn": ({"LECTERN_MAX_CONCURRENT_TURNS": "1"}, "max_concurrent_turns", 1),
    "many turns": ({"LECTERN_MAX_CONCURRENT_TURNS": "256"}, "max_concurrent_turns", 256),
    "model": (LLM, "llm", LLMSettings(Secret("canary-llm"))),
    "another model": (
        {**LLM, "OPENAI_MODEL": "mini", "OPENAI_BASE_URL": "http://127.0.0.1:11434/v1/"},
        "llm",
        LLMSettings(Secret("canary-llm"), "mini", "http://127.0.0.1:11434/v1"),
    ),
    "forge": (
        FORGE,
        "forge",
        ForgeSettings(
            "https://forge.test",
            "https://forge.test",
            Secret("canary-forge"),
            "acme/widgets",
            ("acme/widgets",),
        ),
    ),
    "forge seen from outside, more repositories": (
        {
            **FORGE,
            "FORGE_PUBLIC_URL": "https://out.test/git/",
            "FORGE_REPOS": "acme/other, acme/widgets,x/y",
        },
        "forge",
        ForgeSettings(
            "https://forge.test",
            "https://out.test/git",
            Secret("canary-forge"),
            "acme/widgets",
            ("acme/widgets", "acme/other", "x/y"),
        ),
    ),
    "woodpecker": (CI, "ci", CISettings("https://ci.test", "https://ci.test", Secret("canary-ci"))),
    "woodpecker seen from outside": (
        {**CI, "WOODPECKER_PUBLIC_URL": "https://out.test"},
        "ci",
        CISettings("https://ci.test", "https://out.test", Secret("canary-ci")),
    ),
}


@pytest.mark.parametrize(("environ", "name", "value"), GOOD.values(), ids=GOOD.keys())
def test_a_good_value_is_taken(
    root: Path, environ: dict[str, str], name: str, value: object
) -> None:
    assert getattr(read(root, **environ), name) == value


BAD: dict[str, tuple[dict[str, str], str]] = {
    "root is missing": ({"LECTERN_ROOT": "/nowhere/at/all"}, "LECTERN_ROOT"),
    "root is a file": ({"LECTERN_ROOT": __file__}, "LECTERN_ROOT"),
    "team mode": ({"LECTERN_MODE": "team"}, "LECTERN_MODE"),
    "mode in capitals": ({"LECTERN_MODE": "Local"}, "LECTERN_MODE"),
    "every address": ({"LECTERN_HOST": "0.0.0.0"}, "LECTERN_HOST"),
    "every IPv6 address": ({"LECTERN_HOST": "::"}, "LECTERN_HOST"),
    "another computer": ({"LECTERN_HOST": "192.0.2.1"}, "LECTERN_HOST"),
    "another computer, as a number": ({"LECTERN_HOST": "3221225985"}, "LECTERN_HOST"),
    "a host name": ({"LECTERN_HOST": "desk.local"}, "LECTERN_HOST"),
    "looks like localhost": ({"LECTERN_HOST": "localhost.evil.test"}, "LECTERN_HOST"),
    "port too high": ({"LECTERN_PORT": "65536"}, "LECTERN_PORT"),
    "negative port": ({"LECTERN_PORT": "-1"}, "LECTERN_PORT"),
    "port in words": ({"LECTERN_PORT": "http"}, "LECTERN_PORT"),
    "port with a fraction": ({"LECTERN_PORT": "80.5"}, "LECTERN_PORT"),
    "port in other digits": ({"LECTERN_PORT": "٨٠"}, "LECTERN_PORT"),
    "port without end": ({"LECTERN_PORT": "9" * 5000}, "LECTERN_PORT"),
    "short key": ({"LECTERN_SECRET_KEY": "k" * 31}, "LECTERN_SECRET_KEY"),
    "token of other letters": (
        {"TASKS_SERVER_DISPATCH_TOKEN": "gëheim"},
        "TASKS_SERVER_DISPATCH_TOKEN",
    ),
    "token with a line break": (
        {"TASKS_SERVER_DISPATCH_TOKEN": "a\nb"},
        "TASKS_SERVER_DISPATCH_TOKEN",
    ),
    "no host name": ({"LECTERN_ALLOWED_HOSTS": "desk.local,a b"}, "LECTERN_ALLOWED_HOSTS"),
    "any host name": ({"LECTERN_ALLOWED_HOSTS": "*"}, "LECTERN_ALLOWED_HOSTS"),
    "no turns": ({"LECTERN_MAX_CONCURRENT_TURNS": "0"}, "LECTERN_MAX_CONCURRENT_TURNS"),
    "too many turns": ({"LECTERN_MAX_CONCURRENT_TURNS": "257"}, "LECTERN_MAX_CONCURRENT_TURNS"),
    "public path with a blank": (
        {"LECTERN_PUBLIC_URL": "http://localhost/a b"},
        "LECTERN_PUBLIC_URL",
    ),
    "public path that climbs": (
        {"LECTERN_PUBLIC_URL": "http://localhost/a/../b"},
        "LECTERN_PUBLIC_URL",
    ),
    "public path with two slashes": (
        {"LECTERN_PUBLIC_URL": "http://localhost//evil.test"},
        "LECTERN_PUBLIC_URL",
    ),
    "public path encoded": (
        {"LECTERN_PUBLIC_URL": "http://localhost/%2e"},
        "LECTERN_PUBLIC_URL",
    ),
    "model's address without a key": (
        {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"},
        "OPENAI_API_KEY",
    ),
    "key with a line break": ({"OPENAI_API_KEY": "a\r\nX: y"}, "OPENAI_API_KEY"),
    "owner is a path": ({**FORGE, "FORGE_OWNER": "../admin"}, "FORGE_OWNER"),
    "owner begins with a dot": ({**FORGE, "FORGE_OWNER": ".."}, "FORGE_OWNER"),
    "repository is a path": ({**FORGE, "FORGE_REPO": "a/b"}, "FORGE_REPO"),
    "repository with a query": ({**FORGE, "FORGE_REPO": "a?b"}, "FORGE_REPO"),
    "further repository without an owner": ({**FORGE, "FORGE_REPOS": "other"}, "FORGE_REPOS"),
    "further repository that climbs": ({**FORGE, "FORGE_REPOS": "acme/.."}, "FORGE_REPOS"),
    "further repositories in lines": ({**FORGE, "FORGE_REPOS": "a/b\nc/d"}, "FORGE_REPOS"),
}


@pytest.mark.parametrize(("environ", "name"), BAD.values(), ids=BAD.keys())
def test_a_bad_value_is_a_problem_that_names_its_variable(
    root: Path, environ: dict[str, str], name: str
) -> None:
    assert named(problems(root, **environ)) == [name]


def test_every_problem_is_told_at_once(root: Path) -> None:
    told = problems(
        root,
        LECTERN_MODE="team",
        LECTERN_HOST="0.0.0.0",
        LECTERN_PORT="x",
        LECTERN_SECRET_KEY="short",
        LECTERN_PUBLIC_URL="ftp://x",
        LECTERN_ALLOWED_HOSTS="a b,c d",
        LECTERN_MAX_CONCURRENT_TURNS="-1",
        OPENAI_BASE_URL="nonsense",
        FORGE_URL="https://forge.test",
        WOODPECKER_TOKEN="t",
    )
    assert sorted(named(told)) == sorted(
        [
            "LECTERN_MODE",
            "LECTERN_HOST",
            "LECTERN_PORT",
            "LECTERN_PUBLIC_URL",
            "LECTERN_ALLOWED_HOSTS",
            "LECTERN_ALLOWED_HOSTS",
            "LECTERN_MAX_CONCURRENT_TURNS",
            "LECTERN_SECRET_KEY",
            "OPENAI_BASE_URL",
            "OPENAI_API_KEY",
            "FORGE_TOKEN",
            "FORGE_OWNER",
            "FORGE_REPO",
            "WOODPECKER_SERVER",
        ]
    )
    assert all(problem.endswith(".") for problem in told)


def test_a_bad_root_does_not_hide_the_other_problems() -> None:
    told = problems(Path("/nowhere/at/all"), LECTERN_PORT="x")
    assert sorted(named(told)) == ["LECTERN_PORT", "LECTERN_ROOT"]


SETS = {"forge": FORGE, "woodpecker": CI}


@pytest.mark.parametrize(
    ("whole", "missing"),
    [(whole, name) for whole in SETS.values() for name in whole],
    ids=[f"{service} without {name}" for service, whole in SETS.items() for name in whole],
)
def test_a_half_configured_service_is_a_problem_of_what_is_missing(
    root: Path, whole: dict[str, str], missing: str
) -> None:
    rest = {name: value for name, value in whole.items() if name != missing}
    assert named(problems(root, **rest)) == [missing]


@pytest.mark.parametrize(
    "name", ["FORGE_PUBLIC_URL", "FORGE_REPOS", "WOODPECKER_PUBLIC_URL", "OPENAI_MODEL"]
)
def test_what_refines_a_service_that_is_off_does_not_turn_it_on(root: Path, name: str) -> None:
    values = {"FORGE_REPOS": "acme/other", "OPENAI_MODEL": "mini"}
    settings = read(root, **{name: values.get(name, "https://out.test")})
    assert (settings.llm, settings.forge, settings.ci) == (None, None, None)


@pytest.mark.parametrize("empty", ["", "   ", "\t"])
def test_what_is_empty_counts_as_not_set(root: Path, empty: str) -> None:
    names = (*FORGE, *CI, *LLM, "OPENAI_BASE_URL", "LECTERN_PORT", "LECTERN_HOST")
    more = ("LECTERN_SECRET_KEY", "LECTERN_PUBLIC_URL", "LECTERN_MODE", "LECTERN_STATE_DIR")
    assert read(root, **dict.fromkeys((*names, *more), empty)) == read(root)


ADDRESSES = {
    "a file": "file:///etc/passwd",
    "ftp": "ftp://forge.test",
    "javascript": "javascript:alert(1)",
    "no scheme": "forge.test",
    "no host": "https://",
    "only a path": "/forge",
    "user": "https://me@forge.test",
    "user and password": "https://me:canary-password@forge.test",
    "fragment": "https://forge.test/#x",
    "query": "https://forge.test/?token=x",
    "port too high": "https://forge.test:70000",
    "port in words": "https://forge.test:http",
    "broken bracket": "https://[::1",
    "metadata": "http://169.254.169.254",
    "metadata with a port": "http://169.254.169.254:80/latest",
    "metadata, decimal": "http://2852039166",
    "metadata, hexadecimal": "http://0xA9FEA9FE",
    "metadata, octal": "http://0251.0376.0251.0376",
    "metadata, short": "http://169.254.43518",
    "metadata, mapped": "http://[::ffff:a9fe:a9fe]",
    "metadata, mapped and dotted": "http://[::ffff:169.254.169.254]",
    "metadata of AWS by IPv6": "http://[fd00:ec2::254]",
    "metadata in wide digits": "http://１６９.254.169.254",
    "metadata in circled digits": "http://①⑥⑨.254.169.254",
    "link-local by IPv6": "http://[fe80::1]",
    "link-local with a zone": "http://[fe80::1%25eth0]",
}
URLS = {
    "LECTERN_PUBLIC_URL": {},
    "OPENAI_BASE_URL": LLM,
    "FORGE_URL": FORGE,
    "FORGE_PUBLIC_URL": FORGE,
    "WOODPECKER_SERVER": CI,
    "WOODPECKER_PUBLIC_URL": CI,
}


@pytest.mark.parametrize("name", URLS)
@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES.keys())
def test_an_address_that_is_not_plain_is_refused_by_name(
    root: Path, name: str, address: str
) -> None:
    told = problems(root, **{**URLS[name], name: address})
    assert named(told) == [name]
    assert "canary" not in " ".join(told)


PLAIN = {
    "host": "https://forge.test",
    "port and path": "http://forge.test:3000/git",
    "international": "https://xn--bcher-kva.test",
    "loopback": "http://127.0.0.1:3000",
    "loopback by IPv6": "http://[::1]:3000",
    "private": "http://10.0.0.5",
    "unique local": "http://[fd00:1234::1]",
}


@pytest.mark.parametrize("address", PLAIN.values(), ids=PLAIN.keys())
def test_a_plain_address_is_taken(root: Path, address: str) -> None:
    settings = read(root, **{**FORGE, "FORGE_URL": address})
    assert settings.forge is not None
    assert settings.forge.url == address


PREFIXES = {
    "http://localhost": "",
    "http://localhost/": "",
    "http://localhost/docs": "/docs",
    "http://localhost/team/docs/": "/team/docs",
    "https://box.test:8443/~me/a.b-c_d": "/~me/a.b-c_d",
}


@pytest.mark.parametrize(("address", "prefix"), PREFIXES.items())
def test_the_path_of_the_public_address_is_the_prefix(
    root: Path, address: str, prefix: str
) -> None:
    assert read(root, LECTERN_PUBLIC_URL=address).url_prefix == prefix


# The .env of the served repository


def test_the_roots_dotenv_is_read(root: Path) -> None:
    (root / ".env").write_text("# a comment\nLECTERN_PORT=9002\nexport OPENAI_API_KEY='k' # x\n")
    settings = read(root)
    assert settings.port == 9002
    assert settings.llm == LLMSettings(Secret("k"))


def test_what_is_set_in_the_environment_wins_over_the_dotenv(root: Path) -> None:
    (root / ".env").write_text("LECTERN_PORT=9002\nOPENAI_API_KEY=from-file\n")
    settings = read(root, LECTERN_PORT="9003", OPENAI_API_KEY="")
    assert settings.port == 9003
    assert settings.llm is None


def test_the_dotenv_does_not_change_the_environment_or_move_the_root(
    root: Path, tmp_path: Path
) -> None:
    (root / ".env").write_text(f"LECTERN_ROOT={tmp_path}\nLECTERN_PORT=9002\n")
    environ = {"LECTERN_ROOT": str(root)}
    assert Settings.from_env(environ).root == root
    assert environ == {"LECTERN_ROOT": str(root)}


def test_a_dotenv_with_a_byte_order_mark_and_dos_lines_is_read(root: Path) -> None:
    (root / ".env").write_bytes(b"\xef\xbb\xbfLECTERN_PORT=9002\r\nOPENAI_API_KEY=k\r\n")
    settings = read(root)
    assert settings.port == 9002
    assert settings.llm == LLMSettings(Secret("k"))


def test_a_malformed_line_is_named_by_its_number_and_not_quoted(root: Path) -> None:
    (root / ".env").write_text("LECTERN_PORT=9002\n\nthis is 'canary-not a setting\nA=b\n")
    told = problems(root, LECTERN_HOST="0.0.0.0")
    assert sorted(named(told)) == [".env", "LECTERN_HOST"]
    assert any("line 3" in problem for problem in told)
    assert "canary" not in " ".join(told)


def test_a_dotenv_that_is_no_text_is_a_problem(root: Path) -> None:
    (root / ".env").write_bytes(b"OPENAI_API_KEY=\xff\xfe\n")
    assert named(problems(root)) == [".env"]


def test_a_problem_of_the_dotenvs_values_is_told_like_any_other(root: Path) -> None:
    (root / ".env").write_text("FORGE_TOKEN=x\n")
    told = problems(root, FORGE_URL="https://forge.test")
    assert named(told) == ["FORGE_OWNER", "FORGE_REPO"]


def test_a_folder_called_dotenv_is_passed_over(root: Path) -> None:
    (root / ".env").mkdir()
    assert read(root).port == 8765


# Secrets


SECRETS = {
    **FORGE,
    **CI,
    **LLM,
    "TASKS_SERVER_DISPATCH_TOKEN": "canary-dispatch",
    "LECTERN_SECRET_KEY": "canary-" + "k" * 32,
}


def test_settings_print_without_their_secrets(root: Path) -> None:
    settings = read(root, **SECRETS)
    for text in (repr(settings), str(settings), f"{settings}", repr(vars_of(settings))):
        assert "canary" not in text
        assert "***" in text


def test_a_problem_never_quotes_a_secret(root: Path) -> None:
    broken = {name: f"{value}\x7f" for name, value in SECRETS.items() if "canary" in value}
    told = problems(root, **{**SECRETS, **broken})
    assert sorted(named(told)) == sorted(broken)
    assert "canary" not in " ".join(told)


def test_a_secret_shows_its_value_only_when_asked() -> None:
    secret = Secret("canary")
    assert secret.reveal() == "canary"
    assert (str(secret), repr(secret), f"{secret}", "%s" % secret) == ("***",) * 4  # noqa: UP031


def test_settings_cannot_be_changed(root: Path) -> None:
    settings = read(root)
    with pytest.raises(AttributeError):
        settings.port = 1  # type: ignore[misc]
    assert replace(settings, port=1).port == 1


def test_a_repository_on_the_forge_gives_the_site_its_name(root: Path) -> None:
    assert read(root, **FORGE).name == "acme/widgets"


def test_a_link_to_a_root_is_the_root(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert read(tmp_path / "link").root == root


def test_a_relative_state_directory_is_made_absolute(root: Path) -> None:
    assert read(root, LECTERN_STATE_DIR="state").state_dir == Path("state").absolute()


def vars_of(settings: Settings) -> dict[str, object]:
    return {field.name: getattr(settings, field.name) for field in fields(settings)}
