"""Reading: Markdown pages, folders, other files, raw bytes, and the tree's branches."""

from __future__ import annotations

from pathlib import PurePosixPath
from types import MappingProxyType

from flask import Blueprint, Response, render_template, url_for
from flask.typing import ResponseReturnValue

from app.blueprints.screen import show
from app.errors import Refused
from app.guards import CSP
from app.services.workspace import File
from app.shell import Page, crumbs, entry_url, tree
from app.wiring import services

bp = Blueprint("docs", __name__)

MARKDOWN = (".md", ".markdown", ".mdown", ".mkd")
MAX_TEXT_BYTES = 8_000_000
MAX_RAW_BYTES = 64_000_000
# Shown as themselves; everything else is plain text or a download.
MEDIA = MappingProxyType(
    {
        ".png": "image/png",
        ".jpg": "image/jpeg",
        ".jpeg": "image/jpeg",
        ".gif": "image/gif",
        ".webp": "image/webp",
        ".avif": "image/avif",
        ".ico": "image/x-icon",
        ".bmp": "image/bmp",
        ".svg": "image/svg+xml",
        ".pdf": "application/pdf",
    }
)


@bp.get("/")
def index() -> ResponseReturnValue:
    """The repository's README or index, else its folder."""
    readme = services().workspace.index_of("")
    return _file(readme) if readme else _folder("")


@bp.get("/docs/")
def folder() -> ResponseReturnValue:
    return _folder("")


@bp.get("/docs/<path:path>")
def page(path: str) -> ResponseReturnValue:
    path = path.rstrip("/")
    if services().workspace.kind(path) == "folder":
        return _folder(path)
    return _media(path) if _suffix(path) in MEDIA else _file(path)


@bp.get("/raw/<path:path>")
def raw(path: str) -> ResponseReturnValue:
    file = _read(path, MAX_RAW_BYTES)
    if _suffix(path) in MEDIA:
        return _media_response(file)
    if file.is_binary:
        return _bytes(file, "application/octet-stream", is_download=True)
    return _bytes(file, "text/plain; charset=utf-8")


@bp.get("/tree/<path:path>", endpoint="tree")
def tree_branch(path: str) -> ResponseReturnValue:
    nodes = tree(services().workspace, Page("folder", None, ""), folder=path)
    return render_template("_tree.html", nodes=nodes)


def _file(path: str) -> ResponseReturnValue:
    file = _read(path, MAX_TEXT_BYTES)
    if _suffix(file.path) in MARKDOWN and not file.is_binary:
        return _markdown(file)
    name = PurePosixPath(file.path).name
    if file.is_binary:
        content, problem = "", "This file is not text, so it is not shown here."
    else:
        content, problem = services().renderer.file(file.text, path=file.path), ""
    if file.truncated:
        problem = f"Only the first {MAX_TEXT_BYTES:,} of {file.size:,} bytes are shown."
    return show(
        "docs/file.html",
        Page("file", file.path, name),
        content=content,
        crumbs=_crumbs(file.path),
        raw_url=_raw_url(file.path),
        size=_size(file.size),
        problem=problem,
    )


def _markdown(file: File) -> ResponseReturnValue:
    drawn = services().renderer.page(file.text, path=file.path)
    title = drawn.title or PurePosixPath(file.path).stem
    return show(
        "docs/page.html",
        Page("doc", file.path, title),
        content=drawn.html,
        has_h1=drawn.has_h1,
        toc=drawn.toc,
        crumbs=_crumbs(file.path),
        raw_url=_raw_url(file.path),
        problem=drawn.problem or "",
    )


def _folder(path: str) -> ResponseReturnValue:
    """A folder's README or index, then its entries."""
    workspace = services().workspace
    entries = [
        {"name": entry.name, "url": entry_url(entry), "kind": entry.kind}
        for entry in workspace.listing(path)
    ]
    readme = workspace.index_of(path)
    name = PurePosixPath(path).name or services().settings.name
    shown = Page("folder", readme, name, folder=path)
    more: dict[str, object] = {}
    if readme and _suffix(readme) in MARKDOWN:
        file = _read(readme, MAX_TEXT_BYTES)
        drawn = services().renderer.page(file.text, path=file.path)
        shown = Page("folder", readme, drawn.title or name, folder=path)
        more = {"content": drawn.html, "has_h1": drawn.has_h1, "toc": drawn.toc}
        more |= {"problem": drawn.problem or ""}
    return show("docs/folder.html", shown, entries=entries, crumbs=_crumbs(path), **more)


def _media(path: str) -> Response:
    return _media_response(_read(path, MAX_RAW_BYTES))


def _media_response(file: File) -> Response:
    response = _bytes(file, MEDIA[_suffix(file.path)])
    if _suffix(file.path) != ".pdf":  # a sandboxed PDF is not shown by browsers
        # An SVG may hold scripts: opened by itself it gets an origin of its own and runs nothing.
        response.headers["Content-Security-Policy"] = f"{CSP}; sandbox"
    return response


def _bytes(file: File, content_type: str, *, is_download: bool = False) -> Response:
    if file.truncated:
        raise Refused(413, "too_large", f"This file is larger than {MAX_RAW_BYTES:,} bytes.")
    response = Response(file.data, content_type=content_type)
    response.headers["Cache-Control"] = "private, no-cache"
    response.set_etag(file.sha256)
    if is_download:
        response.headers["Content-Disposition"] = "attachment"
    return response


def _read(path: str, limit: int) -> File:
    return services().workspace.read(path, limit=limit)


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


def _raw_url(path: str) -> str:
    return url_for("docs.raw", path=path)


def _crumbs(path: str) -> tuple[tuple[str, str | None], ...]:
    return crumbs(services().settings.name, path)


def _size(size: int) -> str:
    return f"{size:,} bytes" if size < 1000 else f"{size / 1000:,.1f} KB"
