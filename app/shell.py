"""What stands around every page: which page it is, the tree of files, the breadcrumbs.

View models only; the folders' entries come from the workspace.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from flask import url_for

from app.services.errors import PathNotFound
from app.services.workspace import Entry, Workspace

MAX_NODES = 400  # of one folder in the tree; its page shows them all

Crumb = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Page:
    """What `<body>` says of the page; `doc` only for one that shows a file of the repository."""

    kind: str
    doc: str | None
    title: str
    folder: str = ""  # what the tree is opened at


@dataclass(frozen=True, slots=True)
class Site:
    name: str
    user: str
    is_demo: bool


@dataclass(frozen=True, slots=True)
class Node:
    """One line of the tree; a folder that is not open brings its children on demand."""

    name: str
    path: str
    url: str
    is_folder: bool
    is_open: bool = False
    is_current: bool = False
    children: tuple[Node, ...] = ()
    children_url: str = ""


def tree(workspace: Workspace, page: Page, *, folder: str = "") -> tuple[Node, ...]:
    """The entries of `folder`, with the folders on the way to the page opened."""
    try:
        entries = workspace.listing(folder)
    except PathNotFound:
        return ()
    shown = [entry for entry in entries if not entry.name.startswith(".")][:MAX_NODES]
    return tuple(_node(workspace, page, entry) for entry in shown)


def _node(workspace: Workspace, page: Page, entry: Entry) -> Node:
    at = page.doc or page.folder
    is_folder = entry.kind == "folder"
    is_open = is_folder and f"{at}/".startswith(f"{entry.path}/")
    return Node(
        name=entry.name,
        path=entry.path,
        url=entry_url(entry),
        is_folder=is_folder,
        is_open=is_open,
        is_current=entry.path == at,
        children=tree(workspace, page, folder=entry.path) if is_open else (),
        children_url=url_for("docs.tree", path=entry.path) if is_folder else "",
    )


def entry_url(entry: Entry) -> str:
    """A folder's address ends with a slash, as people write it."""
    address = url_for("docs.page", path=entry.path)
    return f"{address}/" if entry.kind == "folder" else address


def crumbs(name: str, path: str) -> tuple[Crumb, ...]:
    """The way from the repository to `path`; the last step is where one is."""
    if not path:
        return ((name, None),)
    parts = PurePosixPath(path).parts
    steps: list[Crumb] = [(name, url_for("docs.folder"))]
    for depth, part in enumerate(parts, start=1):
        is_last = depth == len(parts)
        address = f"{url_for('docs.page', path='/'.join(parts[:depth]))}/"
        steps.append((part, None if is_last else address))
    return tuple(steps)
