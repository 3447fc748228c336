"""What a reader gets: pages, folders, files, raw bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import PNG, Person


def test_the_first_page_is_the_readme(person: Person) -> None:
    page = person.visit("/")
    assert page.status_code == 200
    assert '<h1 id="widgets">Widgets' in page.text
    assert 'data-page-kind="doc"' in page.text
    assert 'data-doc-rel="README.md"' in page.text
    assert '<a href="/docs/docs/setup.md">the setup</a>' in page.text


def test_a_repository_without_a_readme_shows_its_folder(person: Person, repository: Path) -> None:
    (repository / "README.md").unlink()
    page = person.visit("/")
    assert 'data-page-kind="folder"' in page.text
    assert "data-doc-rel" not in page.text
    assert "src" in page.text


def test_a_page_has_crumbs_a_table_of_contents_and_the_way_to_it_opened(person: Person) -> None:
    page = person.visit("/docs/docs/setup.md").text
    assert 'aria-label="Breadcrumb"' in page
    assert '<a href="/docs/docs/">docs</a>' in page
    assert 'href="#install"' in page
    assert 'aria-current="page"' in page


def test_a_page_without_a_heading_gets_one_from_its_name(person: Person) -> None:
    page = person.visit("/docs/docs/plain.md").text
    assert page.count("<h1") == 1
    assert "<h1>plain</h1>" in page


def test_a_folder_shows_its_readme_and_then_its_entries(person: Person) -> None:
    page = person.visit("/docs/docs/").text
    assert 'data-page-kind="folder"' in page
    assert 'data-doc-rel="docs/README.md"' in page
    assert page.index("Documentation") < page.index("In this folder")
    assert 'href="/docs/docs/with%20space.md"' in page


def test_a_folder_is_the_same_with_and_without_its_slash(person: Person) -> None:
    assert person.visit("/docs/docs").text == person.visit("/docs/docs/").text.replace(
        "/docs/docs/?ask", "/docs/docs?ask"
    )


def test_a_source_file_is_shown_with_line_anchors(person: Person) -> None:
    page = person.visit("/docs/src/app.py").text
    assert 'data-page-kind="file"' in page
    assert 'id="L2"' in page
    assert '<span class="k">def</span>' in page


def test_a_binary_file_is_offered_but_not_shown(person: Person) -> None:
    page = person.visit("/docs/docs/data.bin.txt")
    assert page.status_code == 200
    assert "not text" in page.text


def test_an_image_is_served_as_itself(person: Person) -> None:
    image = person.visit("/docs/docs/dot.png")
    assert image.data == PNG
    assert image.content_type == "image/png"


@pytest.mark.parametrize("prefix", ["/docs/", "/raw/"])
def test_an_svg_can_run_nothing_in_our_origin(person: Person, prefix: str) -> None:
    image = person.visit(f"{prefix}docs/picture.svg")
    assert image.content_type == "image/svg+xml"
    assert "sandbox" in image.headers["Content-Security-Policy"]


def test_raw_text_is_plain_text(person: Person, repository: Path) -> None:
    (repository / "docs/page.html").write_text("<script>alert(1)</script>")
    raw = person.visit("/raw/docs/page.html")
    assert raw.content_type == "text/plain; charset=utf-8"
    assert raw.headers["X-Content-Type-Options"] == "nosniff"
    assert raw.text == "<script>alert(1)</script>"


def test_raw_bytes_are_a_download(person: Person) -> None:
    raw = person.visit("/raw/docs/data.bin.txt")
    assert raw.headers["Content-Disposition"] == "attachment"


REFUSED = {
    "above": "/docs/../../etc/passwd",
    "encoded": "/docs/..%2f..%2fetc/passwd",
    "twice encoded": "/docs/%252e%252e/etc/passwd",
    "absolute": "/docs//etc/passwd",
    "dotenv": "/docs/.env",
    "dotenv in capitals": "/docs/.ENV",
    "git": "/docs/.git/config",
    "state": "/docs/.lectern/secret_key",
    "missing": "/docs/nothing.md",
    "newline": "/docs/README.md%0A",
    "nul": "/docs/README.md%00",
    "long": "/docs/" + "a" * 300,
}


@pytest.mark.parametrize("path", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("prefix", ["/docs/", "/raw/", "/tree/"])
def test_what_is_refused_looks_like_what_is_not_there(
    person: Person, path: str, prefix: str
) -> None:
    missing = person.fetch("/docs/really-nothing.md")
    answer = person.fetch(path.replace("/docs/", prefix, 1), follow_redirects=True)
    if prefix == "/tree/" and answer.status_code == 200:
        assert "Nothing to show" in answer.text
        return
    assert answer.status_code == 404
    assert answer.get_json() == missing.get_json()


def test_a_link_out_of_the_root_is_not_there(
    person: Person, repository: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret.md").write_text("canary")
    (repository / "out.md").symlink_to(tmp_path / "secret.md")
    assert person.visit("/docs/out.md").status_code == 404
    assert "out.md" not in person.visit("/docs/").text


def test_a_page_that_does_not_exist_is_html_for_people_and_json_for_scripts(
    person: Person,
) -> None:
    page = person.visit("/docs/nothing.md")
    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert page.text.count("<h1") == 1
    answer = person.fetch("/docs/nothing.md")
    assert answer.get_json()["error"]["code"] == "not_found"


def test_the_branch_of_a_folder_is_a_fragment(person: Person) -> None:
    branch = person.fetch("/tree/docs").text
    assert "<html" not in branch
    assert "setup.md" in branch


def test_dotfiles_are_on_the_folder_page_but_not_in_the_tree(
    person: Person, repository: Path
) -> None:
    (repository / ".editorconfig").write_text("root = true\n")
    page = person.visit("/docs/").text
    assert page.count(">.editorconfig") == 1


def test_the_drawer_opens_without_script(person: Person) -> None:
    page = person.visit("/docs/docs/setup.md?ask=1").text
    assert 'data-drawer="open"' in page
    assert '<form class="composer"' in page
    assert 'name="doc" value="docs/setup.md"' in page


def test_who_looks_for_a_missing_page_sees_the_tree(person: Person) -> None:
    page = person.visit("/docs/nothing.md").text
    assert 'id="lectern-tree"' in page
    assert "README.md" in page
