"""The `lectern` command: reads its arguments, calls, prints."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import webbrowser
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click

from app import __version__
from app.settings import Settings, SettingsError, refuse

MAX_WORKERS = 8

_port = click.option("--port", type=click.IntRange(0, 65535), help="Default: LECTERN_PORT or 8765.")
_workers = click.option("--workers", type=click.IntRange(1, MAX_WORKERS), default=1)
_open = click.option("--open/--no-open", "opens", default=False, help="Open the browser.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lectern")
def main() -> None:
    """Read a repository's docs in the browser, talk them over, turn agreements into issues."""


@main.command()
@click.argument("root", required=False, type=click.Path(path_type=Path))
@click.option("--host", help="Default: LECTERN_HOST or 127.0.0.1.")
@_port
@_workers
@_open
def serve(root: Path | None, host: str | None, port: int | None, workers: int, opens: bool) -> None:
    """Serve the repository at ROOT (default: LECTERN_ROOT or here) to this computer."""
    given = {"LECTERN_ROOT": root, "LECTERN_HOST": host, "LECTERN_PORT": port}
    settings = _settings({k: str(v) for k, v in given.items() if v is not None})
    _run(settings, workers=workers, opens=opens)


@main.command()
@_port
@_workers
@_open
def demo(port: int | None, workers: int, opens: bool) -> None:
    """Everything, against a simulated Forgejo, Woodpecker and model; no account, no network."""
    from app.demo.sample import copy_sample

    with _simulation() as world, _temporary() as folder:
        copy_sample(folder / "lighthouse")
        environ = _demo_environ(world, folder / "lighthouse")
        if port is not None:
            environ["LECTERN_PORT"] = str(port)
        settings = replace(_settings(environ, inherit=_public_url()), is_demo=True)
        _run(settings, workers=workers, opens=opens)


def _settings(given: Mapping[str, str], *, inherit: Mapping[str, str] | None = None) -> Settings:
    try:
        return Settings.from_env({**(os.environ if inherit is None else inherit), **given})
    except SettingsError as error:
        refuse(error.problems)


def _public_url() -> dict[str, str]:
    """All that a demo takes from outside: where it is mounted."""
    url = os.environ.get("LECTERN_PUBLIC_URL")
    return {"LECTERN_PUBLIC_URL": url} if url else {}


def _demo_environ(world: Mapping[str, str], root: Path) -> dict[str, str]:
    return {
        "LECTERN_ROOT": str(root),
        "OPENAI_API_KEY": world["llm_key"],
        "OPENAI_BASE_URL": world["llm_url"],
        "OPENAI_MODEL": "simulated",
        "FORGE_URL": world["forge_url"],
        "FORGE_TOKEN": world["forge_token"],
        "FORGE_OWNER": world["forge_owner"],
        "FORGE_REPO": world["forge_repo"],
        "WOODPECKER_SERVER": world["ci_url"],
        "WOODPECKER_TOKEN": world["ci_token"],
    }


@contextmanager
def _simulation() -> Iterator[dict[str, str]]:
    """The doubles in a process of their own, which ends when its standard input does."""
    command = [sys.executable, "-m", "app.demo"]
    process = subprocess.Popen(
        command, env=_bare_environ(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        line = process.stdout.readline() if process.stdout else b""
        if not line:
            raise click.ClickException("The simulated services did not start.")
        yield json.loads(line)
    finally:
        process.communicate()


def _bare_environ() -> dict[str, str]:
    """What a Python process needs to start, and no secret of the person's real services."""
    names = ("PATH", "HOME", "LANG", "PYTHONPATH", "TMPDIR")
    return {name: os.environ[name] for name in names if name in os.environ}


@contextmanager
def _temporary() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="lectern-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(settings: Settings, *, workers: int, opens: bool) -> None:
    from app.server import log_to_stderr, run

    log_to_stderr()

    def ready(port: int) -> None:
        address = _address(settings, port)
        click.echo(f"Lectern serves {settings.root} at {address}")
        if settings.llm is None:
            click.echo("The assistant is off: set OPENAI_API_KEY to turn it on.")
        if opens and _has_screen():
            webbrowser.open(address)

    try:
        run(settings, workers=workers, ready=ready)
    except SettingsError as error:
        refuse(error.problems)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        message = f"Cannot serve at {settings.host}:{settings.port}: {reason}. Try another --port."
        raise click.ClickException(message) from None


def _address(settings: Settings, port: int) -> str:
    """What to open; with a dispatch token, the token is in it once."""
    bare = settings.host.strip("[]")
    host = f"[{bare}]" if ":" in bare else bare
    token = f"?token={settings.dispatch_token.reveal()}" if settings.dispatch_token else ""
    return f"http://{host}:{port}{settings.url_prefix}/{token}"


def _has_screen() -> bool:
    return sys.platform == "darwin" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
