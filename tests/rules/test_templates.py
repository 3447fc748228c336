"""The templates and scripts as they are written: nothing unescaped, nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

APP = Path(__file__).resolve().parents[2] / "app"
TEMPLATES = sorted((APP / "templates").rglob("*.html"))
OWN = [p for p in sorted((APP / "static").rglob("*")) if p.is_file() and "vendor" not in p.parts]
SCRIPTS = [p for p in OWN if p.suffix == ".js"]
SHEETS = [p for p in OWN if p.suffix == ".css"]
NAMESPACES = {"http://www.w3.org/2000/svg"}


def name_of(path: Path) -> str:
    return path.relative_to(APP).as_posix()


def test_there_are_files_to_look_at() -> None:
    assert len(TEMPLATES) >= 15
    assert SCRIPTS
    assert SHEETS


@pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
def test_a_template_escapes_everything(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"\|\s*safe\b|autoescape|Markup|\btojson\b", text) == []


@pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
def test_a_template_has_nothing_inline(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"<style|\sstyle=|\son[a-z]+\s*=|javascript:|hx-on|hx-vals=.js:", text) == []
    assert re.findall(r"<script(?![^>]*\ssrc=)", text) == []


@pytest.mark.parametrize("path", [*TEMPLATES, *OWN], ids=name_of)
def test_a_file_names_no_other_server(path: Path) -> None:
    if path.suffix not in (".html", ".js", ".css", ".svg"):
        return
    text = path.read_text(encoding="utf-8")
    found = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}[^\s\"'<)]*", text))
    assert {f for f in found if not any(n.startswith(f) or f == n for n in NAMESPACES)} == set()


@pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
def test_a_template_builds_its_own_addresses_with_url_for(path: Path) -> None:
    """An address that begins with a slash would leave the URL prefix."""
    text = path.read_text(encoding="utf-8")
    assert re.findall(r'(?:href|src|action|hx-[a-z]+|data-[a-z-]*url)="/', text) == []


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_a_script_writes_html_in_one_place_only(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    sinks = (
        r"\.(?:innerHTML|outerHTML)\s*\+?=|insertAdjacentHTML|document\.write|\beval\(|new Function"
    )
    assert path.name == "html.js" or re.findall(sinks, text) == []


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_a_script_knows_no_address_of_the_server(path: Path) -> None:
    """It takes them from the page, which knows the URL prefix."""
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"""["'`]/(?:chat|docs|actions|auth|static|tree|raw|history)\b""", text) == []


@pytest.mark.parametrize("path", SHEETS, ids=name_of)
def test_a_style_sheet_loads_nothing_from_elsewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "@import" not in text
    assert [url for url in re.findall(r"url\(([^)]*)\)", text) if "//" in url] == []


def test_what_is_vendored_has_its_licence_and_version_beside_it() -> None:
    for folder in (APP / "static/vendor").iterdir():
        assert re.fullmatch(r"[a-z]+-\d+\.\d+\.\d+", folder.name), folder.name
        assert (folder / "LICENSE").read_text(encoding="utf-8").strip()
