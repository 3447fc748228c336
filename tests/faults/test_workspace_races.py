"""The tree changes while it is read: nothing foreign comes out, and nothing breaks."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from app.services.errors import PathNotFound
from app.services.search import search
from app.services.workspace import Workspace

READS = 5000
FOREIGN = b"foreign bytes, pin"
INSIDE = b"# Widgets, pin"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    for file, data in {
        root / "docs/page.md": INSIDE,
        root / "safe/page.md": INSIDE,
        root / ".env": FOREIGN,
        tmp_path / "outside/page.md": FOREIGN,
        tmp_path / "safe/page.md": FOREIGN,
    }.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return root


@contextmanager
def meanwhile(change: Callable[[], None]) -> Iterator[None]:
    """Does it over and over in another thread, and has done it once before the block begins."""
    over = threading.Event()
    change()

    def run() -> None:
        while not over.is_set():
            change()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def replaced_by_link(path: Path, target: str) -> None:
    """In one step, so that the name is never missing."""
    fresh = path.with_name("fresh")
    fresh.symlink_to(target)
    fresh.replace(path)


def flip_link(root: Path) -> None:
    """A link of a folder: inside, outside."""
    replaced_by_link(root / "moving", "safe")
    replaced_by_link(root / "moving", "../outside")


def flip_folder(root: Path) -> None:
    """A folder and a link in its place."""
    moving, aside = root / "moving", root / "aside"
    if not aside.exists():
        (root / "docs").rename(aside)
    aside.rename(moving)
    moving.rename(aside)
    moving.symlink_to("../outside")
    moving.unlink()


def flip_file(root: Path) -> None:
    """A file and links in its place: outside, refused."""
    page = root / "moving/page.md"
    page.parent.mkdir(exist_ok=True)
    fresh = root / "moving/fresh"
    fresh.write_bytes(INSIDE)
    fresh.replace(page)
    replaced_by_link(page, "../../outside/page.md")
    replaced_by_link(page, "../.env")


def flip_fifo(root: Path) -> None:
    """A file and a FIFO in its place, which would hold up whoever opens it to wait."""
    page = root / "moving/page.md"
    page.parent.mkdir(exist_ok=True)
    fresh = root / "moving/fresh"
    fresh.write_bytes(INSIDE)
    fresh.replace(page)
    os.mkfifo(fresh)
    fresh.replace(page)


def flip_hard_link(root: Path) -> None:
    """A second name of an outside file, unlinked as soon as it may have been opened."""
    page = root / "moving/page.md"
    page.parent.mkdir(exist_ok=True)
    fresh = root / "moving/fresh"
    os.link(root.parent / "outside/page.md", fresh)
    fresh.replace(page)
    page.unlink()
    fresh.write_bytes(INSIDE)
    fresh.replace(page)


def flip_parent(root: Path) -> None:
    """The folder that a link climbs out of is moved below another."""
    link, deep = root / "moving", root / "d/e"
    if not deep.exists():
        deep.mkdir(parents=True)
        (root / "safe/e").mkdir()
        (root.parent / "e").mkdir()
        link.symlink_to("d/e/../../safe")
    deep.rename(root.parent / "e/e")
    (root.parent / "e/e").rename(deep)


@pytest.mark.parametrize("flip", [flip_link, flip_folder, flip_file, flip_fifo, flip_parent])
def test_P3_no_foreign_byte_in_5000_reads(root: Path, flip: Callable[[Path], None]) -> None:
    workspace = Workspace(root)
    seen: set[bytes] = set()
    with meanwhile(lambda: flip(root)):
        reads = 0
        while reads < READS or len(seen) < 2:
            reads += 1
            try:
                seen.add(workspace.read("moving/page.md", limit=100).data)
            except PathNotFound:
                seen.add(b"")
    assert seen == {INSIDE, b""}


def test_P5_a_second_name_that_comes_and_goes_is_next_to_never_read(root: Path) -> None:
    """The kernel finds a name and counts the names of its file in two steps, so never is too much.

    Counting once, on the opened file alone, would let about a hundred of the reads through. (Where
    `fs.protected_hardlinks` is set, nobody can give a second name to a file that is not theirs.)
    """
    workspace = Workspace(root)
    foreign = 0
    with meanwhile(lambda: flip_hard_link(root)):
        for _ in range(READS):
            with suppress(PathNotFound):
                foreign += workspace.read("moving/page.md", limit=100).data == FOREIGN
    assert foreign < 5


@pytest.mark.parametrize("flip", [flip_link, flip_folder, flip_file])
def test_P3_no_foreign_line_in_searches(root: Path, flip: Callable[[Path], None]) -> None:
    workspace = Workspace(root)
    texts: set[str] = set()
    with meanwhile(lambda: flip(root)):
        for _ in range(40):
            texts.update(hit.text for hit in search(workspace, "pin").hits)
    # A file may be found whole and be read as it is made anew: then its first line is empty.
    assert texts - {""} == {INSIDE.decode()}


def test_listings_of_a_moving_tree_name_only_what_is_inside(root: Path) -> None:
    (root.parent / "outside/foreign.md").write_bytes(FOREIGN)
    workspace = Workspace(root)
    seen: set[str] = set()
    with meanwhile(lambda: flip_folder(root)):
        for _ in range(200):
            try:
                seen.update(entry.path for entry in workspace.listing("moving"))
            except PathNotFound:
                seen.add("")
    assert seen <= {"moving/page.md", "aside/page.md", ""}


def test_P16_a_file_that_grows_while_it_is_read_is_cut_at_the_limit(root: Path) -> None:
    page = root / "docs/page.md"

    def grow_and_shrink() -> None:
        os.truncate(page, 2 << 30)
        os.truncate(page, 0)
        page.write_bytes(INSIDE)

    workspace = Workspace(root)
    lengths: set[int] = set()
    with meanwhile(grow_and_shrink):
        while lengths.isdisjoint({1000}) or len(lengths) < 2:
            try:
                file = workspace.read("docs/page.md", limit=1000)
            except PathNotFound:
                continue
            lengths.add(len(file.data))
            assert file.size >= len(file.data)
    assert max(lengths) == 1000


def test_a_file_saved_by_renaming_is_always_there(root: Path) -> None:
    page, fresh = root / "docs/page.md", root / "docs/fresh"

    def save() -> None:
        fresh.write_bytes(INSIDE)
        fresh.replace(page)

    workspace = Workspace(root)
    with meanwhile(save):
        for _ in range(2000):
            assert workspace.read("docs/page.md", limit=100).data == INSIDE


def test_F44_a_tree_that_comes_and_goes_is_there_or_not_found(root: Path) -> None:
    docs, gone = root / "docs", root.parent / "gone"

    def come_and_go() -> None:
        docs.rename(gone)
        gone.rename(docs)

    workspace = Workspace(root)
    with meanwhile(come_and_go):
        for _ in range(100):
            for look in (workspace.kind, workspace.listing, workspace.index_of):
                try:
                    look("docs")
                except PathNotFound:
                    continue
            workspace.is_ignored("docs/page.md")


def test_F21_a_file_that_goes_between_search_and_read_is_no_hit(root: Path, tmp_path: Path) -> None:
    program = tmp_path / "rg"
    program.write_text(
        "#!/bin/sh\n"
        r"printf './docs/page.md\0001:1:x\n./safe/page.md\0001:1:x\n'"
        "\nrm docs/page.md\n"
    )
    program.chmod(0o755)
    hits = search(Workspace(root), "pin", ripgrep=program).hits
    assert [hit.path for hit in hits] == ["safe/page.md"]
