"""Whatever path is asked for and wherever links lead, only allowed bytes of the root come out."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.services.errors import PathNotFound
from app.services.workspace import Workspace

ALLOWED = b"allowed"
DENIED = b"denied"
PLAIN = ("README.md", "docs/a.md", "docs/deep/b.md", ".env.example", "-x.md", "a b.md")
REFUSED = (".env", ".git/config", "docs/.env.local", "docs/key.pem", ".lectern/log", ".mcp.json")
LINKS = {
    "in": "docs",
    "out": "..",
    "docs/up": "../..",
    "leak.md": "../outside.md",
    "root": "/",
    "env.md": ".env",
    "state": ".lectern/log",
    "git": ".git",
    "proc": "/proc/self",
    "loop": "loop",
    "docs/back": "../in/deep",
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    top = tmp_path_factory.mktemp("served")
    write(top / "outside.md", DENIED)
    for path in PLAIN:
        write(top / "repo" / path, ALLOWED)
    for path in REFUSED:
        write(top / "repo" / path, DENIED)
    for name, target in LINKS.items():
        (top / "repo" / name).symlink_to(target)
    return Workspace(top / "repo", hidden=[top / "repo/.lectern"])


def write(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


known_parts = st.sampled_from(
    sorted({part for path in (*PLAIN, *REFUSED, *LINKS, "repo/x") for part in path.split("/")})
)
odd_parts = st.sampled_from(
    ["", ".", "..", "...", "~", "\0", "\n", "\\", "..\\..", "%2e%2e", "\ud800", "x" * 300, " "]
    + [".GIT", ".Env", ".env.", ".env ", ".\u200denv", "\uff0eenv", "outside.md", "etc", "passwd"]
)
any_text = st.text(st.characters(exclude_categories=()), max_size=12)
parts = st.one_of(known_parts, odd_parts, any_text)
paths = st.one_of(st.lists(parts, max_size=8).map("/".join), any_text)


@settings(max_examples=600)
@given(path=paths)
def test_no_path_yields_bytes_from_outside_or_of_a_refused_file(
    workspace: Workspace, path: str
) -> None:
    try:
        file = workspace.read(path, limit=100)
    except PathNotFound:
        return
    assert file.data == ALLOWED
    assert file.path in PLAIN
    assert workspace.allows(path)
    assert workspace.allows(file.path)
    assert workspace.kind(path) == "file"


@settings(max_examples=300)
@given(path=paths)
def test_every_path_is_answered_or_not_found(workspace: Workspace, path: str) -> None:
    assert workspace.allows(path) in (True, False)
    assert workspace.is_ignored(path) is False
    try:
        listing = workspace.listing(path)
    except PathNotFound:
        return
    for entry in listing:
        assert workspace.kind(entry.path) == entry.kind
        assert entry.name == os.path.basename(entry.path)


@settings(max_examples=300)
@given(path=paths)
def test_what_lies_below_a_refused_path_is_refused(workspace: Workspace, path: str) -> None:
    if not workspace.allows(path):
        assert not workspace.allows(f"{path}/x")
        assert not workspace.allows(f"docs/../{path}") or path.startswith("/")


# Names of one tree in which links may lead anywhere, over each other and in circles.
FOLDERS = ("a", "a/b", "a/b/c", "d")
FILES = ("f", "a/f", "a/b/f", "d/f")
link_names = st.sampled_from(["l", "m", "a/l", "a/m", "a/b/l", "d/l", "d/m"])
link_parts = st.sampled_from(["..", ".", "a", "b", "c", "d", "f", "l", "m", "missing"])
link_targets = st.builds(
    lambda start, parts: start + "/".join(parts),
    st.sampled_from(["", "", "", "{root}/", "{root}-evil/", "{top}/", "/"]),
    st.lists(link_parts, min_size=1, max_size=5),
)
asked_parts = st.lists(st.sampled_from(["a", "b", "c", "d", "f", "l", "m"]), max_size=5)


def tree(top: Path, links: dict[str, str]) -> Path:
    """A root with these links, between two folders that must not be reached."""
    root = top / "root"
    for base in (root, top / "root-evil", top):
        for folder in FOLDERS:
            (base / folder).mkdir(parents=True, exist_ok=True)
        for file in FILES:
            write(base / file, str(base / file).encode())
    for name, target in links.items():
        (root / name).symlink_to(target.format(root=root, top=top))
    return root


def reached_by_the_kernel(path: Path) -> str | None:
    """The real path that the kernel finds, or None where it finds nothing."""
    try:
        descriptor = os.open(path, os.O_PATH)
    except OSError:
        return None
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    links=st.dictionaries(link_names, link_targets, max_size=6),
    asked=st.lists(asked_parts, min_size=1, max_size=10),
)
def test_links_lead_where_the_kernel_says_as_long_as_that_is_inside(
    links: dict[str, str], asked: list[list[str]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = tree(Path(os.path.realpath(folder)), links)
        workspace = Workspace(root)
        for path in map("/".join, asked):
            reached = reached_by_the_kernel(root / path)
            inside = reached is not None and f"{reached}/".startswith(f"{root}/")
            if not inside:
                with pytest.raises(PathNotFound):
                    workspace.kind(path)
            elif workspace.kind(path) == "folder":
                assert os.path.isdir(str(reached))
            else:
                file = workspace.read(path, limit=10_000)
                assert f"{root}/{file.path}" == reached
                assert file.data.decode() == reached
