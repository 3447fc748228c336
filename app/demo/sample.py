"""The sample repository: a copy of the files beside this module, with a small history of its own.
Knows nothing of servers."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parent / "repository"
GIT_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Commit:
    """Everything that is new under `paths`, as one commit."""

    author: str
    date: str
    subject: str
    paths: tuple[str, ...]


COMMITS = (
    Commit(
        "Ines Calder",
        "2025-03-14T17:20:00+00:00",
        "Listen, remember, decide, wake somebody",
        ("lighthouse", "lighthouse.yaml", "Makefile"),
    ),
    Commit(
        "Tomas Brae",
        "2025-03-30T09:05:00+01:00",
        "Write the handbook, so that the phone rings less",
        (
            "README.md",
            "docs/README.md",
            "docs/getting-started.md",
            "docs/architecture.md",
            "docs/how-to",
            "docs/images",
        ),
    ),
    Commit(
        "Wren Okafor",
        "2026-06-09T21:40:00+01:00",
        "Write down what was decided and why",
        ("docs/decisions",),
    ),
    Commit(
        "Ines Calder",
        "2026-11-03T16:00:00+00:00",
        "Describe every alarm and every setting for 1.4.0",
        ("docs/reference", "CHANGELOG.md"),
    ),
    Commit("Wren Okafor", "2026-11-16T08:15:00+00:00", "Say what is next", (".",)),
)


def copy_sample(target: Path) -> None:
    """Make `target` a git repository with the sample in it; every copy has the same commits.

    Without git on the machine it is a folder of files, which Lectern can serve as well.
    """
    shutil.copytree(
        SOURCE,
        target,
        ignore=shutil.ignore_patterns("__pycache__"),
        # Contents alone: modes of an installed package are not part of the sample.
        copy_function=shutil.copyfile,
        dirs_exist_ok=True,
    )
    if shutil.which("git", path=os.defpath) is None:
        return
    _git(target, "init", "--quiet", "--template=", "--initial-branch=main")
    for commit in COMMITS:
        _git(target, "add", "--", *commit.paths)
        _git(target, "commit", "--quiet", "--no-verify", f"--message={commit.subject}", by=commit)


def _git(root: Path, *arguments: str, by: Commit | None = None) -> None:
    settings = (
        "core.hooksPath=/dev/null",
        "core.autocrlf=false",
        "commit.gpgSign=false",
        "gc.auto=0",
    )
    options = [part for setting in settings for part in ("-c", setting)]
    subprocess.run(
        ["git", *options, *arguments],
        cwd=root,
        env=_environment(by),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=GIT_TIMEOUT_S,
    )


def _environment(by: Commit | None) -> dict[str, str]:
    """Built from nothing: no configuration, identity or hook of this machine has a say."""
    environment = {
        "PATH": os.defpath,
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    if by is None:
        return environment
    mail = f"{by.author.split()[0].lower()}@skerry-trust.example"
    for role in ("AUTHOR", "COMMITTER"):
        environment[f"GIT_{role}_NAME"] = by.author
        environment[f"GIT_{role}_EMAIL"] = mail
        environment[f"GIT_{role}_DATE"] = by.date
    return environment
